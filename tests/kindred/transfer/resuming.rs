//! An import that was broken off goes on.

use std::fs;

use kindred::transfer::{Counts, IndexFate, Standing};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Command, ready};

const ROWS: u128 = 3_000;

fn rows_of(standing: &Standing) -> u64 {
    match standing {
        Standing::Writing { counts, .. } => counts.rows(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_land_once_however_often_it_is_broken_off() {
    let mut command = Command::new().await;
    command.settings.batch_rows = 100;
    let acme = command.organization("acme").await;
    let path = command.lines("posts.jsonl", (0..ROWS).map(|number| ready(number, &format!("text {number}"))));
    // Without a word, as by a kill.
    let stop = CancellationToken::new();
    let broken = command.run_until(acme, &[&path], &stop, |standing| rows_of(standing) >= 500).await;
    assert!(broken.is_none(), "{broken:?}");
    // In an orderly way.
    let enough = |standing: &Standing| {
        if rows_of(standing) >= 1_500 {
            stop.cancel();
        }
        false
    };
    let stopped = command.run_until(acme, &[&path], &stop, enough).await.unwrap().unwrap();
    assert!(stopped.stopped && stopped.index == IndexFate::Left, "{stopped:?}");
    let kept: Value = serde_json::from_slice(&fs::read(command.path("posts.jsonl.progress")).unwrap()).unwrap();
    let done = stopped.counts().rows();
    assert_eq!(kept["place"]["rows"], done);
    assert!(done >= 1_500 && done < ROWS as u64, "{done} rows were done");
    // To the end.
    let report = command.run(acme, &[&path]).await.unwrap();
    assert_eq!(report.files[0].earlier_rows, done);
    assert_eq!(report.counts().rows(), ROWS as u64);
    assert!(matches!(report.index, IndexFate::Built(_)), "{report:?}");
    for (sql, count) in [
        ("SELECT count(*) FROM embeddings WHERE superseded_revision IS NULL AND settled", ROWS as i64),
        ("SELECT count(*) FROM embeddings", ROWS as i64),
        ("SELECT count(DISTINCT entity_id) FROM embedding_versions WHERE version = 1", ROWS as i64),
        ("SELECT count(*) FROM embedding_versions", ROWS as i64),
    ] {
        assert_eq!(command.count(sql).await, count, "{sql}");
    }
    assert_eq!(command.names(), ["posts.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_done_are_not_read_again_by_the_run_that_goes_on() {
    let command = Command::new().await;
    let acme = command.organization("acme").await;
    let one = command.lines("one.jsonl", (0..10).map(|number| ready(number, &format!("text {number}"))));
    let two = command.path("two.jsonl");
    command.run(acme, &[&one, &two]).await.unwrap_err();
    let two = command.lines("two.jsonl", (10..20).map(|number| ready(number, &format!("text {number}"))));
    let report = command.run(acme, &[&one, &two]).await.unwrap();
    let earlier: Vec<u64> = report.files.iter().map(|file| file.earlier_rows).collect();
    assert_eq!(earlier, [10, 0]);
    assert_eq!(report.counts(), Counts { created: 20, ..Counts::default() });
    // That run was the last one: another one reads everything, and changes nothing.
    let again = command.run(acme, &[&one, &two]).await.unwrap();
    assert_eq!(again.counts(), Counts { unchanged: 20, ..Counts::default() });
    // Another organization's import of the same file begins at its beginning.
    let other = command.organization("other").await;
    assert_eq!(command.run(other, &[&one]).await.unwrap().counts(), Counts { created: 10, ..Counts::default() });
}
