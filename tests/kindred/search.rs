//! What is alike?

use kindred::grpc::proto::search_outcome::Result::{Failure as Failed, Response as Answered};
use kindred::grpc::proto::{
    Draft, Filter, SearchBatchRequest, SearchRequest, ServedBy, SimilarEntitiesRequest, Target, Vector, search_request,
    similar_entities_request,
};
use prost_types::Timestamp;
use tonic::Code;

use crate::embedder::{DIMENSIONS, words};
use crate::harness::{Service, Tenant, assert_status, draft, entity, texts};

fn like(subject: similar_entities_request::Subject) -> SimilarEntitiesRequest {
    SimilarEntitiesRequest { subject: Some(subject), include_content: true, ..SimilarEntitiesRequest::default() }
}

fn like_post(number: u128) -> SimilarEntitiesRequest {
    like(similar_entities_request::Subject::Entity(entity("post", number)))
}

fn by_text(text: &str) -> SearchRequest {
    SearchRequest { query: Some(search_request::Query::Text(text.to_owned())), ..SearchRequest::default() }
}

/// Six posts and two ideas.
async fn filled(service: &Service) -> (Tenant, i64) {
    let mut acme = service.organization("acme").await;
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let outcomes = acme
        .upsert_all(vec![
            Draft { tags: vec!["coffee".into(), "ice".into()], ..draft("post", 1, "iced coffee for hot days") },
            Draft {
                tags: vec!["coffee".into()],
                occurred_at: at(1_000),
                ..draft("post", 2, "hot coffee for cold days")
            },
            Draft { platform: "instagram".into(), ..draft("post", 3, "coffee beans from Ethiopia") },
            Draft { status: "published".into(), ..draft("post", 4, "we are hiring a barista") },
            Draft { occurred_at: at(2_000), ..draft("post", 5, "opening hours on Sunday") },
            Draft { source_field: "caption".into(), ..draft("post", 6, "hot coffee") },
            draft("content_idea", 7, "a reel on iced coffee"),
            draft("content_idea", 8, "a story on our barista"),
        ])
        .await;
    let revision = outcomes.iter().map(|outcome| outcome.revision).max().unwrap();
    (acme, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_like_an_entity_leave_the_entity_out() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let request = SimilarEntitiesRequest { min_revision: revision, limit: Some(3), ..like_post(1) };
    let answer = acme.search.similar_entities(request).await.unwrap().into_inner();
    let found: Vec<&str> = answer.results.iter().map(|hit| hit.content.as_ref().unwrap().text.as_str()).collect();
    assert_eq!(found.len(), 3);
    assert!(!found.contains(&"iced coffee for hot days"));
    assert_eq!(found[0], "hot coffee for cold days");
    assert!(answer.results.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!((answer.revision, answer.model_id.as_str()), (revision, "words-64"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_search_of_a_batch_is_answered_or_fails_by_itself() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let searches = vec![
        SearchRequest {
            min_revision: revision,
            limit: Some(1),
            include_content: true,
            ..by_text("a reel on iced coffee")
        },
        SearchRequest { limit: Some(0), ..by_text("coffee") },
        SearchRequest::default(),
        SearchRequest { min_revision: revision, limit: Some(2), ..by_text("hot coffee") },
    ];
    let alone = acme.search.search(searches[3].clone()).await.unwrap().into_inner();
    let answer = acme.search.search_batch(SearchBatchRequest { searches }).await.unwrap().into_inner();
    let outcomes: Vec<_> = answer.outcomes.into_iter().map(|outcome| outcome.result.unwrap()).collect();
    let [Answered(first), Failed(zero), Failed(nothing), Answered(last)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(first.results[0].content.as_ref().unwrap().text, "a reel on iced coffee");
    assert_eq!((zero.code, nothing.code), (Code::InvalidArgument as i32, Code::InvalidArgument as i32));
    assert!(zero.message.contains("limit") && nothing.message.contains("query"), "{zero:?} {nothing:?}");
    assert_eq!(last.results, alone.results);

    for count in [0, 1_001] {
        let request = SearchBatchRequest { searches: vec![by_text("coffee"); count] };
        assert_status(&acme.search.search_batch(request).await.unwrap_err(), Code::InvalidArgument, &["searches"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_have_their_own_limits() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let target = |entity_type: &str, limit| Target { entity_type: entity_type.to_owned(), limit: Some(limit) };
    let request = SimilarEntitiesRequest {
        targets: vec![target("post", 2), target("content_idea", 1)],
        min_revision: revision,
        ..like(similar_entities_request::Subject::Text("iced coffee".to_owned()))
    };
    let answer = acme.search.similar_entities(request).await.unwrap().into_inner();
    let types: Vec<&str> = answer.results.iter().map(|hit| hit.entity.as_ref().unwrap().r#type.as_str()).collect();
    assert_eq!(types.iter().filter(|name| **name == "post").count(), 2);
    assert_eq!(types.iter().filter(|name| **name == "content_idea").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_admit_what_they_say_in_mirror_and_postgres_alike() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let cases = [
        (Filter { entity_types: list(&["content_idea"]), ..Filter::default() }, vec![7, 8]),
        (Filter { source_fields: list(&["caption"]), ..Filter::default() }, vec![6]),
        (Filter { tags_any: list(&["ice", "none"]), ..Filter::default() }, vec![1]),
        (Filter { tags_any: list(&["coffee"]), ..Filter::default() }, vec![1, 2]),
        (Filter { tags_all: list(&["coffee", "ice"]), ..Filter::default() }, vec![1]),
        (Filter { platforms: list(&["instagram"]), ..Filter::default() }, vec![3]),
        (Filter { statuses: list(&["published"]), ..Filter::default() }, vec![4]),
        (Filter { occurred_from: Some(Timestamp { seconds: 1_000, nanos: 0 }), ..Filter::default() }, vec![2, 5]),
        (Filter { occurred_until: Some(Timestamp { seconds: 2_000, nanos: 0 }), ..Filter::default() }, vec![2]),
        (Filter { tags_any: list(&["nobody"]), ..Filter::default() }, vec![]),
    ];
    for served in ["postgres", "mirror"] {
        if served == "mirror" {
            acme.mirrored().await;
        }
        for (filter, expected) in &cases {
            let answer = acme.find_filtered("coffee", revision, Some(filter.clone())).await;
            let mut found: Vec<u128> = answer
                .results
                .iter()
                .map(|hit| hit.entity.as_ref().unwrap().id.parse::<uuid::Uuid>().unwrap().as_u128())
                .collect();
            found.sort_unstable();
            assert_eq!(&found, expected, "{served}: {filter:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_cuts_and_a_limit_bounds() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let request = SearchRequest { threshold: Some(0.99), min_revision: revision, ..by_text("hot coffee") };
    let answer = acme.search.search(request).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 1);
    assert!((answer.results[0].score - 1.0).abs() < 1e-5);
    assert!(answer.results[0].content.is_none());
    let request = SearchRequest { limit: Some(2), ..by_text("coffee") };
    assert_eq!(acme.search.search(request).await.unwrap().into_inner().results.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_with_many_chunks_counts_once() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let long = (0..40).map(|n| format!("Coffee sentence {n}.")).collect::<Vec<_>>().join(" ");
    acme.upsert(draft("post", 1, &long)).await.unwrap();
    let revision = acme.upsert(draft("post", 2, "coffee")).await.unwrap().revision;
    for served in ["postgres", "mirror"] {
        if served == "mirror" {
            acme.mirrored().await;
        }
        let request = SearchRequest { min_revision: revision, ..by_text("coffee sentence") };
        assert_eq!(acme.search.search(request.clone()).await.unwrap().into_inner().results.len(), 2, "{served}");
        let every = SearchRequest { every_chunk: true, ..request };
        assert!(acme.search.search(every).await.unwrap().into_inner().results.len() > 2, "{served}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_and_a_text_find_the_same() {
    let service = Service::start().await;
    let (mut acme, revision) = filled(&service).await;
    let values = words("hot coffee").into_inner().into_iter().map(|value| value * 7.0).collect();
    let by_vector = SearchRequest {
        query: Some(search_request::Query::Vector(Vector { values })),
        min_revision: revision,
        include_content: true,
        ..SearchRequest::default()
    };
    let by_vector = acme.search.search(by_vector).await.unwrap().into_inner();
    assert_eq!(texts(&by_vector), texts(&acme.find("hot coffee", revision).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_searches_tell_what_to_do() {
    let service = Service::start().await;
    let (mut acme, _) = filled(&service).await;
    acme.upsert(Draft { source_field: "title".to_owned(), ..draft("post", 6, "a title") }).await.unwrap();
    use similar_entities_request::Subject;
    let vector = |values| Subject::Vector(Vector { values });
    for (request, code, part) in [
        (SimilarEntitiesRequest::default(), Code::InvalidArgument, "give an entity, a vector or a text"),
        (SimilarEntitiesRequest { limit: Some(0), ..like_post(1) }, Code::InvalidArgument, "is 0; 1 to 1000"),
        (SimilarEntitiesRequest { limit: Some(1_000_000_000), ..like_post(1) }, Code::InvalidArgument, "1 to 1000"),
        (SimilarEntitiesRequest { threshold: Some(1.5), ..like_post(1) }, Code::InvalidArgument, "between -1 and 1"),
        (SimilarEntitiesRequest { min_revision: -1, ..like_post(1) }, Code::InvalidArgument, "min_revision"),
        (
            SimilarEntitiesRequest { min_revision: 1_000, ..like_post(1) },
            Code::FailedPrecondition,
            "does not exist yet",
        ),
        (SimilarEntitiesRequest { model_id: "other".into(), ..like_post(1) }, Code::InvalidArgument, "it has words-64"),
        (like_post(99), Code::NotFound, "has no current embedding"),
        (like_post(6), Code::InvalidArgument, "caption, title"),
        (like(Subject::Text(" ".to_owned())), Code::InvalidArgument, "text: is empty"),
        (like(Subject::Text("long ".repeat(51))), Code::InvalidArgument, "51 tokens and words-64 reads 50"),
        (like(vector(vec![1.0; 3])), Code::InvalidArgument, "3 dimensions but the model makes 64"),
        (like(vector(vec![0.0; DIMENSIONS])), Code::InvalidArgument, "no usable length"),
        (like(vector(vec![f32::NAN; DIMENSIONS])), Code::InvalidArgument, "component 0 is NaN"),
        (
            like(Subject::Entity(kindred::grpc::proto::EntityRef { r#type: "post".into(), id: "42".into() })),
            Code::InvalidArgument,
            "\"42\" is not a UUID",
        ),
    ] {
        let status = acme.search.similar_entities(request.clone()).await.expect_err(part);
        assert_status(&status, code, &[part]);
    }
    service.embedder.set_down(true);
    let status = acme.search.search(by_text("never seen before")).await.unwrap_err();
    assert_status(&status, Code::Unavailable, &["does not answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_organization_finds_nothing() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let answer = acme.find("anything", 0).await;
    assert!(answer.results.is_empty());
    assert_eq!((answer.revision, answer.served_by()), (0, ServedBy::Postgres));
    acme.mirrored().await;
    assert!(acme.find("anything", 0).await.results.is_empty());
}
