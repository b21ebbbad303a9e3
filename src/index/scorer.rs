//! How a walk through a graph tells near nodes from far ones.

use ndarray::ArrayView2;

use super::kernels::{DotFull, kernels, prefetch};
use super::nodes::Nodes;

/// Scores nodes by their likeness to one query.
pub(super) trait Scorer {
    /// Greater is nearer.
    fn score(&self, node: u32) -> i32;

    /// Announces that a node will be scored.
    fn prefetch(&self, node: u32);
}

/// Scores nodes by their vectors as they are.
pub(super) struct FullScorer<'a> {
    matrix: ArrayView2<'a, f32>,
    nodes: &'a Nodes,
    query: &'a [f32],
    dot: DotFull,
}

/// A row of a contiguous matrix.
#[inline(always)]
pub(super) fn row_of(matrix: ArrayView2<'_, f32>, row: u32) -> &[f32] {
    let from = row as usize * matrix.ncols();
    &matrix.to_slice().expect("a segment's matrix is contiguous, row after row")[from..from + matrix.ncols()]
}

impl<'a> FullScorer<'a> {
    /// `query` is a unit vector of the width of `matrix`, whose rows `nodes` names.
    pub(super) fn new(matrix: ArrayView2<'a, f32>, nodes: &'a Nodes, query: &'a [f32]) -> Self {
        Self { matrix, nodes, query, dot: kernels().full }
    }
}

impl Scorer for FullScorer<'_> {
    #[inline(always)]
    fn score(&self, node: u32) -> i32 {
        ordered((self.dot)(self.query, row_of(self.matrix, self.nodes.first_row(node))))
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        prefetch(row_of(self.matrix, self.nodes.first_row(node)));
    }
}

/// An integer in the place that a number has among all.
#[inline(always)]
fn ordered(number: f32) -> i32 {
    let bits = number.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order_as_integers() {
        let numbers = [-1.5_f32, -1.0, -1e-9, -0.0, 0.0, 1e-9, 0.3, 1.0];
        let places = numbers.map(ordered);
        assert!(places.is_sorted_by(|left, right| left < right));
    }
}
