//! Start, restart, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use kindred::grpc::proto::{OutcomeKind, UpsertEmbeddingsRequest};
use kindred::runtime::{self, Application, Mode};
use kindred::tenancy::Role;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::embedder::WordEmbedder;
use crate::harness::{Service, assert_outcome, assert_status, config, draft, texts};
use crate::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_all() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "one")).await.unwrap();
    let revision = acme.upsert(draft("post", 1, "one again")).await.unwrap().revision;
    let id = acme.id;
    drop(acme);
    let service = service.restart().await;
    let mut acme = service.tenant(id, Role::Editor).await;
    let answer = acme.find("one", revision).await;
    assert_eq!((texts(&answer), answer.revision), (vec!["one again"], revision));
    assert_eq!(acme.upsert(draft("post", 1, "one again")).await.unwrap().kind(), OutcomeKind::Unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_drained_before_the_end() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let (drafts, sent) = mpsc::channel(4);
    let mut answers = acme.embeddings.upsert_embeddings(ReceiverStream::new(sent)).await.unwrap().into_inner();
    service.embedder.set_slow(true);
    let called = service.embedder.called();
    let batch = vec![draft("post", 1, "on its way")];
    drafts.send(UpsertEmbeddingsRequest { drafts: batch }).await.unwrap();
    called.await;
    let stopping = tokio::spawn(service.running.stop());
    let mut outcomes = Vec::new();
    let end = loop {
        match answers.message().await {
            Ok(Some(answer)) => outcomes.extend(answer.outcomes),
            Ok(None) => panic!("the stream ended as if the client had finished it"),
            Err(status) => break status,
        }
    };
    assert_eq!(outcomes.len(), 1, "what was read is answered");
    assert_outcome(&outcomes[0], OutcomeKind::Created, 1);
    assert_status(&end, Code::Unavailable, &["shutting down"]);
    drop((drafts, answers, acme));
    assert!(stopping.await.unwrap(), "everything ended in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told_with_its_setting() {
    let service = Service::start().await;
    let mut config = config(&service.urls);
    config.listen = service.running.address();
    let application =
        Application::start_with(&config, Mode::Service, vec![Arc::new(WordEmbedder::new())]).await.unwrap();
    let error = runtime::serve(application, &config).await.err().unwrap().to_string();
    assert!(error.contains(&config.listen.to_string()) && error.contains("--listen (KINDRED_LISTEN)"), "{error}");
}

async fn refused(change: impl FnOnce(&mut kindred::runtime::Config), urls: &postgres::Urls) -> String {
    let mut config = config(urls);
    change(&mut config);
    let started = Application::start_with(&config, Mode::Service, vec![Arc::new(WordEmbedder::new())]).await;
    started.err().expect("it does not start").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_told_with_the_fix() {
    use kindred::runtime::DatabaseChoice::Given;
    let urls = postgres::database().await;
    let given = |app: &str| Given { app: app.to_owned(), owner: None };
    let nowhere = given("postgres://kindred_app:secret@127.0.0.1:1/kindred");
    let error = refused(|config| config.database = nowhere, &urls).await;
    assert!(error.contains("DATABASE_URL") && !error.contains("secret"), "{error}");
    let owner = given(&urls.owner);
    let error = refused(|config| config.database = owner, &urls).await;
    assert!(error.contains("kindred_owner must not serve") && error.contains("owns"), "{error}");
    let superuser = given(&urls.superuser);
    let error = refused(|config| config.database = superuser, &urls).await;
    assert!(error.contains("superuser"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_id_never_stands_for_two_models() {
    let service = Service::start().await;
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::query("UPDATE embedding_models SET name = 'another'").execute(&mut owner).await.unwrap();
    let error = refused(|_| {}, &service.urls).await;
    assert!(error.contains("words-64") && error.contains("another") && error.contains("KINDRED_MODEL_ID"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_settles_rows_and_cold_searches_use_the_index() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "soon settled")).await.unwrap();
    let mut owner = postgres::connect(&service.urls.owner).await;
    for _ in 0..200 {
        let (settled, index): (bool, i64) = sqlx::query_as(
            "SELECT bool_and(settled), (SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'embeddings_hnsw_%')
             FROM embeddings",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if settled && index == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the row was never settled");
}
