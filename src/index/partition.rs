//! A partition that is loaded: its snapshot of the moment, who waits for it, when it was last used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::popularity::Uses;
use super::schedule::step;
use super::snapshot::Snapshot;
use crate::domain::Revision;

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It shows this revision.
    At(Revision),
    /// It was unloaded.
    Gone,
}

/// Shared by the writer and the readers. Only the writer shows snapshots.
pub(super) struct Partition {
    snapshot: ArcSwap<Snapshot>,
    progress: watch::Sender<Progress>,
    loaded_at: Instant,
    /// Nanoseconds from `loaded_at` to the last use.
    used_after: AtomicU64,
    pub(super) uses: Uses,
    /// The snapshot's bytes, at hand for whoever asks all partitions.
    bytes: AtomicU64,
}

impl Partition {
    /// One that was asked for `uses` times before it was loaded.
    pub(super) fn new(snapshot: Snapshot, uses: u8, now: Instant) -> Self {
        Self {
            progress: watch::Sender::new(Progress::At(snapshot.revision)),
            bytes: AtomicU64::new(snapshot.bytes()),
            snapshot: ArcSwap::from_pointee(snapshot),
            loaded_at: now,
            used_after: AtomicU64::new(0),
            uses: Uses::starting_at(uses),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        step();
        self.snapshot.load_full()
    }

    /// An estimate of the bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        step();
        self.bytes.load(Ordering::Relaxed)
    }

    /// Swaps the snapshot, then tells those who wait for its revision.
    pub(super) fn show(&self, snapshot: Snapshot) {
        let revision = snapshot.revision;
        self.bytes.store(snapshot.bytes(), Ordering::Relaxed);
        step();
        self.snapshot.store(Arc::new(snapshot));
        step();
        self.progress.send_if_modified(|progress| {
            let moved = *progress != Progress::At(revision);
            *progress = Progress::At(revision);
            moved
        });
    }

    /// Tells those who wait that the partition was unloaded.
    pub(super) fn leave(&self) {
        step();
        self.progress.send_replace(Progress::Gone);
    }

    /// Waits until `revision` is shown (true) or the partition is unloaded (false).
    pub(super) async fn reached(&self, revision: Revision) -> bool {
        step();
        let mut progress = self.progress.subscribe();
        step();
        let arrived = progress.wait_for(|progress| match progress {
            Progress::At(shown) => *shown >= revision,
            Progress::Gone => true,
        });
        arrived.await.is_ok_and(|progress| *progress != Progress::Gone)
    }

    /// Marks it used.
    pub(super) fn touch(&self, now: Instant) {
        self.uses.add();
        let after = now.saturating_duration_since(self.loaded_at).as_nanos();
        step();
        self.used_after.fetch_max(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When it was last used, or loaded.
    pub(super) fn used_at(&self) -> Instant {
        step();
        self.loaded_at + Duration::from_nanos(self.used_after.load(Ordering::Relaxed))
    }
}
