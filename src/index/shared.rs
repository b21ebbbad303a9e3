//! What the writer and the readers share.

use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::{ArcSwap, Guard};
use rpds::RedBlackTreeMapSync;

use super::commits::Commits;
use super::entry::PartitionKey;
use super::partition::Partition;
use super::popularity::Popularity;
use super::requests::Requests;
use super::schedule::{lock, step};
use super::settings::Settings;

/// The partitions that are loaded, by key. A copy with one more shares all but a few nodes with the first.
pub(super) type Partitions = RedBlackTreeMapSync<PartitionKey, Arc<Partition>>;

/// Only the writer changes which partitions there are.
pub(super) struct Shared {
    pub(super) settings: Settings,
    partitions: ArcSwap<Partitions>,
    pub(super) requests: Requests,
    pub(super) commits: Commits,
    popularity: Mutex<Popularity>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            partitions: ArcSwap::from_pointee(Partitions::new_sync()),
            requests: Requests::default(),
            commits: Commits::default(),
            popularity: Mutex::default(),
        }
    }

    /// The partitions that are loaded now.
    pub(super) fn partitions(&self) -> Guard<Arc<Partitions>> {
        step();
        self.partitions.load()
    }

    /// Shows other partitions: the writer's alone.
    pub(super) fn show(&self, partitions: Partitions) {
        step();
        self.partitions.store(Arc::new(partitions));
    }

    pub(super) fn get(&self, key: &PartitionKey) -> Option<Arc<Partition>> {
        self.partitions().get(key).cloned()
    }

    /// What is known of partitions that are not loaded. Never taken for a search that memory answers.
    pub(super) fn popularity(&self) -> MutexGuard<'_, Popularity> {
        lock(&self.popularity)
    }

    pub(super) fn is_loaded(&self, key: &PartitionKey) -> bool {
        self.partitions().contains_key(key)
    }
}
