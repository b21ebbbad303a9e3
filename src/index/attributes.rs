//! Which rows of a segment a filter admits, from bitmaps.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, Utc};
use roaring::{MultiOps, RoaringBitmap};

use super::entry::Row;
use super::threads::giving_way;
use crate::domain::{EntityType, Filter, SourceField, TimeRange};

/// For each value of each attribute the rows that have it, and the times in order.
#[derive(Debug, PartialEq)]
pub(super) struct AttributeIndex {
    rows: u32,
    entity_types: HashMap<EntityType, RoaringBitmap>,
    source_fields: HashMap<SourceField, RoaringBitmap>,
    tags: HashMap<String, RoaringBitmap>,
    platforms: HashMap<String, RoaringBitmap>,
    statuses: HashMap<String, RoaringBitmap>,
    /// Rows that have a time, by time.
    times: Vec<(DateTime<Utc>, u32)>,
}

impl AttributeIndex {
    /// Reads the rows of a segment, fewer than 2³².
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut index = Self {
            rows: rows.len() as u32,
            entity_types: HashMap::new(),
            source_fields: HashMap::new(),
            tags: HashMap::new(),
            platforms: HashMap::new(),
            statuses: HashMap::new(),
            times: Vec::new(),
        };
        for (at, row) in giving_way((0_u32..).zip(rows)) {
            note(&mut index.entity_types, &row.entity.entity_type, at);
            note(&mut index.source_fields, &row.source_field, at);
            row.labels.tags.iter().for_each(|tag| note(&mut index.tags, tag, at));
            note(&mut index.platforms, &row.labels.platform, at);
            note(&mut index.statuses, &row.labels.status, at);
            index.times.extend(row.occurred_at.map(|time| (time, at)));
        }
        index.times.sort_unstable();
        index
    }

    /// The rows that meet every condition but `not_entity`, which the segment knows; `None` where there is no other. What
    /// one condition admits is lent where it is known already.
    pub(super) fn meeting(&self, filter: &Filter) -> Option<Cow<'_, RoaringBitmap>> {
        let mut meeting = None;
        keep_any(&mut meeting, &self.entity_types, &filter.entity_types);
        keep_any(&mut meeting, &self.source_fields, &filter.source_fields);
        keep_any(&mut meeting, &self.tags, &filter.tags_any);
        for tag in &filter.tags_all {
            keep_any(&mut meeting, &self.tags, std::slice::from_ref(tag));
        }
        keep_any(&mut meeting, &self.platforms, &filter.platforms);
        keep_any(&mut meeting, &self.statuses, &filter.statuses);
        if !filter.time.is_unbounded() {
            keep(&mut meeting, Cow::Owned(self.within(&filter.time)));
        }
        meeting
    }

    fn within(&self, range: &TimeRange) -> RoaringBitmap {
        let before =
            |limit: Option<DateTime<Utc>>| limit.map(|limit| self.times.partition_point(|(time, _)| *time < limit));
        let (first, end) = (before(range.from).unwrap_or(0), before(range.until).unwrap_or(self.times.len()));
        // By way of plain bits: inserting a large range out of order, row by row, would cost more than the search.
        let mut bits = vec![0_u8; (self.rows as usize).div_ceil(8)];
        for (_, row) in self.times.get(first..end).unwrap_or_default() {
            bits[*row as usize / 8] |= 1 << (row % 8);
        }
        RoaringBitmap::from_lsb0_bytes(0, &bits)
    }

    /// An estimate of the bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let names: usize =
            [&self.tags, &self.platforms, &self.statuses].into_iter().flat_map(HashMap::keys).map(String::len).sum();
        names
            + bytes_of(&self.entity_types)
            + bytes_of(&self.source_fields)
            + [&self.tags, &self.platforms, &self.statuses].into_iter().map(bytes_of).sum::<usize>()
            + self.times.len() * size_of::<(DateTime<Utc>, u32)>()
    }
}

fn note<K: Clone + Eq + Hash>(bitmaps: &mut HashMap<K, RoaringBitmap>, value: &K, row: u32) {
    match bitmaps.get_mut(value) {
        Some(bitmap) => {
            bitmap.insert(row);
        }
        None => {
            bitmaps.insert(value.clone(), RoaringBitmap::from_iter([row]));
        }
    }
}

/// Keeps the rows that have one of `wanted`; all where nothing is wanted.
fn keep_any<'a, K: Eq + Hash>(
    meeting: &mut Option<Cow<'a, RoaringBitmap>>,
    bitmaps: &'a HashMap<K, RoaringBitmap>,
    wanted: &[K],
) {
    match wanted {
        [] => {}
        [one] => keep(meeting, bitmaps.get(one).map_or_else(Cow::default, Cow::Borrowed)),
        several => keep(meeting, Cow::Owned(several.iter().filter_map(|value| bitmaps.get(value)).union())),
    }
}

/// Keeps those of the rows that are also among `rows`.
fn keep<'a>(meeting: &mut Option<Cow<'a, RoaringBitmap>>, rows: Cow<'a, RoaringBitmap>) {
    *meeting = Some(match meeting.take() {
        None => rows,
        Some(kept) => Cow::Owned(&*kept & &*rows),
    });
}

fn bytes_of<K>(bitmaps: &HashMap<K, RoaringBitmap>) -> usize {
    const SLOT: usize = 32;
    bitmaps.values().map(|bitmap| SLOT + size_of::<(K, RoaringBitmap)>() + bitmap.serialized_size()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::samples::{admits, entry_at, filters};

    proptest! {
        #[test]
        fn bitmaps_admit_what_the_conditions_say(places in proptest::collection::vec(0u64..500, 0..60), filter in filters()) {
            let rows: Vec<Row> = places.iter().map(|place| entry_at(*place, 4).split().0).collect();
            let filter = Filter { not_entity: None, ..filter };
            let index = AttributeIndex::new(&rows);
            let meeting = index.meeting(&filter);
            prop_assert_eq!(meeting.is_none(), filter.is_empty());
            for (at, row) in (0_u32..).zip(&rows) {
                let met = meeting.as_ref().is_none_or(|meeting| meeting.contains(at));
                prop_assert_eq!(met, admits(&filter, row), "{:?} by {:?}", row, filter);
            }
            prop_assert!(meeting.and_then(|meeting| meeting.max()).is_none_or(|last| (last as usize) < rows.len()));
        }
    }
}
