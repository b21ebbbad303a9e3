//! Months of the partitioned tables: those ahead are made in time, and which there are.

use chrono::NaiveDate;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::{Database, MonthlyTable, StoreError};
use crate::domain::Month;

/// Where a month's rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonthPlace {
    /// A partition of its own.
    Partition,
    /// The default partition: they came late, or before their partition was made.
    Default,
    /// `time_series_metrics_archive`.
    ArchiveTable,
}

/// A month's rows in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthRows {
    /// The month.
    pub month: Month,
    /// Where they lie.
    pub place: MonthPlace,
    /// How many.
    pub rows: i64,
    /// Of a partition with its indexes, elsewhere of the rows alone.
    pub bytes: i64,
}

/// A month that may be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldMonth {
    /// The month.
    pub month: Month,
    /// Whether it was brought back from an object store: then it stays until somebody says otherwise.
    pub restored: bool,
}

impl Database {
    /// Makes the partitions of this month and of those ahead, and moves rows that came before their partition. Tells how many
    /// were made. Needs the owner's rights.
    pub async fn ensure_months(&self) -> Result<u64, StoreError> {
        let mut connection = self.unlimited().await?;
        let made =
            sqlx::query_scalar!(r#"SELECT ensure_month_partitions() AS "made!""#).fetch_one(&mut connection).await;
        connection.close().await?;
        Ok(made?.unsigned_abs().into())
    }

    /// Makes the partition of one month, with its rows out of the default partition. Needs the owner's rights.
    pub async fn ensure_month(&self, table: MonthlyTable, month: Month) -> Result<(), StoreError> {
        let mut connection = self.unlimited().await?;
        let made = sqlx::query!("SELECT ensure_month_partition($1, $2)", table.name(), month.first_day());
        let made = made.fetch_one(&mut connection).await;
        connection.close().await?;
        made?;
        Ok(())
    }

    /// Moves the whole months of metrics before `before` to the archive table; tells how many rows. Months that were restored
    /// stay. Needs the owner's rights.
    pub async fn archive_metrics_before(&self, before: Month) -> Result<u64, StoreError> {
        let mut connection = self.unlimited().await?;
        let moved = sqlx::query_scalar!(r#"SELECT archive_metrics_before($1) AS "moved!""#, before.first_day());
        let moved = moved.fetch_one(&mut connection).await;
        connection.close().await?;
        Ok(moved?.unsigned_abs().into())
    }

    /// The months before `before` that have a partition, or rows in the default one, oldest first. Rows dated before 1900
    /// have no month.
    pub async fn months_before(&self, table: MonthlyTable, before: Month) -> Result<Vec<OldMonth>, StoreError> {
        let moment = table.moment();
        let statement = format!(
            "SELECT month, EXISTS (SELECT FROM archive_parts p WHERE p.table_name = '{table}' AND p.month = months.month
                                   AND p.state = 'restored') AS restored
             FROM (
                 SELECT to_date(right(c.relname, 7), 'YYYY\"m\"MM') AS month
                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = to_regclass('{table}') AND c.relname ~ '_y\\d{{4}}m\\d{{2}}$'
                 UNION
                 SELECT date_trunc('month', {moment} AT TIME ZONE 'UTC')::date FROM ONLY {table}_default
                 WHERE {moment} >= '1900-01-01 00:00+00' AND {moment} < $1::timestamp AT TIME ZONE 'UTC'
             ) AS months WHERE month < $1 ORDER BY month"
        );
        let mut connection = self.unlimited().await?;
        let found: Result<Vec<(NaiveDate, bool)>, _> =
            sqlx::query_as(AssertSqlSafe(statement)).bind(before.first_day()).fetch_all(&mut connection).await;
        connection.close().await?;
        found?.into_iter().map(|(day, restored)| Ok(OldMonth { month: month_of(table, day)?, restored })).collect()
    }

    /// Every month with rows in the database, oldest first: counted, which takes a while where there are many.
    pub async fn month_rows(&self, table: MonthlyTable) -> Result<Vec<MonthRows>, StoreError> {
        let mut connection = self.unlimited().await?;
        let found = async {
            let mut found = Vec::new();
            let partitions = "SELECT c.relname::text AS name, to_date(right(c.relname, 7), 'YYYY\"m\"MM') AS month,
                                     pg_total_relation_size(c.oid) AS bytes
                              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                              WHERE i.inhparent = to_regclass($1) AND c.relname ~ '_y\\d{4}m\\d{2}$'";
            for partition in sqlx::query(partitions).bind(table.name()).fetch_all(&mut connection).await? {
                let month = month_of(table, partition.try_get("month")?)?;
                let count = format!("SELECT count(*) FROM ONLY {}", table.partition(month));
                let rows = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await?;
                let place = MonthPlace::Partition;
                found.push(MonthRows { month, place, rows, bytes: partition.try_get("bytes")? });
            }
            let mut heaps = vec![(MonthPlace::Default, format!("{table}_default"))];
            if table == MonthlyTable::Metrics {
                heaps.push((MonthPlace::ArchiveTable, format!("{table}_archive")));
            }
            for (place, heap) in heaps {
                let moment = table.moment();
                let count = format!(
                    "SELECT date_trunc('month', {moment} AT TIME ZONE 'UTC')::date AS month, count(*) AS rows,
                            sum(pg_column_size(t.*))::bigint AS bytes
                     FROM ONLY {heap} t WHERE {moment} >= '1900-01-01 00:00+00' AND {moment} < '9999-12-01 00:00+00'
                     GROUP BY 1"
                );
                for row in sqlx::query(AssertSqlSafe(count)).fetch_all(&mut connection).await? {
                    let month = month_of(table, row.try_get("month")?)?;
                    found.push(MonthRows { month, place, rows: row.try_get("rows")?, bytes: row.try_get("bytes")? });
                }
            }
            found.sort_by_key(|rows| rows.month);
            Ok::<_, StoreError>(found)
        };
        let found = found.await;
        connection.close().await?;
        found
    }
}

/// A month that the database told.
pub(super) fn month_of(table: MonthlyTable, day: NaiveDate) -> Result<Month, StoreError> {
    Month::of(day).map_err(|error| StoreError::BadRow {
        table: table.name(),
        column: table.moment(),
        row: day.to_string(),
        reason: error.to_string(),
    })
}
