//! After a commit: tell this replica's mirror, and wait until it shows the revision.

use std::time::Duration;

use crate::index::{Commit, IndexReader, PartitionKey};

/// Tells the mirror at once. What comes back waits, at most `patience`, until every loaded partition that the commit changes
/// shows its revision.
///
/// A mirror that is slower costs nothing but speed: searches with `min_revision` then answer from Postgres.
pub fn announce(index: &IndexReader, commit: Commit, patience: Duration) -> impl Future<Output = ()> + Send + use<> {
    metrics::counter!("kindred_revisions_total").increment(1);
    let (organization, revision) = (commit.organization, commit.revision);
    let changed: Vec<PartitionKey> =
        commit.deltas.keys().map(|model| PartitionKey { organization, model: model.clone() }).collect();
    index.committed(commit);
    let index = index.clone();
    async move {
        let shown = changed.iter().map(|key| index.published(key, revision));
        if tokio::time::timeout(patience, futures::future::join_all(shown)).await.is_err() {
            metrics::counter!("kindred_mirror_announce_timeouts_total").increment(1);
        }
    }
}
