//! Vectors of one byte a component, for a first look.

use std::hash::{DefaultHasher, Hasher};

use super::blocks::Block;
use super::kernels::{DotCodes, kernels, prefetch};
use super::pages::vec_in_large_pages;
use super::scorer::Scorer;
use super::threads::giving_way;

/// Components are rounded to whole multiples of a step, -127 to 127 of them. One step for all vectors, so that the
/// dot products of codes are in the order of the cosines, but for rounding: for a step s and d dimensions, a product of
/// two unit vectors is off by about s √(1/6), and never by more than s √d.
pub(super) struct Codes {
    blocks: Vec<Block>,
    /// Blocks a vector.
    width: usize,
    scale: Scale,
}

/// What codes stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    step: f32,
    /// The greatest distance of a vector from what its code stands for.
    error: f32,
}

impl Scale {
    /// It, to be kept.
    pub(super) fn to_bits(self) -> [u32; 2] {
        [self.step.to_bits(), self.error.to_bits()]
    }

    /// What was kept.
    pub(super) fn from_bits([step, error]: [u32; 2]) -> Self {
        Self { step: f32::from_bits(step), error: f32::from_bits(error) }
    }
}

/// The greatest multiple.
const LEVELS: f32 = 127.0;

impl Codes {
    /// The codes of unit vectors of `dimensions`, in their order.
    pub(super) fn new<'a>(dimensions: usize, vectors: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let greatest = vectors.clone().map(greatest).fold(0.0_f32, f32::max);
        let step = greatest.max(f32::MIN_POSITIVE) / LEVELS;
        let mut codes = Self::scaled(dimensions, vectors.clone(), Scale { step, error: 0.0 });
        let off = |(at, vector)| distance(vector, codes.code(at), step);
        codes.scale.error = giving_way((0..).zip(vectors)).map(off).fold(0.0, f32::max);
        codes
    }

    /// The codes of the same vectors again, with the scale that they had.
    pub(super) fn scaled<'a>(
        dimensions: usize,
        vectors: impl Iterator<Item = &'a [f32]> + Clone,
        scale: Scale,
    ) -> Self {
        let width = dimensions.div_ceil(Block::BYTES);
        let mut blocks = vec_in_large_pages(vectors.clone().count() * width);
        giving_way(vectors).for_each(|vector| encode(vector, scale.step, &mut blocks));
        Self { blocks, width, scale }
    }

    /// The codes of so many vectors, of which some have one here already, as `was` says, by the same scale; `None` where
    /// another one has a component that this scale does not reach. `vector` is asked for those only.
    pub(super) fn going_on<'a>(
        &self,
        vectors: usize,
        was: impl Fn(u32) -> Option<u32>,
        vector: impl Fn(u32) -> &'a [f32],
    ) -> Option<Self> {
        let Scale { step, mut error } = self.scale;
        let mut blocks = vec_in_large_pages(vectors * self.width);
        for at in giving_way(0..vectors as u32) {
            match was(at) {
                Some(was) => blocks.extend_from_slice(self.code(was)),
                None => {
                    let (vector, begin) = (vector(at), blocks.len());
                    if greatest(vector) > LEVELS * step {
                        return None;
                    }
                    encode(vector, step, &mut blocks);
                    error = error.max(distance(vector, &blocks[begin..], step));
                }
            }
        }
        Some(Self { blocks, width: self.width, scale: Scale { step, error } })
    }

    /// A hash of a vector's code.
    pub(super) fn hash_of(&self, at: u32) -> u64 {
        hash(self.code(at))
    }

    /// The hash that a vector's code by this scale has.
    pub(super) fn hash_of_vector(&self, vector: &[f32], code: &mut Vec<Block>) -> u64 {
        code.clear();
        encode(vector, self.scale.step, code);
        hash(code)
    }

    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// The code of a query with a step of its own, written over `code`; says that step.
    pub(super) fn encode_query(query: &[f32], code: &mut Vec<Block>) -> f32 {
        let step = greatest(query).max(f32::MIN_POSITIVE) / LEVELS;
        code.clear();
        encode(query, step, code);
        step
    }

    /// How far, at most, the score of a vector by the code of a query is from its cosine, as a score. Both are of unit
    /// length; `step` is the query's.
    ///
    /// For a query q and a vector x, and q' and x' that their codes stand for, qx - q'x' = (q - q')x + q'(x - x').
    pub(super) fn most_off(&self, query: &[f32], code: &[Block], step: f32) -> i64 {
        // What sums of floats may be off.
        const ROUNDING: f32 = 2e-5;
        let error = distance(query, code, step);
        ((error + (1.0 + error) * self.scale.error + ROUNDING) / (step * self.scale.step)).ceil() as i64
    }

    /// The score that stands for a cosine, rounded down, by the code of a query whose step is `step`.
    pub(super) fn score_of(&self, cosine: f32, step: f32) -> i64 {
        (cosine / (step * self.scale.step)).floor() as i64
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
        giving_way(order.iter()).for_each(|at| blocks.extend_from_slice(self.code(*at)));
        Self { blocks, ..*self }
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

fn hash(code: &[Block]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let eight = code.iter().flat_map(|block| block.0.as_chunks().0);
    eight.for_each(|bytes| hasher.write_u64(u64::from_ne_bytes(bytes.map(|byte| byte as u8))));
    hasher.finish()
}

/// Values that are kept apart while components are gone through, so that the compiler takes many at once.
const LANES: usize = 16;

/// The greatest size of a component.
fn greatest(vector: &[f32]) -> f32 {
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut greatest = [0.0_f32; LANES];
    for chunk in chunks {
        for (greatest, component) in greatest.iter_mut().zip(chunk) {
            *greatest = if component.abs() > *greatest { component.abs() } else { *greatest };
        }
    }
    rest.iter().chain(&greatest).fold(0.0, |greatest, component| greatest.max(component.abs()))
}

/// How far a vector is from what its code stands for.
fn distance(vector: &[f32], code: &[Block], step: f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let off = |component: f32, byte: i8| (component - f32::from(byte) * step).powi(2);
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut bytes = code.iter().flat_map(|block| block.0.as_chunks::<LANES>().0);
    for (components, bytes) in chunks.iter().zip(bytes.by_ref()) {
        for lane in 0..LANES {
            sums[lane] += off(components[lane], bytes[lane]);
        }
    }
    for ((sum, component), byte) in sums.iter_mut().zip(rest).zip(bytes.next().into_iter().flatten()) {
        *sum += off(*component, *byte);
    }
    sums.iter().sum::<f32>().sqrt()
}

/// Scores vectors by the dot product of codes.
pub(super) struct CodeScorer<'a> {
    codes: &'a Codes,
    query: &'a [Block],
    dot: DotCodes,
}

impl Scorer for CodeScorer<'_> {
    const AHEAD: usize = 8;

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
    use crate::domain::Vector;
    use crate::index::cosine::{cosine, unit};

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

        #[test]
        fn scores_are_no_farther_off_than_it_says(
            vectors in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 1..100), 2..5),
        ) {
            let dimensions = vectors.iter().map(Vec::len).min().unwrap_or_default();
            let units: Vec<Vec<f32>> = vectors
                .into_iter()
                .map(|vector| Vector::new(vector[..dimensions].to_vec()))
                .filter_map(|vector| vector.ok().map(|vector| unit(vector).into_inner()))
                .collect();
            prop_assume!(units.len() > 1);
            let codes = Codes::new(dimensions, units.iter().map(Vec::as_slice));
            let mut query = Vec::new();
            let step = Codes::encode_query(&units[0], &mut query);
            let most = codes.most_off(&units[0], &query, step);
            for (at, vector) in (0..).zip(&units) {
                let exact = f64::from(cosine(&units[0], vector)) / f64::from(step * codes.scale.step);
                prop_assert!((exact - f64::from(codes.scorer(&query).score(at))).abs() <= most as f64);
            }
        }
    }

    #[test]
    fn codes_that_go_on_are_those_of_all_vectors_by_the_same_scale() {
        let vectors: Vec<Vec<f32>> =
            (0..7).map(|seed| unit(crate::index::samples::vector(seed, 70)).into_inner()).collect();
        let dots = |codes: &Codes| (0..7).map(|at| codes.code(at).to_vec()).collect::<Vec<_>>();
        let older = Codes::new(70, [&vectors[3], &vectors[6], &vectors[0]].into_iter().map(Vec::as_slice));
        let was = |at: u32| [Some(2), None, None, Some(0), None, None, None][at as usize];
        let vector = |at: u32| vectors[at as usize].as_slice();
        let reaches = vectors.iter().all(|vector| greatest(vector) <= LEVELS * older.scale.step);
        let going_on = older.going_on(7, was, vector);
        assert_eq!(going_on.is_some(), reaches);
        let narrow = Scale { step: greatest(vector(4)) / LEVELS / 2.0, error: 0.0 };
        let older = Codes::scaled(70, [vector(3)].into_iter(), narrow);
        assert!(older.going_on(2, |at| [Some(0), None][at as usize], |_| vector(4)).is_none());

        let wide = Scale { step: 1.0 / LEVELS, error: 0.0 };
        let older = Codes::scaled(70, [&vectors[3], &vectors[6], &vectors[0]].into_iter().map(Vec::as_slice), wide);
        let going_on = older.going_on(7, was, vector).expect("no component is greater than 1");
        let all = Codes::scaled(70, vectors.iter().map(Vec::as_slice), wide);
        assert_eq!(dots(&going_on), dots(&all));
        let most =
            [1, 2, 4, 5, 6].map(|at| distance(vector(at), all.code(at), wide.step)).into_iter().fold(0.0, f32::max);
        assert_eq!(going_on.scale.error, most, "of those that came");
        assert_eq!(older.hash_of_vector(vector(3), &mut Vec::new()), older.hash_of(0));
        assert_ne!(older.hash_of_vector(vector(4), &mut Vec::new()), older.hash_of(0));
    }

    #[test]
    fn zeros_have_a_code() {
        let mut query = Vec::new();
        Codes::encode_query(&[0.0, -0.0], &mut query);
        assert_eq!(query, [Block::ZERO]);
    }
}
