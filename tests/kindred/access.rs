//! Who may do what, and that nobody sees another organization's rows.

use chrono::Utc;
use kindred::access;
use kindred::domain::Invalid;
use kindred::grpc::proto::{GetEmbeddingRequest, SearchRequest, SimilarEntitiesRequest, similar_entities_request};
use kindred::tenancy::Role;
use sqlx::{Connection, Row};
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{Service, assert_status, draft, entity};
use crate::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_key_nothing_is_answered() {
    let service = Service::start().await;
    let acme = service.organization("acme").await;
    let last = acme.key.chars().last().unwrap();
    let wrong = format!("{}{}", &acme.key[..acme.key.len() - 1], if last == '0' { '1' } else { '0' });
    for (authorization, part) in [
        (None, "no credential"),
        (Some("Bearer nonsense".to_owned()), "is no API key"),
        (Some(format!("Basic {}", acme.key)), "is no API key"),
        (Some(format!("Bearer {wrong}")), "unknown, revoked or expired"),
    ] {
        let mut stranger = service.stranger(authorization.as_deref()).await;
        let status = stranger.search.search(SearchRequest::default()).await.unwrap_err();
        assert_status(&status, Code::Unauthenticated, &[part]);
        let status = stranger.upsert(draft("post", 1, "x")).await.unwrap_err();
        assert_status(&status, Code::Unauthenticated, &[part]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_worth_nothing() {
    let service = Service::start().await;
    let acme = service.organization("acme").await;
    let owner = service.running.application().owner().unwrap();
    assert!(access::revoke(owner, acme.id, acme.key_id, Utc::now()).await.unwrap());
    let mut client = acme.clone();
    // No verdict was kept yet, since the key was never used.
    let status = client.upsert(draft("post", 1, "x")).await.unwrap_err();
    assert_status(&status, Code::Unauthenticated, &["revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_does_not_write() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "coffee")).await.unwrap();
    let mut viewer = service.tenant(acme.id, Role::Viewer).await;
    assert_eq!(viewer.find("coffee", 0).await.results.len(), 1);
    let status = viewer.upsert(draft("post", 2, "tea")).await.unwrap_err();
    assert_status(&status, Code::PermissionDenied, &["needs the role editor", "has viewer"]);
    let status = viewer.embeddings.upsert_embeddings(tokio_stream::iter([])).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizations_entities_are_not_found() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let mut other = service.organization("other").await;
    acme.upsert(draft("post", 1, "a secret of acme")).await.unwrap();
    other.upsert(draft("post", 2, "a secret of the other")).await.unwrap();
    let request = GetEmbeddingRequest { entity: Some(entity("post", 1)), ..GetEmbeddingRequest::default() };
    assert_eq!(other.embeddings.get_embedding(request).await.unwrap_err().code(), Code::NotFound);
    let request = SimilarEntitiesRequest {
        subject: Some(similar_entities_request::Subject::Entity(entity("post", 1))),
        ..SimilarEntitiesRequest::default()
    };
    assert_eq!(other.search.similar_entities(request).await.unwrap_err().code(), Code::NotFound);
    for served in ["postgres", "mirror"] {
        if served == "mirror" {
            other.mirrored().await;
        }
        let found = other.find("secret", 0).await;
        assert_eq!(found.results.len(), 1, "{served}");
        assert_eq!(found.results[0].content.as_ref().unwrap().text, "a secret of the other");
    }
}

/// Row level security is the second lock: even SQL without a clause sees nothing foreign.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_role_sees_one_organization_at_a_time() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let mut other = service.organization("other").await;
    for (tenant, number) in [(&mut acme, 1), (&mut other, 2)] {
        tenant.upsert(draft("post", number, "a text")).await.unwrap();
        let question = kindred::grpc::proto::RetrieveContextRequest { query: "text".to_owned(), ..Default::default() };
        tenant.context.retrieve_context(question).await.unwrap();
    }
    let mut owner = postgres::connect(&service.urls.owner).await;
    let tables = sqlx::query(
        "SELECT c.relname AS name, c.relrowsecurity AS locked, c.relkind = 'v' AS is_view FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace = 'public'::regnamespace
           AND c.relname NOT IN ('organization_slugs')",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(tables.len() > 15);
    let mut app = postgres::connect(&service.urls.app).await;
    for table in tables {
        let name: String = table.get("name");
        assert!(table.get::<bool, _>("is_view") || table.get::<bool, _>("locked"), "{name} has no row level security");
        let mut transaction = app.begin().await.unwrap();
        let set = format!("SET LOCAL app.organization_id = '{}'", acme.id);
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *transaction).await.unwrap();
        let foreign = format!("SELECT count(*) FROM {name} WHERE organization_id <> '{}'", acme.id);
        // Partitions have no grant at all, which is as good.
        if let Ok(count) = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(foreign)).fetch_one(&mut *transaction).await
        {
            // The feed reads every organization's revision: ids and numbers only.
            let allowed = if name == "organization_revisions" { 1 } else { 0 };
            assert_eq!(count, allowed, "{name}");
        }
        transaction.rollback().await.unwrap();
        // Without a tenant there is nothing to be seen.
        let all = format!("SELECT count(*) FROM {name}");
        if let Ok(count) = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(all)).fetch_one(&mut app).await {
            assert!(count == 0 || name == "organization_revisions", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slugs_are_unique_and_checked() {
    let service = Service::start().await;
    service.organization("acme").await;
    let application = service.running.application();
    let administrator = application.administrator().unwrap();
    let taken = administrator.create_organization("Acme", "acme", &application.default_model).await.unwrap_err();
    assert!(taken.to_string().contains("acme exists already"), "{taken}");
    let bad = administrator.create_organization("Acme", "A B", &application.default_model).await.unwrap_err();
    assert!(matches!(bad, kindred::admin::AdminError::Invalid(Invalid { .. })));
}
