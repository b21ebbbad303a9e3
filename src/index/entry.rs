//! What goes into a partition.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::{
    ChunkHit, EmbeddingId, EntityRef, EntityType, Entry, ModelId, OrganizationId, SourceField, Vector,
};

/// Names a partition. A tenant's rights are the choice of its partition; no filter separates tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The tenant.
    pub organization: OrganizationId,
    /// The model that made every vector in it.
    pub model: ModelId,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.organization, self.model)
    }
}

/// An [`Entry`] without its vector, which lies in the segment's matrix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: EmbeddingId,
    pub(super) entity: EntityRef,
    pub(super) source_field: SourceField,
    pub(super) version: i32,
    pub(super) chunk_index: i32,
    pub(super) labels: Arc<Labels>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
}

/// What a row can be filtered by that many rows have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Labels {
    pub(super) tags: Vec<String>,
    pub(super) platform: String,
    pub(super) status: String,
}

/// Values that are kept once, however many rows have them.
#[derive(Default)]
pub(super) struct Shared {
    entity_types: HashSet<EntityType>,
    source_fields: HashSet<SourceField>,
    labels: HashSet<Arc<Labels>>,
}

impl Shared {
    /// The row, with what equals an earlier row's held in common with it.
    pub(super) fn row(&mut self, mut row: Row) -> Row {
        share(&mut self.entity_types, &mut row.entity.entity_type);
        share(&mut self.source_fields, &mut row.source_field);
        share(&mut self.labels, &mut row.labels);
        row
    }

    /// Bytes that all of it takes.
    pub(super) fn bytes(&self) -> usize {
        let names =
            self.entity_types.iter().map(EntityType::as_str).chain(self.source_fields.iter().map(SourceField::as_str));
        names.map(str::len).sum::<usize>() + self.labels.iter().map(|labels| labels.bytes()).sum::<usize>()
    }
}

fn share<T: Clone + Eq + Hash>(known: &mut HashSet<T>, value: &mut T) {
    match known.get(value) {
        Some(kept) => *value = kept.clone(),
        None => _ = known.insert(value.clone()),
    }
}

impl Labels {
    fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| size_of::<String>() + tag.len()).sum();
        size_of::<Self>() + tags + self.platform.len() + self.status.len()
    }
}

impl Row {
    /// The order of rows in a segment: an entity's rows lie together, and among equal scores it is the order of answers
    /// ([`ChunkHit::better_first`]).
    pub(super) fn order(&self, other: &Self) -> Ordering {
        order_of_entities(&self.entity, &other.entity).then_with(|| self.id.cmp(&other.id))
    }

    pub(super) fn hit(&self, score: f32) -> ChunkHit {
        ChunkHit {
            id: self.id,
            entity: self.entity.clone(),
            source_field: self.source_field.clone(),
            version: self.version,
            chunk_index: self.chunk_index,
            score,
        }
    }

    /// The entry it came from.
    pub(super) fn with_vector(&self, vector: Vector) -> Entry {
        let Self { id, entity, source_field, version, chunk_index, labels, occurred_at } = self.clone();
        let Labels { tags, platform, status } = Arc::unwrap_or_clone(labels);
        Entry { id, entity, source_field, version, chunk_index, tags, platform, status, occurred_at, vector }
    }
}

impl Entry {
    /// Parts the row from its vector.
    pub(super) fn split(self) -> (Row, Vector) {
        let Self { id, entity, source_field, version, chunk_index, tags, platform, status, occurred_at, vector } = self;
        let labels = Arc::new(Labels { tags, platform, status });
        (Row { id, entity, source_field, version, chunk_index, labels, occurred_at }, vector)
    }
}

/// By id, then by type.
pub(super) fn order_of_entities(left: &EntityRef, right: &EntityRef) -> Ordering {
    left.id.cmp(&right.id).then_with(|| left.entity_type.cmp(&right.entity_type))
}
