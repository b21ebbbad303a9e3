//! `embeddings`: the chunks of every version, with their vectors.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{Stream, StreamExt, TryStreamExt};
use serde_json::Value;
use uuid::Uuid;

use super::error::ensure_rows;
use super::versions::key_of;
use super::{StoreError, TenantTransaction};
use crate::domain::{
    Attributes, Chunk, EmbeddingId, EmbeddingKey, EntityRef, Entry, ModelId, Revision, SourceField, Vector,
};

/// Whether rows arrive outside their model's HNSW index or in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// Durable and visible at once; maintenance brings them into the index later. The usual way.
    #[default]
    Unsettled,
    /// In the index at once. For a bulk load while there is none: it is built over all rows afterwards, and none of them
    /// need be written a second time. While there is one, each row would wait for its insertion there.
    Settled,
}

/// A chunk to be written.
#[derive(Debug, Clone)]
pub struct NewChunk<'a> {
    /// Of which line.
    pub key: &'a EmbeddingKey,
    /// Of which version.
    pub version: i32,
    /// What is kept beside the vector.
    pub attributes: &'a Attributes,
    /// The chunk; its language stands in the row.
    pub chunk: &'a Chunk,
}

/// What is kept beside a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredContent {
    /// The text.
    pub content: String,
    /// ISO 639-1 code, or empty.
    pub language: String,
    /// The attributes.
    pub attributes: Attributes,
}

/// A time as the database keeps it: in whole microseconds, counted from the year 2000 and cut off towards it, as sqlx does.
pub fn kept_time(time: DateTime<Utc>) -> DateTime<Utc> {
    const EPOCH: DateTime<Utc> = DateTime::from_timestamp_nanos(946_684_800_000_000_000);
    let since = (time - EPOCH).num_microseconds();
    since.map_or(time, |microseconds| EPOCH + TimeDelta::microseconds(microseconds))
}

pub(super) fn vector_of(id: Uuid, vector: pgvector::Vector) -> Result<Vector, StoreError> {
    Vector::new(vector.into()).map_err(|error| StoreError::BadRow {
        table: "embeddings",
        column: "vector_data",
        row: id.to_string(),
        reason: error.reason,
    })
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}

impl TenantTransaction {
    /// Writes chunks: durable and visible with the commit, in the HNSW index or outside it as `arrival` says.
    pub async fn insert_chunks(
        &mut self,
        chunks: &[NewChunk<'_>],
        revision: Revision,
        arrival: Arrival,
    ) -> Result<(), StoreError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let organization = self.organization().0;
        let column = |get: fn(&NewChunk<'_>) -> String| chunks.iter().map(get).collect::<Vec<String>>();
        let ids: Vec<Uuid> = chunks.iter().map(|new| new.chunk.id.0).collect();
        let entity_ids: Vec<Uuid> = chunks.iter().map(|new| new.key.entity.id).collect();
        let indexes: Vec<i32> = chunks.iter().map(|new| new.chunk.index).collect();
        let versions: Vec<i32> = chunks.iter().map(|new| new.version).collect();
        let tokens: Vec<i32> = chunks.iter().map(|new| new.chunk.token_count).collect();
        let vectors: Vec<pgvector::Vector> =
            chunks.iter().map(|new| pgvector::Vector::from(new.chunk.vector.as_slice().to_vec())).collect();
        let times: Vec<Option<DateTime<Utc>>> = chunks.iter().map(|new| new.attributes.occurred_at).collect();
        let tags: Vec<Value> = chunks.iter().map(|new| Value::from(new.attributes.tags.clone())).collect();
        let metadata: Vec<Value> = chunks.iter().map(|new| Value::Object(new.attributes.metadata.clone())).collect();
        let done = sqlx::query!(
            "INSERT INTO embeddings
                 (organization_id, revision, settled, id, entity_type, entity_id, source_field, chunk_index,
                  model_version, version, vector_data, content, token_count, language, tags, platform, status,
                  occurred_at, metadata)
             SELECT $1, $2, $19, c.id, c.entity_type, c.entity_id, c.source_field, c.chunk_index, c.model_version,
                    c.version, c.vector_data, c.content, c.token_count, c.language,
                    array(SELECT jsonb_array_elements_text(c.tags)), c.platform, c.status, c.occurred_at, c.metadata
             FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::int[], $8::text[], $9::int[],
                         $10::vector[], $11::text[], $12::int[], $13::text[], $14::jsonb[], $15::text[], $16::text[],
                         $17::timestamptz[], $18::jsonb[])
                  AS c (id, entity_type, entity_id, source_field, chunk_index, model_version, version,
                        vector_data, content, token_count, language, tags, platform, status, occurred_at, metadata)",
            organization,
            revision.0,
            &ids,
            &column(|new| new.key.entity.entity_type.to_string()),
            &entity_ids,
            &column(|new| new.key.source_field.to_string()),
            &indexes,
            &column(|new| new.key.model.to_string()),
            &versions,
            &vectors as &[pgvector::Vector],
            &column(|new| new.chunk.content.clone()),
            &tokens,
            &column(|new| new.chunk.language.clone()),
            &tags,
            &column(|new| new.attributes.platform.clone()),
            &column(|new| new.attributes.status.clone()),
            &times as &[Option<DateTime<Utc>>],
            &metadata,
            arrival == Arrival::Settled
        )
        .execute(self.connection())
        .await?;
        ensure_rows("insert_chunks", done.rows_affected(), chunks.len() as u64)
    }

    /// The chunks of one version, in order, with the attributes they share.
    pub async fn chunks_of(
        &mut self,
        key: &EmbeddingKey,
        version: i32,
    ) -> Result<Option<(Attributes, Vec<Chunk>)>, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            r#"SELECT id, chunk_index, vector_data AS "vector: pgvector::Vector", content, token_count, language, tags,
                    platform, status, occurred_at, metadata
             FROM embeddings
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3 AND source_field = $4
               AND model_version = $5 AND version = $6
             ORDER BY chunk_index"#,
            organization,
            key.entity.entity_type.as_str(),
            key.entity.id,
            key.source_field.as_str(),
            key.model.as_str(),
            version
        )
        .fetch_all(self.connection())
        .await?;
        let mut attributes = None;
        let mut chunks = Vec::with_capacity(rows.len());
        for row in rows {
            chunks.push(Chunk {
                id: EmbeddingId(row.id),
                index: row.chunk_index,
                content: row.content,
                token_count: row.token_count,
                language: row.language,
                vector: vector_of(row.id, row.vector)?,
            });
            attributes.get_or_insert(Attributes {
                metadata: object(row.metadata),
                tags: row.tags,
                platform: row.platform,
                status: row.status,
                language: None,
                occurred_at: row.occurred_at,
            });
        }
        Ok(attributes.map(|attributes| (attributes, chunks)))
    }

    /// What is kept beside some vectors, by row; rows that are gone are missing.
    pub async fn contents(&mut self, ids: &[EmbeddingId]) -> Result<HashMap<EmbeddingId, StoredContent>, StoreError> {
        let organization = self.organization().0;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query!(
            "SELECT id, content, language, tags, platform, status, occurred_at, metadata
             FROM embeddings WHERE organization_id = $1 AND id = ANY($2)",
            organization,
            &ids
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let attributes = Attributes {
                    metadata: object(row.metadata),
                    tags: row.tags,
                    platform: row.platform,
                    status: row.status,
                    language: None,
                    occurred_at: row.occurred_at,
                };
                (EmbeddingId(row.id), StoredContent { content: row.content, language: row.language, attributes })
            })
            .collect())
    }

    /// The current vectors of an entity by one model: source field, chunk index, vector.
    pub async fn entity_vectors(
        &mut self,
        entity: &EntityRef,
        model: &ModelId,
    ) -> Result<Vec<(SourceField, i32, Vector)>, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            r#"SELECT id, source_field, chunk_index, vector_data AS "vector: pgvector::Vector" FROM embeddings
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3 AND model_version = $4
               AND superseded_revision IS NULL
             ORDER BY source_field, chunk_index"#,
            organization,
            entity.entity_type.as_str(),
            entity.id,
            model.as_str()
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| {
                let key = key_of(entity.entity_type.to_string(), entity.id, row.source_field, model.to_string())?;
                Ok((key.source_field, row.chunk_index, vector_of(row.id, row.vector)?))
            })
            .collect()
    }

    /// Every current chunk of a model, as a stream: what a partition is loaded from. A row that cannot be read is given
    /// as its error, so that one damaged row costs one row.
    pub fn current_entries<'a>(
        &'a mut self,
        model: &'a ModelId,
    ) -> impl Stream<Item = Result<Entry, StoreError>> + Send + 'a {
        let organization = self.organization().0;
        sqlx::query!(
            r#"SELECT id, entity_type, entity_id, source_field, version, chunk_index, tags, platform, status, occurred_at,
                    vector_data AS "vector: pgvector::Vector"
             FROM embeddings
             WHERE organization_id = $1 AND model_version = $2 AND superseded_revision IS NULL"#,
            organization,
            model.as_str()
        )
        .fetch(self.connection())
        .map_err(StoreError::from)
        .map(move |row| {
            let row = row?;
            let key = key_of(row.entity_type, row.entity_id, row.source_field, model.to_string())?;
            Ok(Entry {
                id: EmbeddingId(row.id),
                entity: key.entity,
                source_field: key.source_field,
                version: row.version,
                chunk_index: row.chunk_index,
                tags: row.tags,
                platform: row.platform,
                status: row.status,
                occurred_at: row.occurred_at,
                vector: vector_of(row.id, row.vector)?,
            })
        })
    }
}
