//! Vectors that are safe to index.

use super::Invalid;

/// The most dimensions a vector may have: pgvector indexes up to 2,000 as `vector` and up to 4,000 as `halfvec`.
pub const MAX_DIMENSIONS: usize = 4_000;

/// A vector that may be stored and compared: at least one dimension, every component finite, not all zero.
///
/// (hnsw_rs's cosine puts NaN and zero vectors at distance 0 of everything, so they are refused at every door.)
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(Vec<f32>);

impl Vector {
    /// Checks components that came from a caller, a model or the database.
    ///
    /// # Errors
    /// Names `vector` where it is empty, longer than [`MAX_DIMENSIONS`], not finite, or of length zero.
    pub fn new(components: Vec<f32>) -> Result<Self, Invalid> {
        let refuse = |reason: String| Err(Invalid::new("vector", reason));
        if components.is_empty() || components.len() > MAX_DIMENSIONS {
            return refuse(format!("has {} dimensions; 1 to {MAX_DIMENSIONS} are allowed", components.len()));
        }
        if let Some(at) = components.iter().position(|component| !component.is_finite()) {
            return refuse(format!("component {at} is {}; every component must be a finite number", components[at]));
        }
        let squared = squared_norm(&components);
        if squared == 0.0 || !squared.is_finite() {
            return refuse(
                "has no usable length (all zero, or too small or too large to square); \
                 a vector without a direction has no similarity, so leave the item out"
                    .to_owned(),
            );
        }
        Ok(Self(components))
    }

    /// The same, for a model of `dimensions`.
    ///
    /// # Errors
    /// As [`Vector::new`], and where the number of dimensions is another one.
    pub fn for_dimensions(components: Vec<f32>, dimensions: usize) -> Result<Self, Invalid> {
        let vector = Self::new(components)?;
        vector.require_dimensions(dimensions)?;
        Ok(vector)
    }

    /// Refuses a vector of another width than the model's.
    pub fn require_dimensions(&self, dimensions: usize) -> Result<(), Invalid> {
        if self.0.len() == dimensions {
            return Ok(());
        }
        Err(Invalid::new(
            "vector",
            format!(
                "has {} dimensions but the model makes {dimensions}; embed with the model that is named",
                self.0.len()
            ),
        ))
    }

    /// The vector at unit length, so that a dot product is the cosine.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        let norm = squared_norm(&self.0).sqrt();
        for component in &mut self.0 {
            *component = (f64::from(*component) / norm) as f32;
        }
        self
    }

    /// How many dimensions it has.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The components, given away.
    pub fn into_inner(self) -> Vec<f32> {
        self.0
    }
}

fn squared_norm(components: &[f32]) -> f64 {
    components.iter().map(|component| f64::from(*component) * f64::from(*component)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn useless_vectors_are_refused_with_the_reason() {
        for (components, reason) in [
            (vec![], "0 dimensions"),
            (vec![0.0; MAX_DIMENSIONS + 1], "4001 dimensions"),
            (vec![1.0, f32::NAN], "component 1 is NaN"),
            (vec![f32::INFINITY], "component 0 is inf"),
            (vec![0.0, -0.0], "no usable length"),
        ] {
            let error = Vector::new(components).expect_err(reason);
            assert!(error.reason.contains(reason), "{error}");
        }
        assert!(Vector::for_dimensions(vec![1.0; 3], 4).expect_err("width").reason.contains("3 dimensions"));
    }

    proptest::proptest! {
        #[test]
        fn normalising_makes_unit_length(components in proptest::collection::vec(-1e6f32..1e6, 1..64)) {
            if let Ok(vector) = Vector::new(components) {
                let unit = vector.normalized();
                proptest::prop_assert!((squared_norm(unit.as_slice()) - 1.0).abs() < 1e-5);
            }
        }
    }
}
