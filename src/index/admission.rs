//! Which rows of a segment a search may return.

use std::borrow::Cow;
use std::ops::Range;

use roaring::RoaringBitmap;

/// The rows that live and that a filter admits, without a copy of what is known already.
pub(super) struct Admission<'a> {
    /// Rows of the segment.
    rows: u32,
    /// The rows that meet the conditions; `None` where there are none.
    meeting: Option<Cow<'a, RoaringBitmap>>,
    /// Rows that lie together and are left out.
    without: Range<u32>,
    dead: &'a RoaringBitmap,
    len: usize,
}

impl<'a> Admission<'a> {
    /// Of a segment of `rows` rows those that are `meeting` the conditions, but for those `without` and the `dead` ones.
    pub(super) fn new(
        rows: u32,
        meeting: Option<Cow<'a, RoaringBitmap>>,
        without: Range<u32>,
        dead: &'a RoaringBitmap,
    ) -> Self {
        let dead_without = dead.range_cardinality(without.clone());
        let len = match &meeting {
            None => u64::from(rows) + dead_without - without.len() as u64 - dead.len(),
            Some(meeting) => {
                let left_out = without.clone().filter(|row| meeting.contains(*row) && !dead.contains(*row)).count();
                meeting.len() - meeting.intersection_len(dead) - left_out as u64
            }
        };
        Self { rows, meeting, without, dead, len: len as usize }
    }

    /// How many rows it admits.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Which share of the rows it admits, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.len as f64 / f64::from(self.rows.max(1))
    }

    /// Whether it admits none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it admits every row.
    pub(super) fn is_all(&self) -> bool {
        self.len == self.rows as usize
    }

    /// Whether it admits a row.
    pub(super) fn admits(&self, row: u32) -> bool {
        !self.without.contains(&row)
            && self.meeting.as_ref().is_none_or(|meeting| meeting.contains(row))
            && !self.dead.contains(row)
    }

    /// The rows it admits, ascending. Best gone through by `for_each`, which need not ask at each row which set comes next.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + Clone {
        let all = if self.meeting.is_none() { 0..self.rows } else { 0..0 };
        let meeting = self.meeting.as_deref().into_iter().flatten();
        let mut dead = self.dead.iter().peekable();
        all.chain(meeting).filter(move |row| {
            while dead.next_if(|dead| dead < row).is_some() {}
            dead.peek() != Some(row) && !self.without.contains(row)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn says_the_same_by_number_by_row_and_in_order(
            rows in 0_u32..60,
            meeting in proptest::option::of(proptest::collection::btree_set(0_u32..60, 0..60)),
            without in (0_u32..60, 0_u32..10),
            dead in proptest::collection::btree_set(0_u32..60, 0..30),
        ) {
            let meeting = meeting.map(|set| set.into_iter().filter(|row| *row < rows).collect::<RoaringBitmap>());
            let without = without.0.min(rows)..(without.0 + without.1).min(rows);
            let dead: RoaringBitmap = dead.into_iter().filter(|row| *row < rows).collect();
            let expected: Vec<u32> = (0..rows)
                .filter(|row| meeting.as_ref().is_none_or(|meeting| meeting.contains(*row)))
                .filter(|row| !without.contains(row) && !dead.contains(*row))
                .collect();
            let admission = Admission::new(rows, meeting.as_ref().map(Cow::Borrowed), without, &dead);
            prop_assert_eq!(admission.len(), expected.len());
            prop_assert_eq!(admission.is_empty(), expected.is_empty());
            prop_assert_eq!(admission.is_all(), expected.len() == rows as usize);
            prop_assert_eq!((0..rows).filter(|row| admission.admits(*row)).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(admission.iter().collect::<Vec<_>>(), expected);
        }
    }
}
