//! Bits in whole cache lines, and how they differ.

/// 512 bits at the start of a cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Bits(pub(super) [u64; Bits::WORDS]);

impl Bits {
    const WORDS: usize = 8;
    /// Bits of a line.
    pub(super) const COUNT: usize = Self::WORDS * u64::BITS as usize;

    /// Those bits are set at which something holds.
    pub(super) fn set_where<T>(of: &[T; Bits::COUNT], holds: impl Fn(&T) -> bool) -> Self {
        let (words, _) = of.as_chunks::<{ u64::BITS as usize }>();
        let word = |at: usize| (0..).zip(&words[at]).fold(0, |word, (bit, of)| word | u64::from(holds(of)) << bit);
        Self(std::array::from_fn(word))
    }
}

/// So many binary places a whole number has.
pub(super) const PLACES: usize = 4;

/// 512 whole numbers of [`PLACES`] places: the last place of each, then the one before it.
pub(super) type Numbers = [Bits; PLACES];

/// How far numbers are from each row of as many bits: of each place how many bits are other than the row's, as often as
/// that place counts. The compiler makes of it what the instructions allow for which it is asked.
#[inline(always)]
pub(super) fn differences(numbers: &[Numbers], rows: &[Bits], differences: &mut [u32]) {
    for (row, difference) in rows.chunks_exact(numbers.len()).zip(differences) {
        let mut of_words = [0_u64; Bits::WORDS];
        for (bits, numbers) in row.iter().zip(numbers) {
            for (place, digits) in numbers.iter().enumerate() {
                for (of_word, (bits, digits)) in of_words.iter_mut().zip(bits.0.iter().zip(&digits.0)) {
                    *of_word += u64::from((bits ^ digits).count_ones()) << place;
                }
            }
        }
        *difference = of_words.iter().sum::<u64>() as u32;
    }
}
