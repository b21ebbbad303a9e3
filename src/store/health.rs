//! What `doctor` asks, with the owner's rights: of all organizations, and only reading.

use chrono::{DateTime, Utc};
use sqlx::Connection;

use super::models::id_of;
use super::{Database, StoreError};
use crate::domain::{ModelId, OrganizationId, Revision};

/// What one organization has by one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentPartition {
    /// The organization.
    pub organization: OrganizationId,
    /// Its slug.
    pub slug: String,
    /// The model.
    pub model: ModelId,
    /// Current rows.
    pub rows: i64,
}

/// Rows of a model that are not in its HNSW index yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The model.
    pub model: ModelId,
    /// How many.
    pub rows: i64,
    /// When the oldest was written.
    pub oldest: DateTime<Utc>,
}

/// An organization whose change log is ahead of its revision counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrookedLog {
    /// The organization.
    pub organization: OrganizationId,
    /// Where its counter stands.
    pub revision: Revision,
    /// The newest revision in the log.
    pub newest: Revision,
}

impl Database {
    /// Every (organization, model) with current rows, by slug and model. Reads an index of all current rows, for as long as
    /// that takes.
    pub async fn current_partitions(&self) -> Result<Vec<CurrentPartition>, StoreError> {
        let mut connection = self.unlimited().await?;
        let rows = sqlx::query!(
            r#"SELECT o.id, o.slug, e.model_version, e.current_rows AS "rows!"
               FROM (SELECT organization_id, model_version, count(*) AS current_rows FROM embeddings
                     WHERE superseded_revision IS NULL GROUP BY organization_id, model_version) AS e
               JOIN organizations o ON o.id = e.organization_id
               ORDER BY o.slug, e.model_version"#
        )
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        rows.into_iter()
            .map(|row| {
                let model = id_of(row.model_version)?;
                Ok(CurrentPartition { organization: OrganizationId(row.id), slug: row.slug, model, rows: row.rows })
            })
            .collect()
    }

    /// The rows that wait for settling, by model.
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>, StoreError> {
        let mut connection = self.unlimited().await?;
        let rows = sqlx::query!(
            r#"SELECT model_version, count(*) AS "rows!", min(created_at) AS "oldest!" FROM embeddings
               WHERE superseded_revision IS NULL AND NOT settled GROUP BY model_version ORDER BY model_version"#
        )
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        let unsettled = |model, rows, oldest| Ok(Unsettled { model: id_of(model)?, rows, oldest });
        rows.into_iter().map(|row| unsettled(row.model_version, row.rows, row.oldest)).collect()
    }

    /// When the oldest row of the change log was written.
    pub async fn oldest_change(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(sqlx::query_scalar!("SELECT min(created_at) FROM embedding_changes").fetch_one(self.pool()).await?)
    }

    /// Organizations whose change log is ahead of their revision counter, at most `limit`.
    pub async fn crooked_logs(&self, limit: i64) -> Result<Vec<CrookedLog>, StoreError> {
        let rows = sqlx::query!(
            "SELECT r.organization_id, r.revision, newest.revision AS newest
             FROM organization_revisions r
             CROSS JOIN LATERAL (
                 SELECT c.revision FROM embedding_changes c WHERE c.organization_id = r.organization_id
                 ORDER BY c.revision DESC LIMIT 1) AS newest
             WHERE newest.revision > r.revision
             ORDER BY r.organization_id LIMIT $1",
            limit
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| CrookedLog {
                organization: OrganizationId(row.organization_id),
                revision: Revision(row.revision),
                newest: Revision(row.newest),
            })
            .collect())
    }
}
