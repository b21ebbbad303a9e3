//! The floor: a tonic server that answers a search of the same size with ten hits of the same size, and does nothing else.

use kindred::grpc::proto::search_service_server::{SearchService, SearchServiceServer};
use kindred::grpc::proto::{
    EntityRef, SearchBatchRequest, SearchBatchResponse, SearchRequest, SearchResponse, SearchResult,
    SimilarEntitiesRequest, SimilarEntitiesResponse,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::K;

struct Echo;

#[tonic::async_trait]
impl SearchService for Echo {
    async fn similar_entities(
        &self,
        _: Request<SimilarEntitiesRequest>,
    ) -> Result<Response<SimilarEntitiesResponse>, Status> {
        Err(Status::unimplemented("only Search"))
    }

    async fn search_batch(&self, _: Request<SearchBatchRequest>) -> Result<Response<SearchBatchResponse>, Status> {
        Err(Status::unimplemented("only Search"))
    }

    async fn search(&self, _: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let hit = |number: usize| SearchResult {
            entity: Some(EntityRef {
                r#type: "post".to_owned(),
                id: uuid::Uuid::from_u128(number as u128).to_string(),
            }),
            source_field: "content".to_owned(),
            version: 1,
            score: 0.5,
            ..SearchResult::default()
        };
        Ok(Response::new(SearchResponse {
            results: (0..K).map(hit).collect(),
            revision: 1,
            served_by: 1,
            model_id: "bench".to_owned(),
        }))
    }
}

/// Serves until standard input ends; says where.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(SearchServiceServer::new(Echo));
    server
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            crate::server::input_ended(),
        )
        .await
        .unwrap();
}
