//! `kindred.v1.ContextService`.

use chrono::Utc;
use tonic::{Request, Response, Status};

use super::auth::caller;
use super::convert;
use super::proto::context_service_server::ContextService;
use super::proto::{
    self, ContextLog, GetContextLogRequest, GetContextLogResponse, RecordFeedbackRequest, RecordFeedbackResponse,
    RecordResponseRequest, RecordResponseResponse, RetrieveContextRequest, RetrieveContextResponse,
};
use super::search_service::non_empty;
use super::status::status_of;
use crate::context::{ContextItem, ContextQuery, FeedbackKind, Journal, Retriever, Source, Tokenizer, Verdict};
use crate::domain::{ContextLogId, Invalid, ServedBy};
use crate::ranking::DropReason;
use crate::store;

const DEFAULT_BUDGET: usize = 1_000;
const MAX_BUDGET: usize = 128_000;
const DEFAULT_QUOTA: usize = 10;
const MAX_QUOTA: usize = 100;
const MAX_SOURCES: usize = 32;
const MAX_TURNS: usize = 20;
const DEFAULT_THRESHOLD: f32 = 0.2;
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
const MAX_COMMENT_BYTES: usize = 4 * 1024;
const MAX_MODEL_USED_BYTES: usize = 200;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_QUERY_BYTES: usize = 64 * 1024;

/// Answers for context.
pub(super) struct Contexts {
    pub(super) retriever: Retriever,
    pub(super) journal: Journal,
}

#[tonic::async_trait]
impl ContextService for Contexts {
    async fn retrieve_context(
        &self,
        request: Request<RetrieveContextRequest>,
    ) -> Result<Response<RetrieveContextResponse>, Status> {
        let caller = caller(&request)?;
        let query = context_query(request.into_inner()).map_err(|error| status_of(&error))?;
        let token_budget = query.token_budget as i32;
        let found = self.retriever.retrieve(&caller, query).await.map_err(|error| status_of(&error))?;
        let (items, dropped) = parted(found.items);
        Ok(Response::new(RetrieveContextResponse {
            context_log_id: found.id.to_string(),
            items,
            dropped,
            packed_text: found.packed_text,
            token_count: found.token_count as i32,
            token_budget,
            revision: found.provenance.revision.0,
            served_by: convert::served_by(found.provenance.served_by).into(),
            model_id: found.model.to_string(),
        }))
    }

    async fn record_response(
        &self,
        request: Request<RecordResponseRequest>,
    ) -> Result<Response<RecordResponseResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = log_id(&request.context_log_id).map_err(|error| status_of(&error))?;
        let response = non_empty("response", request.response)
            .and_then(|text| bounded("response", text, MAX_RESPONSE_BYTES))
            .map_err(|error| status_of(&error))?;
        let model_used =
            bounded("model_used", request.model_used, MAX_MODEL_USED_BYTES).map_err(|error| status_of(&error))?;
        let model_used = Some(model_used.as_str()).filter(|name| !name.is_empty());
        let recorded = self.journal.record_response(&caller, id, &response, model_used, Utc::now()).await;
        recorded.map_err(|error| status_of(&error))?;
        Ok(Response::new(RecordResponseResponse {}))
    }

    async fn record_feedback(
        &self,
        request: Request<RecordFeedbackRequest>,
    ) -> Result<Response<RecordFeedbackResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = log_id(&request.context_log_id).map_err(|error| status_of(&error))?;
        let verdict = verdict(request).map_err(|error| status_of(&error))?;
        let recorded = self.journal.record_feedback(&caller, id, verdict, Utc::now()).await;
        recorded.map_err(|error| status_of(&error))?;
        Ok(Response::new(RecordFeedbackResponse {}))
    }

    async fn get_context_log(
        &self,
        request: Request<GetContextLogRequest>,
    ) -> Result<Response<GetContextLogResponse>, Status> {
        let caller = caller(&request)?;
        let id = log_id(&request.into_inner().context_log_id).map_err(|error| status_of(&error))?;
        let (log, items) = self.journal.get(&caller, id).await.map_err(|error| status_of(&error))?;
        Ok(Response::new(GetContextLogResponse { log: Some(log_message(log, items)) }))
    }
}

fn context_query(request: RetrieveContextRequest) -> Result<ContextQuery, Invalid> {
    let tokenizer = match request.tokenizer() {
        proto::Tokenizer::Unspecified | proto::Tokenizer::Cl100kBase => Tokenizer::Cl100kBase,
        proto::Tokenizer::O200kBase => Tokenizer::O200kBase,
    };
    if request.recent_turns.len() > MAX_TURNS {
        let reason = format!("has {} turns; at most {MAX_TURNS} are allowed", request.recent_turns.len());
        return Err(Invalid::new("recent_turns", reason));
    }
    if request.sources.len() > MAX_SOURCES {
        let reason = format!("has {} sources; at most {MAX_SOURCES} are allowed", request.sources.len());
        return Err(Invalid::new("sources", reason));
    }
    let metadata = convert::json_object("metadata", request.metadata)?;
    bounded("metadata", serde_json::Value::Object(metadata.clone()).to_string(), MAX_METADATA_BYTES)?;
    Ok(ContextQuery {
        query: non_empty("query", request.query).and_then(|text| bounded("query", text, MAX_QUERY_BYTES))?,
        recent_turns: request
            .recent_turns
            .into_iter()
            .map(|turn| bounded("recent_turns", turn, MAX_QUERY_BYTES))
            .collect::<Result<_, _>>()?,
        user: convert::optional(&request.user_id)?,
        conversation_id: convert::optional_in::<crate::domain::UserId>("conversation_id", &request.conversation_id)?
            .map(|id| id.0),
        source_type: convert::optional(&request.source_type)?.unwrap_or_default(),
        sources: request.sources.into_iter().enumerate().map(source).collect::<Result<_, _>>()?,
        token_budget: convert::limit("token_budget", request.token_budget, DEFAULT_BUDGET, MAX_BUDGET)?,
        tokenizer,
        threshold: convert::threshold("threshold", request.threshold)?.unwrap_or(DEFAULT_THRESHOLD),
        filter: convert::filter(request.filter)?,
        model: convert::optional(&request.model_id)?,
        min_revision: convert::min_revision(request.min_revision)?,
        metadata,
    })
}

fn source((at, source): (usize, proto::ContextSource)) -> Result<Source, Invalid> {
    let inside = |error: Invalid| error.inside(&format!("sources[{at}]"));
    Ok(Source {
        entity_type: source.entity_type.parse().map_err(inside)?,
        quota: convert::limit("quota", source.quota, DEFAULT_QUOTA, MAX_QUOTA).map_err(inside)?,
        threshold: convert::threshold("threshold", source.threshold).map_err(inside)?,
    })
}

fn verdict(request: RecordFeedbackRequest) -> Result<Verdict, Invalid> {
    let kind = match request.r#type() {
        proto::FeedbackType::Unspecified => None,
        proto::FeedbackType::Helpful => Some(FeedbackKind::Helpful),
        proto::FeedbackType::TooGeneric => Some(FeedbackKind::TooGeneric),
        proto::FeedbackType::NotRelevant => Some(FeedbackKind::NotRelevant),
        proto::FeedbackType::Incorrect => Some(FeedbackKind::Incorrect),
        proto::FeedbackType::Excellent => Some(FeedbackKind::Excellent),
    };
    let comment = bounded("comment", request.comment, MAX_COMMENT_BYTES)?;
    Verdict::new(request.score, kind, Some(comment).filter(|comment| !comment.is_empty()))
}

fn log_id(text: &str) -> Result<ContextLogId, Invalid> {
    text.parse()
}

fn bounded(field: &str, text: String, most: usize) -> Result<String, Invalid> {
    if text.len() > most || text.contains('\0') {
        let reason = format!("has {} bytes; at most {most}, without U+0000, are allowed", text.len());
        return Err(Invalid::new(field, reason));
    }
    Ok(text)
}

/// Packed items and dropped ones.
fn parted(items: Vec<ContextItem>) -> (Vec<proto::ContextItem>, Vec<proto::ContextItem>) {
    let (packed, dropped): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.citation.is_some());
    (packed.into_iter().map(item_message).collect(), dropped.into_iter().map(item_message).collect())
}

fn item_message(item: ContextItem) -> proto::ContextItem {
    let drop_reason = match item.dropped {
        None => proto::DropReason::Unspecified,
        Some(DropReason::Budget) => proto::DropReason::Budget,
        Some(DropReason::Quota) => proto::DropReason::Quota,
        Some(DropReason::Duplicate) => proto::DropReason::Duplicate,
        Some(DropReason::NoText) => proto::DropReason::NoText,
        Some(DropReason::Deleted) => proto::DropReason::Deleted,
    };
    proto::ContextItem {
        citation: item.citation.unwrap_or_default() as i32,
        entity: Some(convert::entity_message(&item.entity)),
        source_field: item.source_field.to_string(),
        chunk_index: item.chunk_index,
        version: item.version,
        score: item.score,
        token_count: item.tokens as i32,
        text: item.text,
        drop_reason: drop_reason.into(),
    }
}

fn log_message(log: store::ContextLog, items: Vec<ContextItem>) -> ContextLog {
    let (items, dropped) = parted(items);
    let tokenizer = match log.tokenizer.parse() {
        Ok(Tokenizer::Cl100kBase) => proto::Tokenizer::Cl100kBase,
        Ok(Tokenizer::O200kBase) => proto::Tokenizer::O200kBase,
        Err(_) => proto::Tokenizer::Unspecified,
    };
    let served_by = ServedBy::ALL.into_iter().find(|served_by| served_by.as_str() == log.served_by);
    let feedback_type = match log.feedback.kind.as_deref().and_then(FeedbackKind::parse) {
        None => proto::FeedbackType::Unspecified,
        Some(FeedbackKind::Helpful) => proto::FeedbackType::Helpful,
        Some(FeedbackKind::TooGeneric) => proto::FeedbackType::TooGeneric,
        Some(FeedbackKind::NotRelevant) => proto::FeedbackType::NotRelevant,
        Some(FeedbackKind::Incorrect) => proto::FeedbackType::Incorrect,
        Some(FeedbackKind::Excellent) => proto::FeedbackType::Excellent,
    };
    let metadata = match log.metadata {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    ContextLog {
        context_log_id: log.id.to_string(),
        created_at: Some(convert::time_message(log.created_at)),
        query: log.query,
        recent_turns: log.recent_turns,
        user_id: log.user.map(|user| user.to_string()).unwrap_or_default(),
        conversation_id: log.conversation_id.map(|id| id.to_string()).unwrap_or_default(),
        source_type: log.source_type,
        items,
        dropped,
        packed_text: log.packed_text,
        token_count: log.token_count,
        token_budget: log.token_budget,
        tokenizer: tokenizer.into(),
        revision: log.revision.0,
        served_by: served_by.map_or(proto::ServedBy::Unspecified, convert::served_by).into(),
        model_id: log.model.to_string(),
        response: log.response.unwrap_or_default(),
        model_used: log.model_used.unwrap_or_default(),
        feedback_score: log.feedback.score.map(i32::from),
        feedback_type: feedback_type.into(),
        feedback_comment: log.feedback.comment.unwrap_or_default(),
        metadata: Some(convert::json_message(metadata)),
    }
}
