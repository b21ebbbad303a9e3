//! What maintenance does with the owner's rights: settling, the length of the change log, statistics.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Database, StoreError};
use crate::domain::ModelId;

impl Database {
    /// Brings up to `limit` new rows of a model into its HNSW index; tells how many were found.
    ///
    /// An organization at a time: one statement for rows of any is a join that a planner without statistics of a young table
    /// answers by reading the organization for each row.
    pub async fn settle(&self, model: &ModelId, limit: i64) -> Result<u64, StoreError> {
        let rows = sqlx::query!(
            "SELECT organization_id, id FROM embeddings
             WHERE model_version = $1 AND superseded_revision IS NULL AND NOT settled
             ORDER BY organization_id LIMIT $2",
            model.as_str(),
            limit
        )
        .fetch_all(self.pool())
        .await?;
        for of_organization in rows.chunk_by(|left, right| left.organization_id == right.organization_id) {
            let ids: Vec<Uuid> = of_organization.iter().map(|row| row.id).collect();
            sqlx::query!(
                "UPDATE embeddings SET settled = true
                 WHERE organization_id = $1 AND id = ANY ($2) AND superseded_revision IS NULL AND NOT settled",
                of_organization[0].organization_id,
                &ids
            )
            .execute(self.pool())
            .await?;
        }
        Ok(rows.len() as u64)
    }

    /// Gives the planner statistics of tables that have grown by half since it had any; autovacuum comes once a minute, and
    /// until then plans of a young table are those of an empty one. A small table is looked at too: without statistics the
    /// planner may take the index of `(organization_id, id)`, which has fewer levels then, for cheaper than a line's own, and
    /// a prepared statement keeps that plan however the table grows. Tells how many tables it looked at. One that is locked,
    /// since an index of it is built, is left for later: waiting for that build is what the build would wait for.
    pub async fn refresh_statistics(&self) -> Result<usize, StoreError> {
        let grown = sqlx::query_scalar!(
            r#"SELECT relname::text AS "table!" FROM pg_stat_user_tables
               WHERE schemaname = current_schema() AND n_mod_since_analyze > 50 + n_live_tup / 2
                 AND relname = ANY ('{embeddings,embedding_versions,embedding_changes}')"#
        )
        .fetch_all(self.pool())
        .await?;
        for table in &grown {
            // Vectors and texts are never compared, so nothing need be known of them.
            let columns = if table == "embedding_changes" {
                "organization_id, model_version, revision"
            } else {
                "organization_id, id, entity_type, entity_id, source_field, model_version, version, superseded_revision"
            };
            sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE (SKIP_LOCKED) {table} ({columns})")))
                .execute(self.pool())
                .await?;
        }
        Ok(grown.len())
    }

    /// How many embeddings were ever inserted, as far as the database has counted, which it does every second: whoever
    /// compares two of these sees whether somebody writes.
    pub async fn rows_inserted(&self) -> Result<i64, StoreError> {
        let rows = sqlx::query_scalar!(
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = 'embeddings'"
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(rows.flatten().unwrap_or_default())
    }

    /// How many rows of all models wait for settling.
    pub async fn count_unsettled(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM embeddings WHERE superseded_revision IS NULL AND NOT settled"#
        )
        .fetch_one(self.pool())
        .await?)
    }

    /// Cuts change rows older than `hours`; partitions that are behind them reload. Tells how many organizations were cut.
    pub async fn prune_changes(&self, hours: i32) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "WITH gone AS (
                 DELETE FROM embedding_changes WHERE created_at < now() - make_interval(hours => $1)
                 RETURNING organization_id, revision
             )
             UPDATE organization_revisions o SET oldest_kept = greatest(o.oldest_kept, cut.revision)
             FROM (SELECT organization_id, max(revision) AS revision FROM gone GROUP BY organization_id) AS cut
             WHERE o.organization_id = cut.organization_id",
            hours
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}
