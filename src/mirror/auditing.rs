//! The auditor: compares what is in memory with what is in the table, and what the graph finds with what is nearest.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::loading::{MirrorError, model_of};
use super::rows::{Pace, table_digest};
use crate::domain::Revision;
use crate::index::{Digest, IndexReader, PartitionKey, PartitionView};
use crate::store::Database;

/// How often partitions are audited, and how.
#[derive(Debug, Clone, Copy)]
pub struct AuditSettings {
    /// Between two partitions; at least ten times as long as the last one took.
    pub interval: Duration,
    /// How long the mirror may take to reach the revision that the table was read at.
    pub patience: Duration,
    /// Searches whose recall is sampled in a partition with a graph.
    pub samples: usize,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), patience: Duration::from_secs(2), samples: 20 }
    }
}

/// How a partition was found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// It holds what the table held at the same revision; `recall` of the graph, where it has one.
    Same { recall: Option<f64> },
    /// It does not.
    Different { mirror: Digest, table: Digest, revision: Revision },
    /// It was written too fast for a comparison at one revision, or left memory.
    Missed,
}

/// Audits one loaded partition after another, for ever.
pub struct Auditor {
    database: Database,
    index: IndexReader,
    settings: AuditSettings,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// So many times as long as an audit took nothing is audited.
const PAUSE: u32 = 10;
/// How often a partition that moved on meanwhile is looked at again.
const ATTEMPTS: usize = 3;
/// How many of the nearest count for recall.
pub(super) const RECALL_AT: usize = 10;

impl Auditor {
    /// An auditor of what the index has loaded.
    pub fn new(
        database: Database,
        index: IndexReader,
        settings: AuditSettings,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { database, index, settings, tasks, stop }
    }

    /// Audits until told to stop. A partition that differs is reported and loaded again.
    pub async fn run(self) {
        let mut last: Option<PartitionKey> = None;
        let mut pause = self.settings.interval;
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let keys: Vec<PartitionKey> = self.index.status().into_iter().map(|status| status.key).collect();
            let next = keys.iter().find(|key| last.as_ref().is_none_or(|last| *key > last)).or(keys.first());
            let Some(key) = next.cloned() else { continue };
            let begun = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return,
                verdict = self.audit(&key) => self.report(&key, verdict),
            }
            last = Some(key);
            pause = self.settings.interval.max(PAUSE * begun.elapsed());
        }
    }

    fn report(&self, key: &PartitionKey, verdict: Result<Verdict, MirrorError>) {
        let outcome = match &verdict {
            Ok(Verdict::Same { .. }) => "same",
            Ok(Verdict::Different { .. }) => "different",
            Ok(Verdict::Missed) => "missed",
            Err(_) => "failed",
        };
        metrics::counter!("kindred_mirror_audits_total", "outcome" => outcome).increment(1);
        match verdict {
            Ok(Verdict::Same { recall: Some(recall) }) => metrics::gauge!("kindred_mirror_recall").set(recall),
            Ok(Verdict::Same { recall: None } | Verdict::Missed) => {}
            Ok(Verdict::Different { mirror, table, revision }) => {
                tracing::error!(
                    partition = %key, %revision, mirror_rows = mirror.rows, table_rows = table.rows,
                    "the mirror differs from the table; it is loaded again"
                );
                self.index.distrust(key);
            }
            Err(error) => tracing::warn!(partition = %key, %error, "a partition could not be audited"),
        }
    }

    async fn audit(&self, key: &PartitionKey) -> Result<Verdict, MirrorError> {
        for _ in 0..ATTEMPTS {
            let model = model_of(&self.database, key).await?;
            let mut transaction = self.database.tenant_bulk_snapshot("mirror_audit", key.organization).await?;
            let (revision, _) = transaction.revision().await?;
            let Some(view) = self.view_at(key, revision).await else { continue };
            let table = table_digest(&mut transaction, &model, Pace::Gentle).await?;
            transaction.commit().await?;
            let samples = self.settings.samples;
            let examined = self.tasks.spawn_blocking(move || view.audited(samples, RECALL_AT));
            let (mirror, recall) = examined.await??;
            return Ok(match mirror == table {
                true => Verdict::Same { recall },
                false => Verdict::Different { mirror, table, revision },
            });
        }
        Ok(Verdict::Missed)
    }

    /// The partition at exactly this revision.
    async fn view_at(&self, key: &PartitionKey, revision: Revision) -> Option<PartitionView> {
        let reached = tokio::time::timeout(self.settings.patience, self.index.published(key, revision)).await;
        if reached != Ok(true) {
            return None;
        }
        self.index.glance(key).filter(|view| view.revision() == revision)
    }
}
