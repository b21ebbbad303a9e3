//! What a search found.

use super::{EmbeddingId, EntityRef, Revision, SourceField};

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServedBy {
    /// The mirror, by an exact scan.
    MirrorExact,
    /// The mirror, by its HNSW graph.
    MirrorHnsw,
    /// Postgres.
    Postgres,
}

/// Who answered, and as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// Who.
    pub served_by: ServedBy,
    /// As of which revision.
    pub revision: Revision,
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkHit {
    /// Its row.
    pub id: EmbeddingId,
    /// Its entity.
    pub entity: EntityRef,
    /// Which text of the entity.
    pub source_field: SourceField,
    /// Its version.
    pub version: i32,
    /// Its place in the version.
    pub chunk_index: i32,
    /// Cosine similarity, -1 to 1.
    pub score: f32,
}

impl ChunkHit {
    /// The order of answers: by descending score, ties by entity, then by row.
    pub fn better_first(&self, other: &Self) -> std::cmp::Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| self.entity.id.cmp(&other.entity.id))
            .then_with(|| self.entity.entity_type.cmp(&other.entity.entity_type))
            .then_with(|| self.id.cmp(&other.id))
    }
}
