//! `kindred.v1.SearchService`.

use std::thread::available_parallelism;

use futures::{StreamExt, stream};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

use super::auth::caller;
use super::proto::search_service_server::SearchService;
use super::proto::{
    SearchBatchRequest, SearchBatchResponse, SearchFailure, SearchOutcome, SearchRequest, SearchResponse, SearchResult,
    SimilarEntitiesRequest, SimilarEntitiesResponse, search_outcome, search_request, similar_entities_request,
};
use super::status::status_of;
use super::{call, convert};
use crate::domain::Invalid;
use crate::search::{Answer, SearchQuery, Searcher, SimilarQuery, Subject, Target};
use crate::tenancy::Caller;

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 1_000;
const MAX_TARGETS: usize = 32;
const MAX_SEARCHES: usize = 1_000;

/// Answers searches.
pub(super) struct Search {
    pub(super) searcher: Searcher,
}

#[tonic::async_trait]
impl SearchService for Search {
    async fn similar_entities(
        &self,
        request: Request<SimilarEntitiesRequest>,
    ) -> Result<Response<SimilarEntitiesResponse>, Status> {
        let caller = caller(&request)?;
        let query = similar_query(request.into_inner()).map_err(|error| status_of(&error))?;
        let answer = self.searcher.similar(&caller, query).await.map_err(|error| status_of(&error))?;
        let (revision, served_by, model_id) = provenance(&answer);
        Ok(Response::new(SimilarEntitiesResponse { results: results(answer), revision, served_by, model_id }))
    }

    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let caller = caller(&request)?;
        answer(&self.searcher, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn search_batch(
        &self,
        request: Request<SearchBatchRequest>,
    ) -> Result<Response<SearchBatchResponse>, Status> {
        let caller = caller(&request)?;
        let searches = request.into_inner().searches;
        if searches.is_empty() || searches.len() > MAX_SEARCHES {
            let reason = format!("has {} searches; 1 to {MAX_SEARCHES} are allowed", searches.len());
            return Err(status_of(&Invalid::new("searches", reason)));
        }
        Ok(Response::new(SearchBatchResponse { outcomes: answer_all(&self.searcher, &caller, searches).await? }))
    }
}

async fn answer(searcher: &Searcher, caller: &Caller, request: SearchRequest) -> Result<SearchResponse, Status> {
    let query = search_query(request).map_err(|error| status_of(&error))?;
    let answer = searcher.search(caller, query).await.map_err(|error| status_of(&error))?;
    let (revision, served_by, model_id) = provenance(&answer);
    Ok(SearchResponse { results: results(answer), revision, served_by, model_id })
}

/// Answers as many searches at once as there are cores, each in a task of its own, which ends with the call.
async fn answer_all(
    searcher: &Searcher,
    caller: &Caller,
    searches: Vec<SearchRequest>,
) -> Result<Vec<SearchOutcome>, Status> {
    let at_once = available_parallelism().map_or(1, usize::from);
    let answering = searches.into_iter().map(|search| {
        let (searcher, caller) = (searcher.clone(), caller.clone());
        let mut task = JoinSet::new();
        let request_id = call::request_id();
        async move {
            task.spawn(call::within(request_id, async move { answer(&searcher, &caller, search).await }));
            task.join_next().await
        }
    });
    let mut outcomes = Vec::new();
    let mut answered = stream::iter(answering).buffered(at_once);
    while let Some(ended) = answered.next().await {
        let result = match ended {
            Some(Ok(Ok(response))) => search_outcome::Result::Response(response),
            Some(Ok(Err(status))) => search_outcome::Result::Failure(SearchFailure {
                code: status.code().into(),
                message: status.message().to_owned(),
            }),
            _ => return Err(Status::internal("a search of the batch ended without an answer")),
        };
        outcomes.push(SearchOutcome { result: Some(result) });
    }
    Ok(outcomes)
}

fn similar_query(request: SimilarEntitiesRequest) -> Result<SimilarQuery, Invalid> {
    use similar_entities_request::Subject as Given;
    let limit = convert::limit("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let subject = match request.subject {
        Some(Given::Entity(entity)) => Subject::Entity {
            entity: convert::entity(Some(entity))?,
            source_field: convert::optional(&request.source_field)?,
        },
        Some(Given::Vector(vector)) => Subject::Vector(convert::vector(vector)?),
        Some(Given::Text(text)) => Subject::Text(non_empty("text", text)?),
        None => return Err(Invalid::new("subject", "is missing; give an entity, a vector or a text")),
    };
    if request.targets.len() > MAX_TARGETS {
        let reason = format!("has {} targets; at most {MAX_TARGETS} are allowed", request.targets.len());
        return Err(Invalid::new("targets", reason));
    }
    let targets = request.targets.into_iter().enumerate().map(|(at, target)| {
        let inside = |error: Invalid| error.inside(&format!("targets[{at}]"));
        Ok(Target {
            entity_type: target.entity_type.parse().map_err(inside)?,
            limit: convert::limit("limit", target.limit, limit, MAX_LIMIT).map_err(inside)?,
        })
    });
    Ok(SimilarQuery {
        subject,
        model: convert::optional(&request.model_id)?,
        targets: targets.collect::<Result<_, Invalid>>()?,
        limit,
        threshold: convert::threshold("threshold", request.threshold)?,
        filter: convert::filter(request.filter)?,
        min_revision: convert::min_revision(request.min_revision)?,
        with_content: request.include_content,
    })
}

fn search_query(request: SearchRequest) -> Result<SearchQuery, Invalid> {
    use search_request::Query as Given;
    let subject = match request.query {
        Some(Given::Text(text)) => Subject::Text(non_empty("text", text)?),
        Some(Given::Vector(vector)) => Subject::Vector(convert::vector(vector)?),
        None => return Err(Invalid::new("query", "is missing; give a text or a vector")),
    };
    Ok(SearchQuery {
        subject,
        model: convert::optional(&request.model_id)?,
        limit: convert::limit("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        threshold: convert::threshold("threshold", request.threshold)?,
        filter: convert::filter(request.filter)?,
        min_revision: convert::min_revision(request.min_revision)?,
        with_content: request.include_content,
        every_chunk: request.every_chunk,
    })
}

pub(super) fn non_empty(field: &str, text: String) -> Result<String, Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new(field, "is empty; give a text"));
    }
    Ok(text)
}

fn provenance(answer: &Answer) -> (i64, i32, String) {
    let served_by = convert::served_by(answer.provenance.served_by);
    (answer.provenance.revision.0, served_by.into(), answer.model.id.to_string())
}

fn results(answer: Answer) -> Vec<SearchResult> {
    answer
        .hits
        .into_iter()
        .map(|hit| SearchResult {
            entity: Some(convert::entity_message(&hit.chunk.entity)),
            source_field: hit.chunk.source_field.to_string(),
            version: hit.chunk.version,
            chunk_index: hit.chunk.chunk_index,
            score: hit.chunk.score,
            content: hit.content.map(convert::content_message),
        })
        .collect()
}
