//! Vectors of one bit a component, by which a scan passes over the rows that are far from what it looks for.
//!
//! RaBitQ (Gao and Long, SIGMOD 2024, section 3): vectors are turned at random, all alike, and of each component the sign is
//! kept. For a unit vector x, turned, and the unit vector s of its signs, ⟨s, q⟩ / ⟨s, x⟩ estimates ⟨x, q⟩; by how much it is
//! off is, over all turns, as good as normally distributed, with a deviation that is known.

use std::cell::OnceCell;

use super::bits::{Bits, Numbers, PLACES};
use super::kernels::kernels;
use super::scrambled::scrambled;

/// A row is passed over where its estimate is so many deviations below the floor: of rows that are not below it, that
/// happens to one of thirty thousand.
const DEVIATIONS: f32 = 4.0;
/// Of vectors with fewer components codes are short, too: a sketch takes a line of bits, however few there are.
const LEAST_DIMENSIONS: usize = 256;

/// The sketches of unit vectors.
pub(super) struct Sketches {
    signs: Vec<Bits>,
    likenesses: Vec<Likeness>,
    /// Lines of bits a vector.
    width: usize,
}

/// Where the sketch of a vector is already.
pub(super) type Sketched<'a> = (&'a Sketches, u32);

/// How a vector and its signs are alike.
#[derive(Clone, Copy)]
struct Likeness {
    /// ⟨s, x⟩ times the root of the width: the sum of the sizes of the components.
    sizes: f32,
    /// The length of what of s is at right angles to x.
    apart: f32,
}

impl Sketches {
    /// The sketches of vectors of `dimensions`, where they are worth it; those that are there already are taken over.
    pub(super) fn new<'a>(
        dimensions: usize,
        vectors: impl Iterator<Item = (&'a [f32], Option<Sketched<'a>>)>,
    ) -> Option<Self> {
        if dimensions < LEAST_DIMENSIONS {
            return None;
        }
        let width = turned_width(dimensions) / Bits::COUNT;
        let mut sketches = Self { signs: Vec::new(), likenesses: Vec::new(), width };
        let mut turned = Vec::new();
        for (vector, sketched) in vectors {
            match sketched {
                Some((older, row)) => sketches.take_over(older, row as usize),
                None => {
                    turn(vector, &mut turned);
                    sketches.push(&turned);
                }
            }
        }
        Some(sketches)
    }

    fn take_over(&mut self, older: &Self, row: usize) {
        self.signs.extend_from_slice(&older.signs[row * self.width..][..self.width]);
        self.likenesses.push(older.likenesses[row]);
    }

    fn push(&mut self, turned: &[f32]) {
        let (lines, _) = turned.as_chunks();
        self.signs.extend(lines.iter().map(|line| Bits::set_where(line, |component| *component > 0.0)));
        self.likenesses.push(Likeness::of(turned));
    }

    /// The rows that may score `floor` or more, ascending.
    pub(super) fn reaching(&self, query: &SketchedQuery, floor: f32) -> Vec<u32> {
        debug_assert_eq!(query.numbers.len(), self.width);
        let mut differences = vec![0; self.likenesses.len()];
        (kernels().differences)(&query.numbers, &self.signs, &mut differences);
        let mut reaching = Vec::new();
        for (row, (likeness, difference)) in (0..).zip(self.likenesses.iter().zip(&differences)) {
            if query.may_reach(floor, likeness, *difference) {
                reaching.push(row);
            }
        }
        reaching
    }

    /// The bytes they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.signs.as_slice()) + size_of_val(self.likenesses.as_slice())
    }
}

impl Likeness {
    fn of(turned: &[f32]) -> Self {
        let sizes: f32 = turned.iter().map(|component| component.abs()).sum();
        Self { sizes, apart: (1.0 - sizes * sizes / turned.len() as f32).max(0.0).sqrt() }
    }
}

/// A query of unit length that is sketched once some rows are to be compared with it so, which takes some microseconds.
pub(super) struct ToBeSketched<'a> {
    query: &'a [f32],
    sketched: OnceCell<SketchedQuery>,
}

impl<'a> ToBeSketched<'a> {
    pub(super) fn new(query: &'a [f32]) -> Self {
        Self { query, sketched: OnceCell::new() }
    }

    /// Its sketch, made at the first time.
    pub(super) fn sketched(&self) -> &SketchedQuery {
        self.sketched.get_or_init(|| SketchedQuery::new(self.query))
    }
}

/// A query for sketches: turned as they are, its components rounded to odd multiples of a half step.
pub(super) struct SketchedQuery {
    /// Of each component the place of its multiple among those there are, from below.
    numbers: Vec<Numbers>,
    half_step: f32,
    /// How far it is from what its numbers stand for.
    error: f32,
}

impl SketchedQuery {
    /// The greatest number; as many half steps are the greatest component.
    const GREATEST: f32 = ((1 << PLACES) - 1) as f32;

    /// Of a unit vector.
    pub(super) fn new(query: &[f32]) -> Self {
        let mut turned = Vec::new();
        turn(query, &mut turned);
        let greatest = turned.iter().fold(0.0_f32, |greatest, component| greatest.max(component.abs()));
        let half_step = greatest / Self::GREATEST;
        let number = |component: &f32| ((component / half_step + Self::GREATEST) / 2.0).round() as u8;
        let rounded: Vec<u8> = turned.iter().map(number).collect();
        let off = |(exact, number): (&f32, &u8)| exact - half_step * (2.0 * f32::from(*number) - Self::GREATEST);
        let error = turned.iter().zip(&rounded).map(off).map(|off| off * off).sum::<f32>().sqrt();
        let (lines, _) = rounded.as_chunks();
        let digits = |line, place: usize| Bits::set_where(line, |number| number >> place & 1 == 1);
        let numbers = lines.iter().map(|line| std::array::from_fn(|place| digits(line, place))).collect();
        Self { numbers, half_step, error }
    }

    /// Whether the cosine with a vector may be `floor`, by how far the numbers are from its signs.
    ///
    /// With signs s, each 1 or -1, and the numbers' digits taken for such, ⟨s, q⟩ is the half step times the sum over the
    /// places, each as often as it counts, of the digits that are as the signs less those that are not.
    #[inline(always)]
    fn may_reach(&self, floor: f32, likeness: &Likeness, difference: u32) -> bool {
        let all = Self::GREATEST * (self.numbers.len() * Bits::COUNT) as f32;
        let product = self.half_step * (all - 2.0 * difference as f32);
        product + DEVIATIONS * (likeness.apart + self.error) >= floor * likeness.sizes
    }
}

/// The width of turned vectors: whole lines of bits, and a power of two, as the transform wants it.
fn turned_width(dimensions: usize) -> usize {
    dimensions.next_power_of_two().max(Bits::COUNT)
}

/// Turns a vector, the same way each time, as good as at random: random signs and the Walsh-Hadamard transform, twice, so
/// that one with few components that are not zero is spread as well (Ailon and Chazelle, 2009, section 2).
fn turn(vector: &[f32], turned: &mut Vec<f32>) {
    const TIMES: u64 = 2;
    let width = turned_width(vector.len());
    turned.clear();
    turned.extend_from_slice(vector);
    turned.resize(width, 0.0);
    let scale = 1.0 / (width as f32).sqrt();
    for time in 0..TIMES {
        for (place, components) in (0..).zip(turned.as_chunks_mut::<64>().0) {
            let signs = scrambled(time << 32 | place);
            for (at, component) in components.iter_mut().enumerate() {
                *component = if signs >> at & 1 == 1 { -*component * scale } else { *component * scale };
            }
        }
        transform(turned);
    }
}

/// The Walsh-Hadamard transform in place, without its scale; the width is a power of two.
fn transform(components: &mut [f32]) {
    let mut half = 1;
    while half < components.len() {
        for pair in components.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Vector;
    use crate::index::cosine::{cosine, unit};
    use crate::index::samples::vector;

    const DIMENSIONS: usize = 384;

    /// Vectors of all kinds: random ones, some ever farther from the first, and some of two components only.
    fn vectors(dimensions: usize) -> Vec<Vec<f32>> {
        let of = |components: Vec<f32>| unit(Vector::new(components).expect("finite, not zero")).into_inner();
        let random = |seed| unit(vector(seed, dimensions)).into_inner();
        let near = |share: u16| {
            let along = random(0).into_iter().zip(random(1_000 + u64::from(share)));
            of(along.map(|(first, other)| first + f32::from(share) / 100.0 * other).collect())
        };
        let sparse = |at: usize| {
            let mut components = vec![0.0; dimensions];
            (components[at], components[at / 2]) = (0.6, -0.8);
            of(components)
        };
        (0..400).map(random).chain((1..400).map(near)).chain((1..200).map(sparse)).collect()
    }

    #[test]
    fn turning_keeps_lengths_and_angles() {
        let turned = |vector: &[f32]| {
            let mut turned = Vec::new();
            turn(vector, &mut turned);
            turned
        };
        let vectors = vectors(DIMENSIONS);
        for pair in vectors.windows(2) {
            let (left, right) = (turned(&pair[0]), turned(&pair[1]));
            assert_eq!(left.len(), 512);
            assert!((cosine(&left, &right) - cosine(&pair[0], &pair[1])).abs() < 1e-5);
            assert!((cosine(&left, &left) - 1.0).abs() < 1e-5);
            // Spread: no component is much greater than those of a random direction, of which one in 10,000 exceeds 4.
            assert!(left.iter().all(|component| component.abs() * 512_f32.sqrt() < 6.0));
        }
    }

    fn sketched(dimensions: usize, vectors: &[Vec<f32>]) -> Sketches {
        let vectors = vectors.iter().map(|vector| (vector.as_slice(), None));
        Sketches::new(dimensions, vectors).expect("of many dimensions")
    }

    #[test]
    fn sketches_that_are_taken_over_are_those_of_the_vectors() {
        for dimensions in [DIMENSIONS, 1536] {
            let vectors = vectors(dimensions);
            let expected = sketched(dimensions, &vectors);
            let older = sketched(dimensions, &vectors[300..700]);
            let was = |at: usize| at.checked_sub(300).filter(|was| *was < 400).map(|was| (&older, was as u32));
            let going_on = vectors.iter().enumerate().map(|(at, vector)| (vector.as_slice(), was(at)));
            let going_on = Sketches::new(dimensions, going_on).expect("of many dimensions");
            assert_eq!(going_on.signs, expected.signs);
            for query in vectors.iter().step_by(50).map(|query| SketchedQuery::new(query)) {
                assert_eq!(going_on.reaching(&query, 0.3), expected.reaching(&query, 0.3));
            }
        }
    }

    #[test]
    fn hardly_any_row_above_a_floor_is_passed_over_and_most_below_it_are() {
        for dimensions in [DIMENSIONS, 256, 1536] {
            let vectors = vectors(dimensions);
            let sketches = sketched(dimensions, &vectors);
            assert!(sketches.bytes() < vectors.len() * dimensions / 3, "less than a third of codes");
            for query in vectors.iter().step_by(3) {
                let sketched = SketchedQuery::new(query);
                for floor in [0.2, 0.5, 0.8] {
                    let reaching = sketches.reaching(&sketched, floor);
                    let score = |row: u32| cosine(query, &vectors[row as usize]);
                    let above: Vec<u32> = (0..vectors.len() as u32).filter(|row| score(*row) >= floor).collect();
                    assert!(above.iter().all(|row| reaching.contains(row)), "{dimensions} dimensions, floor {floor}");
                    let far = reaching.iter().filter(|row| score(**row) < floor - 0.3).count();
                    assert!(far * 100 <= vectors.len(), "{far} are far below {floor}");
                }
            }
        }
    }

    #[test]
    fn few_dimensions_have_no_sketches() {
        assert!(Sketches::new(LEAST_DIMENSIONS - 1, std::iter::empty()).is_none());
        let none = Sketches::new(LEAST_DIMENSIONS, std::iter::empty()).expect("no rows");
        assert!(none.reaching(&SketchedQuery::new(&vectors(LEAST_DIMENSIONS)[0]), -1.0).is_empty());
    }
}
