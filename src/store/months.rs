//! Months of the partitioned tables: those ahead are made in time, old metrics are archived.

use super::{Database, StoreError};

impl Database {
    /// Makes the partitions of this month and of those ahead, and moves rows that came before their partition. Tells how many
    /// were made. Needs the owner's rights.
    pub async fn ensure_months(&self) -> Result<i64, StoreError> {
        let made = sqlx::query_scalar!(r#"SELECT ensure_month_partitions() AS "made!""#);
        self.without_statement_limit(made).await
    }

    /// Moves whole months of metrics that are older than 24 months to the archive table; tells how many rows. Needs the
    /// owner's rights.
    pub async fn archive_metrics(&self) -> Result<i64, StoreError> {
        let moved = sqlx::query_scalar!(r#"SELECT archive_old_metrics() AS "moved!""#);
        self.without_statement_limit(moved).await
    }

    /// Moving a month takes as long as it takes: the statement limit of requests does not fit it.
    async fn without_statement_limit<M>(&self, query: Scalar<'_, M>) -> Result<i64, StoreError>
    where
        M: Send + Unpin + FnMut(sqlx::postgres::PgRow) -> Result<i32, sqlx::Error>,
    {
        let mut connection = self.pool().acquire().await?;
        sqlx::raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
        let done = query.fetch_one(&mut *connection).await;
        // A connection with another limit must not go back to the pool.
        connection.close().await?;
        Ok(i64::from(done?))
    }
}

type Scalar<'q, M> = sqlx::query::Map<'q, sqlx::Postgres, M, sqlx::postgres::PgArguments>;
