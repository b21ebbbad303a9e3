//! Reading the database for the index: whole partitions, and changes since a revision.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::rows::{LeftOut, Pace, current_rows};
use super::snapshots::Snapshots;
use crate::domain::{Delta, Model, Revision};
use crate::index::{Built, IndexError, IndexReader, PartitionKey};
use crate::store::{Database, StoreError};

/// Why a partition could not be loaded or followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum MirrorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the model {0} is not known")]
    UnknownModel(String),
    #[error("building the partition failed: {0}")]
    Build(#[from] tokio::task::JoinError),
}

/// Where a partition was loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Snapshot,
    Table,
}

/// What the log says about a partition.
pub(super) enum Followed {
    /// Apply these; there may be more.
    Changes { deltas: Vec<Delta>, upto: Revision, more: bool },
    /// The log does not reach back that far: load the partition again.
    TooOld,
}

/// Takes a partition's snapshot, or else reads its current rows at one revision and builds it, off the runtime's threads.
pub(super) async fn load(
    database: Database,
    index: IndexReader,
    key: PartitionKey,
    snapshots: Option<Arc<Snapshots>>,
    tasks: TaskTracker,
) -> Result<(Built, Source), MirrorError> {
    let model = model_of(&database, &key).await?;
    let settings = *index.settings();
    if let Some(snapshots) = snapshots.clone().filter(|snapshots| snapshots.has(&key)) {
        let mut transaction = database.tenant("mirror_snapshot", key.organization).await?;
        let (newest, oldest) = transaction.revision().await?;
        transaction.commit().await?;
        let (key, model) = (key.clone(), model.clone());
        let reading = tasks.spawn_blocking(move || snapshots.load(&settings, &key, &model, oldest, newest));
        if let Some(built) = reading.await? {
            return Ok((built, Source::Snapshot));
        }
    }
    let mut transaction = database.tenant_bulk_snapshot("mirror_load", key.organization).await?;
    let (revision, _) = transaction.revision().await?;
    let mut entries = Vec::new();
    let report = |left_out: LeftOut| tracing::error!(%left_out, "a row is left out of the mirror");
    current_rows(&mut transaction, &model, Pace::Fast, |row| entries.push(row), report).await?;
    transaction.commit().await?;
    let building = tasks.spawn_blocking(move || {
        let mut built = Built::build_to_be_shown(&settings, &key, model.dimensions, entries, revision)?;
        if let Some(snapshots) = snapshots {
            snapshots.take_vectors(&mut built);
        }
        Ok::<_, IndexError>(built)
    });
    Ok((building.await??, Source::Table))
}

pub(super) async fn model_of(database: &Database, key: &PartitionKey) -> Result<Arc<Model>, MirrorError> {
    let models = database.models().await?;
    let model = models.into_iter().find(|model| model.id == key.model);
    model.map(Arc::new).ok_or_else(|| MirrorError::UnknownModel(key.model.to_string()))
}

/// Reads what changed in a partition after `since`.
pub(super) async fn follow(database: &Database, key: &PartitionKey, since: Revision) -> Result<Followed, MirrorError> {
    let mut transaction = database.tenant("mirror_follow", key.organization).await?;
    let (now, oldest_kept) = transaction.revision().await?;
    if since < oldest_kept {
        return Ok(Followed::TooOld);
    }
    let changes = transaction.changes_since(&key.model, since, now).await?;
    transaction.commit().await?;
    Ok(Followed::Changes { deltas: changes.deltas, upto: changes.upto, more: changes.more })
}
