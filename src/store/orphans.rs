//! Embeddings that were carried from a legacy table and whose row is gone.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::versions::key_of;
use super::{Database, StoreError, TenantTransaction};
use crate::domain::{EmbeddingKey, OrganizationId};

impl Database {
    /// An organization that has some; `None` where nobody has. Needs the owner's rights.
    pub async fn organization_with_orphans(&self) -> Result<Option<OrganizationId>, StoreError> {
        Ok(orphans(self.pool(), None, 1)
            .await?
            .into_iter()
            .next()
            .map(|(organization, ..)| OrganizationId(organization)))
    }
}

impl TenantTransaction {
    /// The current lines, under every model, of up to `limit` entities whose row is gone.
    pub async fn orphaned_lines(&mut self, limit: i64) -> Result<Vec<EmbeddingKey>, StoreError> {
        let organization = self.organization().0;
        let gone = orphans(self.connection(), Some(organization), limit).await?;
        let (types, ids): (Vec<String>, Vec<Uuid>) =
            gone.into_iter().map(|(_, entity_type, id)| (entity_type, id)).unzip();
        let rows = sqlx::query!(
            "SELECT v.entity_type, v.entity_id, v.source_field, v.model_version
             FROM unnest($2::text[], $3::uuid[]) AS gone (entity_type, entity_id)
             CROSS JOIN LATERAL (
                 SELECT * FROM embedding_versions v
                 WHERE v.organization_id = $1 AND v.entity_type = gone.entity_type AND v.entity_id = gone.entity_id
                   AND v.superseded_revision IS NULL AND NOT v.deleted OFFSET 0) AS v",
            organization,
            &types,
            &ids
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| key_of(row.entity_type, row.entity_id, row.source_field, row.model_version))
            .collect()
    }
}

/// Entities of one organization, or of all. What was carried tells its row in `metadata`, under a model that no service
/// embeds with.
async fn orphans(
    executor: impl PgExecutor<'_>,
    organization: Option<Uuid>,
    limit: i64,
) -> Result<Vec<(Uuid, String, Uuid)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT e.organization_id, e.entity_type, e.entity_id
         FROM embeddings e JOIN embedding_models m ON m.id = e.model_version AND m.provider = 'legacy'
         WHERE e.superseded_revision IS NULL AND ($1::uuid IS NULL OR e.organization_id = $1)
           AND e.metadata ->> 'source_id' = e.entity_id::text
           AND CASE e.metadata ->> 'source'
               WHEN 'posts' THEN NOT EXISTS (SELECT FROM posts_core r WHERE r.organization_id = e.organization_id AND r.id = e.entity_id)
               WHEN 'chat_messages' THEN NOT EXISTS (SELECT FROM chat_messages r WHERE r.organization_id = e.organization_id AND r.id = e.entity_id)
               WHEN 'content_ideas' THEN NOT EXISTS (SELECT FROM content_ideas r WHERE r.organization_id = e.organization_id AND r.id = e.entity_id)
               WHEN 'hashtags' THEN NOT EXISTS (SELECT FROM hashtags r WHERE r.organization_id = e.organization_id AND r.id = e.entity_id)
               ELSE false END
         LIMIT $2",
        organization,
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organization_id, row.entity_type, row.entity_id)).collect())
}
