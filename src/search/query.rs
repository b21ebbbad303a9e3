//! What is searched for, and what is answered.

use std::sync::Arc;

use crate::domain::{
    ChunkHit, EntityRef, EntityType, Filter, Model, ModelId, Provenance, Revision, SourceField, Vector,
};
use crate::store::StoredContent;

/// What results should be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// An entity that has an embedding. It is left out of the results.
    Entity {
        /// The entity.
        entity: EntityRef,
        /// Which of its texts; `content` or the only one where `None`.
        source_field: Option<SourceField>,
    },
    /// A text, embedded as a query.
    Text(String),
    /// A ready vector.
    Vector(Vector),
}

/// One entity type to look among, with a limit of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The type.
    pub entity_type: EntityType,
    /// The most entities of it.
    pub limit: usize,
}

/// Entities like a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarQuery {
    /// Like what.
    pub subject: Subject,
    /// The model; the organization's active one where `None`.
    pub model: Option<ModelId>,
    /// Where to look; one list over all types where empty.
    pub targets: Vec<Target>,
    /// The most entities, where there are no targets.
    pub limit: usize,
    /// Least cosine similarity.
    pub threshold: Option<f32>,
    /// What results must meet.
    pub filter: Filter,
    /// The answer is as of this revision or a later one.
    pub min_revision: Revision,
    /// Whether to read what is kept beside the vectors.
    pub with_content: bool,
}

/// Chunks or entities near a text or vector.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    /// Near what; never an entity.
    pub subject: Subject,
    /// The model; the organization's active one where `None`.
    pub model: Option<ModelId>,
    /// The most results.
    pub limit: usize,
    /// Least cosine similarity.
    pub threshold: Option<f32>,
    /// What results must meet.
    pub filter: Filter,
    /// The answer is as of this revision or a later one.
    pub min_revision: Revision,
    /// Whether to read what is kept beside the vectors.
    pub with_content: bool,
    /// Whether an entity may appear with several chunks.
    pub every_chunk: bool,
}

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// What was found.
    pub chunk: ChunkHit,
    /// What is kept beside its vector, where asked for.
    pub content: Option<StoredContent>,
}

/// The results.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Who answered, as of when.
    pub provenance: Provenance,
    /// By which model.
    pub model: Arc<Model>,
}
