//! Arithmetic on rows of numbers, element by element: what an encoder does between its matrix products.

/// Layer normalisation (Ba et al. 2016): mean 0, variance 1, then scaled and shifted in each dimension.
pub(super) struct Norm {
    /// The factor of each dimension.
    pub scale: Vec<f32>,
    /// What is added in each dimension.
    pub shift: Vec<f32>,
    /// What keeps it from dividing by zero.
    pub epsilon: f32,
}

impl Norm {
    /// Normalises a row as wide as `scale` and `shift`.
    pub(super) fn apply(&self, row: &mut [f32]) {
        let count = row.len() as f32;
        let mean = row.iter().sum::<f32>() / count;
        row.iter_mut().for_each(|value| *value -= mean);
        let variance = row.iter().map(|value| value * value).sum::<f32>() / count;
        let factor = (variance + self.epsilon).sqrt().recip();
        for ((value, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
            *value = *value * factor * scale + shift;
        }
    }
}

/// Adds a row to another of its width.
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Makes weights of a row: positive, their sum 1.
pub(super) fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum = row.iter().sum::<f32>();
    row.iter_mut().for_each(|value| *value /= sum);
}

/// x·Φ(x), the exact form with erf (Hendrycks and Gimpel 2016, section 2).
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function to the precision of `f32`, without a branch, so that the compiler can do many at once: the
/// rational approximation of Eigen and XLA, an odd polynomial of degree 13 over an even one of degree 8, within ±4.
fn erf(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.726_142e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_3e-4,
        -2.954_600_1e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_4e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let above = ABOVE.iter().fold(0.0, |sum, factor| sum * square + factor);
    let below = BELOW.iter().fold(0.0, |sum, factor| sum * square + factor);
    x * above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its Taylor series, good to 1e-9 within ±4.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_is_exact_to_single_precision() {
        for step in -4000..=4000 {
            let x = f64::from(step) / 1000.0;
            assert!((f64::from(erf(x as f32)) - series(x)).abs() < 5e-7, "{x}: {} {}", erf(x as f32), series(x));
        }
        assert!((erf(30.0) - 1.0).abs() < 1e-6 && (erf(-30.0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn rows_are_normalised() {
        let norm = Norm { scale: vec![2.0; 4], shift: vec![1.0; 4], epsilon: 1e-12 };
        let mut row = [1.0, 2.0, 3.0, 4.0];
        norm.apply(&mut row);
        assert!((row.iter().sum::<f32>() / 4.0 - 1.0).abs() < 1e-6, "{row:?}");
        let mut row = [1000.0, 1001.0, f32::NEG_INFINITY];
        softmax(&mut row);
        assert!((row[1] - 0.731_058_6).abs() < 1e-6 && row[2] == 0.0, "{row:?}");
    }
}
