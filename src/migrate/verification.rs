//! Comparing both sides of a migration, row by row.

use sqlx::{Connection, PgConnection, Row};

use super::MigrateError;
use super::connection::connect;

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// Whether nothing is lost and nothing differs.
    pub passed: bool,
    /// Rows on the legacy side.
    pub old_rows: i64,
    /// Rows on the new side.
    pub new_rows: i64,
    /// Rows that are lost or differ.
    pub wrong: i64,
}

/// A row on which the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The comparison that found it.
    pub check: String,
    /// `missing`, `surplus` or `different`.
    pub problem: String,
    /// The row's key, as JSON.
    pub key: String,
}

/// Rows that stayed behind, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The legacy table.
    pub source: String,
    /// `row`, or the part of it.
    pub part: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub rows: i64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Every comparison.
    pub checks: Vec<Check>,
    /// The first rows that differ.
    pub differences: Vec<Difference>,
    /// Rows that stayed behind, by reason.
    pub quarantined: Vec<Quarantined>,
}

impl Verification {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// Compares both sides and names up to `name_rows` differing rows of each comparison.
pub async fn verify(owner_url: &str, name_rows: i64) -> Result<Verification, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let checks = checks(&mut connection).await?;
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('kindred_migration.settings') IS NOT NULL")
        .fetch_one(&mut connection)
        .await?;
    let mut found = Verification { checks, differences: Vec::new(), quarantined: Vec::new() };
    if begun {
        if !found.passed() {
            let rows =
                sqlx::query("SELECT check_name, problem, key::text AS key FROM kindred_migration.name_differences($1)")
                    .bind(name_rows)
                    .fetch_all(&mut connection)
                    .await?;
            for row in rows {
                found.differences.push(Difference {
                    check: row.try_get("check_name")?,
                    problem: row.try_get("problem")?,
                    key: row.try_get("key")?,
                });
            }
        }
        found.quarantined = quarantined(&mut connection).await?;
    }
    connection.close().await?;
    Ok(found)
}

/// Every comparison that holds on this database. Rows that lie in a default partition are first moved to their month.
pub(super) async fn checks(connection: &mut PgConnection) -> Result<Vec<Check>, MigrateError> {
    sqlx::query("SELECT ensure_month_partitions()").execute(&mut *connection).await?;
    let rows =
        sqlx::query("SELECT check_name, status, old_count, new_count, data_loss FROM verify_migration_integrity()")
            .fetch_all(connection)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(Check {
                name: row.try_get("check_name")?,
                passed: row.try_get::<String, _>("status")? == "ok",
                old_rows: row.try_get("old_count")?,
                new_rows: row.try_get("new_count")?,
                wrong: row.try_get("data_loss")?,
            })
        })
        .collect()
}

/// Rows that stayed behind, by table and reason; UUIDs in reasons are left out, so that like reasons count together.
pub(super) async fn quarantined(connection: &mut PgConnection) -> Result<Vec<Quarantined>, MigrateError> {
    let rows = sqlx::query(
        "SELECT source, split_part(part, '[', 1) AS part,
                regexp_replace(reason, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '…', 'g') AS reason, count(*) AS rows
         FROM kindred_migration.quarantine GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC, 3",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Quarantined {
                source: row.try_get("source")?,
                part: row.try_get("part")?,
                reason: row.try_get("reason")?,
                rows: row.try_get("rows")?,
            })
        })
        .collect()
}
