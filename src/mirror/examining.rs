//! One partition at a time is loaded as the mirror loads it, from its snapshot and from the table, and examined. Nothing is
//! changed: not the database, not the snapshots.

use std::collections::HashMap;
use std::time::Instant;

use tokio_util::task::TaskTracker;

use super::auditing::RECALL_AT;
use super::findings::{Finding, Loaded, PartitionReport};
use super::loading::{MirrorError, model_of};
use super::rows::{LeftOut, Pace, current_rows, table_digest};
use super::snapshots::Snapshots;
use crate::domain::{EmbeddingId, Model, Revision};
use crate::index::{self, Built, Digest, IndexError, PartitionKey, PartitionView, Settings};
use crate::store::{CurrentPartition, Database, StoreError, TenantTransaction};

/// Searches whose recall is sampled.
const SAMPLES: usize = 50;
/// A sampled recall below this is wrong: the graph finds 0.95 and more of what it was made for.
const LOWEST_RECALL: f64 = 0.9;
/// Rows that are named at most.
const NAMED: usize = 5;

/// Examines partitions.
pub struct Examiner {
    database: Database,
    settings: Settings,
    snapshots: Option<Snapshots>,
    tasks: TaskTracker,
}

impl Examiner {
    /// An examiner of what the service's role sees in `database`, under the service's settings.
    pub fn new(database: Database, settings: Settings, snapshots: Option<Snapshots>, tasks: TaskTracker) -> Self {
        Self { database, settings, snapshots, tasks }
    }

    /// Examines a partition. What keeps it from that is a finding, too.
    pub async fn examine(&self, partition: &CurrentPartition) -> PartitionReport {
        let key = PartitionKey { organization: partition.organization, model: partition.model.clone() };
        let place = format!("{}/{}", partition.slug, partition.model);
        let mut examination = Examination { examiner: self, key, place, findings: Vec::new() };
        let (mut snapshot, mut table) = (None, None);
        let examined = async {
            let model = model_of(&self.database, &examination.key).await?;
            // One after the other, so that one is in memory at a time.
            snapshot = examination.snapshot(&model).await?;
            table = Some(examination.table(&model).await?);
            Ok::<_, MirrorError>(())
        };
        if let Err(error) = examined.await {
            examination.wrong(
                format!("it could not be examined: {error}"),
                "see whether the database answers, then try again",
            );
        }
        PartitionReport {
            organization: partition.slug.clone(),
            model: partition.model.clone(),
            table,
            snapshot,
            findings: examination.findings,
        }
    }
}

/// What a view shows of itself.
struct Shown {
    digest: Digest,
    check: Result<(), String>,
    recall: Option<f64>,
}

/// One partition under examination.
struct Examination<'a> {
    examiner: &'a Examiner,
    key: PartitionKey,
    place: String,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    fn wrong(&mut self, what: impl Into<String>, remedy: &str) {
        self.findings.push(Finding::wrong(&self.place, what, remedy));
    }

    fn note(&mut self, what: impl Into<String>, remedy: &str) {
        self.findings.push(Finding::note(&self.place, what, remedy));
    }

    /// Loads the snapshot, follows the change log to the present revision, and compares with the table there.
    async fn snapshot(&mut self, model: &Model) -> Result<Option<Loaded>, MirrorError> {
        let Some(built) = self.read_snapshot(model).await? else { return Ok(None) };
        let from_revision = built.revision();
        let database = &self.examiner.database;
        let mut transaction = database.tenant_bulk_snapshot("doctor_snapshot", self.key.organization).await?;
        let (revision, oldest) = transaction.revision().await?;
        if !(oldest..=revision).contains(&from_revision) {
            self.note(
                format!(
                    "its snapshot is of revision {from_revision}, and the change log goes from {oldest} to {revision}"
                ),
                "nothing is to be done: the service reads the table instead",
            );
            return Ok(None);
        }
        let view = match self.follow(built, &mut transaction, model, revision).await? {
            Ok(view) => view,
            Err(error) => {
                let what = format!("the change log cannot be applied to its snapshot: {error}");
                self.wrong(what, "the service reads the table instead; mend the row that is named");
                return Ok(None);
            }
        };
        let shown = self.look_at(&view).await?;
        let table = table_digest(&mut transaction, model, Pace::Fast).await?;
        if shown.digest != table {
            let differences = differences(&mut transaction, model, &view).await?;
            self.wrong(
                format!(
                    "its snapshot of revision {from_revision}, followed to {revision}, holds {} rows, and the table {}: {differences}",
                    shown.digest.rows, table.rows
                ),
                "the table was changed behind the change log, or the snapshot is wrong: write the entities of these rows \
                 again, or remove the snapshot and restart the service",
            );
        }
        transaction.commit().await?;
        self.judge("the snapshot", &shown);
        Ok(Some(loaded(&view, from_revision, shown.recall)))
    }

    async fn read_snapshot(&mut self, model: &Model) -> Result<Option<Built>, MirrorError> {
        let Some(snapshots) = &self.examiner.snapshots else { return Ok(None) };
        let path = snapshots.path(&self.key);
        // Several reads would not be faster than this one, and nobody else waits for this thread.
        match tokio::task::block_in_place(|| snapshots.read(&self.examiner.settings, &self.key, model)) {
            None => Ok(None),
            Some(Ok(built)) => Ok(Some(built)),
            Some(Err(IndexError::Foreign)) => {
                self.note(
                    format!("its snapshot {} is of another database, setting or format", path.display()),
                    "run the doctor with the service's settings; a service with these ones reads the table instead",
                );
                Ok(None)
            }
            Some(Err(error)) => {
                self.wrong(
                    format!("its snapshot {} cannot be used: {error}", path.display()),
                    "the service removes it and reads the table instead; see whether the disk is sound",
                );
                Ok(None)
            }
        }
    }

    /// Brings a snapshot to the revision that the transaction sees. The inner error says what does not fit.
    async fn follow(
        &self,
        built: Built,
        transaction: &mut TenantTransaction,
        model: &Model,
        revision: Revision,
    ) -> Result<Result<PartitionView, IndexError>, StoreError> {
        let mut at = built.revision();
        let (mut writer, reader) = index::open(self.examiner.settings);
        writer.publish(built, Instant::now());
        while at < revision {
            let changes = transaction.changes_since(&model.id, at, revision).await?;
            let applied =
                tokio::task::block_in_place(|| writer.apply(&self.key, changes.deltas, changes.upto, Instant::now()));
            if let Err(error) = applied {
                return Ok(Err(error));
            }
            at = changes.upto;
        }
        Ok(reader.glance(&self.key).ok_or_else(|| IndexError::NotLoaded(self.key.clone())))
    }

    /// Loads the partition from the table and compares it with what was read.
    async fn table(&mut self, model: &Model) -> Result<Loaded, MirrorError> {
        let database = &self.examiner.database;
        let mut transaction = database.tenant_bulk_snapshot("doctor_table", self.key.organization).await?;
        let (revision, _) = transaction.revision().await?;
        let (mut entries, mut table, mut left_out) = (Vec::new(), Digest::default(), LeftRows::default());
        let take = |entry: crate::domain::Entry| {
            table.add(entry.clone());
            entries.push(entry);
        };
        current_rows(&mut transaction, model, Pace::Fast, take, |row| left_out.add(row)).await?;
        transaction.commit().await?;
        if left_out.count > 0 {
            self.wrong(
                format!(
                    "{} rows cannot be searched, and a vector of another width keeps all others from being settled: {}",
                    left_out.count,
                    left_out.named.join(", ")
                ),
                "something besides Kindred has written to embeddings: write their entities again and remove these rows",
            );
        }
        let (settings, key, dimensions) = (self.examiner.settings, self.key.clone(), model.dimensions);
        let building = self.examiner.tasks.spawn_blocking(move || {
            let built = Built::build(&settings, &key, dimensions, entries, revision)?;
            let (mut writer, reader) = index::open(settings);
            writer.publish(built, Instant::now());
            reader.glance(&key).ok_or(IndexError::NotLoaded(key))
        });
        let view = building.await??;
        let shown = self.look_at(&view).await?;
        if shown.digest != table {
            self.wrong(
                format!("{} rows were read at revision {revision}, and what was built of them differs", table.rows),
                "memory or this program is at fault: examine again, test the memory, and report it with the version",
            );
        }
        self.judge("the table", &shown);
        Ok(loaded(&view, revision, shown.recall))
    }

    async fn look_at(&self, view: &PartitionView) -> Result<Shown, MirrorError> {
        let view = view.clone();
        let looking = self.examiner.tasks.spawn_blocking(move || Shown {
            digest: view.digest(),
            check: view.check(),
            recall: view.sampled_recall(SAMPLES, RECALL_AT),
        });
        Ok(looking.await?)
    }

    fn judge(&mut self, source: &str, shown: &Shown) {
        if let Err(reason) = &shown.check {
            self.wrong(
                format!("what was loaded from {source} is not well formed: {reason}"),
                "report it with the version; a restart without the snapshots folder builds it anew",
            );
        }
        if let Some(recall) = shown.recall.filter(|recall| *recall < LOWEST_RECALL) {
            self.wrong(
                format!(
                    "the graph from {source} finds {recall:.3} of the {RECALL_AT} nearest, less than {LOWEST_RECALL}"
                ),
                "raise --mirror-ef-search, or --mirror-exact-below so that it is scanned",
            );
        }
    }
}

fn loaded(view: &PartitionView, from_revision: Revision, recall: Option<f64>) -> Loaded {
    Loaded { from_revision, revision: view.revision(), rows: view.len(), graph: view.has_graph(), recall }
}

/// Counts rows that no partition takes, and names the first.
#[derive(Default)]
struct LeftRows {
    count: usize,
    named: Vec<String>,
}

impl LeftRows {
    fn add(&mut self, row: LeftOut) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(row.to_string());
        }
    }
}

/// Names the rows in which a view and the table differ.
async fn differences(
    transaction: &mut TenantTransaction,
    model: &Model,
    view: &PartitionView,
) -> Result<String, StoreError> {
    let mut kept: HashMap<EmbeddingId, Digest> = tokio::task::block_in_place(|| view.row_digests());
    let (mut missing, mut changed) = (Vec::new(), Vec::new());
    let compare = |entry: crate::domain::Entry| {
        let id = entry.id;
        match kept.remove(&id) {
            None => missing.push(id),
            Some(kept) if kept != Digest::from_iter([entry]) => changed.push(id),
            Some(_) => {}
        }
    };
    current_rows(transaction, model, Pace::Fast, compare, |_| {}).await?;
    let mut more: Vec<EmbeddingId> = kept.into_keys().collect();
    more.sort_unstable();
    let named = |what: &str, ids: &[EmbeddingId]| {
        let first: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
        (!ids.is_empty()).then(|| {
            format!("{} {what} ({}{})", ids.len(), first.join(", "), if ids.len() > NAMED { ", …" } else { "" })
        })
    };
    let parts = [
        named("rows have other vectors or attributes", &changed),
        named("rows are in the table alone", &missing),
        named("rows are in the snapshot alone", &more),
    ];
    Ok(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
