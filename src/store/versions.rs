//! `embedding_versions`: the linear history of every line.

use std::collections::HashMap;

use uuid::Uuid;

use super::error::ensure_rows;
use super::{StoreError, TenantTransaction};
use crate::domain::{EmbeddingKey, EntityRef, ModelId, Revision, SourceField, VersionInfo};

/// What must be known of a line's current version to decide what a draft means.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Its number.
    pub version: i32,
    /// The revision that made it.
    pub revision: Revision,
    /// Digest of texts and given vectors.
    pub content_hash: [u8; 32],
    /// Digest of the attributes.
    pub attributes_hash: [u8; 32],
    /// Whether it is a tombstone.
    pub deleted: bool,
}

/// A version to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// Of what.
    pub key: EmbeddingKey,
    /// Its row's id.
    pub id: Uuid,
    /// The head's number plus one.
    pub version: i32,
    /// The version whose vectors it takes, where it comes from an activation.
    pub activated_from: Option<i32>,
    /// Digest of texts and given vectors.
    pub content_hash: [u8; 32],
    /// Digest of the attributes.
    pub attributes_hash: [u8; 32],
    /// The caller's key for the request.
    pub idempotency_key: Option<String>,
    /// How many chunks it has.
    pub chunk_count: i32,
    /// Whether it is a tombstone.
    pub deleted: bool,
}

/// Keys as columns, for `unnest`.
struct Lines<'a> {
    entity_types: Vec<&'a str>,
    entity_ids: Vec<Uuid>,
    source_fields: Vec<&'a str>,
    models: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    fn of(keys: impl Iterator<Item = &'a EmbeddingKey>) -> Self {
        let mut lines = Self { entity_types: vec![], entity_ids: vec![], source_fields: vec![], models: vec![] };
        for key in keys {
            lines.entity_types.push(key.entity.entity_type.as_str());
            lines.entity_ids.push(key.entity.id);
            lines.source_fields.push(key.source_field.as_str());
            lines.models.push(key.model.as_str());
        }
        lines
    }
}

fn damaged(column: &'static str, row: impl ToString, reason: impl ToString) -> StoreError {
    StoreError::BadRow { table: "embedding_versions", column, row: row.to_string(), reason: reason.to_string() }
}

fn digest(column: &'static str, row: impl ToString, bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| damaged(column, row, "it has not 32 bytes"))
}

/// Puts a key together from columns.
pub(super) fn key_of(
    entity_type: String,
    entity_id: Uuid,
    source_field: String,
    model: String,
) -> Result<EmbeddingKey, StoreError> {
    let bad = |column| move |error: crate::domain::Invalid| damaged(column, entity_id, error.reason);
    Ok(EmbeddingKey {
        entity: EntityRef { entity_type: entity_type.try_into().map_err(bad("entity_type"))?, id: entity_id },
        source_field: SourceField::try_from(source_field).map_err(bad("source_field"))?,
        model: ModelId::try_from(model).map_err(bad("model_version"))?,
    })
}

impl TenantTransaction {
    /// The current versions of some lines; a line that was never written is missing.
    pub async fn heads(&mut self, keys: &[EmbeddingKey]) -> Result<HashMap<EmbeddingKey, Head>, StoreError> {
        let organization = self.organization().0;
        let lines = Lines::of(keys.iter());
        let rows = sqlx::query!(
            "SELECT v.entity_type, v.entity_id, v.source_field, v.model_version, v.version, v.revision,
                    v.content_hash, v.attributes_hash, v.deleted
             FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[])
                  AS k (entity_type, entity_id, source_field, model_version)
             CROSS JOIN LATERAL (
                 SELECT * FROM embedding_versions v
                 WHERE v.organization_id = $1 AND v.entity_type = k.entity_type AND v.entity_id = k.entity_id
                   AND v.source_field = k.source_field AND v.model_version = k.model_version
                   AND v.superseded_revision IS NULL OFFSET 0) AS v",
            organization,
            &lines.entity_types as &[&str],
            &lines.entity_ids,
            &lines.source_fields as &[&str],
            &lines.models as &[&str],
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| {
                let head = Head {
                    version: row.version,
                    revision: Revision(row.revision),
                    content_hash: digest("content_hash", row.entity_id, row.content_hash)?,
                    attributes_hash: digest("attributes_hash", row.entity_id, row.attributes_hash)?,
                    deleted: row.deleted,
                };
                Ok((key_of(row.entity_type, row.entity_id, row.source_field, row.model_version)?, head))
            })
            .collect()
    }

    /// The versions that earlier requests with these idempotency keys made.
    pub async fn heads_by_idempotency(
        &mut self,
        requests: &[(EmbeddingKey, String)],
    ) -> Result<HashMap<(EmbeddingKey, String), Head>, StoreError> {
        if requests.is_empty() {
            return Ok(HashMap::new());
        }
        let organization = self.organization().0;
        let lines = Lines::of(requests.iter().map(|(key, _)| key));
        let wanted: Vec<&str> = requests.iter().map(|(_, wanted)| wanted.as_str()).collect();
        let rows = sqlx::query!(
            r#"SELECT v.entity_type, v.entity_id, v.source_field, v.model_version, v.version, v.revision,
                    v.content_hash, v.attributes_hash, v.deleted, v.idempotency_key AS "idempotency_key!"
             FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[])
                  AS k (entity_type, entity_id, source_field, model_version, idempotency_key)
             CROSS JOIN LATERAL (
                 SELECT * FROM embedding_versions v
                 WHERE v.organization_id = $1 AND v.entity_type = k.entity_type AND v.entity_id = k.entity_id
                   AND v.source_field = k.source_field AND v.model_version = k.model_version
                   AND v.idempotency_key = k.idempotency_key OFFSET 0) AS v"#,
            organization,
            &lines.entity_types as &[&str],
            &lines.entity_ids,
            &lines.source_fields as &[&str],
            &lines.models as &[&str],
            &wanted as &[&str],
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| {
                let head = Head {
                    version: row.version,
                    revision: Revision(row.revision),
                    content_hash: digest("content_hash", row.entity_id, row.content_hash)?,
                    attributes_hash: digest("attributes_hash", row.entity_id, row.attributes_hash)?,
                    deleted: row.deleted,
                };
                let key = key_of(row.entity_type, row.entity_id, row.source_field, row.model_version)?;
                Ok(((key, row.idempotency_key), head))
            })
            .collect()
    }

    /// The lines of an entity that have a current version which is no tombstone.
    pub async fn live_lines(
        &mut self,
        entity: &EntityRef,
        source_field: Option<&SourceField>,
        model: Option<&ModelId>,
    ) -> Result<Vec<EmbeddingKey>, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            "SELECT source_field, model_version FROM embedding_versions
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3
               AND superseded_revision IS NULL AND NOT deleted
               AND ($4::text IS NULL OR source_field = $4) AND ($5::text IS NULL OR model_version = $5)
             ORDER BY source_field, model_version",
            organization,
            entity.entity_type.as_str(),
            entity.id,
            source_field.map(SourceField::as_str),
            model.map(ModelId::as_str)
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| key_of(entity.entity_type.to_string(), entity.id, row.source_field, row.model_version))
            .collect()
    }

    /// Closes the current versions of some lines, and their chunks in the same statement.
    pub async fn close_versions(&mut self, keys: &[EmbeddingKey], at: Revision) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let organization = self.organization().0;
        let lines = Lines::of(keys.iter());
        let closed = sqlx::query_scalar!(
            r#"WITH closed AS (
                 UPDATE embedding_versions v SET superseded_revision = $6
                 WHERE v.organization_id = $1 AND v.superseded_revision IS NULL AND v.id = ANY (ARRAY(
                     SELECT c.id
                     FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[])
                          AS k (entity_type, entity_id, source_field, model_version)
                     CROSS JOIN LATERAL (
                         SELECT c.id FROM embedding_versions c
                         WHERE c.organization_id = $1 AND c.entity_type = k.entity_type AND c.entity_id = k.entity_id
                           AND c.source_field = k.source_field AND c.model_version = k.model_version
                           AND c.superseded_revision IS NULL OFFSET 0) AS c))
                 RETURNING v.entity_type, v.entity_id, v.source_field, v.model_version, v.version
             ), chunks AS (
                 UPDATE embeddings e SET superseded_revision = $6
                 WHERE e.organization_id = $1 AND e.id = ANY (ARRAY(
                     SELECT o.id FROM closed c
                     CROSS JOIN LATERAL (
                         SELECT o.id FROM embeddings o
                         WHERE o.organization_id = $1 AND o.entity_type = c.entity_type AND o.entity_id = c.entity_id
                           AND o.source_field = c.source_field AND o.model_version = c.model_version
                           AND o.version = c.version OFFSET 0) AS o))
                 RETURNING 1 AS one
             )
             SELECT (SELECT count(*) FROM closed) + 0 * (SELECT count(*) FROM chunks) AS "closed!""#,
            organization,
            &lines.entity_types as &[&str],
            &lines.entity_ids,
            &lines.source_fields as &[&str],
            &lines.models as &[&str],
            at.0
        )
        .fetch_one(self.connection())
        .await?;
        ensure_rows("close_versions", closed as u64, keys.len() as u64)
    }

    /// Writes new current versions; their predecessors must be closed already.
    pub async fn insert_versions(&mut self, versions: &[NewVersion], revision: Revision) -> Result<(), StoreError> {
        let organization = self.organization().0;
        let lines = Lines::of(versions.iter().map(|version| &version.key));
        let ids: Vec<Uuid> = versions.iter().map(|version| version.id).collect();
        let numbers: Vec<i32> = versions.iter().map(|version| version.version).collect();
        let activated: Vec<Option<i32>> = versions.iter().map(|version| version.activated_from).collect();
        let content: Vec<&[u8]> = versions.iter().map(|version| version.content_hash.as_slice()).collect();
        let attributes: Vec<&[u8]> = versions.iter().map(|version| version.attributes_hash.as_slice()).collect();
        let keys: Vec<Option<&str>> = versions.iter().map(|version| version.idempotency_key.as_deref()).collect();
        let counts: Vec<i32> = versions.iter().map(|version| version.chunk_count).collect();
        let deleted: Vec<bool> = versions.iter().map(|version| version.deleted).collect();
        let done = sqlx::query!(
            "INSERT INTO embedding_versions
                 (organization_id, revision, entity_type, entity_id, source_field, model_version, id, version,
                  activated_from, content_hash, attributes_hash, idempotency_key, chunk_count, deleted)
             SELECT $1, $2, * FROM unnest($3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::int[],
                                          $9::int[], $10::bytea[], $11::bytea[], $12::text[], $13::int[], $14::bool[])",
            organization,
            revision.0,
            &lines.entity_types as &[&str],
            &lines.entity_ids,
            &lines.source_fields as &[&str],
            &lines.models as &[&str],
            &ids,
            &numbers,
            &activated as &[Option<i32>],
            &content as &[&[u8]],
            &attributes as &[&[u8]],
            &keys as &[Option<&str>],
            &counts,
            &deleted
        )
        .execute(self.connection())
        .await?;
        ensure_rows("insert_versions", done.rows_affected(), versions.len() as u64)
    }

    /// Marks an older version as deleted and removes its chunks; tells whether it was there.
    pub async fn purge_version(&mut self, key: &EmbeddingKey, version: i32) -> Result<bool, StoreError> {
        let organization = self.organization().0;
        let marked = sqlx::query!(
            "UPDATE embedding_versions SET deleted = true, chunk_count = 0
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3 AND source_field = $4
               AND model_version = $5 AND version = $6 AND superseded_revision IS NOT NULL AND NOT deleted",
            organization,
            key.entity.entity_type.as_str(),
            key.entity.id,
            key.source_field.as_str(),
            key.model.as_str(),
            version
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "DELETE FROM embeddings
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3 AND source_field = $4
               AND model_version = $5 AND version = $6 AND superseded_revision IS NOT NULL",
            organization,
            key.entity.entity_type.as_str(),
            key.entity.id,
            key.source_field.as_str(),
            key.model.as_str(),
            version
        )
        .execute(self.connection())
        .await?;
        Ok(marked.rows_affected() > 0)
    }

    /// Versions of a line, newest first, below `before`.
    pub async fn list_versions(
        &mut self,
        key: &EmbeddingKey,
        before: i32,
        limit: i64,
    ) -> Result<Vec<VersionInfo>, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            "SELECT id, version, revision, superseded_revision, activated_from, content_hash, attributes_hash,
                    idempotency_key, chunk_count, deleted, created_at
             FROM embedding_versions
             WHERE organization_id = $1 AND entity_type = $2 AND entity_id = $3 AND source_field = $4
               AND model_version = $5 AND version < $6
             ORDER BY version DESC LIMIT $7",
            organization,
            key.entity.entity_type.as_str(),
            key.entity.id,
            key.source_field.as_str(),
            key.model.as_str(),
            before,
            limit
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(VersionInfo {
                    key: key.clone(),
                    id: row.id,
                    version: row.version,
                    revision: Revision(row.revision),
                    superseded_revision: row.superseded_revision.map(Revision),
                    activated_from: row.activated_from,
                    content_hash: digest("content_hash", row.id, row.content_hash)?,
                    attributes_hash: digest("attributes_hash", row.id, row.attributes_hash)?,
                    deleted: row.deleted,
                    idempotency_key: row.idempotency_key,
                    chunk_count: row.chunk_count,
                    created_at: row.created_at,
                })
            })
            .collect()
    }
}
