//! What a partition is at one revision.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use roaring::RoaringBitmap;

use super::admission::Admission;
use super::digest::Digest;
use super::segment::{Segment, TailRow, UnitRow};
use super::settings::{Builder, Settings};
use super::threads::giving_way;
use crate::domain::{EntityRef, Entry, Filter, Revision, SourceField};

/// A sealed part of at most so many times the rows that come to it is built again with them.
const MERGE: usize = 2;
/// So many rows are taken over for each one that is put into a graph, at most: that there are fewer graphs to search is
/// worth it. Of a row that is taken over only its code and its links are copied.
const COPIES: usize = 64;
/// Where there is a dead row for so many that live, all are built anew.
const MOST_DEAD: usize = 2;

/// A segment and which of its rows are dead. Cheap to clone.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) dead: Arc<RoaringBitmap>,
}

impl Part {
    /// All of a segment, alive.
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, dead: Arc::default() }
    }

    /// How many rows live.
    pub(super) fn live(&self) -> usize {
        self.segment.len() - self.dead.len() as usize
    }

    /// The rows that live.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = u32> {
        (0..self.segment.len() as u32).filter(|row| !self.dead.contains(*row))
    }

    /// The rows that live, and their vectors where they lie.
    pub(super) fn live_unit_rows(&self) -> impl Iterator<Item = UnitRow<'_>> {
        self.live_rows().map(|row| (self.segment.row(row).clone(), Cow::Borrowed(self.segment.vector(row))))
    }

    /// The same with their sketches, where they have some.
    pub(super) fn live_tail_rows(&self) -> impl Iterator<Item = TailRow<'_>> {
        let rows = self.live_rows().zip(self.live_unit_rows());
        rows.map(|(at, (row, vector))| (row, (vector, self.segment.sketched(at))))
    }

    /// The entries of the rows that live, copied out.
    pub(super) fn live_entries(&self) -> impl Iterator<Item = Entry> {
        self.live_rows().map(|row| self.segment.entry(row))
    }

    /// Counts the rows that live into a digest.
    pub(super) fn add_to(&self, digest: &mut Digest) {
        giving_way(self.live_rows()).for_each(|row| digest.add_row(self.segment.row(row), self.segment.vector(row)));
    }

    /// Marks dead what is at (entity, source field).
    pub(super) fn kill(&mut self, entity: &EntityRef, source_field: &SourceField) {
        for row in self.segment.rows_at(entity, source_field) {
            if !self.dead.contains(row) {
                Arc::make_mut(&mut self.dead).insert(row);
            }
        }
    }

    /// The rows that live and meet every condition of a filter.
    pub(super) fn admission(&self, filter: &Filter) -> Admission<'_> {
        self.segment.admission(filter, &self.dead)
    }
}

/// One generation at one revision: the sealed parts first, the largest at the front, then the tail. Never changed once
/// readers can see it.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// Counts the sealed segments that were swapped in, over all partitions.
    pub(super) generation: u64,
    /// When this generation came.
    pub(super) generation_since: Instant,
    pub(super) revision: Revision,
    /// When the feed was last known to hold nothing newer.
    pub(super) confirmed_at: Option<Instant>,
    /// When rows last came or went.
    pub(super) changed_at: Instant,
    pub(super) dimensions: usize,
    /// How many of the parts are sealed; at least one.
    pub(super) sealed: usize,
    pub(super) parts: Vec<Part>,
}

impl Snapshot {
    /// How many rows live.
    pub(super) fn live(&self) -> usize {
        self.parts.iter().map(Part::live).sum()
    }

    /// How many rows are dead but still take room.
    pub(super) fn dead(&self) -> usize {
        self.parts.iter().map(|part| part.dead.len() as usize).sum()
    }

    /// How many rows of the tail live.
    pub(super) fn tail(&self) -> usize {
        self.parts[self.sealed..].iter().map(Part::live).sum()
    }

    /// Whether one of the segments has a graph.
    pub(super) fn has_graph(&self) -> bool {
        self.parts.iter().any(|part| part.segment.graph().is_some())
    }

    /// The first of the parts that a rebuild should make one of, where one is due.
    ///
    /// A tail of [`Settings::tail_limit`] rows is sealed, together with the sealed parts before it that are at most
    /// [`MERGE`] times as large as what comes to them: so a row is put into a graph at most about as often as the logarithm
    /// of the partition's size, whoever writes how much, and few graphs are to be searched (the log-structured merge of
    /// O'Neil et al., 1996). Where the largest part's graph is gone on from, its rows are only taken over, so that one of
    /// [`COPIES`] times the tail is worth it, too. All parts become one where many rows are dead; and one whose graph is
    /// built from nothing when nothing has changed for a while. A sealed part that lacks its graph is due at once, with
    /// all behind it.
    pub(super) fn rebuild_from(&self, settings: &Settings, now: Instant) -> Option<usize> {
        let (live, dead, tail) = (self.live(), self.dead(), self.tail());
        let limit = settings.tail_limit.max(1);
        let scanned = self.parts[..self.sealed].iter().position(|part| part.segment.lacks_graph(settings));
        let untidy = self.sealed > 1 || tail + dead >= limit.div_ceil(16) || self.parts[0].segment.is_grown();
        if dead >= limit.max(live / MOST_DEAD) || (untidy && self.is_quiet(settings, now)) {
            return Some(0);
        }
        if tail < limit || scanned.is_some() {
            return scanned;
        }
        let copied = match settings.builder {
            Builder::Own => tail * COPIES,
            Builder::HnswRs => 0,
        };
        let mut from = self.sealed;
        let mut rows = tail;
        while from > 0 && self.parts[from - 1].live() <= copied.max(rows * MERGE) {
            from -= 1;
            rows += self.parts[from].live();
        }
        Some(from)
    }

    /// Whether nothing has changed for a while.
    pub(super) fn is_quiet(&self, settings: &Settings, now: Instant) -> bool {
        now.saturating_duration_since(self.changed_at) >= settings.compact_after
    }

    /// An estimate of the bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.segment.bytes() + part.dead.serialized_size() as u64).sum()
    }

    /// Examines itself: every segment, the dead rows, and that each text of an entity lives in one version only, each
    /// row once.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut ids = HashSet::new();
        let mut versions = HashMap::new();
        for (at, part) in self.parts.iter().enumerate() {
            part.segment.check().map_err(|reason| format!("part {at}: {reason}"))?;
            if part.dead.max().is_some_and(|last| last as usize >= part.segment.len()) {
                return Err(format!("part {at} has dead rows beyond its {} rows", part.segment.len()));
            }
            for row in part.live_rows().map(|row| part.segment.row(row)) {
                if !ids.insert(row.id) {
                    return Err(format!("row {} lives twice", row.id));
                }
                let version = *versions.entry((&row.entity, &row.source_field)).or_insert(row.version);
                if version != row.version {
                    return Err(format!(
                        "{}#{} lives in versions {version} and {}",
                        row.entity, row.source_field, row.version
                    ));
                }
            }
        }
        if ids.len() == self.live() {
            Ok(())
        } else {
            Err(format!("{} rows live, {} are counted", ids.len(), self.live()))
        }
    }
}
