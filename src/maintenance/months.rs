//! Months: made ahead, archived, deleted.

use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::archive::{ArchiveError, Archives, MonthlyTable, Policy, Target};
use crate::domain::Month;

/// How often months are looked after, and what leaves.
#[derive(Debug, Clone)]
pub struct MonthsSettings {
    /// Between two rounds.
    pub interval: Duration,
    /// What leaves, and where to.
    pub policy: Policy,
}

/// Looks after months.
pub struct MonthsTask {
    archives: Archives,
    settings: MonthsSettings,
    holder: Uuid,
    stop: CancellationToken,
}

impl MonthsTask {
    /// A task; `holder` tells this replica apart.
    pub fn new(archives: Archives, settings: MonthsSettings, holder: Uuid, stop: CancellationToken) -> Self {
        Self { archives, settings, holder, stop }
    }

    /// Runs until told to stop, then gives its lease back. A month that is under way then stays where it is.
    pub async fn run(self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = self.round() => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
        }
        let release = tokio::time::timeout(Duration::from_secs(2), self.archives.release(self.holder));
        if !matches!(release.await, Ok(Ok(()))) {
            tracing::debug!("the archive's lease was not given back; it will end by itself");
        }
    }

    /// One round of every duty, where no other replica has the lease; tells whether that was so. A duty that fails is logged,
    /// counted, and tried again by the next round.
    pub async fn round(&self) -> bool {
        let duties = async {
            failed("make the months ahead", self.make().await);
            failed("archive metrics", self.metrics().await);
            failed("archive context logs", self.context_logs().await);
        };
        match self.archives.alone(self.holder, duties).await {
            Ok(()) => true,
            Err(ArchiveError::Busy) => false,
            Err(error) => {
                failed("look after months", Err(error));
                false
            }
        }
    }

    async fn make(&self) -> Result<(), ArchiveError> {
        let made = self.archives.make_months().await?;
        if made > 0 {
            tracing::info!(made, "partitions of months were made");
        }
        Ok(())
    }

    async fn metrics(&self) -> Result<(), ArchiveError> {
        self.archive(MonthlyTable::Metrics, self.settings.policy.metrics_after_months).await
    }

    async fn context_logs(&self) -> Result<(), ArchiveError> {
        let table = MonthlyTable::ContextLogs;
        match (self.settings.policy.context_logs_after_months, &self.settings.policy.target) {
            (None, _) => Ok(()),
            (Some(months), Target::Store(_)) => self.archive(table, months).await,
            (Some(months), Target::Table) => {
                let deleted = self.archives.retire(table, Month::before(Utc::now(), months)?).await?;
                metrics::counter!("kindred_retired_rows_total", "table" => table.name()).increment(deleted);
                Ok(())
            }
        }
    }

    async fn archive(&self, table: MonthlyTable, months: u32) -> Result<(), ArchiveError> {
        let now = Utc::now();
        let (before, target) = (Month::before(now, months)?, &self.settings.policy.target);
        let outcome = self.archives.archive((table, before), target, false, now).await?;
        metrics::counter!("kindred_archived_rows_total", "table" => table.name()).increment(outcome.rows);
        metrics::counter!("kindred_archive_failures_total").increment(outcome.stayed.len() as u64);
        if outcome.rows > 0 {
            tracing::info!(%table, rows = outcome.rows, %target, "rows of old months were archived");
        }
        Ok(())
    }
}

fn failed(duty: &str, done: Result<(), ArchiveError>) {
    if let Err(error) = done {
        metrics::counter!("kindred_archive_failures_total").increment(1);
        tracing::warn!(%error, "could not {duty}; it is tried again");
    }
}
