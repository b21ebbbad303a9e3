//! The remote model against a server that behaves and misbehaves.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{EmbedError, Embedder, LoadError, RemoteEmbedder, RemoteSettings};
use crate::domain::{Classify, Kind, Purpose};

const KEY: &str = "sk-very-secret";

fn settings(url: &str) -> RemoteSettings {
    RemoteSettings {
        api_key: Some(KEY.to_owned()),
        max_batch: 2,
        attempts: 3,
        query_prefix: "query: ".to_owned(),
        ..RemoteSettings::new(format!("{url}/v1"), "test-model", "remote".parse().expect("id"), 2)
    }
}

fn texts(count: usize) -> Vec<String> {
    (1..=count).map(|length| "x".repeat(length)).collect()
}

/// A server that always answers the same.
async fn answering(template: ResponseTemplate) -> (MockServer, RemoteEmbedder) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/v1/embeddings")).respond_with(template).mount(&server).await;
    let embedder = RemoteEmbedder::new(settings(&server.uri())).expect("settings");
    (server, embedder)
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// The vector of a text of length n is (n, n), at unit length or not; the items come last first.
fn by_length(request: &Request) -> ResponseTemplate {
    let body: Value = request.body_json().expect("json");
    let inputs = body["input"].as_array().expect("an array").iter().enumerate();
    let item = |(index, text): (usize, &Value)| {
        let length = text.as_str().expect("a text").len();
        json!({"object": "embedding", "index": index, "embedding": [length, 1]})
    };
    let data: Vec<Value> = inputs.map(item).rev().collect();
    ok(json!({"object": "list", "data": data, "model": "test-model", "usage": {"prompt_tokens": 1}}))
}

#[tokio::test]
async fn texts_become_vectors_in_order_batch_by_batch() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/embeddings"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(body_partial_json(json!({"model": "test-model", "encoding_format": "float"})))
        .respond_with(by_length)
        .expect(4)
        .mount(&server)
        .await;
    let raw = RemoteSettings { normalized: false, ..settings(&server.uri()) };
    let embedder = RemoteEmbedder::new(raw).expect("settings");
    let vectors = embedder.embed(texts(5), Purpose::Document).await.expect("vectors");
    let lengths: Vec<f32> = vectors.iter().map(|vector| vector.as_slice()[0]).collect();
    assert_eq!(lengths, [1.0, 2.0, 3.0, 4.0, 5.0]);
    let vectors = embedder.embed(texts(1), Purpose::Query).await.expect("vectors");
    assert_eq!(vectors[0].as_slice()[0], 8.0, "the prefix of queries is sent along");
    assert!(embedder.embed(vec![], Purpose::Document).await.expect("nothing").is_empty());
}

#[tokio::test]
async fn vectors_are_normalised_and_probing_tells_the_width() {
    let (_server, embedder) = answering(ok(json!({"data": [{"index": 0, "embedding": [3, 4]}]}))).await;
    let vectors = embedder.embed(texts(1), Purpose::Document).await.expect("vectors");
    assert_eq!(vectors[0].as_slice(), [0.6, 0.8]);
    let (_server, embedder) = answering(ok(json!({"data": [{"index": 0, "embedding": [1, 2, 3]}]}))).await;
    assert_eq!(embedder.probe().await, Ok(3));
}

#[tokio::test]
async fn unusable_answers_are_refused_at_once() {
    for (body, reason) in [
        (json!({"data": [{"index": 0, "embedding": [1, 2]}]}), "1 vectors for 2 texts"),
        (json!({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]}), "1 dimensions"),
        (json!({"data": [{"index": 0, "embedding": [1, null]}, {"index": 1, "embedding": [1, 2]}]}), "null"),
        (json!({"data": [{"index": 0, "embedding": [1e39, 1]}, {"index": 1, "embedding": [1, 2]}]}), "finite"),
        (json!({"data": [{"index": 0, "embedding": [0, 0]}, {"index": 1, "embedding": [1, 2]}]}), "length"),
    ] {
        let (server, embedder) = answering(ok(body)).await;
        let error = embedder.embed(texts(2), Purpose::Document).await.expect_err(reason);
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(matches!(&error, EmbedError::Misbehaved { reason: said } if said.contains(reason)), "{error}");
        assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
    }
}

#[tokio::test]
async fn a_nan_and_a_huge_answer_are_refused() {
    let raw = |body: String| ResponseTemplate::new(200).set_body_raw(body, "application/json");
    for (body, reason) in [
        (r#"{"data":[{"index":0,"embedding":[NaN,1]}]}"#.to_owned(), "no embeddings answer"),
        (format!(r#"{{"data":[],"padding":"{}"}}"#, "x".repeat(1 << 20)), "more than"),
    ] {
        let (_server, embedder) = answering(raw(body)).await;
        let error = embedder.embed(texts(1), Purpose::Document).await.expect_err(reason);
        assert!(matches!(&error, EmbedError::Misbehaved { reason: said } if said.contains(reason)), "{error}");
    }
}

#[tokio::test]
async fn too_many_requests_are_tried_again_when_asked_to() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "1");
    Mock::given(method("POST")).respond_with(busy).up_to_n_times(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(by_length).mount(&server).await;
    let embedder = RemoteEmbedder::new(settings(&server.uri())).expect("settings");
    embedder.embed(texts(1), Purpose::Document).await.expect("the second time");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 2);

    // A wait beyond the deadline is the caller's to decide about.
    let (server, embedder) = answering(ResponseTemplate::new(429).insert_header("retry-after", "3600")).await;
    let error = embedder.embed(texts(1), Purpose::Document).await.expect_err("busy");
    assert_eq!((error.kind(), error.retry_after()), (Kind::Exhausted, Some(Duration::from_secs(3600))));
    assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
}

#[tokio::test]
async fn a_server_that_fails_for_ever_is_left_alone_after_some_attempts() {
    let (server, embedder) = answering(ResponseTemplate::new(500).set_body_string(format!("boom {KEY}"))).await;
    let error = embedder.embed(texts(1), Purpose::Document).await.expect_err("down");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("boom [key]"), "{error}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 3);
}

#[tokio::test]
async fn refusals_are_not_tried_again_and_never_show_the_key() {
    for (status, kind) in [
        (400, Kind::Invalid),
        (413, Kind::Invalid),
        (422, Kind::Invalid),
        (401, Kind::Unavailable),
        (403, Kind::Unavailable),
        (404, Kind::Unavailable),
        (301, Kind::Unavailable),
    ] {
        let body = json!({"error": {"message": format!("wrong: {KEY}")}});
        let template = ResponseTemplate::new(status).set_body_json(body).insert_header("location", "/elsewhere");
        let (server, embedder) = answering(template).await;
        let error = embedder.embed(texts(1), Purpose::Document).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
        assert_eq!(server.received_requests().await.expect("recorded").len(), 1, "{status}");
    }
}

#[tokio::test]
async fn slow_servers_meet_the_timeout_and_the_deadline() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("POST")).respond_with(slow).mount(&server).await;
    let timeout = RemoteSettings { request_timeout: Duration::from_millis(50), attempts: 2, ..settings(&server.uri()) };
    let error = RemoteEmbedder::new(timeout).expect("settings").embed(texts(1), Purpose::Document).await;
    let error = error.expect_err("slow");
    assert!(matches!(&error, EmbedError::Unavailable { reason, .. } if reason.contains("50 ms")), "{error}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 2);

    let deadline = RemoteSettings { total_deadline: Duration::from_millis(50), ..settings(&server.uri()) };
    let error = RemoteEmbedder::new(deadline).expect("settings").embed(texts(1), Purpose::Document).await;
    assert_eq!(error.expect_err("slow").kind(), Kind::DeadlineExceeded);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let embedder = RemoteEmbedder::new(settings(&url)).expect("settings");
    let error = embedder.embed(texts(1), Purpose::Query).await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no connection to 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_crowd_is_refused_and_queries_do_not_wait_behind_documents() {
    let server = MockServer::start().await;
    let hanging = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(body_partial_json(json!({"input": ["query: x"]}))).respond_with(by_length).mount(&server).await;
    Mock::given(method("POST")).respond_with(hanging).mount(&server).await;
    let narrow = RemoteSettings { max_in_flight: 2, max_batch: 1, ..settings(&server.uri()) };
    let embedder = RemoteEmbedder::new(narrow).expect("settings");
    let mut crowd = embedder.embed(texts(64), Purpose::Document);
    assert!(futures::poll!(&mut crowd).is_pending());
    let refused = embedder.embed(texts(1), Purpose::Document).await.expect_err("a crowd");
    assert_eq!(refused.kind(), Kind::Exhausted);
    embedder.embed(texts(1), Purpose::Query).await.expect("its own lane");
    drop(crowd);
    let mut next = embedder.embed(texts(64), Purpose::Document);
    assert!(futures::poll!(&mut next).is_pending(), "whoever leaves makes room");
}

#[test]
fn settings_are_checked_and_hide_the_key() {
    let good = settings("http://localhost");
    assert!(!format!("{good:?}").contains(KEY));
    type Spoil = fn(&mut RemoteSettings);
    let cases: [(&str, Spoil); 7] = [
        ("url", |it| it.url = "localhost".into()),
        ("url", |it| it.url = "ftp://host".into()),
        ("url", |it| it.url = format!("https://user:{KEY}@host/v1")),
        ("dimensions", |it| it.dimensions = 4_001),
        ("max_batch", |it| it.max_batch = 0),
        ("api_key", |it| it.api_key = Some(format!("{KEY}\n"))),
        ("request_timeout or total_deadline", |it| it.total_deadline = Duration::ZERO),
    ];
    for (setting, spoil) in cases {
        let mut settings = good.clone();
        spoil(&mut settings);
        let error = RemoteEmbedder::new(settings).err().expect(setting);
        assert!(matches!(&error, LoadError::Setting { name, .. } if *name == setting), "{error}");
        assert!(!error.to_string().contains(KEY));
    }
}

#[test]
fn tokens_are_counted_without_a_tokenizer_of_the_model() {
    let named = |name: &str| {
        let settings = RemoteSettings { name: name.to_owned(), ..settings("http://localhost") };
        RemoteEmbedder::new(settings).expect("settings")
    };
    let (exact, estimate) = (named("text-embedding-3-small"), named("bge-m3"));
    assert_eq!(exact.count_tokens("tiktoken is great!"), 6);
    assert_eq!(estimate.count_tokens("tiktoken is great!"), 7);
    assert_eq!(exact.count_tokens(""), 0);
    for hostile in [" ", "a", "é", "\n", "a1 ", "'s"] {
        let text = hostile.repeat(512 * 1024 / hostile.len());
        assert!(exact.count_tokens(&text) > 100, "{hostile:?}");
    }
}
