//! Answers searches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::planner::{Mirrored, Route, route};
use super::{Answer, Hit, SearchError, SearchQuery, SimilarQuery, Subject, Target};
use crate::domain::{
    ChunkHit, EmbeddingId, EntityRef, EntityType, Filter, Invalid, Model, ModelId, OrganizationId, Provenance,
    Revision, ServedBy, SourceField, Vector,
};
use crate::embed::Embedders;
use crate::index::{IndexReader, PartitionKey, PartitionView};
use crate::ranking::best_per_entity;
use crate::store::{Database, ModelCatalog, NearestQuery, StoreError, TenantTransaction};
use crate::tenancy::{Caller, Role};

/// How fresh the mirror must be, and how long a search waits for it.
#[derive(Debug, Clone, Copy)]
pub struct SearchSettings {
    /// A partition whose feed was not confirmed for longer is not served from memory.
    pub max_staleness: Duration,
    /// How long a search with `min_revision` waits for the mirror before it asks Postgres.
    pub patience: Duration,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { max_staleness: Duration::from_secs(10), patience: Duration::from_millis(500) }
    }
}

/// Answers searches. Cheap to clone.
#[derive(Clone)]
pub struct Searcher {
    database: Database,
    catalog: ModelCatalog,
    embedders: Embedders,
    index: IndexReader,
    settings: SearchSettings,
}

/// What is to be found.
struct Wanted {
    filter: Filter,
    list: List,
}

/// What is wanted of what a filter admits.
enum List {
    /// So many chunks.
    Chunks(usize),
    /// So many entities, each by its best chunk.
    Entities(usize),
    /// So many entities of each type.
    OfTypes(BTreeMap<EntityType, usize>),
}

impl Searcher {
    /// A searcher over one database and one index.
    pub fn new(
        database: Database,
        catalog: ModelCatalog,
        embedders: Embedders,
        index: IndexReader,
        settings: SearchSettings,
    ) -> Self {
        Self { database, catalog, embedders, index, settings }
    }

    /// Entities like a subject, each by its best chunk; the subject itself is left out.
    pub async fn similar(&self, caller: &Caller, query: SimilarQuery) -> Result<Answer, SearchError> {
        caller.require(Role::Viewer)?;
        let model = self.catalog.readable(caller.organization, query.model.as_ref()).await?;
        let view = self.mirror(caller.organization, &model.id, query.min_revision).await;
        let vector = self.vector_of(caller, &model, &query.subject, view.as_ref()).await?;
        let mut filter = query.filter;
        if let Subject::Entity { entity, .. } = query.subject {
            filter.not_entity = Some(entity);
        }
        let list = match query.targets.is_empty() {
            true => List::Entities(query.limit),
            false => List::OfTypes(limits(query.targets)),
        };
        let wanted = Wanted { filter, list };
        let (hits, provenance) =
            self.find(caller.organization, &model, view, query.min_revision, &vector, &wanted).await?;
        self.answer(caller, model, hits, provenance, query.threshold, query.with_content).await
    }

    /// Chunks or entities near a text or vector.
    pub async fn search(&self, caller: &Caller, query: SearchQuery) -> Result<Answer, SearchError> {
        caller.require(Role::Viewer)?;
        let model = self.catalog.readable(caller.organization, query.model.as_ref()).await?;
        let view = self.mirror(caller.organization, &model.id, query.min_revision).await;
        let vector = self.vector_of(caller, &model, &query.subject, view.as_ref()).await?;
        let list = if query.every_chunk { List::Chunks(query.limit) } else { List::Entities(query.limit) };
        let wanted = Wanted { filter: query.filter, list };
        let (hits, provenance) =
            self.find(caller.organization, &model, view, query.min_revision, &vector, &wanted).await?;
        self.answer(caller, model, hits, provenance, query.threshold, query.with_content).await
    }

    /// The longest end of `turns` that fits, with `query`, into what the model reads, as one text. The query itself
    /// must fit.
    pub async fn query_text(
        &self,
        caller: &Caller,
        model: Option<&ModelId>,
        query: &str,
        turns: &[String],
    ) -> Result<String, SearchError> {
        let model = self.catalog.readable(caller.organization, model).await?;
        self.require_readable(&model, query)?;
        let mut text = query.to_owned();
        for turn in turns.iter().rev() {
            let longer = format!("{turn}\n{text}");
            if self.require_readable(&model, &longer).is_err() {
                break;
            }
            text = longer;
        }
        Ok(text)
    }

    /// The partition to answer from, or `None` where Postgres must.
    async fn mirror(
        &self,
        organization: OrganizationId,
        model: &ModelId,
        min_revision: Revision,
    ) -> Option<PartitionView> {
        let key = PartitionKey { organization, model: model.clone() };
        let view = self.index.partition(&key, Instant::now());
        let mirrored = view.as_ref().map(|view| Mirrored {
            revision: view.revision(),
            unconfirmed_for: view.confirmed_at().map_or(Duration::MAX, |at| at.elapsed()),
        });
        match route(mirrored, min_revision, self.settings.max_staleness) {
            Route::Mirror => view,
            Route::MirrorAfterWaiting => {
                self.index.ring(organization);
                let reached =
                    tokio::time::timeout(self.settings.patience, self.index.published(&key, min_revision)).await;
                if reached != Ok(true) {
                    return None;
                }
                self.index.partition(&key, Instant::now()).filter(|view| view.revision() >= min_revision)
            }
            Route::PostgresAndLoad => {
                self.index.demand(&key);
                None
            }
            Route::Postgres => {
                self.index.ring(organization);
                None
            }
        }
    }

    async fn vector_of(
        &self,
        caller: &Caller,
        model: &Model,
        subject: &Subject,
        view: Option<&PartitionView>,
    ) -> Result<Vector, SearchError> {
        match subject {
            Subject::Vector(vector) => {
                vector.require_dimensions(model.dimensions)?;
                Ok(vector.clone())
            }
            Subject::Text(text) => {
                self.require_readable(model, text)?;
                Ok(self.embedders.query(&model.id, text).await?)
            }
            Subject::Entity { entity, source_field } => {
                let mut vectors = view.map(|view| view.vectors_of(entity)).unwrap_or_default();
                if view.is_none() {
                    let mut transaction = self.database.tenant("subject", caller.organization).await?;
                    vectors = transaction.entity_vectors(entity, &model.id).await?;
                    transaction.commit().await?;
                }
                subject_vector(entity, source_field.as_ref(), model, vectors)
            }
        }
    }

    fn require_readable(&self, model: &Model, text: &str) -> Result<(), SearchError> {
        let embedder = self.embedders.get(&model.id).ok_or_else(|| SearchError::NoEmbedder(model.id.clone()))?;
        let tokens = embedder.count_tokens(text);
        if tokens <= model.max_input_tokens {
            return Ok(());
        }
        let reason =
            format!("has {tokens} tokens and {} reads {}; shorten the query", model.id, model.max_input_tokens);
        Err(Invalid::new("text", reason).into())
    }

    /// Searches in the mirror, or in one snapshot of Postgres.
    async fn find(
        &self,
        organization: OrganizationId,
        model: &Model,
        view: Option<PartitionView>,
        min_revision: Revision,
        vector: &Vector,
        wanted: &Wanted,
    ) -> Result<(Vec<ChunkHit>, Provenance), SearchError> {
        let (hits, provenance) = match view {
            Some(view) => find_in_mirror(&view, vector, wanted)?,
            None => self.find_in_postgres(organization, model, min_revision, vector, wanted).await?,
        };
        metrics::counter!("kindred_searches_total", "served_by" => provenance.served_by.as_str()).increment(1);
        Ok((hits, provenance))
    }

    async fn find_in_postgres(
        &self,
        organization: OrganizationId,
        model: &Model,
        min_revision: Revision,
        vector: &Vector,
        wanted: &Wanted,
    ) -> Result<(Vec<ChunkHit>, Provenance), SearchError> {
        let mut transaction = self.database.tenant_snapshot("nearest", organization).await?;
        let (present, _) = transaction.revision().await?;
        if present < min_revision {
            return Err(SearchError::FutureRevision { wanted: min_revision, present });
        }
        let Wanted { filter, list } = wanted;
        let mut hits = Vec::new();
        match list {
            List::Chunks(limit) => hits = chunks(&mut transaction, model, vector, filter, *limit).await?,
            List::Entities(limit) => hits = entities(&mut transaction, model, vector, filter, *limit).await?,
            List::OfTypes(limits) => {
                let admitted = limits.iter().filter(|(of_type, _)| filter.admits_type(of_type));
                for (of_type, limit) in admitted {
                    let filter = Filter { entity_types: vec![of_type.clone()], ..filter.clone() };
                    hits.extend(entities(&mut transaction, model, vector, &filter, *limit).await?);
                }
            }
        }
        transaction.commit().await?;
        Ok((hits, Provenance { served_by: ServedBy::Postgres, revision: present }))
    }

    async fn answer(
        &self,
        caller: &Caller,
        model: Arc<Model>,
        mut found: Vec<ChunkHit>,
        provenance: Provenance,
        threshold: Option<f32>,
        with_content: bool,
    ) -> Result<Answer, SearchError> {
        found.retain(|hit| threshold.is_none_or(|least| hit.score >= least));
        found.sort_by(ChunkHit::better_first);
        let mut hits: Vec<Hit> = found.into_iter().map(|chunk| Hit { chunk, content: None }).collect();
        if with_content && !hits.is_empty() {
            let ids: Vec<EmbeddingId> = hits.iter().map(|hit| hit.chunk.id).collect();
            let mut transaction = self.database.tenant("contents", caller.organization).await?;
            let mut contents = transaction.contents(&ids).await?;
            transaction.commit().await?;
            for hit in &mut hits {
                hit.content = contents.remove(&hit.chunk.id);
            }
            // What was erased meanwhile is not told any more.
            hits.retain(|hit| hit.content.is_some());
        }
        Ok(Answer { hits, provenance, model })
    }
}

/// How many entities of each type; the most, where a type is named twice.
fn limits(targets: Vec<Target>) -> BTreeMap<EntityType, usize> {
    let mut limits = BTreeMap::new();
    for Target { entity_type, limit } in targets {
        let most = limits.entry(entity_type).or_insert(limit);
        *most = limit.max(*most);
    }
    limits
}

fn find_in_mirror(
    view: &PartitionView,
    vector: &Vector,
    wanted: &Wanted,
) -> Result<(Vec<ChunkHit>, Provenance), SearchError> {
    let Wanted { filter, list } = wanted;
    let found = match list {
        List::Chunks(limit) => view.search(vector, *limit, filter)?,
        List::Entities(limit) => view.search_entities(vector, *limit, filter)?,
        List::OfTypes(limits) => {
            let limits: Vec<(EntityType, usize)> =
                limits.iter().map(|(of_type, limit)| (of_type.clone(), *limit)).collect();
            view.search_entities_by_type(vector, &limits, filter)?
        }
    };
    Ok((found.hits, Provenance { served_by: found.served_by, revision: view.revision() }))
}

async fn chunks(
    transaction: &mut TenantTransaction,
    model: &Model,
    vector: &Vector,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<ChunkHit>, StoreError> {
    transaction.nearest(NearestQuery { model, vector, filter, limit: limit as i64 }).await
}

/// Asks for more chunks until there are enough entities, or no more chunks.
async fn entities(
    transaction: &mut TenantTransaction,
    model: &Model,
    vector: &Vector,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<ChunkHit>, StoreError> {
    let mut fetch = limit * 2;
    loop {
        let hits = chunks(transaction, model, vector, filter, fetch).await?;
        let exhausted = hits.len() < fetch;
        let entities = best_per_entity(hits, limit);
        if entities.len() == limit || exhausted {
            return Ok(entities);
        }
        fetch *= 4;
    }
}

/// The vector that stands for an entity: that of the named source field, of `content`, or of the only one; the mean
/// direction where it has several chunks.
fn subject_vector(
    entity: &EntityRef,
    source_field: Option<&SourceField>,
    model: &Model,
    vectors: Vec<(SourceField, i32, Vector)>,
) -> Result<Vector, SearchError> {
    let content = SourceField::default();
    let mut fields: Vec<&SourceField> = vectors.iter().map(|(field, _, _)| field).collect();
    fields.sort_unstable();
    fields.dedup();
    let field = match source_field {
        Some(named) => named,
        None if fields.contains(&&content) => &content,
        None if fields.len() == 1 => fields[0],
        None if fields.is_empty() => &content,
        None => {
            let fields = fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(SearchError::AmbiguousSubject { entity: entity.clone(), fields });
        }
    };
    let of_field: Vec<&Vector> = vectors.iter().filter(|(of, _, _)| of == field).map(|(_, _, vector)| vector).collect();
    match of_field.as_slice() {
        [] => Err(SearchError::NoSubject { entity: entity.clone(), model: model.id.clone() }),
        [only] => Ok((*only).clone()),
        several => Ok(mean(several)?),
    }
}

/// The direction of several chunks together: the mean of their unit vectors.
fn mean(vectors: &[&Vector]) -> Result<Vector, Invalid> {
    let mut sum = vec![0.0_f32; vectors[0].dimensions()];
    for vector in vectors {
        for (total, component) in sum.iter_mut().zip((*vector).clone().normalized().as_slice()) {
            *total += component;
        }
    }
    Ok(Vector::new(sum)?.normalized())
}
