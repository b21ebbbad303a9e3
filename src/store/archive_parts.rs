//! `archive_parts`: which months were written to which object store, and how far each attempt came.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::month_rows::PartFacts;
use super::{Database, MonthlyTable, StoreError};
use crate::domain::Month;

/// A part that the database knows to hold a month's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPart {
    /// Its name, unique.
    pub name: String,
    /// What it holds.
    pub facts: PartFacts,
    /// Whether its rows were brought back and lie in the database too.
    pub restored: bool,
}

impl Database {
    /// Notes that a part is going to be written, before its first byte is.
    pub async fn begin_part(
        &self,
        part: &str,
        store: &str,
        table: MonthlyTable,
        month: Month,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO archive_parts (name, store, table_name, month) VALUES ($1, $2, $3, $4)",
            part,
            store,
            table.name(),
            month.first_day()
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Declares every part of a store that was begun and not completed abandoned, and names all that are: their objects may
    /// be removed. Waits for one that is being completed at this moment.
    pub async fn abandon_parts(&self, store: &str) -> Result<Vec<String>, StoreError> {
        sqlx::query!("UPDATE archive_parts SET state = 'abandoned' WHERE store = $1 AND state = 'begun'", store)
            .execute(self.pool())
            .await?;
        Ok(sqlx::query_scalar!("SELECT name FROM archive_parts WHERE store = $1 AND state = 'abandoned'", store)
            .fetch_all(self.pool())
            .await?)
    }

    /// Forgets a part whose objects are removed.
    pub async fn forget_part(&self, part: &str) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM archive_parts WHERE name = $1 AND state = 'abandoned'", part)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The parts that must lie in a store, by name.
    pub async fn known_parts(&self, store: &str) -> Result<Vec<KnownPart>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT name, state = 'restored' AS "restored!", row_count AS "row_count!", checksum AS "checksum!",
                      file_bytes AS "file_bytes!", file_sha256 AS "file_sha256!"
               FROM archive_parts WHERE store = $1 AND state IN ('archived', 'restored') ORDER BY name"#,
            store
        )
        .fetch_all(self.pool())
        .await?;
        let known = rows.into_iter().map(|row| KnownPart {
            name: row.name,
            facts: PartFacts {
                rows: row.row_count.unsigned_abs(),
                checksum: row.checksum,
                bytes: row.file_bytes.unsigned_abs(),
                sha256: row.file_sha256,
            },
            restored: row.restored,
        });
        Ok(known.collect())
    }
}

/// Says that a part's rows are in the database again.
pub(super) async fn note_restored(
    connection: &mut PgConnection,
    (table, month): (MonthlyTable, Month),
    (part, store): (&str, &str),
    facts: &PartFacts,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO archive_parts
             (name, store, table_name, month, state, row_count, checksum, file_bytes, file_sha256, restored_at)
         VALUES ($1, $2, $3, $4, 'restored', $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET store = excluded.store, state = 'restored', restored_at = excluded.restored_at",
        part,
        store,
        table.name(),
        month.first_day(),
        facts.rows as i64,
        facts.checksum,
        facts.bytes as i64,
        facts.sha256,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}
