//! Months leave with every digit, and stay where they must.

use super::*;

/// Rows that are easily damaged: infinite, huge and tiny numbers, ends of the month, texts and JSON of all kinds.
async fn awkward(archived: &mut Archived) {
    archived.run("SELECT ensure_month_partition('time_series_metrics', '2023-05-01')").await;
    let numbers = [
        "0",
        "-0.00",
        "1.10",
        "NaN",
        "Infinity",
        "-Infinity",
        "-12345678901234567890.123456789",
        "1e-40",
        "9.99e+400",
        "0.1000",
    ];
    let texts = ["", "a", "Grüße, 世界 🦀", "'); drop table x; --", "back\\slash\ttab\nline", "\u{202e}null\u{feff}"];
    let json = [r#"{}"#, r#"null"#, r#"[1, 1.0, 1e400, "\"\\ \u00fc 🦀"]"#, r#"{"b": {"a": [null, true]}, "a": ""}"#];
    let times = ["2023-05-01 00:00:00+00", "2023-05-15 12:00:00.000001+00", "2023-05-31 23:59:59.999999+00"];
    for (index, number) in numbers.iter().enumerate() {
        sqlx::query(
            "INSERT INTO time_series_metrics
                 (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at, platform, source,
                  metadata, created_at)
             VALUES ($1::uuid, gen_random_uuid(), 'user', $1::uuid, $2, $3::numeric, $4::timestamptz, $2, $5, $6::jsonb,
                     $7::timestamptz)",
        )
        .bind(if index % 2 == 0 { ACME } else { BETA })
        .bind(texts[index % texts.len()])
        .bind(number)
        .bind(times[index % times.len()])
        .bind(format!("source {index}"))
        .bind(json[index % json.len()])
        .bind(["infinity", "-infinity", "0044-03-15 12:00 BC", "now"][index % 4])
        .execute(&mut archived.owner)
        .await
        .unwrap();
    }
    // The same values many times, and the neighbouring months.
    archived.run(&format!(
        "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
         SELECT '{ACME}', gen_random_uuid(), 'post', '{ACME}', 'likes', 7, '2023-05-02 00:00+00'::timestamptz + n * interval '1 s'
         FROM generate_series(1, 300) n"
    )).await;
    archived.measure("likes", &["2023-04-30 23:59:59.999999+00", "2023-06-01 00:00+00", "2024-01-01 00:00+00"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_comes_back_with_every_digit() {
    let mut archived = Archived::new().await;
    awkward(&mut archived).await;
    let before = archived.rows(MonthlyTable::Metrics, "2023-05").await;
    assert_eq!(before.len(), 310);
    let stays = archived.rows(MonthlyTable::Metrics, "2024-01").await;

    let outcome = archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    let left: Vec<(String, u64)> = outcome.months.iter().map(|month| (month.month.to_string(), month.rows)).collect();
    assert_eq!(left, [("2023-04".to_owned(), 2), ("2023-05".to_owned(), 310), ("2023-06".to_owned(), 2)]);
    assert_eq!(outcome.rows, 314);
    assert!(archived.rows(MonthlyTable::Metrics, "2023-05").await.is_empty());
    assert_eq!(archived.rows(MonthlyTable::Metrics, "2024-01").await, stays, "this month is not older");
    let partition: Option<String> = archived.one("SELECT to_regclass('time_series_metrics_y2023m05')::text").await;
    assert_eq!(partition, None);
    assert_eq!((archived.files(".parquet").len(), archived.files(".json").len(), archived.files("").len()), (3, 3, 6));

    let again = archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    assert_eq!((again.rows, again.months.len(), archived.files("").len()), (0, 0, 6), "nothing is left to move");

    let Target::Store(store) = archived.target() else { unreachable!() };
    let archiver = archived.archives.at(&store).unwrap();
    let verified = archiver.verify().await.unwrap();
    assert_eq!((verified.sound, verified.rows, verified.faults.len(), verified.strays.len()), (3, 314, 0, 0));
    let restored = archiver.restore(MonthlyTable::Metrics, month("2023-05"), Utc::now()).await.unwrap();
    assert_eq!((restored.parts, restored.inserted, restored.present), (1, 310, 0));
    assert_eq!(archived.rows(MonthlyTable::Metrics, "2023-05").await, before);
    let lies: i64 = archived.one("SELECT count(*) FROM ONLY time_series_metrics_y2023m05").await;
    assert_eq!(lies, 310, "in a partition of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn context_logs_come_back_too() {
    let mut archived = Archived::new().await;
    archived.run(&format!(
        "INSERT INTO ai_context_logs
             (organization_id, id, user_id, conversation_id, source_type, source_id, query, recent_turns, context_summary,
              items, token_count, token_budget, tokenizer, model_version, revision, served_by, degraded, ai_response,
              responded_at, feedback_score, feedback_type, created_at)
         SELECT '{ACME}', gen_random_uuid(), CASE n % 2 WHEN 0 THEN gen_random_uuid() END, NULL, 'chat', NULL,
                'was hilft? 🦀', '[\"ä\", null]', repeat('context ', n), '[{{\"score\": 0.25}}]', n, -2147483648, 'o200k', 'm',
                9223372036854775807, 'POSTGRES', n % 3 = 0, CASE n % 2 WHEN 1 THEN 'so' END,
                CASE n % 4 WHEN 1 THEN '2023-05-03 00:00+00'::timestamptz END, CASE n % 5 WHEN 0 THEN 5 END, NULL,
                '2023-05-02 00:00+00'::timestamptz + n * interval '1 hour'
         FROM generate_series(1, 200) n"
    ))
    .await;
    let before = archived.rows(MonthlyTable::ContextLogs, "2023-05").await;
    let outcome = archived.archive(MonthlyTable::ContextLogs, false).await.unwrap();
    assert_eq!((outcome.rows, outcome.months.len()), (200, 1));
    assert!(archived.rows(MonthlyTable::ContextLogs, "2023-05").await.is_empty());
    let Target::Store(store) = archived.target() else { unreachable!() };
    let archiver = archived.archives.at(&store).unwrap();
    archiver.restore(MonthlyTable::ContextLogs, month("2023-05"), Utc::now()).await.unwrap();
    assert_eq!(archived.rows(MonthlyTable::ContextLogs, "2023-05").await, before);

    let error = archived
        .archives
        .archive((MonthlyTable::ContextLogs, month("2024-01")), &Target::Table, false, Utc::now())
        .await
        .unwrap_err();
    assert!(matches!(error, ArchiveError::NoArchiveTable), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn months_without_rows_leave_no_file() {
    let mut archived = Archived::new().await;
    archived.run("SELECT ensure_month_partition('time_series_metrics', '2023-05-01')").await;
    // Rows that have no month.
    archived.measure("old", &["-infinity", "0044-03-15 12:00 BC", "1899-12-31 23:59:59+00", "infinity"]).await;
    let outcome = archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    assert_eq!((outcome.rows, outcome.months.len(), archived.files("").len()), (0, 0, 0));
    let partition: Option<String> = archived.one("SELECT to_regclass('time_series_metrics_y2023m05')::text").await;
    assert_eq!((partition, archived.one::<i64>("SELECT count(*) FROM time_series_metrics").await), (None, 8));
    assert!(archived.archives.months(MonthlyTable::Metrics).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_leave_is_told_and_listed() {
    let mut archived = Archived::new().await;
    archived.run("SELECT ensure_month_partition('time_series_metrics', '2023-05-01')").await;
    archived.measure("likes", &["2023-05-02 00:00+00", "2023-06-02 00:00+00", "2024-02-02 00:00+00"]).await;
    let leaving = archived.archives.leaving(MonthlyTable::Metrics, month("2024-01"), false).await.unwrap();
    assert_eq!(leaving.into_iter().collect::<Vec<_>>(), [(month("2023-05"), 2), (month("2023-06"), 2)]);
    let listed = archived.archives.months(MonthlyTable::Metrics).await.unwrap();
    assert_eq!(listed.iter().map(|found| found.rows).sum::<i64>(), 6);

    let to_table = archived
        .archives
        .archive((MonthlyTable::Metrics, month("2023-06")), &Target::Table, false, Utc::now())
        .await
        .unwrap();
    assert_eq!((to_table.rows, archived.one::<i64>("SELECT count(*) FROM time_series_metrics_archive").await), (2, 2));
    archived.archive(MonthlyTable::Metrics, false).await.unwrap();
    let Target::Store(store) = archived.target() else { unreachable!() };
    let stored = archived.archives.at(&store).unwrap().stored().await.unwrap();
    let stored: Vec<(String, u64)> =
        stored.iter().map(|stored| (stored.part.month.to_string(), stored.manifest.rows)).collect();
    assert_eq!(stored, [("2023-06".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_there_is_not_made() {
    let archived = Archived::new().await;
    let target: Target = format!("file://{}/missing", archived.directory.path().display()).parse().unwrap();
    let error = archived
        .archives
        .archive((MonthlyTable::Metrics, month("2024-01")), &target, false, Utc::now())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("create the directory"), "{error}");
}
