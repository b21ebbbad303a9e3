//! Months come back: in several parts, beside live rows, and more than once.

use kindred::archive::Archiver;

use super::*;

const MAY: &str = "2023-05";

fn archiver(archived: &Archived) -> Archiver {
    let Target::Store(store) = archived.target() else { unreachable!() };
    archived.archives.at(&store).unwrap()
}

async fn restore(archived: &Archived) -> Result<(usize, u64, u64), ArchiveError> {
    let restored = archiver(archived).restore(MonthlyTable::Metrics, month(MAY), Utc::now()).await?;
    Ok((restored.parts, restored.inserted, restored.present))
}

#[tokio::test(flavor = "multi_thread")]
async fn late_rows_become_a_further_part() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-05-03 00:00+00"]).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    archived.measure("late", &["2023-05-02 00:00+00"]).await;
    // A point that is recorded again after it was archived: under another id, and under the same.
    let manifest = std::fs::read_to_string(&archived.files(".json")[0]).unwrap();
    assert!(manifest.contains("\"rows\": 4"), "{manifest}");
    archived.run(&format!(
        "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
         VALUES ('{ACME}', gen_random_uuid(), 'post', '{ACME}', 'likes', 100, '2023-05-02 00:00+00')"
    )).await;
    let late = archived.rows(MonthlyTable::Metrics, MAY).await;
    let outcome = archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    assert_eq!((outcome.rows, archived.files(".json").len()), (3, 2));

    assert_eq!(restore(&archived).await.unwrap(), (2, 6, 0));
    let rows = archived.rows(MonthlyTable::Metrics, MAY).await;
    assert!(late.iter().all(|row| rows.contains(row)), "the later value counts: {rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_again_changes_nothing() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-05-03 00:00+00"]).await;
    let before = archived.rows(MonthlyTable::Metrics, MAY).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    assert_eq!(restore(&archived).await.unwrap(), (1, 4, 0));
    assert_eq!(restore(&archived).await.unwrap(), (1, 0, 4));
    archived.run(&format!("DELETE FROM time_series_metrics WHERE organization_id = '{ACME}'")).await;
    assert_eq!(restore(&archived).await.unwrap(), (1, 2, 2), "only what is missing");
    assert_eq!(archived.rows(MonthlyTable::Metrics, MAY).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_month_stays_until_it_is_let_go() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-05-03 00:00+00"]).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    restore(&archived).await.unwrap();
    let old = (MonthlyTable::Metrics, month("2024-01"));
    for target in [archived.target(), Target::Table] {
        let outcome = archived.archives.archive(old, &target, false, Utc::now()).await.unwrap();
        assert_eq!(outcome.rows, 0, "{target}");
    }
    assert_eq!(archived.archives.retire(old.0, old.1).await.unwrap(), 0);
    archived.run("UPDATE time_series_metrics SET metric_value = 5").await;
    archived.measure("new", &["2023-05-09 00:00+00"]).await;
    let changed = archived.rows(MonthlyTable::Metrics, MAY).await;

    let outcome = archived.archive(MonthlyTable::Metrics, true).await.unwrap();
    assert_eq!((outcome.rows, archived.files("").len()), (6, 2), "what it was restored from is replaced");
    assert!(archiver(&archived).verify().await.unwrap().faults.is_empty());
    assert_eq!(restore(&archived).await.unwrap(), (1, 6, 0));
    assert_eq!(archived.rows(MonthlyTable::Metrics, MAY).await, changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_values_under_the_same_keys_are_refused() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-05-03 00:00+00"]).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    restore(&archived).await.unwrap();
    archived
        .run(&format!(
            "DELETE FROM time_series_metrics WHERE organization_id = '{BETA}' AND metric_value = 1;
         UPDATE time_series_metrics SET metric_value = 0.0 WHERE organization_id = '{ACME}' AND metric_value = 0"
        ))
        .await;
    let before = archived.rows(MonthlyTable::Metrics, MAY).await;
    let error = restore(&archived).await.unwrap_err();
    assert!(matches!(&error, ArchiveError::OtherRows { .. }) && error.to_string().contains(ACME), "{error}");
    assert_eq!(archived.rows(MonthlyTable::Metrics, MAY).await, before, "nothing was restored");

    archived.run("DELETE FROM time_series_metrics").await;
    archived.measure("likes", &["2023-05-02 00:00+00"]).await;
    let error = restore(&archived).await.unwrap_err();
    assert!(error.to_string().contains("metric_name"), "another id for the same point: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_memory_restores_from_the_manifests() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00"]).await;
    let before = archived.rows(MonthlyTable::Metrics, MAY).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    let mut fresh = Archived::new().await;
    std::mem::swap(&mut fresh.directory, &mut archived.directory);
    assert_eq!(restore(&fresh).await.unwrap(), (1, 2, 0));
    assert_eq!(fresh.rows(MonthlyTable::Metrics, MAY).await, before);
    let error = archiver(&fresh).restore(MonthlyTable::Metrics, month("2023-06"), Utc::now()).await.unwrap_err();
    assert!(error.to_string().contains("holds no part of time_series_metrics of 2023-06"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_never_restored() {
    let mut archived = Archived::new().await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-06-02 00:00+00", "2023-07-02 00:00+00"]).await;
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    let files = archived.files(".parquet");
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    std::fs::remove_file(&archived.files(".json")[2]).unwrap();
    std::fs::write(archived.directory.path().join("notes.txt"), "mine").unwrap();

    let found = archiver(&archived).verify().await.unwrap();
    assert_eq!((found.sound, found.faults.len()), (0, 3), "{:?}", found.faults);
    assert!(found.faults[0].contains("2023-05") && found.faults[0].contains("SHA-256"), "{:?}", found.faults);
    assert!(found.faults[1].contains("2023-06") && found.faults[2].contains("2023-07"), "{:?}", found.faults);
    assert!(found.strays.len() == 2 && found.strays[0] == "notes.txt", "{:?}", found.strays);
    let error = restore(&archived).await.unwrap_err();
    assert!(matches!(&error, ArchiveError::Damaged { .. }), "{error}");
    assert!(archived.rows(MonthlyTable::Metrics, MAY).await.is_empty());
}
