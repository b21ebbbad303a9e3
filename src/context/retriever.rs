//! Retrieves context and writes down that it did.

use std::collections::HashMap;

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::fence::fenced;
use super::{ContextError, ContextItem, ContextQuery, Tokenizer};
use crate::domain::{ContextLogId, EmbeddingId, EntityType, ModelId, Provenance};
use crate::ranking::{Candidate, Packed, Verdict, pack};
use crate::search::{Answer, Hit, SearchQuery, Searcher, SimilarQuery, Subject, Target};
use crate::store::{ContextLog, Database, Feedback, StoredContent};
use crate::tenancy::{Caller, Role};

/// The most items from one source where none says otherwise.
const DEFAULT_QUOTA: usize = 10;
/// Candidates per wanted item: what is left when duplicates and oversized texts are dropped.
const SPARE: usize = 3;
/// The most candidates where sources are not named.
const CANDIDATES: usize = 100;

/// Context, and where it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieved {
    /// The log's id.
    pub id: ContextLogId,
    /// Every candidate, best first.
    pub items: Vec<ContextItem>,
    /// What the language model is to read.
    pub packed_text: String,
    /// Its tokens.
    pub token_count: usize,
    /// Who found the candidates, as of when.
    pub provenance: Provenance,
    /// By which model.
    pub model: ModelId,
}

/// Retrieves context. Cheap to clone.
#[derive(Clone)]
pub struct Retriever {
    database: Database,
    searcher: Searcher,
    tasks: TaskTracker,
}

impl Retriever {
    /// A retriever over one searcher; counting tokens runs on `tasks`' blocking threads.
    pub fn new(database: Database, searcher: Searcher, tasks: TaskTracker) -> Self {
        Self { database, searcher, tasks }
    }

    /// Finds, packs and logs context for a question.
    pub async fn retrieve(&self, caller: &Caller, query: ContextQuery) -> Result<Retrieved, ContextError> {
        caller.require(Role::Viewer)?;
        let text = self.searcher.query_text(caller, query.model.as_ref(), &query.query, &query.recent_turns).await?;
        let answer = self.candidates(caller, &query, text).await?;
        let id = ContextLogId(Uuid::now_v7());
        let mut transaction = self.database.tenant("context_log", caller.organization).await?;
        let ids: Vec<EmbeddingId> = answer.hits.iter().map(|hit| hit.chunk.id).collect();
        let contents = transaction.contents(&ids).await?;
        let packing = Packing {
            id,
            hits: answer.hits,
            contents,
            quotas: query.sources.iter().map(|source| (source.entity_type.clone(), source.quota)).collect(),
            budget: query.token_budget,
            tokenizer: query.tokenizer,
        };
        let packed = self.tasks.spawn_blocking(move || packing.run()).await;
        let (items, packed) = packed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let retrieved = Retrieved {
            id,
            items,
            packed_text: packed.text,
            token_count: packed.tokens,
            provenance: answer.provenance,
            model: answer.model.id.clone(),
        };
        transaction.insert_context_log(&log_of(caller, query, &retrieved)).await?;
        transaction.commit().await?;
        metrics::counter!("kindred_contexts_total").increment(1);
        Ok(retrieved)
    }

    /// Candidates above their thresholds, best first.
    async fn candidates(&self, caller: &Caller, query: &ContextQuery, text: String) -> Result<Answer, ContextError> {
        let subject = Subject::Text(text);
        if query.sources.is_empty() {
            let search = SearchQuery {
                subject,
                model: query.model.clone(),
                limit: CANDIDATES,
                threshold: Some(query.threshold),
                filter: query.filter.clone(),
                min_revision: query.min_revision,
                with_content: false,
                every_chunk: true,
            };
            return Ok(self.searcher.search(caller, search).await?);
        }
        let targets = query.sources.iter().map(|source| Target {
            entity_type: source.entity_type.clone(),
            limit: source.quota.saturating_mul(SPARE),
        });
        let similar = SimilarQuery {
            subject,
            model: query.model.clone(),
            targets: targets.collect(),
            limit: CANDIDATES,
            threshold: None,
            filter: query.filter.clone(),
            min_revision: query.min_revision,
            with_content: false,
        };
        let mut answer = self.searcher.similar(caller, similar).await?;
        let thresholds: HashMap<&EntityType, f32> = query
            .sources
            .iter()
            .map(|source| (&source.entity_type, source.threshold.unwrap_or(query.threshold)))
            .collect();
        answer
            .hits
            .retain(|hit| thresholds.get(&hit.chunk.entity.entity_type).is_none_or(|least| hit.chunk.score >= *least));
        Ok(answer)
    }
}

/// What packing needs, owned, so that it can run on a thread of its own.
struct Packing {
    id: ContextLogId,
    hits: Vec<Hit>,
    contents: HashMap<EmbeddingId, StoredContent>,
    quotas: HashMap<EntityType, usize>,
    budget: usize,
    tokenizer: Tokenizer,
}

impl Packing {
    fn run(self) -> (Vec<ContextItem>, Packed) {
        let text_of = |at: usize| self.contents.get(&self.hits[at].chunk.id).map(|content| content.content.as_str());
        let candidates: Vec<Candidate<'_>> = (0..self.hits.len())
            .map(|at| Candidate { source: &self.hits[at].chunk.entity.entity_type, text: text_of(at) })
            .collect();
        let render = |at: usize, citation: usize| {
            fenced(self.id, citation, &self.hits[at].chunk, text_of(at).unwrap_or_default())
        };
        let count = |text: &str| self.tokenizer.count(text);
        let packed = pack(&candidates, &self.quotas, DEFAULT_QUOTA, self.budget, render, count);
        let items = packed
            .verdicts
            .iter()
            .enumerate()
            .map(|(at, verdict)| item(&self.hits[at], text_of(at).unwrap_or_default(), *verdict));
        (items.collect(), packed)
    }
}

fn item(hit: &Hit, text: &str, verdict: Verdict) -> ContextItem {
    let (citation, tokens, dropped) = match verdict {
        Verdict::Packed { citation, tokens } => (Some(citation), tokens, None),
        Verdict::Dropped(drop) => (None, 0, Some(drop)),
    };
    ContextItem {
        citation,
        embedding_id: hit.chunk.id,
        entity: hit.chunk.entity.clone(),
        source_field: hit.chunk.source_field.clone(),
        chunk_index: hit.chunk.chunk_index,
        version: hit.chunk.version,
        score: hit.chunk.score,
        tokens,
        text: if citation.is_some() { text.to_owned() } else { String::new() },
        dropped,
    }
}

fn log_of(caller: &Caller, query: ContextQuery, retrieved: &Retrieved) -> ContextLog {
    ContextLog {
        id: retrieved.id,
        created_at: retrieved.id.created_at().unwrap_or_default(),
        user: query.user.or_else(|| caller.user()),
        conversation_id: query.conversation_id,
        source_type: query.source_type.to_string(),
        query: query.query,
        recent_turns: query.recent_turns,
        packed_text: retrieved.packed_text.clone(),
        items: serde_json::json!(retrieved.items),
        token_count: retrieved.token_count as i32,
        token_budget: query.token_budget as i32,
        tokenizer: query.tokenizer.to_string(),
        model: retrieved.model.clone(),
        revision: retrieved.provenance.revision,
        served_by: retrieved.provenance.served_by.as_str().to_owned(),
        response: None,
        model_used: None,
        feedback: Feedback::default(),
        metadata: serde_json::Value::Object(query.metadata),
    }
}
