//! How a walk through a graph tells near nodes from far ones.

use super::kernels::{DotFull, kernels, prefetch};
use super::nodes::Nodes;
use super::vectors::VectorsView;

/// Scores nodes by their likeness to one query.
pub(super) trait Scorer {
    /// So many nodes ahead are announced before they are scored: what lies between should take about as long as memory.
    const AHEAD: usize;

    /// Greater is nearer.
    fn score(&self, node: u32) -> i32;

    /// Announces that a node will be scored.
    fn prefetch(&self, node: u32);
}

/// Scores nodes by their vectors as they are.
pub(super) struct FullScorer<'a> {
    vectors: VectorsView<'a>,
    nodes: &'a Nodes,
    query: &'a [f32],
    dot: DotFull,
}

impl<'a> FullScorer<'a> {
    /// `query` is a unit vector of the width of `vectors`, whose rows `nodes` names.
    pub(super) fn new(vectors: VectorsView<'a>, nodes: &'a Nodes, query: &'a [f32]) -> Self {
        Self { vectors, nodes, query, dot: kernels().full }
    }

    /// The cosine of which this is the score.
    pub(super) fn cosine_of(score: i32) -> f32 {
        // An order that is taken twice is none.
        f32::from_bits(ordered(f32::from_bits(score as u32)) as u32).clamp(-1.0, 1.0)
    }
}

impl Scorer for FullScorer<'_> {
    const AHEAD: usize = 2;

    #[inline(always)]
    fn score(&self, node: u32) -> i32 {
        ordered((self.dot)(self.query, self.vectors.row(self.nodes.first_row(node))))
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        // The lines that follow come by themselves once these were read one after the other.
        const FIRST: usize = 64;
        let row = self.vectors.row(self.nodes.first_row(node));
        prefetch(&row[..row.len().min(FIRST)]);
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
        assert_eq!(
            numbers.map(|number| FullScorer::cosine_of(ordered(number)).to_bits()),
            numbers.map(|number| number.clamp(-1.0, 1.0).to_bits())
        );
        let places = numbers.map(ordered);
        assert!(places.is_sorted_by(|left, right| left < right));
    }
}
