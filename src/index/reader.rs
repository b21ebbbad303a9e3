//! The readers' end of the index.

use std::sync::Arc;
use std::time::Instant;

use super::commits::Commit;
use super::entry::PartitionKey;
use super::partition::Partition;
use super::requests::Request;
use super::settings::Settings;
use super::shared::Shared;
use super::view::PartitionView;
use crate::domain::{ModelId, OrganizationId, Revision};

/// How a partition is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionStatus {
    /// Which one.
    pub key: PartitionKey,
    /// The revision it shows.
    pub revision: Revision,
    /// Chunks that can be found.
    pub rows: usize,
    /// Rows that were replaced or deleted but still take room.
    pub dead: usize,
    /// Chunks that can be found but are not in the sealed segment.
    pub tail: usize,
    /// An estimate of the bytes it takes: vectors, graph, rows, bitmaps.
    pub bytes: u64,
    /// Whether it has a graph.
    pub graph: bool,
    /// Counts sealed segments, over all partitions, as they are swapped in.
    pub generation: u64,
    /// When this generation was swapped in.
    pub generation_since: Instant,
    /// When its feed was last known to hold nothing newer.
    pub confirmed_at: Option<Instant>,
}

/// Takes views, and asks for what is missing. Clones are cheap.
#[derive(Clone)]
pub struct IndexReader {
    pub(super) shared: Arc<Shared>,
}

impl IndexReader {
    /// The partition as it is now, and marks it used at `now`; `None` where it is not loaded.
    pub fn partition(&self, key: &PartitionKey, now: Instant) -> Option<PartitionView> {
        let partition = self.shared.get(key)?;
        partition.touch(now);
        Some(PartitionView::new(partition.snapshot(), self.shared.settings))
    }

    /// The partition as it is now, without marking it used.
    pub fn glance(&self, key: &PartitionKey) -> Option<PartitionView> {
        Some(PartitionView::new(self.shared.get(key)?.snapshot(), self.shared.settings))
    }

    /// Asks for a partition to be loaded again, since it was found to differ from what it mirrors.
    pub fn distrust(&self, key: &PartitionKey) {
        self.shared.requests.add(Request::Reload(key.clone()));
    }

    /// Asks whoever feeds the index to read the feed of an organization now.
    pub fn ring(&self, organization: OrganizationId) {
        self.shared.requests.add(Request::Ring(organization));
    }

    /// Tells whoever feeds the index what this process has committed, which need not be read again where a partition is
    /// loaded. To be told in the order of revisions: else the feed is read.
    pub fn committed(&self, commit: Commit) {
        let organization = commit.organization;
        let is_loaded = |model: &ModelId| self.shared.is_loaded(&PartitionKey { organization, model: model.clone() });
        if commit.deltas.keys().any(is_loaded) {
            self.shared.commits.add(commit);
        }
        self.shared.requests.add(Request::Committed(organization));
    }

    /// Asks for a partition to be loaded; does nothing where it is, or where that was asked for already.
    pub fn demand(&self, key: &PartitionKey) {
        if !self.shared.is_loaded(key) {
            self.shared.popularity().add(key);
            self.shared.requests.add(Request::Load(key.clone()));
        }
    }

    /// Waits until the partition shows `revision` (true); false where it is not loaded, or is unloaded meanwhile. Has no
    /// deadline of its own: the caller sets one.
    pub async fn published(&self, key: &PartitionKey, revision: Revision) -> bool {
        match self.shared.get(key) {
            Some(partition) => partition.reached(revision).await,
            None => false,
        }
    }

    /// What the index was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// How every loaded partition is doing, by key.
    pub fn status(&self) -> Vec<PartitionStatus> {
        let status = |(key, partition): (&PartitionKey, &Arc<Partition>)| {
            let snapshot = partition.snapshot();
            PartitionStatus {
                key: key.clone(),
                revision: snapshot.revision,
                rows: snapshot.live(),
                dead: snapshot.dead(),
                tail: snapshot.tail(),
                bytes: snapshot.bytes(),
                graph: snapshot.has_graph(),
                generation: snapshot.generation,
                generation_since: snapshot.generation_since,
                confirmed_at: snapshot.confirmed_at,
            }
        };
        self.shared.partitions().iter().map(status).collect()
    }
}
