//! What every gRPC client relies on: health, reflection, deadlines, limits, gRPC-Web, request ids.

use std::time::Duration;

use kindred::grpc::proto::{Draft, SearchRequest, search_request};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use crate::harness::{Service, assert_status, draft};

async fn channel(service: &Service) -> Channel {
    Channel::from_shared(service.endpoint()).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_says_serving() {
    let service = Service::start().await;
    let mut health = HealthClient::new(channel(&service).await);
    for name in ["", "kindred.v1.EmbeddingService", "kindred.v1.SearchService", "kindred.v1.ContextService"] {
        let answer = health.check(HealthCheckRequest { service: name.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_reflections_list_the_services() {
    let service = Service::start().await;
    let list = MessageRequest::ListServices(String::new());
    let request =
        tonic_reflection::pb::v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = ServerReflectionClient::new(channel(&service).await);
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["kindred.v1.EmbeddingService", "kindred.v1.SearchService", "kindred.v1.ContextService"] {
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
    }

    use tonic_reflection::pb::v1alpha as old;
    let symbol =
        old::server_reflection_request::MessageRequest::FileContainingSymbol("kindred.v1.SearchService".into());
    let request = old::ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let mut client = old::server_reflection_client::ServerReflectionClient::new(channel(&service).await);
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(
        matches!(answer, old::server_reflection_response::MessageResponse::FileDescriptorResponse(_)),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_told_with_its_own_code() {
    let service = Service::start().await;
    let acme = service.organization("acme").await;
    service.embedder.set_slow(true);
    let query = Some(search_request::Query::Text("slow".to_owned()));
    let message = SearchRequest { query, ..SearchRequest::default() }.encode_to_vec();
    // By hand: a gRPC client has a timer of its own, which may be the faster one.
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let answer = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap()
        .post(format!("http://{}/kindred.v1.SearchService/Search", service.running.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", acme.key))
        .header("grpc-timeout", "300m")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_status(&Status::from_header_map(answer.headers()).unwrap(), Code::DeadlineExceeded, &["300 ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_is_written_though_the_caller_left() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    service.embedder.set_slow(true);
    let mut leaving = acme.clone();
    tokio::select! {
        _ = leaving.upsert(draft("post", 1, "kept all the same")) => panic!("it takes two seconds"),
        () = service.embedder.called() => {}
    }
    service.embedder.set_slow(false);
    for _ in 0..100 {
        if !acme.find("kept", 0).await.results.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the draft was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_over_the_limit_are_refused_and_large_ones_under_it_are_not() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let status = acme.upsert(draft("post", 1, &"x".repeat(17 << 20))).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    let status = acme.upsert(draft("post", 1, &"x".repeat(10 << 20))).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, &["10485760 bytes of text", "at most 524288"]);
    acme.upsert(draft("post", 1, "still serving")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_request_id() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let mut request = Request::new(SearchRequest::default());
    request.metadata_mut().insert("x-request-id", "mine-42".parse().unwrap());
    let status = acme.search.search(request).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "mine-42");
    assert_eq!(status.get_error_details().request_info().unwrap().request_id, "mine-42");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_call_by_grpc_web_from_allowed_origins() {
    let service = Service::with(|config| config.grpc.web_origins = vec!["https://dashboard.example".to_owned()]).await;
    let acme = service.organization("acme").await;
    let client = reqwest::Client::new();
    let url = format!("{}/kindred.v1.SearchService/Search", service.endpoint());
    let allowed = |origin: &'static str| {
        let preflight = client.request(reqwest::Method::OPTIONS, &url).header("origin", origin);
        let preflight = preflight.header("access-control-request-method", "POST");
        async move { preflight.send().await.unwrap().headers().get("access-control-allow-origin").cloned() }
    };
    assert_eq!(allowed("https://dashboard.example").await.unwrap(), "https://dashboard.example");
    assert_eq!(allowed("https://elsewhere.example").await, None);
    let answer = client
        .post(&url)
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", format!("Bearer {}", acme.key))
        // An empty SearchRequest in its frame.
        .body(vec![0_u8; 5])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_limit_are_refused_early() {
    let service = Service::with(|config| config.grpc.max_calls = 1).await;
    let acme = service.organization("acme").await;
    service.embedder.set_slow(true);
    let (mut first, mut second) = (acme.clone(), acme);
    let called = service.embedder.called();
    let slow = tokio::spawn(async move { first.upsert(draft("post", 1, "slow")).await });
    called.await;
    let status = second.upsert(Draft::default()).await.unwrap_err();
    assert_status(&status, Code::ResourceExhausted, &["too many calls"]);
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());
    slow.await.unwrap().unwrap();
}
