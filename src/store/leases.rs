//! `duty_leases`: background duties that one replica does at a time.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Database, StoreError};

impl Database {
    /// Does work that may take long, under a lease that is renewed four times as often as it would end; `None` where another
    /// holder has it. Needs the owner's rights.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] where it could not be renewed in time; the work was broken off then.
    pub async fn while_leased<T>(
        &self,
        duty: &str,
        holder: Uuid,
        lasts: Duration,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        if !self.take_lease(duty, holder, lasts).await? {
            return Ok(None);
        }
        let done = tokio::select! {
            done = work => done,
            () = self.renew_until_lost(duty, holder, lasts) => return Err(StoreError::LostLease { duty: duty.to_owned() }),
        };
        if let Err(error) = self.release_lease(duty, holder).await {
            tracing::debug!(%error, duty, "a lease was not given back; it will end by itself");
        }
        Ok(Some(done))
    }

    async fn renew_until_lost(&self, duty: &str, holder: Uuid, lasts: Duration) {
        let every = lasts / 4;
        let mut renewed = Instant::now();
        // A renewal may fail; the work ends before another holder can begin.
        while renewed.elapsed() <= lasts / 2 {
            tokio::time::sleep(every).await;
            let asked = Instant::now();
            match tokio::time::timeout(every, self.take_lease(duty, holder, lasts)).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, duty, "a lease could not be renewed; it is tried again"),
                Err(_) => tracing::warn!(duty, "a lease could not be renewed in time; it is tried again"),
            }
        }
    }

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
