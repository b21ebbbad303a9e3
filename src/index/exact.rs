//! The exact scan: recall 1, at the price of looking at every row that is admitted.

use ndarray::ArrayView2;

use super::admission::Admission;
use super::cosine::cosine;
use super::graph::{Effort, Graph, Scored, best, better_first};
use super::kernels::prefetch;
use super::scorer::row_of;

/// So many rows ahead are announced before they are scored: those that a filter admits lie here and there.
const AHEAD: usize = 2;

/// Scans a matrix of unit vectors, one a row, contiguous.
pub(super) struct Exact<'a> {
    pub(super) matrix: ArrayView2<'a, f32>,
}

impl Exact<'_> {
    /// The best row of each group of rows, the `k` best of those. Rows of a group lie together; `same_group` compares two.
    pub(super) fn search_groups(
        &self,
        query: &[f32],
        k: usize,
        admission: &Admission<'_>,
        same_group: impl Fn(u32, u32) -> bool,
    ) -> Vec<Scored> {
        let mut scored = self.score(query, admission).peekable();
        let groups = std::iter::from_fn(|| {
            let mut first = scored.next()?;
            while let Some(other) = scored.next_if(|other| same_group(first.0, other.0)) {
                if better_first(&other, &first).is_lt() {
                    first = other;
                }
            }
            Some(first)
        });
        best(groups, k)
    }

    fn score(&self, query: &[f32], admission: &Admission<'_>) -> impl Iterator<Item = Scored> {
        let mut ahead = admission.iter().skip(AHEAD);
        admission.iter().map(move |row| {
            if let Some(ahead) = ahead.next() {
                prefetch(row_of(self.matrix, ahead));
            }
            (row, cosine(query, row_of(self.matrix, row)))
        })
    }
}

impl Graph for Exact<'_> {
    fn search(&self, query: &[f32], k: usize, _effort: Effort, admission: &Admission<'_>) -> Vec<Scored> {
        best(self.score(query, admission), k)
    }
}
