//! Cosine similarity, the one way it is computed: equal vectors have equal scores on every path.

use super::kernels::kernels;
use crate::domain::Vector;

/// How far from 1 the squared length of a vector may be that is left as it came.
const UNIT_TOLERANCE: f64 = 1e-6;

/// Cosine similarity of two unit vectors, -1 to 1 in spite of rounding.
pub(super) fn cosine(left: &[f32], right: &[f32]) -> f32 {
    (kernels().full)(left, right).clamp(-1.0, 1.0)
}

/// The vector at unit length. One that is there already stays as it is, bit for bit, so that rebuilding does not
/// change scores.
pub(super) fn unit(vector: Vector) -> Vector {
    if is_unit(vector.as_slice()) { vector } else { vector.normalized() }
}

/// Whether the length is 1, up to rounding.
pub(super) fn is_unit(components: &[f32]) -> bool {
    let squared: f64 = components.iter().map(|component| f64::from(*component) * f64::from(*component)).sum();
    (squared - 1.0).abs() <= UNIT_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn agrees_with_double_precision(components in proptest::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 1..200)) {
            let (left, right): (Vec<f32>, Vec<f32>) = components.into_iter().unzip();
            if let (Ok(left), Ok(right)) = (Vector::new(left), Vector::new(right)) {
                let (left, right) = (unit(left), unit(right));
                proptest::prop_assert!(is_unit(left.as_slice()));
                proptest::prop_assert_eq!(unit(left.clone()), left.clone());
                let exact: f64 =
                    left.as_slice().iter().zip(right.as_slice()).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
                proptest::prop_assert!((f64::from(cosine(left.as_slice(), right.as_slice())) - exact).abs() < 1e-6);
            }
        }
    }
}
