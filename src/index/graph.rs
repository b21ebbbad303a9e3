//! What an exact scan and a graph have in common.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

/// A row of a segment and its cosine similarity to the query.
pub(super) type Scored = (u32, f32);

/// Finds the rows of a segment that are nearest to a query.
pub(super) trait Graph {
    /// The `k` best rows that `admit` holds, in the order of [`better_first`].
    ///
    /// `query` is a unit vector of the segment's width. `ef`, at least `k`, is how many candidates, admitted or not, an
    /// approximate search weighs; it may find fewer than `k`, an exact one finds min(k, rows admitted).
    fn search(&self, query: &[f32], k: usize, ef: usize, admit: &RoaringBitmap) -> Vec<Scored>;
}

/// By descending score, ties by row.
pub(super) fn better_first(left: &Scored, right: &Scored) -> Ordering {
    right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0))
}

/// The `k` best, in order.
pub(super) fn best(mut scored: Vec<Scored>, k: usize) -> Vec<Scored> {
    if k == 0 {
        return Vec::new();
    }
    if scored.len() > k {
        scored.select_nth_unstable_by(k - 1, better_first);
        scored.truncate(k);
    }
    scored.sort_unstable_by(better_first);
    scored
}
