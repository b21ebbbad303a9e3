//! The scheduler and its duties.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::close_orphans;
use crate::domain::Model;
use crate::store::{Database, StoreError};

const LEASE: &str = "maintenance";
/// How long the lease of a model's index lasts without being renewed.
const INDEX_LEASE: Duration = Duration::from_secs(60);

/// How often duties run, and how much they do at once.
#[derive(Debug, Clone, Copy)]
pub struct MaintenanceSettings {
    /// Between two rounds.
    pub interval: Duration,
    /// Rows brought into a model's HNSW index at once. That takes a whole core of the database's, so where new rows came
    /// meanwhile it rests three times as long.
    pub settle_rows: i64,
    /// The longest a round may go on settling, so that other duties get their turn.
    pub settle_for: Duration,
    /// How long change rows are kept, in hours.
    pub keep_changes_hours: i32,
    /// Between two sweeps of embeddings whose row is gone.
    pub sweep_interval: Duration,
}

impl Default for MaintenanceSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            settle_rows: 200,
            settle_for: Duration::from_secs(20),
            keep_changes_hours: 24,
            sweep_interval: Duration::from_secs(3600),
        }
    }
}

/// Runs the duties.
pub struct Scheduler {
    owner: Database,
    settings: MaintenanceSettings,
    holder: Uuid,
    stop: CancellationToken,
}

impl Scheduler {
    /// A scheduler with the owner's rights; `holder` tells this replica apart.
    pub fn new(owner: Database, settings: MaintenanceSettings, holder: Uuid, stop: CancellationToken) -> Self {
        Self { owner, settings, holder, stop }
    }

    /// Runs until told to stop, then gives its lease back.
    pub async fn run(self) {
        let mut swept: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
            let stop = self.stop.clone();
            let round = tokio::select! {
                () = stop.cancelled() => break,
                round = self.round(&mut swept) => round,
            };
            if let Err(error) = round {
                metrics::counter!("kindred_maintenance_failures_total").increment(1);
                tracing::warn!(%error, "a round of maintenance failed; it is tried again");
            }
        }
        let release = tokio::time::timeout(Duration::from_secs(2), self.owner.release_lease(LEASE, self.holder));
        if !matches!(release.await, Ok(Ok(()))) {
            tracing::debug!("the maintenance lease was not given back; it will end by itself");
        }
    }

    /// Makes a model's index where it is missing, unless a bulk load will build it at its end.
    async fn keep_index(&self, model: &Model) -> Result<(), StoreError> {
        if self.owner.has_model_index(&model.id).await? {
            return Ok(());
        }
        let making = self.owner.ensure_model_index(model);
        match self.owner.alone_with_model_index(&model.id, self.holder, INDEX_LEASE, making).await? {
            Some(made) => {
                if made? {
                    tracing::info!(model = %model.id, "the model's HNSW index was built");
                }
            }
            None => tracing::debug!(model = %model.id, "somebody else sees to the model's index"),
        }
        Ok(())
    }

    /// One round of every duty, where this replica has the lease; `swept` is when it last swept.
    async fn round(&self, swept: &mut Option<Instant>) -> Result<(), StoreError> {
        // Longer than a round's statements may take, so that two replicas never settle the same rows.
        let lasts = self.settings.interval + self.settings.settle_for + Duration::from_secs(60);
        if !self.owner.take_lease(LEASE, self.holder, lasts).await? {
            return Ok(());
        }
        self.owner.refresh_statistics().await?;
        let started = Instant::now();
        for model in self.owner.models().await? {
            self.keep_index(&model).await?;
            let mut rows_before = self.owner.rows_inserted().await?;
            while started.elapsed() < self.settings.settle_for {
                let begun = Instant::now();
                let settled = self.owner.settle(&model.id, self.settings.settle_rows).await?;
                metrics::counter!("kindred_settled_rows_total").increment(settled);
                if settled < self.settings.settle_rows as u64 {
                    break;
                }
                let rows = self.owner.rows_inserted().await?;
                if rows > rows_before {
                    tokio::time::sleep(3 * begun.elapsed()).await;
                }
                rows_before = rows;
            }
        }
        metrics::gauge!("kindred_unsettled_rows").set(self.owner.count_unsettled().await? as f64);
        self.owner.prune_changes(self.settings.keep_changes_hours).await?;
        if swept.is_none_or(|at| at.elapsed() >= self.settings.sweep_interval) {
            let closed = close_orphans(&self.owner).await?;
            metrics::counter!("kindred_orphans_closed_total").increment(closed);
            *swept = Some(Instant::now());
        }
        Ok(())
    }
}
