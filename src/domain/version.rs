//! Versions: a linear history per embedding key.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Attributes, EmbeddingId, EmbeddingKey, Revision, Vector};

/// One row of `embedding_versions`.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionInfo {
    /// Of what.
    pub key: EmbeddingKey,
    /// Its row's id.
    pub id: Uuid,
    /// 1, 2, 3, … without gaps.
    pub version: i32,
    /// The revision that made it.
    pub revision: Revision,
    /// The revision that replaced it; `None` while it is current.
    pub superseded_revision: Option<Revision>,
    /// The version whose vectors were made current again, where this one came from an activation.
    pub activated_from: Option<i32>,
    /// Digest of the texts and given vectors.
    pub content_hash: [u8; 32],
    /// Digest of metadata, tags, platform, status, language and time.
    pub attributes_hash: [u8; 32],
    /// Whether it is a tombstone, or its chunks were deleted.
    pub deleted: bool,
    /// The caller's key for the request that made it.
    pub idempotency_key: Option<String>,
    /// How many chunks it has.
    pub chunk_count: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// One row of `embeddings`: one chunk of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Its row's id.
    pub id: EmbeddingId,
    /// Place in its version, from 0.
    pub index: i32,
    /// The text; empty where only a vector was given.
    pub content: String,
    /// Tokens as the model counts them.
    pub token_count: i32,
    /// ISO 639-1 code, or empty.
    pub language: String,
    /// The vector.
    pub vector: Vector,
}

/// A version with everything it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its row.
    pub info: VersionInfo,
    /// What is kept beside the vectors.
    pub attributes: Attributes,
    /// Its chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// What became of one draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is version 1, or the first one.
    Created {
        /// The version.
        version: i32,
        /// Its revision.
        revision: Revision,
    },
    /// It replaced an older version.
    NewVersion {
        /// The version.
        version: i32,
        /// Its revision.
        revision: Revision,
    },
    /// All was equal to the current version: nothing was embedded, nothing written.
    Unchanged {
        /// The current version.
        version: i32,
        /// Its revision.
        revision: Revision,
    },
    /// The current version is not the one the caller expected.
    Conflict {
        /// The current version; 0 for none.
        version: i32,
        /// What to do.
        reason: String,
    },
}
