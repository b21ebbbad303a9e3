//! The exact scan: recall 1, at the price of looking at every row that is admitted.

use ndarray::ArrayView2;
use roaring::RoaringBitmap;

use super::cosine::cosine;
use super::graph::{Graph, Scored, best, better_first};

/// Scans a matrix of unit vectors, one a row.
pub(super) struct Exact<'a> {
    components: &'a [f32],
    dimensions: usize,
}

impl<'a> Exact<'a> {
    /// `matrix` is rows × dimensions, contiguous.
    pub(super) fn new(matrix: ArrayView2<'a, f32>) -> Self {
        let dimensions = matrix.ncols();
        Self { components: matrix.to_slice().expect("a segment's matrix is contiguous, row after row"), dimensions }
    }

    /// The best row of each group of rows, the `k` best of those. Rows of a group lie together; `same_group` compares two.
    pub(super) fn search_groups(
        &self,
        query: &[f32],
        k: usize,
        admit: &RoaringBitmap,
        same_group: impl Fn(u32, u32) -> bool,
    ) -> Vec<Scored> {
        let mut groups: Vec<Scored> = Vec::new();
        for scored in self.score(query, admit) {
            match groups.last_mut() {
                Some(last) if same_group(last.0, scored.0) => {
                    if better_first(&scored, last).is_lt() {
                        *last = scored;
                    }
                }
                _ => groups.push(scored),
            }
        }
        best(groups, k)
    }

    fn score(&self, query: &[f32], admit: &RoaringBitmap) -> impl Iterator<Item = Scored> {
        admit.iter().map(|row| {
            let from = row as usize * self.dimensions;
            (row, cosine(query, &self.components[from..from + self.dimensions]))
        })
    }
}

impl Graph for Exact<'_> {
    fn search(&self, query: &[f32], k: usize, _ef: usize, admit: &RoaringBitmap) -> Vec<Scored> {
        best(self.score(query, admit).collect(), k)
    }
}
