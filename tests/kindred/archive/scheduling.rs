//! Who archives when: the scheduler, its lease, and retention.

use std::time::Duration;

use kindred::archive::Policy;
use kindred::maintenance::{MonthsSettings, MonthsTask};
use kindred::store::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;

fn task(archived: &Archived, target: Target, context_logs: Option<u32>) -> MonthsTask {
    let policy = Policy { target, metrics_after_months: 24, context_logs_after_months: context_logs };
    let settings = MonthsSettings { interval: Duration::from_secs(3_600), policy };
    MonthsTask::new(archived.archives.clone(), settings, Uuid::now_v7(), CancellationToken::new())
}

/// One row for each of the last `months` months, this one included, in both tables.
async fn months_of_rows(archived: &mut Archived, months: i32) {
    archived.run(&format!(
        "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
         SELECT '{ACME}', gen_random_uuid(), 'post', '{ACME}', 'likes', n, date_trunc('month', now(), 'UTC') - make_interval(months => n)
         FROM generate_series(0, {months} - 1) n;
         INSERT INTO ai_context_logs
             (organization_id, id, source_type, query, context_summary, items, token_count, token_budget, tokenizer,
              model_version, revision, served_by, created_at)
         SELECT '{ACME}', gen_random_uuid(), 'chat', 'q', 's', '[]', 1, 1, 't', 'm', 1, 'POSTGRES',
                date_trunc('month', now(), 'UTC') - make_interval(months => n)
         FROM generate_series(0, {months} - 1) n"
    ))
    .await;
}

async fn counts(archived: &mut Archived) -> (i64, i64, i64) {
    (
        archived.one("SELECT count(*) FROM time_series_metrics").await,
        archived.one("SELECT count(*) FROM time_series_metrics_archive").await,
        archived.one("SELECT count(*) FROM ai_context_logs").await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn unasked_metrics_go_to_the_archive_table_and_logs_stay() {
    let mut archived = Archived::new().await;
    months_of_rows(&mut archived, 30).await;
    assert!(task(&archived, Target::Table, None).round().await);
    assert_eq!(counts(&mut archived).await, (25, 5, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_past_their_retention_are_deleted_or_stored() {
    let mut archived = Archived::new().await;
    months_of_rows(&mut archived, 30).await;
    assert!(task(&archived, Target::Table, Some(12)).round().await);
    assert_eq!(counts(&mut archived).await, (25, 5, 13));
    let target = archived.target();
    assert!(task(&archived, target, Some(6)).round().await);
    assert_eq!(counts(&mut archived).await, (25, 5, 7));
    assert_eq!(archived.files(".json").len(), 6, "a part for each month that left");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_archive_each_month_once() {
    let mut archived = Archived::new().await;
    months_of_rows(&mut archived, 30).await;
    let (one, other) = (task(&archived, archived.target(), None), task(&archived, archived.target(), None));
    let (first, second) = tokio::join!(one.round(), other.round());
    assert!(first || second);
    assert_eq!(counts(&mut archived).await, (25, 0, 30));
    assert_eq!((archived.files(".parquet").len(), archived.files("").len()), (5, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_lease_moves_nothing() {
    let mut archived = Archived::new().await;
    months_of_rows(&mut archived, 30).await;
    let task = task(&archived, archived.target(), None);
    let before = counts(&mut archived).await;
    let round = archived.archives.alone(Uuid::now_v7(), task.round()).await.unwrap();
    assert!(!round);
    assert_eq!((counts(&mut archived).await, archived.files("").len()), (before, 0));
    assert!(task.round().await, "the lease was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_that_fails_keeps_no_other_from_being_done() {
    let mut archived = Archived::new().await;
    months_of_rows(&mut archived, 30).await;
    // A file where the folder of metrics would be.
    std::fs::write(archived.directory.path().join("time_series_metrics"), "").unwrap();
    assert!(task(&archived, archived.target(), Some(6)).round().await);
    assert_eq!(counts(&mut archived).await, (30, 0, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_while_its_work_goes_on_and_its_loss_ends_the_work() {
    let archived = Archived::new().await;
    let (database, lasts) = (archived.database.clone(), Duration::from_secs(8));
    let ends = "SELECT expires_at FROM duty_leases WHERE duty = 'long'";
    let mut owner = archived.owner;
    let work = async {
        let first: DateTime<Utc> = sqlx::query_scalar(ends).fetch_one(&mut owner).await.unwrap();
        // Renewed at least once.
        while sqlx::query_scalar::<_, DateTime<Utc>>(ends).fetch_one(&mut owner).await.unwrap() <= first {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let other = database.take_lease("long", Uuid::now_v7(), lasts).await.unwrap();
        assert!(!other, "nobody else gets it");
        sqlx::raw_sql("UPDATE duty_leases SET holder = gen_random_uuid(), expires_at = now() + interval '1 hour'")
            .execute(&mut owner)
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let error = database.while_leased("long", Uuid::now_v7(), lasts, work).await.unwrap_err();
    assert!(matches!(error, StoreError::LostLease { .. }), "{error}");
}
