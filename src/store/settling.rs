//! What maintenance does with the owner's rights: model indexes, settling, the length of the change log.

use sqlx::{AssertSqlSafe, Connection};

use super::nearest::indexed_expression;
use super::{Database, StoreError};
use crate::domain::{Model, ModelId};

/// How a model's HNSW index is built; the mirror builds its graphs with the same numbers.
const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;

fn index_name(model: &ModelId) -> String {
    // Model ids have 40 bytes of an alphabet that needs quoting: a digest keeps names short and plain.
    let digest = blake3::hash(model.as_str().as_bytes());
    format!("embeddings_hnsw_{}", &digest.to_hex()[..16])
}

impl Database {
    /// Makes a model's partial HNSW index where it is missing or was left invalid; tells whether it made one.
    pub async fn ensure_model_index(&self, model: &Model) -> Result<bool, StoreError> {
        let name = index_name(&model.id);
        let valid = sqlx::query_scalar!(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE c.relname = $1 AND c.relnamespace = current_schema()::regnamespace",
            name
        )
        .fetch_optional(self.pool())
        .await?;
        match valid {
            Some(true) => return Ok(false),
            Some(false) => {
                let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(self.pool()).await?;
            }
            None => {}
        }
        let (expression, operators) = indexed_expression(model.dimensions);
        let create = format!(
            "CREATE INDEX CONCURRENTLY {name} ON embeddings USING hnsw (({expression}) {operators})
             WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})
             WHERE model_version = '{}' AND superseded_revision IS NULL AND settled",
            model.id
        );
        let mut connection = self.unlimited().await?;
        let made = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await;
        connection.close().await?;
        made?;
        Ok(true)
    }

    /// Brings up to `limit` new rows of a model into its HNSW index; tells how many.
    pub async fn settle(&self, model: &ModelId, limit: i64) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "UPDATE embeddings e SET settled = true
             FROM (SELECT organization_id, id FROM embeddings
                   WHERE model_version = $1 AND superseded_revision IS NULL AND NOT settled LIMIT $2) AS batch
             WHERE e.organization_id = batch.organization_id AND e.id = batch.id
               AND e.superseded_revision IS NULL AND NOT e.settled",
            model.as_str(),
            limit
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
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
