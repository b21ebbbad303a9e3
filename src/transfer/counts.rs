//! Rows, counted by what became of them.

use serde::{Deserialize, Serialize};

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// First versions.
    pub created: u64,
    /// Further versions.
    pub new_versions: u64,
    /// Rows that were there already: nothing was written.
    pub unchanged: u64,
    /// Rows that were refused and told in the file of refusals.
    pub refused: u64,
}

impl Counts {
    /// All of them.
    pub fn rows(&self) -> u64 {
        self.created + self.new_versions + self.unchanged + self.refused
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.new_versions += other.new_versions;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
    }
}
