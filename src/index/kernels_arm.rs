//! Dot products by NEON, which every 64-bit ARM has.

use std::arch::aarch64::*;
use std::arch::asm;

use super::bits::{Bits, Numbers, differences};
use super::blocks::Block;

/// A name, the dot product of vectors, that of codes, and differences of bits.
type Entry =
    (&'static str, fn(&[f32], &[f32]) -> f32, fn(&[Block], &[Block]) -> i32, fn(&[Numbers], &[Bits], &mut [u32]));

/// What this machine can run, the best first.
pub(super) fn available() -> Vec<Entry> {
    vec![("neon", full_neon, codes_neon, differences)]
}

/// Asks for the cache line at an address.
#[inline(always)]
pub(super) fn prefetch(at: *const i8) {
    // SAFETY: a prefetch is a hint: it reads nothing that a program can see and cannot fault, whatever the address.
    unsafe { asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) }
}

fn full_neon(left: &[f32], right: &[f32]) -> f32 {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<4>(), right.as_chunks::<4>());
    let ((left, left_few), (right, right_few)) = (left.as_chunks::<4>(), right.as_chunks::<4>());
    // SAFETY: NEON is part of the architecture, and each load reads four floats of an array of four.
    let sum = unsafe {
        let mut sums = [vdupq_n_f32(0.0); 4];
        for (left, right) in left.iter().zip(right) {
            for lane in 0..4 {
                sums[lane] = vfmaq_f32(sums[lane], vld1q_f32(left[lane].as_ptr()), vld1q_f32(right[lane].as_ptr()));
            }
        }
        for (left, right) in left_few.iter().zip(right_few) {
            sums[0] = vfmaq_f32(sums[0], vld1q_f32(left.as_ptr()), vld1q_f32(right.as_ptr()));
        }
        vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])))
    };
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sum + rest
}

fn codes_neon(left: &[Block], right: &[Block]) -> i32 {
    // SAFETY: NEON is part of the architecture, and each load reads sixteen bytes of an array of sixteen.
    unsafe {
        let mut sums = [vdupq_n_s32(0); 4];
        for (left, right) in left.iter().zip(right) {
            let (left, right) = (left.0.as_chunks::<16>().0, right.0.as_chunks::<16>().0);
            for lane in 0..4 {
                let (left, right) = (vld1q_s8(left[lane].as_ptr()), vld1q_s8(right[lane].as_ptr()));
                let low = vmull_s8(vget_low_s8(left), vget_low_s8(right));
                // Two products are within 2 × 127² < 2¹⁵.
                let pairs = vmlal_high_s8(low, left, right);
                sums[lane] = vpadalq_s16(sums[lane], pairs);
            }
        }
        vaddvq_s32(vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3])))
    }
}
