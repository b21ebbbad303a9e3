//! `embedding_changes`: the log that mirrors follow.

use std::collections::HashMap;

use uuid::Uuid;

use super::error::ensure_rows;
use super::versions::key_of;
use super::{StoreError, TenantTransaction};
use crate::domain::{Change, ChangeKind, Delta, EmbeddingId, EntityRef, Entry, ModelId, Revision, SourceField};
use crate::store::embeddings::vector_of;

/// The most change rows read at once; more than any one revision writes.
const PAGE_ROWS: i64 = 8_192;

/// The changes of a partition after some revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The revision that the partition has when all of `deltas` are applied.
    pub upto: Revision,
    /// Whether there are more.
    pub more: bool,
    /// Each changed line once, as it is at `upto`.
    pub deltas: Vec<Delta>,
}

impl TenantTransaction {
    /// Writes the change rows of a revision.
    pub async fn log_changes(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let organization = self.organization().0;
        let revisions: Vec<i64> = changes.iter().map(|change| change.revision.0).collect();
        let types: Vec<&str> = changes.iter().map(|change| change.key.entity.entity_type.as_str()).collect();
        let ids: Vec<Uuid> = changes.iter().map(|change| change.key.entity.id).collect();
        let fields: Vec<&str> = changes.iter().map(|change| change.key.source_field.as_str()).collect();
        let models: Vec<&str> = changes.iter().map(|change| change.key.model.as_str()).collect();
        let versions: Vec<i32> = changes.iter().map(|change| change.version).collect();
        let kinds: Vec<&str> = changes
            .iter()
            .map(|change| match change.kind {
                ChangeKind::Put => "put",
                ChangeKind::Removed => "removed",
            })
            .collect();
        let done = sqlx::query!(
            "INSERT INTO embedding_changes
                 (organization_id, revision, entity_type, entity_id, source_field, model_version, version, kind)
             SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::int[], $8::text[])",
            organization,
            &revisions,
            &types as &[&str],
            &ids,
            &fields as &[&str],
            &models as &[&str],
            &versions,
            &kinds as &[&str]
        )
        .execute(self.connection())
        .await?;
        ensure_rows("log_changes", done.rows_affected(), changes.len() as u64)
    }

    /// What changed in a model's partition after `since`, up to the organization's present revision `now`, or a part
    /// of it that ends at a whole revision.
    pub async fn changes_since(
        &mut self,
        model: &ModelId,
        since: Revision,
        now: Revision,
    ) -> Result<Changes, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            "SELECT revision, entity_type, entity_id, source_field, version, kind FROM embedding_changes
             WHERE organization_id = $1 AND model_version = $2 AND revision > $3 AND revision <= $4
             ORDER BY revision LIMIT $5",
            organization,
            model.as_str(),
            since.0,
            now.0,
            PAGE_ROWS
        )
        .fetch_all(self.connection())
        .await?;
        let more = rows.len() as i64 == PAGE_ROWS;
        // A full page may end inside a revision: that one is left for the next page.
        let upto = match rows.last() {
            Some(last) if more => Revision(last.revision - 1),
            _ => now,
        };
        let mut latest = HashMap::new();
        for row in rows.into_iter().filter(|row| row.revision <= upto.0) {
            let key = key_of(row.entity_type, row.entity_id, row.source_field, model.to_string())?;
            latest.insert((key.entity, key.source_field), (row.version, row.kind == "put"));
        }
        let mut entries = self.entries_of(model, &latest).await?;
        let deltas = latest
            .into_keys()
            .map(|line| {
                let of_line = entries.remove(&line).unwrap_or_default();
                Delta { entity: line.0, source_field: line.1, entries: of_line }
            })
            .collect();
        Ok(Changes { upto, more, deltas })
    }

    async fn entries_of(
        &mut self,
        model: &ModelId,
        latest: &HashMap<(EntityRef, SourceField), (i32, bool)>,
    ) -> Result<HashMap<(EntityRef, SourceField), Vec<Entry>>, StoreError> {
        let organization = self.organization().0;
        let puts = || latest.iter().filter(|(_, (_, put))| *put);
        let types: Vec<&str> = puts().map(|((entity, _), _)| entity.entity_type.as_str()).collect();
        let ids: Vec<Uuid> = puts().map(|((entity, _), _)| entity.id).collect();
        let fields: Vec<&str> = puts().map(|((_, field), _)| field.as_str()).collect();
        let versions: Vec<i32> = puts().map(|(_, (version, _))| *version).collect();
        let rows = sqlx::query!(
            r#"SELECT e.id, e.entity_type, e.entity_id, e.source_field, e.version, e.chunk_index, e.tags, e.platform,
                    e.status, e.occurred_at, e.vector_data AS "vector: pgvector::Vector"
             FROM unnest($3::text[], $4::uuid[], $5::text[], $6::int[]) AS k (entity_type, entity_id, source_field, version)
             CROSS JOIN LATERAL (
                 SELECT * FROM embeddings e
                 WHERE e.organization_id = $1 AND e.entity_type = k.entity_type AND e.entity_id = k.entity_id
                   AND e.source_field = k.source_field AND e.model_version = $2 AND e.version = k.version OFFSET 0) AS e"#,
            organization,
            model.as_str(),
            &types as &[&str],
            &ids,
            &fields as &[&str],
            &versions
        )
        .fetch_all(self.connection())
        .await?;
        let mut found: HashMap<_, Vec<Entry>> = HashMap::new();
        for row in rows {
            let key = key_of(row.entity_type, row.entity_id, row.source_field, model.to_string())?;
            let vector = match vector_of(row.id, row.vector) {
                Ok(vector) => vector,
                // A damaged row costs itself, never the feed: the rest must go on being mirrored.
                Err(error) => {
                    tracing::error!(%error, "a row is left out of the mirror");
                    continue;
                }
            };
            found.entry((key.entity.clone(), key.source_field.clone())).or_default().push(Entry {
                id: EmbeddingId(row.id),
                entity: key.entity,
                source_field: key.source_field,
                version: row.version,
                chunk_index: row.chunk_index,
                tags: row.tags,
                platform: row.platform,
                status: row.status,
                occurred_at: row.occurred_at,
                vector,
            });
        }
        Ok(found)
    }
}
