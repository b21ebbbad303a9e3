//! A whole service for one test.

use std::sync::Arc;
use std::time::Duration;

use kindred::access::{self, NewKey};
use kindred::domain::{KeyId, OrganizationId};
use kindred::grpc::proto::context_service_client::ContextServiceClient;
use kindred::grpc::proto::embedding_service_client::EmbeddingServiceClient;
use kindred::grpc::proto::search_service_client::SearchServiceClient;
use kindred::grpc::proto::{
    ChunkDraft, Draft, EntityRef, Filter, ItemOutcome, OutcomeKind, SearchRequest, SearchResponse,
    UpsertEmbeddingRequest, UpsertEmbeddingsRequest, Vector, search_request,
};
use kindred::runtime::{self, Application, Config, DatabaseChoice, Mode, Settings};
use kindred::tenancy::Role;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::embedder::WordEmbedder;
use crate::postgres::{self, Urls};

/// Adds a key to each call.
#[derive(Debug, Clone)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Client = InterceptedService<Channel, Credential>;

/// A running service with its database.
pub struct Service {
    pub urls: Urls,
    pub embedder: Arc<WordEmbedder>,
    pub running: runtime::Service,
}

/// One organization, and clients that call for it.
#[derive(Clone)]
pub struct Tenant {
    pub id: OrganizationId,
    pub key: String,
    pub key_id: KeyId,
    pub embeddings: EmbeddingServiceClient<Client>,
    pub search: SearchServiceClient<Client>,
    pub context: ContextServiceClient<Client>,
}

#[derive(clap::Parser)]
struct Defaults {
    #[command(flatten)]
    settings: Settings,
}

/// A configuration for a test's database: any port, no metrics, a fast feed.
pub fn config(urls: &Urls) -> Config {
    let arguments = [
        "kindred",
        "--listen=127.0.0.1:0",
        "--metrics-listen=off",
        "--mirror-interval-ms=100",
        "--mirror-snapshots-mib=0",
        "--database-connections=8",
        "--drain-ms=5000",
        "--data-dir=/nonexistent",
        "--cache-dir=/nonexistent",
    ];
    let settings = <Defaults as clap::Parser>::parse_from(arguments).settings;
    let mut config = Config::from_settings(&settings).unwrap();
    config.database = DatabaseChoice::Given { app: urls.app.clone(), owner: Some(urls.owner.clone()) };
    config
}

impl Service {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A service whose configuration is changed by `change`.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(postgres::database().await, change).await
    }

    /// A further service on the same database: another replica.
    pub async fn replica(&self) -> Self {
        Self::on(self.urls.clone(), |_| {}).await
    }

    pub async fn on(urls: Urls, change: impl FnOnce(&mut Config)) -> Self {
        let embedder = Arc::new(WordEmbedder::new());
        let mut config = config(&urls);
        change(&mut config);
        let application = Application::start_with(&config, Mode::Service, vec![embedder.clone()]).await.unwrap();
        let running = runtime::serve(application, &config).await.unwrap();
        Self { urls, embedder, running }
    }

    /// Stops it and starts another one on the same database.
    pub async fn restart(self) -> Self {
        assert!(self.running.stop().await, "everything ended in time");
        Self::on(self.urls, |_| {}).await
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// A new organization with an editor's key.
    pub async fn organization(&self, slug: &str) -> Tenant {
        let application = self.running.application();
        let administrator = application.administrator().unwrap();
        let id = administrator.create_organization(slug, slug, &application.default_model).await.unwrap();
        self.tenant(id, Role::Editor).await
    }

    /// The same organization, for a service that was started later or a caller of another role.
    pub async fn tenant(&self, id: OrganizationId, role: Role) -> Tenant {
        let new = NewKey { organization: id, name: "test".to_owned(), role, user: None, expires_at: None };
        let (key_id, key) = access::issue(self.running.application().owner().unwrap(), new).await.unwrap();
        let credential = Credential(Some(format!("Bearer {key}").parse().unwrap()));
        self.client(id, key, key_id, credential).await
    }

    /// Clients that bring this value as their credential, or none.
    pub async fn stranger(&self, authorization: Option<&str>) -> Tenant {
        let credential = Credential(authorization.map(|value| value.parse().unwrap()));
        let nobody = (OrganizationId(uuid::Uuid::nil()), KeyId(uuid::Uuid::nil()));
        self.client(nobody.0, String::new(), nobody.1, credential).await
    }

    async fn client(&self, id: OrganizationId, key: String, key_id: KeyId, credential: Credential) -> Tenant {
        let channel = Channel::from_shared(self.endpoint()).unwrap().connect().await.unwrap();
        let embeddings = EmbeddingServiceClient::with_interceptor(channel.clone(), credential.clone());
        Tenant {
            id,
            key,
            key_id,
            embeddings: embeddings.max_decoding_message_size(64 << 20).max_encoding_message_size(64 << 20),
            search: SearchServiceClient::with_interceptor(channel.clone(), credential.clone()),
            context: ContextServiceClient::with_interceptor(channel, credential),
        }
    }
}

/// An entity of a test: its number is its id.
pub fn entity(entity_type: &str, number: u128) -> EntityRef {
    EntityRef { r#type: entity_type.to_owned(), id: uuid::Uuid::from_u128(number).to_string() }
}

/// A draft of one text.
pub fn draft(entity_type: &str, number: u128, text: &str) -> Draft {
    Draft {
        item_id: format!("{entity_type}-{number}"),
        entity: Some(entity(entity_type, number)),
        chunks: vec![ChunkDraft { text: text.to_owned(), vector: None }],
        ..Draft::default()
    }
}

/// A draft of one ready vector.
pub fn vector_draft(entity_type: &str, number: u128, values: Vec<f32>) -> Draft {
    let chunk = ChunkDraft { text: String::new(), vector: Some(Vector { values }) };
    Draft { chunks: vec![chunk], ..draft(entity_type, number, "") }
}

impl Tenant {
    /// Upserts one draft by the unary call.
    pub async fn upsert(&mut self, draft: Draft) -> Result<ItemOutcome, Status> {
        let request = UpsertEmbeddingRequest { draft: Some(draft) };
        Ok(self.embeddings.upsert_embedding(request).await?.into_inner().outcome.unwrap())
    }

    /// Upserts drafts by one message of a stream; outcomes in the drafts' order.
    pub async fn upsert_all(&mut self, drafts: Vec<Draft>) -> Vec<ItemOutcome> {
        let order: Vec<String> = drafts.iter().map(|draft| draft.item_id.clone()).collect();
        let messages: Vec<_> =
            drafts.chunks(500).map(|drafts| UpsertEmbeddingsRequest { drafts: drafts.to_vec() }).collect();
        let mut answers = self.embeddings.upsert_embeddings(tokio_stream::iter(messages)).await.unwrap().into_inner();
        let mut outcomes = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            outcomes.extend(answer.outcomes);
        }
        assert_eq!(outcomes.len(), order.len(), "one outcome an item");
        outcomes.sort_by_key(|outcome| order.iter().position(|id| *id == outcome.item_id));
        outcomes
    }

    /// Searches by text at a revision.
    pub async fn find(&mut self, text: &str, min_revision: i64) -> SearchResponse {
        self.find_filtered(text, min_revision, None).await
    }

    pub async fn find_filtered(&mut self, text: &str, min_revision: i64, filter: Option<Filter>) -> SearchResponse {
        let request = SearchRequest {
            query: Some(search_request::Query::Text(text.to_owned())),
            min_revision,
            filter,
            include_content: true,
            ..SearchRequest::default()
        };
        self.search.search(request).await.unwrap().into_inner()
    }

    /// Searches until a mirror answers.
    pub async fn mirrored(&mut self) {
        for _ in 0..200 {
            let answer = self.find("warm up", 0).await;
            if answer.served_by() != kindred::grpc::proto::ServedBy::Postgres {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the mirror never answered");
    }
}

/// The texts that were found, best first.
pub fn texts(answer: &SearchResponse) -> Vec<&str> {
    answer.results.iter().map(|result| result.content.as_ref().unwrap().text.as_str()).collect()
}

/// Asserts an outcome's kind and version.
#[track_caller]
pub fn assert_outcome(outcome: &ItemOutcome, kind: OutcomeKind, version: i32) {
    assert_eq!((outcome.kind(), outcome.version), (kind, version), "{outcome:?}");
}

/// Asserts a status' code, and that its message says each of `parts`.
#[track_caller]
pub fn assert_status(status: &Status, code: tonic::Code, parts: &[&str]) {
    assert_eq!(status.code(), code, "{status:?}");
    for part in parts {
        assert!(status.message().contains(part), "{part:?} in {:?}", status.message());
    }
}
