//! Current chunks on their way from the table to the index.

use chrono::{DateTime, Utc};

use super::{EmbeddingId, EntityRef, SourceField, Vector};

/// One current chunk, as the mirror hands it from the table to the index.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its row in the database.
    pub id: EmbeddingId,
    /// Its entity.
    pub entity: EntityRef,
    /// Which text of the entity.
    pub source_field: SourceField,
    /// The version that is current.
    pub version: i32,
    /// Its place in the version, from 0.
    pub chunk_index: i32,
    /// Its tags.
    pub tags: Vec<String>,
    /// `instagram`, …; empty where it has none.
    pub platform: String,
    /// `draft`, `published`, …; empty where it has none.
    pub status: String,
    /// When the thing happened.
    pub occurred_at: Option<DateTime<Utc>>,
    /// Its vector, of the model's width; brought to unit length by the index where it is not.
    pub vector: Vector,
}

/// What a change does to a partition: everything at (entity, source field) goes, `entries` come.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The entity.
    pub entity: EntityRef,
    /// Which of its texts.
    pub source_field: SourceField,
    /// The chunks of the version that became current; empty for a delete.
    pub entries: Vec<Entry>,
}
