//! The index of an empty model is built once, after the rows.

use std::time::Duration;

use kindred::domain::{Filter, ModelId, Revision, Vector};
use kindred::search::{SearchQuery, Subject};
use kindred::tenancy::Caller;
use kindred::transfer::IndexFate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Command, id, ready};
use crate::embedder::{DIMENSIONS, MODEL};
use crate::postgres;

const VALID: &str = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                     WHERE c.relname LIKE 'embeddings\\_hnsw\\_%' AND i.indisvalid";
const SETTLED: &str = "SELECT count(*) FROM embeddings WHERE settled";
const UNSETTLED: &str = "SELECT count(*) FROM embeddings WHERE NOT settled";

fn model() -> ModelId {
    MODEL.parse().unwrap()
}

fn posts(numbers: std::ops::Range<u128>) -> impl Iterator<Item = Value> {
    numbers.map(|number| ready(number, &format!("text {number}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_model_gets_its_index_at_the_end_and_others_keep_theirs() {
    let command = Command::new().await;
    let (acme, other) = (command.organization("acme").await, command.organization("other").await);
    // As maintenance leaves it: an index with nothing in it.
    let owner = command.application.owner().unwrap();
    let empty = owner.models().await.unwrap().remove(0);
    assert!(owner.ensure_model_index(&empty).await.unwrap());
    let path = command.lines("posts.jsonl", posts(0..300));
    let report = command.run(acme, &[&path]).await.unwrap();
    assert!(matches!(report.index, IndexFate::Built(_)), "{report:?}");
    assert_eq!((command.count(VALID).await, command.count(SETTLED).await), (1, 300));
    // From now on rows arrive as always, whoever's they are.
    let path = command.lines("more.jsonl", posts(300..310));
    let report = command.run(other, &[&path]).await.unwrap();
    assert_eq!(report.index, IndexFate::Kept);
    assert_eq!((command.count(VALID).await, command.count(UNSETTLED).await), (1, 10));
    assert_eq!(command.count("SELECT count(*) FROM duty_leases").await, 0, "the lease was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_somebody_else_sees_to_is_left_to_them() {
    let mut command = Command::new().await;
    command.settings.index_lease = Duration::from_millis(200);
    let acme = command.organization("acme").await;
    let owner = command.application.owner().unwrap();
    assert!(owner.take_lease(&format!("index of {MODEL}"), Uuid::now_v7(), Duration::from_secs(60)).await.unwrap());
    let path = command.lines("posts.jsonl", posts(0..10));
    let report = command.run(acme, &[&path]).await.unwrap();
    assert_eq!(report.index, IndexFate::Kept);
    assert_eq!((command.count(VALID).await, command.count(UNSETTLED).await), (0, 10));
}

/// A build waits for every transaction that has begun before it, and one that waited for its lock would be waited for.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_do_not_wait_for_an_index_that_is_built() {
    let mut command = Command::new().await;
    command.settings.index_lease = Duration::from_millis(200);
    let acme = command.organization("acme").await;
    let owner = command.application.owner().unwrap();
    assert!(owner.take_lease(&format!("index of {MODEL}"), Uuid::now_v7(), Duration::from_secs(60)).await.unwrap());
    // Autovacuum, which comes once a minute, would refresh them before they are looked at.
    let mut building = postgres::connect(&command.urls.owner).await;
    let alone = "ALTER TABLE embeddings SET (autovacuum_enabled = false)";
    sqlx::raw_sql(alone).execute(&mut building).await.unwrap();
    let path = command.lines("posts.jsonl", posts(0..1_500));
    command.run(acme, &[&path]).await.unwrap();
    let grown = "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'embeddings'";
    while command.count(grown).await < 1_500 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lock = "BEGIN; LOCK TABLE embeddings IN SHARE UPDATE EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut building).await.unwrap();
    owner.refresh_statistics().await.unwrap();
    assert!(command.count(grown).await >= 1_500, "it was left for later");
    sqlx::raw_sql("ROLLBACK").execute(&mut building).await.unwrap();
    owner.refresh_statistics().await.unwrap();
}

/// Past 5,000 rows a cold search goes by the index, and there is none while rows are loaded.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_missed_while_the_index_is_missing() {
    let command = Command::new().await;
    let acme = command.organization("acme").await;
    let direction = |number: u128| -> Vector {
        let at = |component: usize| (number as f32 * 0.37 + component as f32 * (1.0 + number as f32 * 1e-3)).sin();
        Vector::new((0..DIMENSIONS).map(at).collect()).unwrap()
    };
    let line = |number: u128| json!({ "entity_type": "post", "entity_id": id(number), "vector": direction(number).as_slice() });
    let path = command.lines("posts.jsonl", (0..5_500).map(line));
    command.run(acme, &[&path]).await.unwrap();
    command.application.owner().unwrap().drop_model_index(&model()).await.unwrap();
    assert_eq!((command.count(VALID).await, command.count(SETTLED).await), (0, 5_500));
    for number in (0..5_500).step_by(550) {
        let query = SearchQuery {
            subject: Subject::Vector(direction(number)),
            model: None,
            limit: 3,
            threshold: None,
            filter: Filter::default(),
            min_revision: Revision(0),
            with_content: false,
            every_chunk: false,
        };
        let found = command.application.services.searcher.search(&Caller::operator(acme), query).await.unwrap();
        assert_eq!(found.hits.len(), 3);
        assert_eq!(found.hits[0].chunk.entity.id, Uuid::from_u128(number));
    }
    // Where there is no index but rows, a further import goes on in bulk, and builds it over all.
    let path = command.lines("more.jsonl", [ready(9_999, "one more")]);
    let report = command.run(acme, &[&path]).await.unwrap();
    assert!(matches!(report.index, IndexFate::Built(_)), "{report:?}");
    assert_eq!((command.count(VALID).await, command.count(SETTLED).await), (1, 5_501));
}
