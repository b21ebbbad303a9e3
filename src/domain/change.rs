//! Rows of the change log.

use super::{EmbeddingKey, Revision};

/// What happened to an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A version became current.
    Put,
    /// It was deleted.
    Removed,
}

/// One row of `embedding_changes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The revision it came with.
    pub revision: Revision,
    /// Which embedding.
    pub key: EmbeddingKey,
    /// The version that became current (a tombstone where it was removed).
    pub version: i32,
    /// What happened.
    pub kind: ChangeKind,
}
