//! Vectors of one byte a component, for a first look.

use super::blocks::Block;
use super::kernels::{DotCodes, kernels, prefetch};
use super::pages::vec_in_large_pages;
use super::scorer::Scorer;

/// Components are rounded to whole multiples of a step, -127 to 127 of them. One step for all vectors, so that the
/// dot products of codes are in the order of the cosines, but for rounding: for a step s and d dimensions, a product of
/// two unit vectors is off by about s √(1/6), and never by more than s √d.
pub(super) struct Codes {
    blocks: Vec<Block>,
    /// Blocks a vector.
    width: usize,
}

/// The greatest multiple.
const LEVELS: f32 = 127.0;

impl Codes {
    /// The codes of unit vectors of `dimensions`, in their order.
    pub(super) fn new<'a>(dimensions: usize, vectors: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let greatest = vectors.clone().flatten().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
        let step = greatest.max(f32::MIN_POSITIVE) / LEVELS;
        let width = dimensions.div_ceil(Block::BYTES);
        let mut blocks = vec_in_large_pages(vectors.clone().count() * width);
        for vector in vectors {
            encode(vector, step, &mut blocks);
        }
        Self { blocks, width }
    }

    /// The code of a query with a step of its own, written over `code`.
    pub(super) fn encode_query(query: &[f32], code: &mut Vec<Block>) {
        let greatest = query.iter().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
        code.clear();
        encode(query, greatest.max(f32::MIN_POSITIVE) / LEVELS, code);
    }

    /// A vector's code.
    #[inline(always)]
    pub(super) fn code(&self, at: u32) -> &[Block] {
        let from = at as usize * self.width;
        &self.blocks[from..from + self.width]
    }

    /// Scores vectors by their likeness to a query's code or to one of their own.
    pub(super) fn scorer<'a>(&'a self, query: &'a [Block]) -> CodeScorer<'a> {
        CodeScorer { codes: self, query, dot: kernels().codes }
    }

    /// The same codes in another order: the n-th is what `order[n]` was.
    pub(super) fn reordered(&self, order: &[u32]) -> Self {
        let mut blocks = vec_in_large_pages(self.blocks.len());
        order.iter().for_each(|at| blocks.extend_from_slice(self.code(*at)));
        Self { blocks, width: self.width }
    }

    /// The bytes they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice())
    }
}

/// The multiples of `step` that are nearest to the components, of which none is greater than [`LEVELS`] steps.
fn encode(vector: &[f32], step: f32, blocks: &mut Vec<Block>) {
    // At this size a number has no places behind the point, and its last byte counts the ones.
    const WHOLE: f32 = (3 << 22) as f32;
    let steps = 1.0 / step;
    for part in vector.chunks(Block::BYTES) {
        let mut block = Block::ZERO;
        for (byte, component) in block.0.iter_mut().zip(part) {
            *byte = (component * steps + WHOLE).to_bits() as i8;
        }
        blocks.push(block);
    }
}

/// Scores vectors by the dot product of codes.
pub(super) struct CodeScorer<'a> {
    codes: &'a Codes,
    query: &'a [Block],
    dot: DotCodes,
}

impl Scorer for CodeScorer<'_> {
    #[inline(always)]
    fn score(&self, node: u32) -> i32 {
        (self.dot)(self.codes.code(node), self.query)
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        prefetch(self.codes.code(node));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_are_the_nearest_multiples(
            vectors in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 70), 1..5),
        ) {
            let codes = Codes::new(70, vectors.iter().map(Vec::as_slice));
            let greatest = vectors.iter().flatten().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
            for (at, vector) in (0..).zip(&vectors) {
                let code: Vec<i8> = codes.code(at).iter().flat_map(|block| block.0).collect();
                prop_assert_eq!(&code[70..], &[0; 58]);
                for (multiple, component) in code.iter().zip(vector) {
                    let exact = component / greatest * LEVELS;
                    prop_assert!((f32::from(*multiple) - exact).abs() <= 0.501, "{} is not {}", multiple, exact);
                    prop_assert!(*multiple >= -127);
                }
            }
            let mut query = Vec::new();
            Codes::encode_query(&vectors[0], &mut query);
            prop_assert_eq!(codes.scorer(&query).score(0), (kernels().codes)(codes.code(0), &query));
        }
    }

    #[test]
    fn zeros_have_a_code() {
        let mut query = Vec::new();
        Codes::encode_query(&[0.0, -0.0], &mut query);
        assert_eq!(query, [Block::ZERO]);
    }
}
