//! Months of the partitioned tables: those ahead are made in time, old metrics are archived.

use super::{Database, StoreError};

impl Database {
    /// Makes the partitions of this month and of those ahead, and moves rows that came before their partition. Tells how many
    /// were made. Needs the owner's rights.
    pub async fn ensure_months(&self) -> Result<u64, StoreError> {
        let mut connection = self.unlimited().await?;
        let made =
            sqlx::query_scalar!(r#"SELECT ensure_month_partitions() AS "made!""#).fetch_one(&mut *connection).await;
        connection.close().await?;
        Ok(made?.unsigned_abs().into())
    }

    /// Moves whole months of metrics that are older than 24 months to the archive table; tells how many rows. Needs the
    /// owner's rights.
    pub async fn archive_metrics(&self) -> Result<u64, StoreError> {
        let mut connection = self.unlimited().await?;
        let moved =
            sqlx::query_scalar!(r#"SELECT archive_old_metrics() AS "moved!""#).fetch_one(&mut *connection).await;
        connection.close().await?;
        Ok(moved?.unsigned_abs().into())
    }
}
