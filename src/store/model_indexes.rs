//! The HNSW index of each model: made where it is missing, dropped for a bulk load and built once after it. Whoever does
//! so holds a lease of that index, so that two never do at a time. Everything here needs the owner's rights.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::nearest::indexed_expression;
use super::{Database, StoreError};
use crate::domain::{Model, ModelId};

/// How a model's HNSW index is built; the mirror builds its graphs with the same numbers.
const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;
/// What a row takes while the index is built, beside its components: its node, its links in all layers.
const NODE_BYTES: usize = 1_200;
/// What is left of the memory of a build for other things.
const SPARE_KIB: i64 = 64 * 1024;
/// Workers that a build after a bulk load may have at least, where the server allows parallel builds at all.
const BULK_WORKERS: i32 = 4;

fn index_name(model: &ModelId) -> String {
    // Model ids have 40 bytes of an alphabet that needs quoting: a digest keeps names short and plain.
    let digest = blake3::hash(model.as_str().as_bytes());
    format!("embeddings_hnsw_{}", &digest.to_hex()[..16])
}

impl Database {
    /// Does work on a model's index while nobody else may; `None` where somebody else does.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] where the lease could not be renewed in time; the work was broken off then.
    pub async fn alone_with_model_index<T>(
        &self,
        model: &ModelId,
        holder: Uuid,
        lasts: Duration,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        self.while_leased(&format!("index of {model}"), holder, lasts, work).await
    }

    /// Whether a model's index is there and usable.
    pub async fn has_model_index(&self, model: &ModelId) -> Result<bool, StoreError> {
        Ok(self.model_index_state(model).await? == Some(true))
    }

    /// Whether any organization has a current row of the model. Looks once an organization, whatever the table's size.
    pub async fn has_current_rows(&self, model: &ModelId) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM organizations o CROSS JOIN LATERAL (
                       SELECT FROM embeddings e
                       WHERE e.organization_id = o.id AND e.model_version = $1 AND e.superseded_revision IS NULL
                       LIMIT 1) AS one) AS "found!""#,
            model.as_str()
        );
        Ok(found.fetch_one(self.pool()).await?)
    }

    /// Drops a model's index, where it is there. Searches go on, exactly and slowly, until it is made again. Waits for the
    /// transactions that may be using it.
    pub async fn drop_model_index(&self, model: &ModelId) -> Result<(), StoreError> {
        let mut connection = self.patient().await?;
        let dropped = drop_index(&mut connection, model).await;
        connection.close().await?;
        dropped
    }

    /// Makes a model's partial HNSW index where it is missing or was left invalid; tells whether it made one.
    pub async fn ensure_model_index(&self, model: &Model) -> Result<bool, StoreError> {
        let valid = self.model_index_state(&model.id).await?;
        if valid == Some(true) {
            return Ok(false);
        }
        let mut connection = self.unlimited().await?;
        let made = remake_index(&mut connection, model, valid).await;
        connection.close().await?;
        made.map(|()| true)
    }

    /// The same after a bulk load, with memory for the whole graph as far as the server has it, and more workers; waits for
    /// transactions as long as they take. Where that is more than the server can give, it is built as usual.
    pub async fn build_model_index(&self, model: &Model) -> Result<bool, StoreError> {
        let valid = self.model_index_state(&model.id).await?;
        if valid == Some(true) {
            return Ok(false);
        }
        let mut connection = self.patient().await?;
        take_resources(&mut connection, model).await?;
        let made = remake_index(&mut connection, model, valid).await;
        connection.close().await?;
        match made {
            // Out of memory, or of the room for memory that is shared; or in a circle of waiting with somebody.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict(_))) => {
                tracing::warn!(%error, model = %model.id, "the index could not be built at once; it is tried with the usual memory");
                self.ensure_model_index(model).await
            }
            other => other.map(|()| true),
        }
    }

    /// An unlimited connection that also waits for locks: others' transactions may read for minutes.
    async fn patient(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.unlimited().await?;
        sqlx::raw_sql("SET lock_timeout = '10min'").execute(&mut connection).await?;
        Ok(connection)
    }

    /// Whether a model's index is valid; `None` where there is none.
    pub async fn model_index_state(&self, model: &ModelId) -> Result<Option<bool>, StoreError> {
        let valid = sqlx::query_scalar!(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE c.relname = $1 AND c.relnamespace = current_schema()::regnamespace",
            index_name(model)
        );
        Ok(valid.fetch_optional(self.pool()).await?)
    }
}

async fn drop_index(connection: &mut PgConnection, model: &ModelId) -> Result<(), StoreError> {
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index_name(model));
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(connection).await?;
    Ok(())
}

/// Makes an index that is missing (`None`) or was left invalid.
async fn remake_index(connection: &mut PgConnection, model: &Model, valid: Option<bool>) -> Result<(), StoreError> {
    if valid.is_some() {
        drop_index(connection, &model.id).await?;
    }
    let (expression, operators) = indexed_expression(model.dimensions);
    let create = format!(
        "CREATE INDEX CONCURRENTLY {} ON embeddings USING hnsw (({expression}) {operators})
         WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})
         WHERE model_version = '{}' AND superseded_revision IS NULL AND settled",
        index_name(&model.id),
        model.id
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await?;
    Ok(())
}

/// Gives a session memory for the graph of all current rows, at most twice `shared_buffers`: there an operator has said
/// how large the server is. Never less than the server's own settings, and no workers where it allows none.
async fn take_resources(connection: &mut PgConnection, model: &Model) -> Result<(), StoreError> {
    let row_bytes = i64::try_from(4 * model.dimensions + NODE_BYTES).unwrap_or(i64::MAX);
    sqlx::query!(
        r#"SELECT set_config('maintenance_work_mem', greatest(own.kib, least(wanted.kib, most.kib))::text || 'kB', false)
                      AS memory,
                  set_config('max_parallel_maintenance_workers',
                             (CASE own.workers WHEN 0 THEN 0 ELSE greatest(own.workers, $3::int) END)::text, false)
                      AS workers
           FROM (SELECT count(*) * $2::bigint / 1024 + $4::bigint AS kib FROM embeddings
                 WHERE model_version = $1 AND superseded_revision IS NULL) AS wanted,
                (SELECT 2 * pg_size_bytes(current_setting('shared_buffers')) / 1024 AS kib) AS most,
                (SELECT pg_size_bytes(current_setting('maintenance_work_mem')) / 1024 AS kib,
                        current_setting('max_parallel_maintenance_workers')::int AS workers) AS own"#,
        model.id.as_str(),
        row_bytes,
        BULK_WORKERS,
        SPARE_KIB
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
