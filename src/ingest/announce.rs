//! After a commit: wake this replica's mirror, and wait until it shows the revision.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::{ModelId, OrganizationId, Revision};
use crate::index::{IndexReader, PartitionKey};

/// Rings the mirror and waits, at most `patience`, until every loaded partition of `models` has reached `revision`.
///
/// A mirror that is slower costs nothing but speed: searches with `min_revision` then answer from Postgres.
pub async fn announce(
    index: &IndexReader,
    organization: OrganizationId,
    models: BTreeSet<ModelId>,
    revision: Revision,
    patience: Duration,
) {
    metrics::counter!("kindred_revisions_total").increment(1);
    index.ring(organization);
    let waiting = models.into_iter().map(|model| async move {
        index.published(&PartitionKey { organization, model }, revision).await;
    });
    if tokio::time::timeout(patience, futures::future::join_all(waiting)).await.is_err() {
        metrics::counter!("kindred_mirror_announce_timeouts_total").increment(1);
    }
}
