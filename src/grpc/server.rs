//! One port: the services, health, reflection, and gRPC-Web.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::admission::AdmissionLayer;
use super::auth::AuthLayer;
use super::call::CallLayer;
use super::context_service::Contexts;
use super::embedding_service::{Embeddings, MAX_STREAMS};
use super::proto::DESCRIPTORS;
use super::proto::context_service_server::ContextServiceServer;
use super::proto::embedding_service_server::EmbeddingServiceServer;
use super::proto::search_service_server::SearchServiceServer;
use super::search_service::Search;
use crate::access::Gate;
use crate::context::{Journal, Retriever};
use crate::ingest::Ingestor;
use crate::search::Searcher;
use crate::versions::VersionKeeper;

/// Limits of the transport.
#[derive(Debug, Clone)]
pub struct GrpcSettings {
    /// The most bytes a message to the service may have.
    pub max_message_bytes: usize,
    /// The most calls that run at once.
    pub max_calls: usize,
    /// The deadline of unary calls that bring none, and the longest one.
    pub longest_call: Duration,
    /// Origins of browsers that may call by gRPC-Web; any where it is `*`.
    pub web_origins: Vec<String>,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: 16 * 1024 * 1024,
            max_calls: 1_024,
            longest_call: Duration::from_secs(60),
            web_origins: Vec::new(),
        }
    }
}

/// Everything that is served.
#[derive(Clone)]
pub struct Services {
    /// Who calls.
    pub gate: Gate,
    /// Takes drafts in.
    pub ingestor: Ingestor,
    /// Keeps versions.
    pub keeper: VersionKeeper,
    /// Answers searches.
    pub searcher: Searcher,
    /// Retrieves context.
    pub retriever: Retriever,
    /// Reads and completes context logs.
    pub journal: Journal,
}

/// The gRPC server.
pub struct Server {
    services: Services,
    settings: GrpcSettings,
    stop: CancellationToken,
    health: HealthReporter,
}

/// Messages from the service: versions with vectors, or a thousand results with texts.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

macro_rules! service {
    ($server:ident, $implementation:expr, $settings:expr) => {
        $server::new($implementation)
            .max_decoding_message_size($settings.max_message_bytes)
            .max_encoding_message_size(MAX_ANSWER_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    };
}

impl Server {
    /// A server that ends once `stop` is cancelled.
    pub fn new(services: Services, settings: GrpcSettings, stop: CancellationToken) -> Self {
        Self { services, settings, stop, health: HealthReporter::new() }
    }

    /// Serves connections of `listener` until told to stop; then says NOT_SERVING, and waits for running calls.
    pub async fn serve(self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        let Self { services, settings, stop, health } = self;
        let embeddings = Embeddings {
            ingestor: services.ingestor,
            keeper: services.keeper,
            stop: stop.clone(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        };
        let search = Search { searcher: services.searcher };
        let contexts = Contexts { retriever: services.retriever, journal: services.journal };
        let embeddings = service!(EmbeddingServiceServer, embeddings, settings);
        let search = service!(SearchServiceServer, search, settings);
        let contexts = service!(ContextServiceServer, contexts, settings);
        health.set_serving::<EmbeddingServiceServer<Embeddings>>().await;
        health.set_serving::<SearchServiceServer<Search>>().await;
        health.set_serving::<ContextServiceServer<Contexts>>().await;
        let health_service = tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health.clone()),
        );
        let told_to_stop = async move {
            stop.cancelled().await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
            health.set_not_serving::<EmbeddingServiceServer<Embeddings>>().await;
            health.set_not_serving::<SearchServiceServer<Search>>().await;
            health.set_not_serving::<ContextServiceServer<Contexts>>().await;
        };
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        tonic::transport::Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .initial_connection_window_size(4 * 1024 * 1024)
            .initial_stream_window_size(1024 * 1024)
            .layer(cors(&settings.web_origins))
            .layer(GrpcWebLayer::new())
            .layer(CallLayer { longest: settings.longest_call })
            .layer(AdmissionLayer::new(settings.max_calls))
            .layer(AuthLayer { gate: services.gate })
            .add_service(health_service)
            .add_service(reflection().build_v1().expect("the compiled descriptors are well-formed"))
            .add_service(reflection().build_v1alpha().expect("the compiled descriptors are well-formed"))
            .add_service(embeddings)
            .add_service(search)
            .add_service(contexts)
            // The builder's own setting is for listeners that it binds itself.
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), told_to_stop)
            .await
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let exposed = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"];
    let layer = CorsLayer::new()
        .allow_methods([http::Method::POST, http::Method::OPTIONS])
        .allow_headers(tower_http::cors::Any)
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(3600));
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(AllowOrigin::any());
    }
    layer.allow_origin(AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok())))
}
