//! `kindred.v1.EmbeddingService`.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::admission::overloaded;
use super::auth::caller;
use super::call::{self, Deadline};
use super::convert;
use super::proto::embedding_service_server::EmbeddingService;
use super::proto::{
    ActivateEmbeddingVersionRequest, ActivateEmbeddingVersionResponse, Chunk, DeleteEmbeddingsRequest,
    DeleteEmbeddingsResponse, EmbeddingVersion, GetEmbeddingRequest, GetEmbeddingResponse,
    ListEmbeddingVersionsRequest, ListEmbeddingVersionsResponse, UpsertEmbeddingRequest, UpsertEmbeddingResponse,
    UpsertEmbeddingsRequest,
};
use super::status::status_of;
use super::upsert_stream::{Outcomes, UpsertStream, conflict_status, outcome_message};
use crate::domain::{Invalid, Outcome, Version, VersionInfo};
use crate::ingest::Ingestor;
use crate::tenancy::Role;
use crate::versions::{Line, Target, VersionKeeper};

/// Acknowledgements that may wait for their client.
const ANSWERS: usize = 16;
/// The most streams at once.
pub(super) const MAX_STREAMS: usize = 512;
const MAX_PAGE_SIZE: usize = 1_000;
const DEFAULT_PAGE_SIZE: usize = 50;

/// Answers for versions.
pub(super) struct Embeddings {
    pub(super) ingestor: Ingestor,
    pub(super) keeper: VersionKeeper,
    pub(super) stop: CancellationToken,
    /// Streams that may be open at once: they outlive the call that admission counts.
    pub(super) streams: Arc<Semaphore>,
}

#[tonic::async_trait]
impl EmbeddingService for Embeddings {
    type UpsertEmbeddingsStream = Outcomes;

    async fn upsert_embeddings(
        &self,
        request: Request<Streaming<UpsertEmbeddingsRequest>>,
    ) -> Result<Response<Outcomes>, Status> {
        let caller = caller(&request)?;
        caller.require(Role::Editor).map_err(|error| status_of(&error))?;
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| too_many_streams())?;
        let deadline = request.extensions().get::<Deadline>().map_or_else(Instant::now, |deadline| deadline.0);
        let (answers, answered) = mpsc::channel(ANSWERS);
        let stream = UpsertStream { ingestor: self.ingestor.clone(), caller, stop: self.stop.clone(), deadline };
        let drafts = request.into_inner();
        self.ingestor.tasks().spawn(call::within(call::request_id(), async move {
            stream.run(drafts, answers).await;
            drop(place);
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }

    async fn upsert_embedding(
        &self,
        request: Request<UpsertEmbeddingRequest>,
    ) -> Result<Response<UpsertEmbeddingResponse>, Status> {
        let caller = caller(&request)?;
        let mut draft = request
            .into_inner()
            .draft
            .ok_or_else(|| status_of(&Invalid::new("draft", "is missing; give what is to be kept")))?;
        let item_id = std::mem::take(&mut draft.item_id);
        let draft = convert::draft(draft).map_err(|error| status_of(&error.inside("draft")))?;
        match self.ingestor.upsert(&caller, draft).await {
            Err(error) => Err(status_of(&error)),
            Ok(Outcome::Conflict { reason, .. }) => Err(conflict_status(&reason)),
            Ok(outcome) => {
                let outcome = Some(outcome_message(item_id, Ok(outcome)));
                Ok(Response::new(UpsertEmbeddingResponse { outcome }))
            }
        }
    }

    async fn get_embedding(
        &self,
        request: Request<GetEmbeddingRequest>,
    ) -> Result<Response<GetEmbeddingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (include_vectors, version) = (request.include_vectors, request.version);
        let line = line(request.entity, &request.source_field, &request.model_id).map_err(|error| status_of(&error))?;
        if let Some(version) = version {
            positive("version", version).map_err(|error| status_of(&error))?;
        }
        let found = self.keeper.get(&caller, line, version).await.map_err(|error| status_of(&error))?;
        Ok(Response::new(version_with_chunks(found, include_vectors)))
    }

    async fn list_embedding_versions(
        &self,
        request: Request<ListEmbeddingVersionsRequest>,
    ) -> Result<Response<ListEmbeddingVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let line = line(request.entity, &request.source_field, &request.model_id).map_err(|error| status_of(&error))?;
        let (before, limit) = page(request.page_size, &request.page_token).map_err(|error| status_of(&error))?;
        let page = self.keeper.list(&caller, line, before, limit).await.map_err(|error| status_of(&error))?;
        Ok(Response::new(ListEmbeddingVersionsResponse {
            versions: page.versions.into_iter().map(version_message).collect(),
            next_page_token: page.next_before.map(|before| before.to_string()).unwrap_or_default(),
        }))
    }

    async fn activate_embedding_version(
        &self,
        request: Request<ActivateEmbeddingVersionRequest>,
    ) -> Result<Response<ActivateEmbeddingVersionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let line = line(request.entity, &request.source_field, &request.model_id).map_err(|error| status_of(&error))?;
        positive("version", request.version).map_err(|error| status_of(&error))?;
        let activated = self.keeper.activate(&caller, line, request.version, request.expected_version).await;
        let (version, revision) = activated.map_err(|error| status_of(&error))?;
        Ok(Response::new(ActivateEmbeddingVersionResponse { version, revision: revision.0 }))
    }

    async fn delete_embeddings(
        &self,
        request: Request<DeleteEmbeddingsRequest>,
    ) -> Result<Response<DeleteEmbeddingsResponse>, Status> {
        let caller = caller(&request)?;
        let target = target(request.into_inner()).map_err(|error| status_of(&error))?;
        let deleted = self.keeper.delete(&caller, target).await.map_err(|error| status_of(&error))?;
        Ok(Response::new(DeleteEmbeddingsResponse {
            deleted_versions: deleted.versions as i32,
            revision: deleted.revision.0,
        }))
    }
}

fn too_many_streams() -> Status {
    overloaded(&format!("{MAX_STREAMS} streams are open; send more drafts through fewer streams, or try again later"))
}

fn line(entity: Option<super::proto::EntityRef>, source_field: &str, model_id: &str) -> Result<Line, Invalid> {
    Ok(Line {
        entity: convert::entity(entity)?,
        source_field: convert::source_field(source_field)?,
        model: convert::optional(model_id)?,
    })
}

fn target(request: DeleteEmbeddingsRequest) -> Result<Target, Invalid> {
    if let Some(version) = request.version {
        positive("version", version)?;
    }
    Ok(Target {
        entity: convert::entity(request.entity)?,
        source_field: convert::optional(&request.source_field)?,
        model: convert::optional(&request.model_id)?,
        version: request.version,
    })
}

fn positive(field: &str, version: i32) -> Result<(), Invalid> {
    if version >= 1 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("is {version}; versions begin at 1")))
}

/// Where a page begins and how long it is.
fn page(page_size: i32, page_token: &str) -> Result<(i32, usize), Invalid> {
    let given = Some(page_size).filter(|size| *size != 0);
    let size = convert::limit("page_size", given, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    if page_token.is_empty() {
        return Ok((i32::MAX, size));
    }
    match page_token.parse() {
        Ok(before) if before >= 1 => Ok((before, size)),
        _ => Err(Invalid::new("page_token", "is none of ours; give the last answer's next_page_token, or nothing")),
    }
}

fn version_message(info: VersionInfo) -> EmbeddingVersion {
    EmbeddingVersion {
        entity: Some(convert::entity_message(&info.key.entity)),
        source_field: info.key.source_field.to_string(),
        model_id: info.key.model.to_string(),
        version: info.version,
        revision: info.revision.0,
        superseded_revision: info.superseded_revision.map(|revision| revision.0),
        activated_from: info.activated_from,
        deleted: info.deleted,
        chunk_count: info.chunk_count,
        created_at: Some(convert::time_message(info.created_at)),
    }
}

fn version_with_chunks(found: Version, include_vectors: bool) -> GetEmbeddingResponse {
    let attributes = found.attributes;
    let chunks = found.chunks.into_iter().map(|chunk| Chunk {
        id: chunk.id.to_string(),
        chunk_index: chunk.index,
        text: chunk.content,
        token_count: chunk.token_count,
        language: chunk.language,
        vector: include_vectors.then(|| convert::vector_message(&chunk.vector)),
    });
    GetEmbeddingResponse {
        chunks: chunks.collect(),
        version: Some(version_message(found.info)),
        metadata: Some(convert::json_message(attributes.metadata)),
        tags: attributes.tags,
        platform: attributes.platform,
        status: attributes.status,
        occurred_at: attributes.occurred_at.map(convert::time_message),
    }
}
