//! Dot products by AVX-512 (with VNNI) and by AVX2.

use std::arch::x86_64::*;

use super::bits::{Bits, Numbers, PLACES, differences};
use super::blocks::Block;

/// A name, the dot product of vectors, that of codes, and differences of bits.
type Entry =
    (&'static str, fn(&[f32], &[f32]) -> f32, fn(&[Block], &[Block]) -> i32, fn(&[Numbers], &[Bits], &mut [u32]));

/// What this machine can run, the best first.
pub(super) fn available() -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let avx2 = ["avx2", "fma", "popcnt"].map(detected).iter().all(|has| *has);
    if avx2 && ["avx512f", "avx512bw", "avx512vnni"].map(detected).iter().all(|has| *has) {
        let by_512 = is_x86_feature_detected!("avx512vpopcntdq");
        let differences = if by_512 { differences_avx512 } else { differences_avx2 };
        found.push(("avx512", full_avx512, codes_avx512, differences));
    }
    if avx2 {
        found.push(("avx2", full_avx2, codes_avx2, differences_avx2));
    }
    found
}

fn detected(feature: &str) -> bool {
    match feature {
        "avx2" => is_x86_feature_detected!("avx2"),
        "fma" => is_x86_feature_detected!("fma"),
        "popcnt" => is_x86_feature_detected!("popcnt"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        _ => is_x86_feature_detected!("avx512vnni"),
    }
}

/// Asks for the cache line at an address.
#[inline(always)]
pub(super) fn prefetch(at: *const i8) {
    // SAFETY: a prefetch is a hint: it reads nothing and cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at) }
}

fn full_avx2(left: &[f32], right: &[f32]) -> f32 {
    // SAFETY: only `available` hands this function out, after it found AVX2 and FMA.
    unsafe { full_by_256(left, right) }
}

fn codes_avx2(left: &[Block], right: &[Block]) -> i32 {
    // SAFETY: only `available` hands this function out, after it found AVX2.
    unsafe { codes_by_256(left, right) }
}

fn full_avx512(left: &[f32], right: &[f32]) -> f32 {
    // SAFETY: only `available` hands this function out, after it found AVX-512F, AVX2 and FMA.
    unsafe { full_by_512(left, right) }
}

fn codes_avx512(left: &[Block], right: &[Block]) -> i32 {
    // SAFETY: only `available` hands this function out, after it found AVX-512F, BW and VNNI.
    unsafe { codes_by_512(left, right) }
}

fn differences_avx2(numbers: &[Numbers], rows: &[Bits], into: &mut [u32]) {
    // SAFETY: only `available` hands this function out, after it found AVX2 and POPCNT.
    unsafe { differences_by_256(numbers, rows, into) }
}

fn differences_avx512(numbers: &[Numbers], rows: &[Bits], into: &mut [u32]) {
    // SAFETY: only `available` hands this function out, after it found AVX-512F and VPOPCNTDQ.
    unsafe { differences_by_512(numbers, rows, into) }
}

#[target_feature(enable = "avx2,popcnt")]
fn differences_by_256(numbers: &[Numbers], rows: &[Bits], into: &mut [u32]) {
    differences(numbers, rows, into);
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn differences_by_512(numbers: &[Numbers], rows: &[Bits], into: &mut [u32]) {
    for (row, into) in rows.chunks_exact(numbers.len()).zip(into) {
        let mut of_places = [_mm512_setzero_si512(); PLACES];
        for (bits, numbers) in row.iter().zip(numbers) {
            let bits = load_bits_512(bits);
            for (of_place, digits) in of_places.iter_mut().zip(numbers) {
                let differing = _mm512_popcnt_epi64(_mm512_xor_si512(bits, load_bits_512(digits)));
                *of_place = _mm512_add_epi64(*of_place, differing);
            }
        }
        let mut sum = _mm512_setzero_si512();
        for of_place in of_places.into_iter().rev() {
            sum = _mm512_add_epi64(_mm512_add_epi64(sum, sum), of_place);
        }
        *into = _mm512_reduce_add_epi64(sum) as u32;
    }
}

#[target_feature(enable = "avx512f")]
fn load_bits_512(from: &Bits) -> __m512i {
    // SAFETY: these are 512 bits that can be read; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(from.0.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn full_by_256(left: &[f32], right: &[f32]) -> f32 {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let ((left, left_few), (right, right_few)) = (left.as_chunks::<4>(), right.as_chunks::<4>());
    let mut sums = [_mm256_setzero_ps(); 4];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..4 {
            sums[lane] = _mm256_fmadd_ps(load_256(&left[lane]), load_256(&right[lane]), sums[lane]);
        }
    }
    for (left, right) in left_few.iter().zip(right_few) {
        sums[0] = _mm256_fmadd_ps(load_256(left), load_256(right), sums[0]);
    }
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    let sum = _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps::<1>(sum, sum)));
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sum + rest
}

#[target_feature(enable = "avx2")]
fn load_256(from: &[f32; 8]) -> __m256 {
    // SAFETY: eight floats can be read there; the instruction asks for no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

/// `maddubs` wants one side without sign: the left one gives its signs to the right one. Its sums of two products are
/// within 2 × 127² < 2¹⁵, so that they never saturate.
#[target_feature(enable = "avx2")]
fn codes_by_256(left: &[Block], right: &[Block]) -> i32 {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 2];
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (left.0.as_chunks::<32>().0, right.0.as_chunks::<32>().0);
        for half in 0..2 {
            let (left, right) = (load_bytes_256(&left[half]), load_bytes_256(&right[half]));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(left), _mm256_sign_epi8(right, left));
            sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
        }
    }
    let sum = _mm256_add_epi32(sums[0], sums[1]);
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b_01_00_11_10>(sum));
    _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b_10_11_00_01>(sum)))
}

#[target_feature(enable = "avx2")]
fn load_bytes_256(from: &[i8; 32]) -> __m256i {
    // SAFETY: 32 bytes can be read there; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn full_by_512(left: &[f32], right: &[f32]) -> f32 {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<16>(), right.as_chunks::<16>());
    let ((left, left_few), (right, right_few)) = (left.as_chunks::<4>(), right.as_chunks::<4>());
    let mut sums = [_mm512_setzero_ps(); 4];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..4 {
            sums[lane] = _mm512_fmadd_ps(load_512(&left[lane]), load_512(&right[lane]), sums[lane]);
        }
    }
    for (left, right) in left_few.iter().zip(right_few) {
        sums[0] = _mm512_fmadd_ps(load_512(left), load_512(right), sums[0]);
    }
    let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    _mm512_reduce_add_ps(sum) + rest
}

#[target_feature(enable = "avx512f")]
fn load_512(from: &[f32; 16]) -> __m512 {
    // SAFETY: sixteen floats can be read there; the instruction asks for no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

/// `dpbusd` wants one side without sign: 128 is added to the left one, and 128 times the right one taken off the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn codes_by_512(left: &[Block], right: &[Block]) -> i32 {
    let flip = _mm512_set1_epi8(-128);
    let (mut sums, mut excess) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (load_bytes_512(left), load_bytes_512(right));
        sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(left, flip), right);
        excess = _mm512_dpbusd_epi32(excess, flip, right);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sums, excess))
}

#[target_feature(enable = "avx512f")]
fn load_bytes_512(from: &Block) -> __m512i {
    // SAFETY: a block is 64 bytes that can be read; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(from.0.as_ptr().cast()) }
}
