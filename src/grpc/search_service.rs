//! `kindred.v1.SearchService`.

use tonic::{Request, Response, Status};

use super::auth::caller;
use super::convert;
use super::proto::search_service_server::SearchService;
use super::proto::{
    SearchRequest, SearchResponse, SearchResult, SimilarEntitiesRequest, SimilarEntitiesResponse, search_request,
    similar_entities_request,
};
use super::status::status_of;
use crate::domain::Invalid;
use crate::search::{Answer, SearchQuery, Searcher, SimilarQuery, Subject, Target};

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 1_000;
const MAX_TARGETS: usize = 32;

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
        let query = search_query(request.into_inner()).map_err(|error| status_of(&error))?;
        let answer = self.searcher.search(&caller, query).await.map_err(|error| status_of(&error))?;
        let (revision, served_by, model_id) = provenance(&answer);
        Ok(Response::new(SearchResponse { results: results(answer), revision, served_by, model_id }))
    }
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
