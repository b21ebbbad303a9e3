//! Candidates as they are answered and written down.

use serde::{Deserialize, Serialize};

use crate::domain::{EmbeddingId, EntityRef, SourceField};
use crate::ranking::DropReason;

/// A candidate, packed or dropped: the form in which it is kept in `ai_context_logs.items`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextItem {
    /// Its number in the packed text, from 1; `None` where it was dropped.
    pub citation: Option<usize>,
    /// The row of its chunk.
    pub embedding_id: EmbeddingId,
    /// Its entity.
    pub entity: EntityRef,
    /// Which of the entity's texts.
    pub source_field: SourceField,
    /// Its place in the version.
    pub chunk_index: i32,
    /// Its version.
    pub version: i32,
    /// Cosine similarity.
    pub score: f32,
    /// Tokens in the packed text, fence included; 0 where it was dropped.
    pub tokens: usize,
    /// Its text; empty where it was dropped.
    pub text: String,
    /// Why it was dropped.
    pub dropped: Option<DropReason>,
}
