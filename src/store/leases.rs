//! `duty_leases`: background duties that one replica does at a time.

use std::time::Duration;

use uuid::Uuid;

use super::{Database, StoreError};

impl Database {
    /// Takes or renews a lease; tells whether this holder has it. Times are the database's, so replicas' clocks do not
    /// matter. Needs the owner's rights.
    pub async fn take_lease(&self, duty: &str, holder: Uuid, lasts: Duration) -> Result<bool, StoreError> {
        sqlx::query!(
            "INSERT INTO duty_leases (duty, holder, expires_at) VALUES ($1, $2, '-infinity') ON CONFLICT (duty) DO NOTHING",
            duty,
            holder
        )
        .execute(self.pool())
        .await?;
        let taken = sqlx::query!(
            "UPDATE duty_leases SET holder = $2, expires_at = now() + make_interval(secs => $3)
             WHERE duty = $1 AND (holder = $2 OR expires_at < now())",
            duty,
            holder,
            lasts.as_secs_f64()
        )
        .execute(self.pool())
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Gives a lease back, so that another replica need not wait for its end.
    pub async fn release_lease(&self, duty: &str, holder: Uuid) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM duty_leases WHERE duty = $1 AND holder = $2", duty, holder)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
