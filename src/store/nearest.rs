//! Nearest neighbours by pgvector: the one place where model ids and dimensions are written into SQL as literals (a
//! partial expression index is used only then) and where `hnsw.*` is set.

use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::versions::key_of;
use super::{StoreError, TenantTransaction};
use crate::domain::{ChunkHit, EmbeddingId, Filter, Model, Vector};

/// Below this many admitted rows the exact plan is both faster and right: a filtered HNSW scan starves.
const EXACT_BELOW: i64 = 5_000;

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct NearestQuery<'a> {
    /// The model, whose id and width stand in the SQL.
    pub model: &'a Model,
    /// The query, of the model's width.
    pub vector: &'a Vector,
    /// What rows must meet.
    pub filter: &'a Filter,
    /// The most rows.
    pub limit: i64,
}

/// The indexed expression of a model: `vector` up to 2,000 dimensions, `halfvec` above.
pub(super) fn indexed_expression(dimensions: usize) -> (String, &'static str) {
    if dimensions <= 2_000 {
        (format!("vector_data::vector({dimensions})"), "vector_cosine_ops")
    } else {
        (format!("vector_data::halfvec({dimensions})"), "halfvec_cosine_ops")
    }
}

/// Which rows a plan reads.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rows {
    All,
    Settled,
    Unsettled,
}

impl TenantTransaction {
    /// The nearest current chunks, always min(limit, matches) of them, best first.
    pub async fn nearest(&mut self, query: NearestQuery<'_>) -> Result<Vec<ChunkHit>, StoreError> {
        let admitted = self.count_admitted(query, EXACT_BELOW.max(query.limit)).await?;
        let mut hits = if admitted < EXACT_BELOW {
            self.scan(query, Rows::All, true).await?
        } else {
            let ef_search = query.limit.clamp(100, 1_000);
            let settings =
                format!("SET LOCAL hnsw.ef_search = {ef_search}; SET LOCAL hnsw.iterative_scan = strict_order");
            sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(self.connection()).await?;
            let mut hits = self.scan(query, Rows::Settled, false).await?;
            hits.extend(self.scan(query, Rows::Unsettled, true).await?);
            // The iterative scan ends after hnsw.max_scan_tuples: a rare filter may get fewer rows than there are.
            if (hits.len() as i64) < query.limit.min(admitted) {
                self.scan(query, Rows::All, true).await?
            } else {
                hits
            }
        };
        hits.sort_unstable_by(ChunkHit::better_first);
        hits.truncate(query.limit as usize);
        Ok(hits)
    }

    /// How many rows the filter admits, counted up to `enough`.
    async fn count_admitted(&mut self, query: NearestQuery<'_>, enough: i64) -> Result<i64, StoreError> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        self.push_from(&mut sql, query, Rows::All);
        sql.push(" LIMIT ").push_bind(enough).push(") AS admitted");
        Ok(sql.build_query_scalar().fetch_one(self.connection()).await?)
    }

    async fn scan(&mut self, query: NearestQuery<'_>, rows: Rows, exact: bool) -> Result<Vec<ChunkHit>, StoreError> {
        let (expression, _) = indexed_expression(query.model.dimensions);
        // Exact plans compare at full width; only the index needs the narrower type.
        let expression = if exact { format!("vector_data::vector({})", query.model.dimensions) } else { expression };
        let width = if exact || query.model.dimensions <= 2_000 { "vector" } else { "halfvec" };
        let mut sql = QueryBuilder::new("SELECT id, entity_type, entity_id, source_field, version, chunk_index, ");
        sql.push(format!("1 - ({expression} <=> "));
        sql.push_bind(pgvector::Vector::from(query.vector.as_slice().to_vec()));
        sql.push(format!("::{width}({})) AS score", query.model.dimensions));
        self.push_from(&mut sql, query, rows);
        if exact {
            // Not the index's operator, so no HNSW scan can serve it.
            sql.push(" ORDER BY score DESC, entity_id, id LIMIT ");
        } else {
            sql.push(format!(" ORDER BY {expression} <=> "));
            sql.push_bind(pgvector::Vector::from(query.vector.as_slice().to_vec()));
            sql.push(format!("::{width}({}) LIMIT ", query.model.dimensions));
        }
        sql.push_bind(query.limit);
        let rows = sql.build().fetch_all(self.connection()).await?;
        rows.into_iter()
            .map(|row| {
                let key = key_of(
                    row.try_get("entity_type")?,
                    row.try_get("entity_id")?,
                    row.try_get("source_field")?,
                    query.model.id.to_string(),
                )?;
                Ok(ChunkHit {
                    id: EmbeddingId(row.try_get::<Uuid, _>("id")?),
                    entity: key.entity,
                    source_field: key.source_field,
                    version: row.try_get("version")?,
                    chunk_index: row.try_get("chunk_index")?,
                    score: row.try_get::<f64, _>("score")? as f32,
                })
            })
            .collect()
    }

    fn push_from(&self, sql: &mut QueryBuilder<Postgres>, query: NearestQuery<'_>, rows: Rows) {
        sql.push(" FROM embeddings WHERE organization_id = ").push_bind(self.organization().0);
        sql.push(format!(" AND model_version = '{}' AND superseded_revision IS NULL", query.model.id));
        match rows {
            Rows::All => {}
            Rows::Settled => drop(sql.push(" AND settled")),
            Rows::Unsettled => drop(sql.push(" AND NOT settled")),
        }
        push_filter(sql, query.filter);
    }
}

fn push_filter(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    let mut any = |column: &str, values: Vec<String>| {
        if !values.is_empty() {
            sql.push(format!(" AND {column} = ANY(")).push_bind(values).push(")");
        }
    };
    any("entity_type", filter.entity_types.iter().map(ToString::to_string).collect());
    any("source_field", filter.source_fields.iter().map(ToString::to_string).collect());
    any("platform", filter.platforms.clone());
    any("status", filter.statuses.clone());
    if !filter.tags_any.is_empty() {
        sql.push(" AND tags && ").push_bind(filter.tags_any.clone());
    }
    if !filter.tags_all.is_empty() {
        sql.push(" AND tags @> ").push_bind(filter.tags_all.clone());
    }
    if let Some(from) = filter.time.from {
        sql.push(" AND occurred_at >= ").push_bind(from);
    }
    if let Some(until) = filter.time.until {
        sql.push(" AND occurred_at < ").push_bind(until);
    }
    if let Some(entity) = &filter.not_entity {
        sql.push(" AND NOT (entity_type = ").push_bind(entity.entity_type.to_string());
        sql.push(" AND entity_id = ").push_bind(entity.id).push(")");
    }
}
