//! Dot products by the widest registers that the machine has, chosen once when the first one is asked for.

use std::sync::LazyLock;

use super::bits::{Bits, Numbers, differences};
use super::blocks::Block;
#[cfg(target_arch = "aarch64")]
use super::kernels_arm as machine;
#[cfg(target_arch = "x86_64")]
use super::kernels_x86 as machine;

/// Dot product of two vectors of one width.
pub(super) type DotFull = fn(&[f32], &[f32]) -> f32;
/// Dot product of two codes of one width, exact: components from -127 to 127.
pub(super) type DotCodes = fn(&[Block], &[Block]) -> i32;
/// [`differences`].
pub(super) type Differences = fn(&[Numbers], &[Bits], &mut [u32]);

/// The kernels that one process uses, always the same, so that equal vectors have equal scores on every path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// The instructions they use.
    pub(super) name: &'static str,
    pub(super) full: DotFull,
    pub(super) codes: DotCodes,
    pub(super) differences: Differences,
}

/// What any machine can do.
pub(super) const SCALAR: Kernels = Kernels { name: "scalar", full: dot_full, codes: dot_codes, differences };

static CHOSEN: LazyLock<Kernels> = LazyLock::new(|| machine_kernels().into_iter().next().unwrap_or(SCALAR));

/// The best kernels that this machine can run.
pub(super) fn kernels() -> &'static Kernels {
    &CHOSEN
}

/// The instructions by which this process compares vectors: `avx512`, `avx2`, `neon` or `scalar`.
pub fn instructions() -> &'static str {
    kernels().name
}

/// Those kernels that this machine can run besides [`SCALAR`], the best first.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn machine_kernels() -> Vec<Kernels> {
    machine::available()
        .into_iter()
        .map(|(name, full, codes, differences)| Kernels { name, full, codes, differences })
        .collect()
}

/// None are written for this machine.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn machine_kernels() -> Vec<Kernels> {
    Vec::new()
}

/// Asks for a slice's cache lines before they are read.
#[inline(always)]
pub(super) fn prefetch<T>(slice: &[T]) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        const LINE: usize = 64;
        let bytes = slice.as_ptr().cast::<i8>();
        for at in (0..size_of_val(slice)).step_by(LINE) {
            machine::prefetch(bytes.wrapping_add(at));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = slice;
}

/// Partial sums are kept apart: it lets the compiler use what registers there are, and rounds less than one running sum.
fn dot_full(left: &[f32], right: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

fn dot_codes(left: &[Block], right: &[Block]) -> i32 {
    let pairs = left.iter().zip(right).flat_map(|(left, right)| left.0.iter().zip(&right.0));
    pairs.map(|(left, right)| i32::from(*left) * i32::from(*right)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_kernel_agrees_with_the_scalar_one(
            components in proptest::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..300),
            blocks in proptest::collection::vec((any::<u64>(), any::<bool>()), 0..64),
            lines in 1_usize..4,
            words in proptest::collection::vec(any::<[u64; 8]>(), 12..40),
        ) {
            let (left, right): (Vec<f32>, Vec<f32>) = components.into_iter().unzip();
            let exact: f64 = left.iter().zip(&right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
            let (left_codes, right_codes): (Vec<Block>, Vec<Block>) =
                blocks.iter().map(|(seed, extreme)| (code(*seed, *extreme), code(seed.rotate_left(17), *extreme))).unzip();
            let expected = (SCALAR.codes)(&left_codes, &right_codes);
            let bits: Vec<Bits> = words.into_iter().map(Bits).collect();
            let numbers: Vec<Numbers> = bits[..12].as_chunks().0[..lines].to_vec();
            let rows = &bits[bits.len() % lines..];
            let differing = differences_one_by_one(&numbers, rows);
            for kernels in machine_kernels().into_iter().chain([SCALAR]) {
                let close = (f64::from((kernels.full)(&left, &right)) - exact).abs() <= 1e-5 * (1.0 + exact.abs());
                prop_assert!(close, "{} of {} dimensions", kernels.name, left.len());
                prop_assert_eq!((kernels.full)(&left, &right), (kernels.full)(&right, &left));
                prop_assert_eq!((kernels.codes)(&left_codes, &right_codes), expected, "{}", kernels.name);
                let mut found = vec![0; rows.len() / lines];
                (kernels.differences)(&numbers, rows, &mut found);
                prop_assert_eq!(&found, &differing, "{}", kernels.name);
            }
        }
    }

    /// [`differences`], a bit at a time.
    fn differences_one_by_one(numbers: &[Numbers], rows: &[Bits]) -> Vec<u32> {
        let bit = |bits: &Bits, at: usize| bits.0[at / 64] >> (at % 64) & 1;
        let of_line = |(row, numbers): (&Bits, &Numbers)| -> u32 {
            let differs = |place: usize, at| u32::from(bit(row, at) != bit(&numbers[place], at)) << place;
            (0..numbers.len()).flat_map(|place| (0..Bits::COUNT).map(move |at| differs(place, at))).sum()
        };
        rows.chunks_exact(numbers.len()).map(|row| row.iter().zip(numbers).map(of_line).sum()).collect()
    }

    /// Bytes of -127 to 127; only those two where it is to be `extreme`.
    fn code(seed: u64, extreme: bool) -> Block {
        let mut state = seed | 1;
        Block(std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let byte = ((state >> 33) % 255) as i16 - 127;
            if extreme { if byte < 0 { -127 } else { 127 } } else { byte as i8 }
        }))
    }

    #[test]
    fn this_machine_uses_the_first_it_can() {
        let first = machine_kernels().first().map_or(SCALAR.name, |kernels| kernels.name);
        assert_eq!(instructions(), first);
        prefetch::<u8>(&[]);
        prefetch(&[1.0_f32; 40]);
    }
}
