//! What this process has committed itself, on its way to the partitions that will show it without reading it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Instant;

use super::schedule::lock;
use crate::domain::{Delta, ModelId, OrganizationId, Revision};

/// Vectors of so many bytes wait at most. What finds no room is read from the change log, like what others commit.
const MOST_BYTES: usize = 64 << 20;

/// All that one revision of an organization changed.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Whose.
    pub organization: OrganizationId,
    /// Which revision.
    pub revision: Revision,
    /// What it does to the partition of each model.
    pub deltas: BTreeMap<ModelId, Vec<Delta>>,
    /// A moment when no later revision was committed yet: freshness counts from then.
    pub newest_at: Instant,
}

impl Commit {
    fn bytes(&self) -> usize {
        let entries = self.deltas.values().flatten().flat_map(|delta| &delta.entries);
        entries.map(|entry| size_of_val(entry.vector.as_slice())).sum()
    }
}

/// Commits that wait to be applied.
#[derive(Default)]
pub(super) struct Commits(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    by_organization: HashMap<OrganizationId, Vec<Commit>>,
    bytes: usize,
}

impl Commits {
    pub(super) fn add(&self, commit: Commit) {
        let bytes = commit.bytes();
        let mut waiting = lock(&self.0);
        if waiting.bytes + bytes <= MOST_BYTES {
            waiting.bytes += bytes;
            waiting.by_organization.entry(commit.organization).or_default().push(commit);
        }
    }

    /// Takes out those of an organization, the earliest first.
    pub(super) fn take(&self, organization: OrganizationId) -> Vec<Commit> {
        let mut commits = {
            let mut waiting = lock(&self.0);
            let commits = waiting.by_organization.remove(&organization).unwrap_or_default();
            waiting.bytes -= commits.iter().map(Commit::bytes).sum::<usize>();
            commits
        };
        commits.sort_by_key(|commit| commit.revision);
        commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples::{commit, partition};

    #[test]
    fn they_come_out_in_order_and_their_bytes_are_bounded() {
        let commits = Commits::default();
        let organization = partition(1).organization;
        for revision in [3, 1, 2] {
            commits.add(commit(1, revision, 0..1, 4));
        }
        commits.add(commit(2, 1, 0..1, 4));
        let taken: Vec<i64> = commits.take(organization).iter().map(|commit| commit.revision.0).collect();
        assert_eq!(taken, [1, 2, 3]);
        assert!(commits.take(organization).is_empty());
        // A quarter of what may wait, and a little more.
        let wide = commit(1, 4, 0..1_100, 4_000);
        (4..10).for_each(|revision| commits.add(Commit { revision: Revision(revision), ..wide.clone() }));
        assert_eq!(commits.take(organization).len(), 3);
        commits.add(wide);
        assert_eq!(commits.take(organization).len(), 1);
    }
}
