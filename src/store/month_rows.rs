//! A whole month: read in one snapshot, locked against writers, and dropped.

use std::time::Duration;

use futures::{Stream, TryStreamExt};
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::ensure_rows;
use super::monthly::{Column, Row, read, select_list};
use super::{Database, MonthlyTable, StoreError};
use crate::domain::Month;

/// How often the lock is asked for that a partition is detached under, and the pause between: so that neither a long read
/// of the table nor its followers wait long.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// What a file of a month holds, as kept in `archive_parts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFacts {
    /// Rows.
    pub rows: u64,
    /// Over rows.
    pub checksum: String,
    /// The file's length.
    pub bytes: u64,
    /// The file's digest.
    pub sha256: String,
}

/// A month as one snapshot shows it; writers go on.
pub struct MonthSnapshot {
    connection: PgConnection,
    table: MonthlyTable,
    month: Month,
}

/// A month that nobody else writes, until this is dropped or the partition is. Readers go on.
pub struct LockedMonth {
    connection: PgConnection,
    table: MonthlyTable,
    month: Month,
}

impl Database {
    /// Reads a month that has a partition.
    pub async fn read_month(&self, table: MonthlyTable, month: Month) -> Result<MonthSnapshot, StoreError> {
        let mut connection = self.unlimited().await?;
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut connection).await?;
        Ok(MonthSnapshot { connection, table, month })
    }

    /// Locks a month that has a partition. A writer of the month waits, and succeeds when it tries again: then its row lies in
    /// the default partition. Needs the owner's rights.
    pub async fn lock_month(&self, table: MonthlyTable, month: Month) -> Result<LockedMonth, StoreError> {
        let mut connection = self.unlimited().await?;
        let lock = format!(
            "BEGIN; LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE ONLY {} IN EXCLUSIVE MODE",
            table.partition(month)
        );
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await?;
        Ok(LockedMonth { connection, table, month })
    }
}

impl MonthSnapshot {
    /// The rows, by organization and time.
    pub fn rows<'a>(&'a mut self, columns: &'a [Column]) -> impl Stream<Item = Result<Row, StoreError>> + 'a {
        let order = format!("ORDER BY organization_id, {}", self.table.moment());
        rows(&mut self.connection, self.table, self.month, columns, order)
    }
}

impl LockedMonth {
    /// The rows, in no order.
    pub fn rows<'a>(&'a mut self, columns: &'a [Column]) -> impl Stream<Item = Result<Row, StoreError>> + 'a {
        rows(&mut self.connection, self.table, self.month, columns, String::new())
    }

    /// Whether there are no rows.
    pub async fn is_empty(&mut self) -> Result<bool, StoreError> {
        let found = format!("SELECT EXISTS (SELECT FROM ONLY {})", self.table.partition(self.month));
        let found: bool = sqlx::query_scalar(AssertSqlSafe(found)).fetch_one(&mut self.connection).await?;
        Ok(!found)
    }

    /// How many rows there are.
    pub async fn count(&mut self) -> Result<u64, StoreError> {
        let count = format!("SELECT count(*) FROM ONLY {}", self.table.partition(self.month));
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.connection).await?;
        Ok(count.unsigned_abs())
    }

    /// Holds a part that was begun, so that nobody declares it abandoned meanwhile; false where somebody has.
    pub async fn hold_part(&mut self, part: &str) -> Result<bool, StoreError> {
        let held = sqlx::query!("SELECT name FROM archive_parts WHERE name = $1 AND state = 'begun' FOR UPDATE", part);
        Ok(held.fetch_optional(&mut self.connection).await?.is_some())
    }

    /// Says that a part which was begun holds the month. Parts from which the month was restored say less than it now: they
    /// are abandoned, in another store let be.
    pub async fn complete_part(&mut self, part: &str, facts: &PartFacts) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE archive_parts old
             SET state = CASE WHEN old.store = new.store THEN 'abandoned' ELSE 'archived' END, restored_at = NULL
             FROM archive_parts new
             WHERE new.name = $1 AND old.table_name = new.table_name AND old.month = new.month AND old.state = 'restored'",
            part
        )
        .execute(&mut self.connection)
        .await?;
        let done = sqlx::query!(
            "UPDATE archive_parts
             SET state = 'archived', row_count = $2, checksum = $3, file_bytes = $4, file_sha256 = $5, archived_at = now()
             WHERE name = $1 AND state = 'begun'",
            part,
            facts.rows as i64,
            facts.checksum,
            facts.bytes as i64,
            facts.sha256
        )
        .execute(&mut self.connection)
        .await?;
        ensure_rows("complete_part", done.rows_affected(), 1)
    }

    /// Drops the month's partition, and commits all that was done under the lock.
    pub async fn drop_partition(mut self) -> Result<(), StoreError> {
        self.lock_parent().await?;
        let (table, partition) = (self.table, self.table.partition(self.month));
        let drop = format!("ALTER TABLE {table} DETACH PARTITION {partition}; DROP TABLE {partition}; COMMIT");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Waits for everybody who reads or writes the table, in short turns.
    async fn lock_parent(&mut self) -> Result<(), StoreError> {
        let lock = format!(
            "SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY {0} IN ACCESS EXCLUSIVE MODE;
             LOCK TABLE ONLY {0}_default IN ACCESS EXCLUSIVE MODE",
            self.table
        );
        for tries in 1.. {
            sqlx::raw_sql("SAVEPOINT parent").execute(&mut self.connection).await?;
            match sqlx::raw_sql(AssertSqlSafe(lock.clone())).execute(&mut self.connection).await.map_err(Into::into) {
                Ok(_) => break,
                Err(StoreError::Timeout(_) | StoreError::Conflict(_)) if tries < LOCK_TRIES => {
                    sqlx::raw_sql("ROLLBACK TO SAVEPOINT parent").execute(&mut self.connection).await?;
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn rows<'a>(
    connection: &'a mut PgConnection,
    table: MonthlyTable,
    month: Month,
    columns: &'a [Column],
    order: String,
) -> impl Stream<Item = Result<Row, StoreError>> + 'a {
    let statement = format!("SELECT {} FROM ONLY {} {order}", select_list(columns), table.partition(month));
    let found = sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch(connection).map_err(StoreError::from);
    found.and_then(move |row| std::future::ready(read(&row, columns)))
}
