//! Drafts in, outcomes out.

use std::time::Duration;

use kindred::grpc::proto::{
    ChunkDraft, Draft, GetEmbeddingRequest, LongText, OutcomeKind, UpsertEmbeddingRequest, UpsertEmbeddingsRequest,
};
use kindred::store::{Database, DatabaseSettings};
use tonic::Code;
use tonic_types::StatusExt;

use crate::embedder::{self, DIMENSIONS};
use crate::harness::{Service, assert_outcome, assert_status, draft, entity, texts, vector_draft};

#[tokio::test(flavor = "multi_thread")]
async fn upserting_twice_embeds_and_writes_once() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let first = acme.upsert(draft("post", 1, "fresh coffee from Ethiopia")).await.unwrap();
    assert_outcome(&first, OutcomeKind::Created, 1);
    let embedded = service.embedder.embedded();
    let second = acme.upsert(draft("post", 1, "fresh coffee from Ethiopia")).await.unwrap();
    assert_outcome(&second, OutcomeKind::Unchanged, 1);
    assert_eq!(second.revision, first.revision);
    assert_eq!(service.embedder.embedded(), embedded, "nothing was embedded");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_content_is_a_new_version_and_the_old_one_stays_readable() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "old text about tea")).await.unwrap();
    let second = acme.upsert(draft("post", 1, "new text about coffee")).await.unwrap();
    assert_outcome(&second, OutcomeKind::NewVersion, 2);
    let get = |version| GetEmbeddingRequest {
        entity: Some(entity("post", 1)),
        version,
        include_vectors: true,
        ..GetEmbeddingRequest::default()
    };
    let old = acme.embeddings.get_embedding(get(Some(1))).await.unwrap().into_inner();
    assert_eq!(old.chunks[0].text, "old text about tea");
    assert_eq!(old.version.unwrap().superseded_revision, Some(second.revision));
    let new = acme.embeddings.get_embedding(get(None)).await.unwrap().into_inner();
    assert_eq!(new.chunks[0].text, "new text about coffee");
    assert_eq!(new.chunks[0].vector.as_ref().unwrap().values, embedder::words("new text about coffee").as_slice());
    assert_eq!(texts(&acme.find("coffee", second.revision).await), ["new text about coffee"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tags_make_a_version_that_reuses_the_vectors() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "the same text")).await.unwrap();
    let embedded = service.embedder.embedded();
    let tagged = Draft { tags: vec!["new".to_owned()], ..draft("post", 1, "the same text") };
    assert_outcome(&acme.upsert(tagged.clone()).await.unwrap(), OutcomeKind::NewVersion, 2);
    assert_outcome(&acme.upsert(tagged).await.unwrap(), OutcomeKind::Unchanged, 2);
    assert_eq!(service.embedder.embedded(), embedded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_acknowledges_every_item_and_a_bad_one_fails_alone() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let nan = {
        let mut values = vec![0.5; DIMENSIONS];
        values[3] = f32::NAN;
        values
    };
    let outcomes = acme
        .upsert_all(vec![
            draft("post", 1, "a good one"),
            draft("Post!", 2, "a bad type"),
            draft("post", 3, "  "),
            vector_draft("post", 4, vec![0.5; 3]),
            vector_draft("post", 5, nan),
            vector_draft("post", 6, vec![0.0; DIMENSIONS]),
            Draft { model_id: "unknown-model".to_owned(), ..draft("post", 7, "no such model") },
            Draft { expected_version: Some(9), ..draft("post", 8, "not the expected version") },
            draft("post", 9, "unembeddable text"),
            draft("post", 10, &"x".repeat(10 << 20)),
            draft("post", 11, "another good one"),
        ])
        .await;
    use OutcomeKind::{Conflict, Created, Invalid};
    let expected = [
        (Created, ""),
        (Invalid, "entity.type"),
        (Invalid, "chunks[0].text: is empty"),
        (Invalid, "chunks[0].vector: has 3 dimensions but the model makes 64"),
        (Invalid, "component 3 is NaN"),
        (Invalid, "no usable length"),
        (Invalid, "unknown-model is not a model of this organization; it has words-64"),
        (Conflict, "the current version is 0 and 9 was expected"),
        (Invalid, "refuses the input"),
        (Invalid, "bytes of text; at most"),
        (Created, ""),
    ];
    for (outcome, (kind, reason)) in outcomes.iter().zip(expected) {
        assert_eq!(outcome.kind(), kind, "{outcome:?}");
        assert!(outcome.reason.contains(reason), "{reason:?} in {outcome:?}");
    }
    assert_eq!(acme.find("good", 0).await.results.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_line_twice_in_a_message_becomes_two_versions_in_order() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let drafts = (0..20).map(|n| Draft { item_id: n.to_string(), ..draft("post", 1, &format!("text {n}")) }).collect();
    let outcomes = acme.upsert_all(drafts).await;
    let versions: Vec<i32> = outcomes.iter().map(|outcome| outcome.version).collect();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    assert_eq!(texts(&acme.find("text", outcomes[19].revision).await), ["text 19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_like_the_first() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let first = Draft {
        idempotency_key: "request-1".to_owned(),
        expected_version: Some(0),
        ..draft("post", 1, "written once")
    };
    let created = acme.upsert(first.clone()).await.unwrap();
    acme.upsert(draft("post", 1, "somebody else wrote")).await.unwrap();
    assert_eq!(acme.upsert(first.clone()).await.unwrap(), created);
    let other = Draft { chunks: draft("post", 1, "something else").chunks, ..first };
    assert_status(&acme.upsert(other).await.unwrap_err(), Code::Aborted, &["idempotency key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_tells_the_current_version() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "one")).await.unwrap();
    let late = Draft { expected_version: Some(0), ..draft("post", 1, "two") };
    assert_status(&acme.upsert(late).await.unwrap_err(), Code::Aborted, &["current version is 1", "0 was expected"]);
    let right = Draft { expected_version: Some(1), ..draft("post", 1, "two") };
    assert_outcome(&acme.upsert(right).await.unwrap(), OutcomeKind::NewVersion, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_are_split_or_refused_and_never_cut() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let sentences: Vec<String> = (0..30).map(|n| format!("Sentence number {n} speaks of coffee.")).collect();
    let long = sentences.join(" ");
    let refused = Draft { long_text: LongText::Refuse.into(), ..draft("post", 1, &long) };
    let status = acme.upsert(refused).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, &["chunks[0].text", "180 tokens", "reads 50", "LONG_TEXT_SPLIT"]);
    acme.upsert(draft("post", 1, &long)).await.unwrap();
    let request = GetEmbeddingRequest { entity: Some(entity("post", 1)), ..GetEmbeddingRequest::default() };
    let kept = acme.embeddings.get_embedding(request).await.unwrap().into_inner();
    assert!(kept.chunks.len() >= 4);
    assert!(kept.chunks.iter().all(|chunk| chunk.token_count <= 50 && chunk.text.ends_with('.')));
    let together: Vec<&str> = kept.chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(together.join(" "), long, "every word is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_embedder_is_down_items_fail_as_retryable() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    service.embedder.set_down(true);
    let outcomes = acme
        .upsert_all(vec![draft("post", 1, "needs the model"), vector_draft("post", 2, vec![1.0; DIMENSIONS])])
        .await;
    assert_eq!(outcomes[0].kind(), OutcomeKind::Failed);
    assert!(outcomes[0].retry_after_ms > 0 && outcomes[0].reason.contains("does not answer"), "{:?}", outcomes[0]);
    assert_outcome(&outcomes[1], OutcomeKind::Created, 1);
    let status = acme.upsert(draft("post", 3, "needs it too")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    service.embedder.set_down(false);
    assert_outcome(&acme.upsert(draft("post", 1, "needs the model")).await.unwrap(), OutcomeKind::Created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_errors_name_the_field() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let missing = acme.embeddings.upsert_embedding(UpsertEmbeddingRequest { draft: None }).await.unwrap_err();
    assert_status(&missing, Code::InvalidArgument, &["draft"]);
    let status = acme.upsert(vector_draft("post", 1, vec![f32::INFINITY; DIMENSIONS])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, &["component 0 is inf"]);
    let details = status.get_error_details();
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "draft.chunks[0].vector");
    assert_eq!(details.error_info().unwrap().reason, "INVALID");
    for (bad, parts) in [
        (Draft { entity: None, ..draft("post", 1, "x") }, ["entity", "missing"]),
        (Draft { entity: Some(entity("post", 1)), chunks: vec![], ..draft("post", 1, "x") }, ["chunks", "0 chunks"]),
        (Draft { source_field: "Bad Field".to_owned(), ..draft("post", 1, "x") }, ["source_field", "Bad Field"]),
        (Draft { model_id: "Bad Model".to_owned(), ..draft("post", 1, "x") }, ["model_id", "Bad Model"]),
        (
            Draft { tags: vec!["t".to_owned(); 1], language: "german".to_owned(), ..draft("post", 1, "x") },
            ["language", "german"],
        ),
        (Draft { expected_version: Some(-1), ..draft("post", 1, "x") }, ["expected_version", "-1"]),
        (Draft { idempotency_key: "k".repeat(101), ..draft("post", 1, "x") }, ["idempotency_key", "101 bytes"]),
    ] {
        assert_status(&acme.upsert(bad).await.unwrap_err(), Code::InvalidArgument, &parts);
    }
    let mixed = Draft {
        chunks: vec![
            ChunkDraft { text: "a text".to_owned(), vector: None },
            vector_draft("post", 1, vec![1.0; DIMENSIONS]).chunks.remove(0),
        ],
        ..draft("post", 1, "")
    };
    assert_status(&acme.upsert(mixed).await.unwrap_err(), Code::InvalidArgument, &["1 of 2 chunks carry a vector"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_drafts_in_a_message_end_the_stream() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let drafts = (0..1_001).map(|n| draft("post", n, "x")).collect();
    let messages = tokio_stream::iter([UpsertEmbeddingsRequest { drafts }]);
    let mut answers = acme.embeddings.upsert_embeddings(messages).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, &["1001 drafts", "at most 1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_line_make_a_history_without_gaps() {
    let service = Service::start().await;
    let acme = service.organization("acme").await;
    let writers = (0..8).map(|writer| {
        let mut acme = acme.clone();
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for n in 0..10 {
                let outcome = acme.upsert(draft("post", 1, &format!("writer {writer} text {n}"))).await.unwrap();
                versions.push(outcome.version);
            }
            versions
        })
    });
    let mut versions: Vec<i32> =
        futures::future::join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=80).collect::<Vec<_>>());
}

/// A planner that has no statistics of a young table must not read the whole organization for every batch, nor go on with
/// a plan that was made when it was small.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_only_its_own_lines() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let mut drafts = (0..3_300)
        .map(|number| vector_draft("post", number, vec![1.0 + number as f32; DIMENSIONS]))
        .collect::<Vec<_>>();
    let later = drafts.split_off(300);
    for batch in drafts.chunks(28) {
        acme.upsert_all(batch.to_vec()).await;
    }
    let mut superuser = crate::postgres::connect(&service.urls.superuser).await;
    let told = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'embedding_versions'";
    while sqlx::query_scalar::<_, i64>(told).fetch_one(&mut superuser).await.unwrap() < 300 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Who told of its rows has told of its lookups, too.
    let lookups = "SELECT array[sum(idx_scan), sum(idx_tup_read)]::bigint[] FROM pg_stat_user_indexes WHERE relname = 'embedding_versions'";
    let young: Vec<i64> = sqlx::query_scalar(lookups).fetch_one(&mut superuser).await.unwrap();
    let owner = Database::connect(DatabaseSettings::new(&service.urls.owner)).await.unwrap();
    owner.refresh_statistics().await.unwrap();
    for batch in later.chunks(200) {
        acme.upsert_all(batch.to_vec()).await;
    }
    // A backend tells what it has read when it ends, at the latest.
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE usename = 'kindred_app' AND datname = current_database()";
    sqlx::query(end).execute(&mut superuser).await.unwrap();
    let told: Vec<i64> = sqlx::query_scalar(lookups).fetch_one(&mut superuser).await.unwrap();
    let (scans, read) = (told[0] - young[0], told[1] - young[1]);
    // Each line is looked up by itself and not found; every batch would read what is there already, 21,000 entries in all.
    assert!(scans >= 3_000 && read < 3_000, "{scans} lookups read {read} index entries for 3,000 new lines");
}
