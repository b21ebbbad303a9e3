//! The rows of the table that make a partition, and those that none takes.

use std::time::{Duration, Instant};

use futures::TryStreamExt;

use crate::domain::{EmbeddingId, Entry, Model};
use crate::index::Digest;
use crate::store::{StoreError, TenantTransaction};

/// A current row that no partition takes.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeftOut {
    /// Its vector is not as wide as its model's.
    #[error("row {id} of embeddings has {found} dimensions, its model has {wanted}")]
    OtherWidth { id: EmbeddingId, found: usize, wanted: usize },
    /// It cannot be read.
    #[error(transparent)]
    Damaged(StoreError),
}

/// How fast rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Somebody waits.
    Fast,
    /// Nobody does: after some rows it rests many times as long as they took, so that hardly a search meets it.
    Gentle,
}

/// So many rows are read between two rests.
const ROWS_AT_ONCE: usize = 32;
const RESTS: u32 = 15;

impl Pace {
    async fn rest_after(self, took: Duration) {
        if self == Self::Gentle {
            tokio::time::sleep(RESTS * took).await;
        }
    }
}

/// Reads the current rows of a model: hands over those that a partition is made of, and those that it leaves out.
///
/// # Errors
/// Where the database fails; a row that cannot be read costs itself alone.
pub(super) async fn current_rows(
    transaction: &mut TenantTransaction,
    model: &Model,
    pace: Pace,
    mut take: impl FnMut(Entry) + Send,
    mut leave: impl FnMut(LeftOut) + Send,
) -> Result<(), StoreError> {
    let mut rows = std::pin::pin!(transaction.current_entries(&model.id));
    let (mut read, mut since) = (0, Instant::now());
    loop {
        read += 1;
        if read % ROWS_AT_ONCE == 0 {
            pace.rest_after(since.elapsed()).await;
            since = Instant::now();
        }
        match rows.try_next().await {
            Ok(Some(row)) if row.vector.dimensions() != model.dimensions => {
                let (id, found) = (row.id, row.vector.dimensions());
                leave(LeftOut::OtherWidth { id, found, wanted: model.dimensions });
            }
            Ok(Some(row)) => take(row),
            Ok(None) => return Ok(()),
            Err(error @ StoreError::BadRow { .. }) => leave(LeftOut::Damaged(error)),
            Err(error) => return Err(error),
        }
    }
}

/// What the table holds of a partition, to be compared with what is in memory at the same revision.
///
/// # Errors
/// Where the database fails.
pub(super) async fn table_digest(
    transaction: &mut TenantTransaction,
    model: &Model,
    pace: Pace,
) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    // Rows that loading leaves out are left out here, too.
    current_rows(transaction, model, pace, |row| digest.add(row), |_| {}).await?;
    Ok(digest)
}
