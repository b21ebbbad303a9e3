//! What an exact scan and a graph have in common.

use std::cmp::Ordering;

use super::admission::Admission;

/// A row of a segment and its cosine similarity to the query.
pub(super) type Scored = (u32, f32);

/// How hard a search tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effort {
    /// How many admitted candidates an approximate search weighs at least.
    pub(super) ef: usize,
    /// How many nodes it looks at before it gives up.
    pub(super) most: usize,
}

/// How many candidates of an approximate first look are looked at again for `k` results.
pub(super) fn first_look(k: usize) -> usize {
    k.saturating_add(k / 2).saturating_add(4)
}

/// Finds the rows of a segment that are nearest to a query.
pub(super) trait Graph {
    /// The `k` best rows that are admitted, in the order of [`better_first`].
    ///
    /// `query` is a unit vector of the segment's width. An approximate search may find fewer than `k`, and none where it
    /// gives up; an exact one finds min(k, rows admitted).
    fn search(&self, query: &[f32], k: usize, effort: Effort, admission: &Admission<'_>) -> Vec<Scored>;
}

/// By descending score, ties by row.
pub(super) fn better_first(left: &Scored, right: &Scored) -> Ordering {
    right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0))
}

/// The `k` best, in order.
pub(super) fn best(scored: impl IntoIterator<Item = Scored>, k: usize) -> Vec<Scored> {
    let mut kept: Vec<Scored> = Vec::new();
    if k == 0 {
        return kept;
    }
    // The k-th best of the last time there were twice as many: what is not better need not be kept.
    let mut bound: Option<Scored> = None;
    for scored in scored {
        if bound.is_some_and(|bound| better_first(&scored, &bound).is_gt()) {
            continue;
        }
        kept.push(scored);
        if kept.len() / 2 >= k {
            kept.select_nth_unstable_by(k - 1, better_first);
            kept.truncate(k);
            bound = kept.last().copied();
        }
    }
    kept.sort_unstable_by(better_first);
    kept.truncate(k);
    kept
}
