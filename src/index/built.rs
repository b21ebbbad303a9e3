//! Generations that are finished but not shown yet. Making one may take long, so it happens off the async runtime.

use std::cmp::Reverse;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::entry::PartitionKey;
use super::error::IndexError;
use super::segment::{Segment, UnitRow, unit_rows};
use super::settings::Settings;
use super::snapshot::{Part, Snapshot};
use super::threads::{self, giving_way};
use crate::domain::Entry;
use crate::domain::Revision;

/// Bytes that one core scans in some three milliseconds: 87,000 vectors of 384 dimensions, if they are compressed.
const SCANNED_MEANWHILE: usize = 32 << 20;

/// A sealed segment for a partition, not yet published. Cheap to clone.
#[derive(Clone)]
pub struct Built {
    pub(super) key: PartitionKey,
    pub(super) dimensions: usize,
    pub(super) segment: Arc<Segment>,
    /// The revision whose current rows it holds.
    pub(super) revision: Revision,
    /// Whether it was read from what an earlier process saved, so that nobody knows how old it is before it was followed.
    pub(super) saved_before: bool,
    /// The rebuild it came from, if it came from one.
    pub(super) ticket: Option<u64>,
    /// Whether it holds the whole partition.
    pub(super) whole: bool,
}

impl Built {
    /// Builds a partition from its current rows as of `revision`. CPU heavy from [`Settings::exact_below`] rows on: some
    /// seconds for ten thousand.
    ///
    /// # Errors
    /// Names a row of another width than `dimensions`, or one that is among `entries` twice.
    pub fn build(
        settings: &Settings,
        key: &PartitionKey,
        dimensions: usize,
        entries: Vec<Entry>,
        revision: Revision,
    ) -> Result<Self, IndexError> {
        let segment = Segment::sealed(settings, dimensions, unit_rows(dimensions, entries)?)?;
        Ok(Self::new(key, dimensions, segment, revision))
    }

    /// The same, but at once wherever a scan of the rows takes no longer than Postgres does for its answer: such a partition
    /// is shown without a graph, and a rebuild that makes one is due from then on.
    ///
    /// # Errors
    /// As [`Built::build`].
    pub fn build_to_be_shown(
        settings: &Settings,
        key: &PartitionKey,
        dimensions: usize,
        entries: Vec<Entry>,
        revision: Revision,
    ) -> Result<Self, IndexError> {
        let bytes_a_component = if settings.compressed { 1 } else { size_of::<f32>() };
        if entries.len().saturating_mul(dimensions * bytes_a_component) > SCANNED_MEANWHILE {
            return Self::build(settings, key, dimensions, entries, revision);
        }
        let segment = Segment::block(settings, dimensions, unit_rows(dimensions, entries)?)?;
        Ok(Self::new(key, dimensions, segment, revision))
    }

    /// A whole partition.
    pub(super) fn new(key: &PartitionKey, dimensions: usize, segment: Segment, revision: Revision) -> Self {
        let segment = Arc::new(segment);
        Self { key: key.clone(), dimensions, segment, revision, saved_before: false, ticket: None, whole: true }
    }

    /// Whether it has no graph yet, but should have one.
    pub fn lacks_graph(&self, settings: &Settings) -> bool {
        self.segment.lacks_graph(settings)
    }

    /// Moves its vectors into a file in `folder` that ends with this process, where walks need no more of them than what
    /// they score at last: memory then holds codes, graph and rows. Does nothing once it is shared.
    ///
    /// # Errors
    /// Where the file cannot be written; the vectors are in memory still.
    pub fn move_vectors_to_disk(&mut self, folder: &Path) -> io::Result<()> {
        Arc::get_mut(&mut self.segment).map_or(Ok(()), |segment| segment.move_vectors_to_disk(folder))
    }

    /// Whether it holds the whole partition; a rebuild may be of its newer parts alone.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether its graph went on from an older one, so that one built from nothing follows when the partition is quiet.
    pub fn is_grown(&self) -> bool {
        self.segment.is_grown()
    }

    /// Of which partition it is.
    pub fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.segment.len()
    }

    /// The revision whose current rows it holds.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

/// A rebuild to be run: the living rows of a snapshot's parts, from one of them on, become one new sealed segment.
pub struct Rebuild {
    pub(super) key: PartitionKey,
    pub(super) settings: Settings,
    pub(super) base: Arc<Snapshot>,
    /// The first part that is built anew.
    pub(super) from: usize,
    /// Whether rows come and go meanwhile, so that it should cost little; else it may take the time for the best graph.
    pub(super) in_haste: bool,
    pub(super) ticket: u64,
}

impl Rebuild {
    /// Of which partition it is.
    pub fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// Builds the new segment. While rows come and go its graph goes on from that of the largest part, where enough is left
    /// of it; such a one finds a little less where what comes is far from all that was there. CPU heavy, as
    /// [`Built::build`] is.
    ///
    /// # Errors
    /// None that a partition that was loaded could cause.
    pub fn run(self) -> Result<Built, IndexError> {
        // Copying rows takes long, too, and is nobody's hurry.
        let segment = threads::build_at_leisure(&self.settings, || {
            let mut parts: Vec<&Part> = self.base.parts[self.from..].iter().collect();
            parts.sort_by_key(|part| Reverse(part.live()));
            match parts.split_first().filter(|_| self.in_haste) {
                Some((Part { segment, dead }, others)) => {
                    Segment::grown(&self.settings, self.base.dimensions, segment, dead, living(others))
                }
                None => Segment::sealed(&self.settings, self.base.dimensions, living(&parts)),
            }
        })??;
        let mut built = Built::new(&self.key, self.base.dimensions, segment, self.base.revision);
        built.ticket = Some(self.ticket);
        built.whole = self.from == 0;
        Ok(built)
    }
}

/// The rows of parts that live.
fn living<'a>(parts: &[&'a Part]) -> Vec<UnitRow<'a>> {
    giving_way(parts.iter().flat_map(|part| part.live_unit_rows())).collect()
}
