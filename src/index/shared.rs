//! What the writer and the readers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::entry::PartitionKey;
use super::partition::Partition;
use super::popularity::Popularity;
use super::requests::Requests;
use super::settings::Settings;

/// The partitions that are loaded, by key.
pub(super) type Partitions = BTreeMap<PartitionKey, Arc<Partition>>;

/// Only the writer changes which partitions there are.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) partitions: ArcSwap<Partitions>,
    pub(super) requests: Requests,
    popularity: Mutex<Popularity>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, partitions: ArcSwap::default(), requests: Requests::default(), popularity: Mutex::default() }
    }

    pub(super) fn get(&self, key: &PartitionKey) -> Option<Arc<Partition>> {
        self.partitions.load().get(key).cloned()
    }

    /// What is known of partitions that are not loaded. Never taken for a search that memory answers.
    pub(super) fn popularity(&self) -> MutexGuard<'_, Popularity> {
        self.popularity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_loaded(&self, key: &PartitionKey) -> bool {
        self.partitions.load().contains_key(key)
    }
}
