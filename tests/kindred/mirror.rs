//! The mirror equals the table, here and on other replicas.

use std::collections::HashSet;
use std::time::Duration;

use kindred::grpc::proto::{
    ActivateEmbeddingVersionRequest, DeleteEmbeddingsRequest, Draft, SearchRequest, SearchResponse, ServedBy, Vector,
    search_request,
};
use kindred::index::PartitionKey;
use prost_types::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::Row;

use crate::embedder::{DIMENSIONS, MODEL};
use crate::harness::{Service, Tenant, draft, entity, texts, vector_draft};
use crate::postgres;

fn near(values: &[f32], limit: i32, min_revision: i64) -> SearchRequest {
    SearchRequest {
        query: Some(search_request::Query::Vector(Vector { values: values.to_vec() })),
        limit: Some(limit),
        min_revision,
        ..SearchRequest::default()
    }
}

/// Vectors around a few centres, as those of texts are.
fn mixture(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let centres: Vec<Vec<f32>> =
        (0..30).map(|_| (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
    (0..count)
        .map(|_| {
            let centre = &centres[random.random_range(0..centres.len())];
            centre.iter().map(|component| component + random.random_range(-0.5..0.5)).collect()
        })
        .collect()
}

async fn fill(acme: &mut Tenant, vectors: &[Vec<f32>]) -> i64 {
    let drafts = vectors.iter().zip(1..).map(|(values, number)| vector_draft("post", number, values.clone())).collect();
    acme.upsert_all(drafts).await.iter().map(|outcome| outcome.revision).max().unwrap()
}

/// The exact answer, by SQL of this test's own.
async fn truth(service: &Service, acme: &Tenant, query: &[f32], limit: i64) -> Vec<(String, f64)> {
    let mut owner = postgres::connect(&service.urls.owner).await;
    let rows = sqlx::query(
        "SELECT entity_id::text AS id, 1 - (vector_data <=> $3::real[]::vector) AS score FROM embeddings
         WHERE organization_id = $1 AND model_version = $2 AND superseded_revision IS NULL
         ORDER BY score DESC, entity_id LIMIT $4",
    )
    .bind(acme.id.0)
    .bind(MODEL)
    .bind(query)
    .bind(limit)
    .fetch_all(&mut owner)
    .await
    .unwrap();
    rows.iter().map(|row| (row.get("id"), row.get("score"))).collect()
}

fn found(answer: &SearchResponse) -> Vec<String> {
    answer.results.iter().map(|hit| hit.entity.as_ref().unwrap().id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_exact_mode_mirror_and_pgvector_agree() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let vectors = mixture(800, 1);
    let revision = fill(&mut acme, &vectors).await;
    let queries = mixture(20, 2);
    let mut from_postgres = Vec::new();
    let mut cold = service.tenant(acme.id, kindred::tenancy::Role::Viewer).await;
    for query in &queries {
        from_postgres.push(cold.search.search(near(query, 10, revision)).await.unwrap().into_inner());
    }
    acme.mirrored().await;
    for (query, postgres) in queries.iter().zip(from_postgres) {
        let mirror = acme.search.search(near(query, 10, revision)).await.unwrap().into_inner();
        assert_eq!(mirror.served_by(), ServedBy::MirrorExact);
        assert_eq!(mirror.revision, revision);
        let truth = truth(&service, &acme, query, 10).await;
        let ids: Vec<String> = truth.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(found(&mirror), ids);
        assert_eq!(found(&postgres), ids);
        for (hit, (_, score)) in mirror.results.iter().chain(&postgres.results).zip(truth.iter().cycle()) {
            assert!((f64::from(hit.score) - score).abs() < 1e-5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_finds_nearly_all() {
    let service = Service::with(|config| {
        config.index.exact_below = 500;
        config.index.rows_a_candidate = 0;
    })
    .await;
    let mut acme = service.organization("acme").await;
    let vectors = mixture(3_000, 3);
    let revision = fill(&mut acme, &vectors).await;
    acme.mirrored().await;
    // Until its graph is built, the partition is scanned.
    while !service.running.application().index().status()[0].graph {
        let query = &vectors[0];
        let answer = acme.search.search(near(query, 10, revision)).await.unwrap().into_inner();
        let ids: Vec<String> = truth(&service, &acme, query, 10).await.into_iter().map(|(id, _)| id).collect();
        assert!(answer.served_by() == ServedBy::MirrorHnsw || found(&answer) == ids);
    }
    let (mut right, mut wanted) = (0, 0);
    for query in mixture(50, 4) {
        let mirror = acme.search.search(near(&query, 10, revision)).await.unwrap().into_inner();
        assert_eq!(mirror.served_by(), ServedBy::MirrorHnsw);
        let truth: HashSet<String> = truth(&service, &acme, &query, 10).await.into_iter().map(|(id, _)| id).collect();
        right += found(&mirror).iter().filter(|id| truth.contains(*id)).count();
        wanted += 10;
    }
    let recall = right as f64 / wanted as f64;
    assert!(recall >= 0.95, "recall@10 is {recall}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_seen_at_its_revision_from_every_replica() {
    let service = Service::start().await;
    let other = service.replica().await;
    let mut acme = service.organization("acme").await;
    let mut there = other.tenant(acme.id, kindred::tenancy::Role::Editor).await;
    acme.mirrored().await;
    there.mirrored().await;
    for n in 0..10 {
        let text = format!("news number {n}");
        let revision = acme.upsert(draft("post", 1, &text)).await.unwrap().revision;
        let here = acme.find("news", revision).await;
        assert_eq!((texts(&here), here.served_by()), (vec![text.as_str()], ServedBy::MirrorExact));
        let answer = there.find("news", revision).await;
        assert_eq!(texts(&answer), [text.as_str()]);
        assert!(answer.revision >= revision);
    }
    let request = DeleteEmbeddingsRequest { entity: Some(entity("post", 1)), ..DeleteEmbeddingsRequest::default() };
    let revision = there.embeddings.delete_embeddings(request).await.unwrap().into_inner().revision;
    assert!(acme.find("news", revision).await.results.is_empty());
    assert!(there.find("news", revision).await.results.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_leave_mirror_and_table_equal() {
    let service = Service::with(|config| {
        config.index.exact_below = 50;
        config.index.tail_limit = 20;
    })
    .await;
    let mut acme = service.organization("acme").await;
    acme.mirrored().await;
    let mut random = StdRng::seed_from_u64(7);
    let vectors = mixture(400, 8);
    for round in 0..12 {
        let drafts = (0..30)
            .map(|_| random.random_range(1..80))
            .collect::<HashSet<u128>>()
            .into_iter()
            .map(|number| vector_draft("post", number, vectors[random.random_range(0..vectors.len())].clone()))
            .collect();
        let mut revision = acme.upsert_all(drafts).await.iter().map(|outcome| outcome.revision).max().unwrap();
        for _ in 0..5 {
            let gone = Some(entity("post", random.random_range(1..80)));
            let request = DeleteEmbeddingsRequest { entity: gone, ..DeleteEmbeddingsRequest::default() };
            revision = revision.max(acme.embeddings.delete_embeddings(request).await.unwrap().into_inner().revision);
        }
        let query = &vectors[round];
        let answer = acme.search.search(near(query, 1_000, revision)).await.unwrap().into_inner();
        assert_ne!(answer.served_by(), ServedBy::Postgres);
        let truth = truth(&service, &acme, query, 1_000).await;
        let ids: HashSet<&String> = truth.iter().map(|(id, _)| id).collect();
        assert_eq!(found(&answer).iter().collect::<HashSet<_>>(), ids, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_behind_the_log_is_loaded_again() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "before")).await.unwrap();
    acme.mirrored().await;
    // The log is cut while rows come in that no change row tells of: only a load can show them.
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::raw_sql(
        "BEGIN; DELETE FROM embedding_changes;
         UPDATE organization_revisions SET revision = revision + 5, oldest_kept = revision + 5; COMMIT",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let revision = acme.upsert(draft("post", 2, "after")).await.unwrap().revision;
    acme.mirrored().await;
    let answer = acme.find("before after", revision).await;
    assert_eq!(answer.results.len(), 2);
    assert_eq!(answer.revision, revision);
}

/// The change log is not read for it, and what is shown is what a reload reads from the table.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_commits_it_shows_as_the_table_has_it() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert_all((1..5).map(|number| draft("post", number, "tea")).collect()).await;
    acme.mirrored().await;
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::raw_sql("REVOKE SELECT ON embedding_changes FROM kindred_app").execute(&mut owner).await.unwrap();

    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let tags = vec!["ice".to_owned(), "coffee".to_owned(), "Eis".to_owned(), "ice".to_owned()];
    let drafts = vec![
        Draft { tags, occurred_at: at(1_700_000_000, 123_456_789), ..draft("post", 1, "iced coffee") },
        Draft { platform: "instagram".into(), occurred_at: at(900_000_000, 999_999_999), ..draft("post", 5, "hot") },
        Draft { status: "published".into(), occurred_at: at(-1, 1), ..vector_draft("idea", 6, vec![0.3; DIMENSIONS]) },
        Draft { source_field: "caption".into(), language: "de".into(), ..draft("post", 2, "Tee") },
    ];
    let mut revision = acme.upsert_all(drafts).await.iter().map(|outcome| outcome.revision).max().unwrap();
    let gone = DeleteEmbeddingsRequest { entity: Some(entity("post", 3)), ..DeleteEmbeddingsRequest::default() };
    revision = revision.max(acme.embeddings.delete_embeddings(gone).await.unwrap().into_inner().revision);
    let back = ActivateEmbeddingVersionRequest {
        entity: Some(entity("post", 1)),
        version: 1,
        ..ActivateEmbeddingVersionRequest::default()
    };
    revision = revision.max(acme.embeddings.activate_embedding_version(back).await.unwrap().into_inner().revision);

    let index = service.running.application().index();
    let key = PartitionKey { organization: acme.id, model: MODEL.parse().unwrap() };
    let shown = || index.glance(&key).map(|view| (view.revision().0, view.len(), view.digest()));
    let committed = shown().expect("loaded");
    assert_eq!((committed.0, committed.1), (revision, 6));
    let generation = || index.status().first().map(|status| status.generation);
    let before = generation();
    index.distrust(&key);
    let reloaded = async {
        while generation() <= before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reloaded).await.expect("it is read from the table");
    assert_eq!(shown(), Some(committed));
}

/// A large partition takes as long to read as it takes; a lock stands for its size here.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_may_take_longer_to_read_than_a_request() {
    let service = Service::with(|config| config.statement_timeout = Duration::from_millis(500)).await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "tea")).await.unwrap();
    acme.mirrored().await;
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE embeddings IN ACCESS EXCLUSIVE MODE").execute(&mut owner).await.unwrap();
    let index = service.running.application().index();
    index.distrust(&PartitionKey { organization: acme.id, model: MODEL.parse().unwrap() });
    let reads_on = async {
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
             AND wait_event_type = 'Lock' AND query LIKE '%vector_data%' AND now() - query_start > '1 s')";
        let mut watcher = postgres::connect(&service.urls.superuser).await;
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut watcher).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reads_on).await.expect("it waits for longer than a request may");
    sqlx::raw_sql("ROLLBACK").execute(&mut owner).await.unwrap();
    acme.mirrored().await;
}

/// Alters a vector behind the change log's back, as a damaged page or a careless hand would.
#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_finds_a_partition_that_differs_and_has_it_loaded_again() {
    let service = Service::with(|config| config.audit_interval = Some(Duration::from_millis(20))).await;
    let mut acme = service.organization("acme").await;
    let revision = fill(&mut acme, &mixture(200, 3)).await;
    acme.mirrored().await;
    let generation = |service: &Service| service.running.application().index().status()[0].generation;
    let before = generation(&service);
    let mut altered = vec![0.0; DIMENSIONS];
    altered[3] = -1.0;
    let found_first = async |acme: &mut Tenant| {
        let answer = acme.search.search(near(&altered, 1, revision)).await.unwrap().into_inner();
        (answer.results[0].score, answer.served_by())
    };
    assert!(found_first(&mut acme).await.0 < 0.99, "nothing is there yet");
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::query("UPDATE embeddings SET vector_data = $2::real[]::vector WHERE organization_id = $1 AND entity_id = (SELECT min(entity_id::text)::uuid FROM embeddings)")
        .bind(acme.id.0)
        .bind(&altered)
        .execute(&mut owner)
        .await
        .unwrap();
    let reloaded = async {
        while found_first(&mut acme).await != (1.0, ServedBy::MirrorExact) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reloaded).await.expect("the partition was loaded again");
    assert!(generation(&service) > before);
}
