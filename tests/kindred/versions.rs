//! Get, list, activate, delete.

use kindred::grpc::proto::{
    ActivateEmbeddingVersionRequest, DeleteEmbeddingsRequest, GetEmbeddingRequest, ListEmbeddingVersionsRequest,
    OutcomeKind,
};
use tonic::Code;

use crate::harness::{Service, assert_outcome, assert_status, draft, entity, texts};

fn get(number: u128, version: Option<i32>) -> GetEmbeddingRequest {
    GetEmbeddingRequest { entity: Some(entity("post", number)), version, ..GetEmbeddingRequest::default() }
}

fn list(page_size: i32, page_token: &str) -> ListEmbeddingVersionsRequest {
    ListEmbeddingVersionsRequest {
        entity: Some(entity("post", 1)),
        page_size,
        page_token: page_token.to_owned(),
        ..ListEmbeddingVersionsRequest::default()
    }
}

fn activate(number: u128, version: i32) -> ActivateEmbeddingVersionRequest {
    ActivateEmbeddingVersionRequest {
        entity: Some(entity("post", number)),
        version,
        ..ActivateEmbeddingVersionRequest::default()
    }
}

fn delete(number: u128) -> DeleteEmbeddingsRequest {
    DeleteEmbeddingsRequest { entity: Some(entity("post", number)), ..DeleteEmbeddingsRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_by_pages_newest_first() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    for n in 1..=5 {
        acme.upsert(draft("post", 1, &format!("text {n}"))).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = acme.embeddings.list_embedding_versions(list(2, &token)).await.unwrap().into_inner();
        seen.extend(page.versions.iter().map(|version| version.version));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    for (request, part) in [(list(-1, ""), "page_size"), (list(1_001, ""), "page_size"), (list(1, "x"), "page_token")] {
        let status = acme.embeddings.list_embedding_versions(request).await.unwrap_err();
        assert_status(&status, Code::InvalidArgument, &[part]);
    }
    let unknown = ListEmbeddingVersionsRequest { entity: Some(entity("post", 99)), ..list(0, "") };
    let status = acme.embeddings.list_embedding_versions(unknown).await.unwrap_err();
    assert_status(&status, Code::NotFound, &["no current version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_can_be_made_current_again() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "about tea")).await.unwrap();
    acme.upsert(draft("post", 1, "about coffee")).await.unwrap();
    let embedded = service.embedder.embedded();
    let activated = acme.embeddings.activate_embedding_version(activate(1, 1)).await.unwrap().into_inner();
    assert_eq!(activated.version, 3);
    assert_eq!(service.embedder.embedded(), embedded);
    assert_eq!(texts(&acme.find("tea", activated.revision).await), ["about tea"]);
    let current = acme.embeddings.get_embedding(get(1, None)).await.unwrap().into_inner();
    assert_eq!(current.version.unwrap().activated_from, Some(1));
    let again = acme.embeddings.activate_embedding_version(activate(1, 3)).await.unwrap().into_inner();
    assert_eq!(again, activated, "activating what is current changes nothing");
    for (request, code, part) in [
        (activate(1, 9), Code::NotFound, "version 9"),
        (activate(99, 1), Code::NotFound, "version 1"),
        (activate(1, 0), Code::InvalidArgument, "version"),
        (
            ActivateEmbeddingVersionRequest { expected_version: Some(2), ..activate(1, 1) },
            Code::Aborted,
            "3 and 2 was expected",
        ),
    ] {
        let status = acme.embeddings.activate_embedding_version(request).await.unwrap_err();
        assert_status(&status, code, &[part]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_entity_is_found_no_more_and_its_numbering_goes_on() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "to be deleted")).await.unwrap();
    acme.upsert(draft("post", 2, "to be kept")).await.unwrap();
    let deleted = acme.embeddings.delete_embeddings(delete(1)).await.unwrap().into_inner();
    assert_eq!(deleted.deleted_versions, 1);
    assert_eq!(texts(&acme.find("to be", deleted.revision).await), ["to be kept"]);
    let again = acme.embeddings.delete_embeddings(delete(1)).await.unwrap().into_inner();
    assert_eq!((again.deleted_versions, again.revision), (0, deleted.revision), "deleting nothing changes nothing");
    let status = acme.embeddings.get_embedding(get(1, None)).await.unwrap_err();
    assert_status(&status, Code::NotFound, &["no current version"]);
    assert_eq!(acme.embeddings.get_embedding(get(1, Some(1))).await.unwrap().into_inner().chunks.len(), 1);
    let status = acme.embeddings.activate_embedding_version(activate(1, 2)).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, &["version 2", "deleted"]);
    let back = acme.upsert(draft("post", 1, "to be deleted")).await.unwrap();
    assert_outcome(&back, OutcomeKind::NewVersion, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_version_can_be_deleted() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "a secret slipped in")).await.unwrap();
    acme.upsert(draft("post", 1, "all clean")).await.unwrap();
    let nameless = DeleteEmbeddingsRequest { version: Some(1), ..delete(1) };
    let status = acme.embeddings.delete_embeddings(nameless.clone()).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, &["source_field"]);
    let of_field = DeleteEmbeddingsRequest { source_field: "content".to_owned(), ..nameless };
    let deleted = acme.embeddings.delete_embeddings(of_field.clone()).await.unwrap().into_inner();
    assert_eq!(deleted.deleted_versions, 1);
    let purged = acme.embeddings.get_embedding(get(1, Some(1))).await.unwrap().into_inner();
    assert!(purged.version.unwrap().deleted && purged.chunks.is_empty());
    assert_eq!(texts(&acme.find("clean", 0).await), ["all clean"]);
    let current = DeleteEmbeddingsRequest { version: Some(2), ..of_field };
    let deleted = acme.embeddings.delete_embeddings(current).await.unwrap().into_inner();
    assert!(texts(&acme.find("clean", deleted.revision).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_name_what_is_missing() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let missing = GetEmbeddingRequest { entity: None, ..get(1, None) };
    for (request, code, part) in [
        (get(1, None), Code::NotFound, "no current version"),
        (get(1, Some(3)), Code::NotFound, "version 3"),
        (get(1, Some(0)), Code::InvalidArgument, "versions begin at 1"),
        (missing, Code::InvalidArgument, "entity"),
        (GetEmbeddingRequest { model_id: "other".to_owned(), ..get(1, None) }, Code::InvalidArgument, "model_id"),
    ] {
        assert_status(&acme.embeddings.get_embedding(request).await.unwrap_err(), code, &[part]);
    }
}
