//! `kindred doctor`: a healthy database is sound, and what is damaged is found and named; nothing is changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use kindred::mirror::{Finding, PartitionReport};
use kindred::runtime::{Checkup, Config, Which};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::embedder::MODEL;
use crate::harness::{Service, config, draft};
use crate::postgres::{self, Urls};
use crate::snapshots::{alter, files, keeping, kept};

/// What the doctor finds with the settings of a service that keeps snapshots in `place`.
async fn examined(urls: &Urls, place: &Path) -> (Vec<Finding>, Vec<PartitionReport>) {
    let mut config: Config = config(urls);
    keeping(place)(&mut config);
    let checkup = Checkup::open(&config).await.unwrap();
    let (findings, partitions) = checkup.database(&Which::default(), chrono::Utc::now()).await.unwrap();
    let mut reports = Vec::new();
    if !partitions.is_empty() {
        let examiner = checkup.examiner(&config).await.unwrap();
        for partition in &partitions {
            reports.push(examiner.examine(partition).await);
        }
    }
    checkup.close().await;
    (findings, reports)
}

async fn as_owner(urls: &Urls, sql: &str) {
    let mut owner = postgres::connect(&urls.owner).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut owner).await.unwrap();
}

/// The findings that are wrong.
fn wrong<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<&'a Finding> {
    findings.into_iter().filter(|finding| finding.wrong).collect()
}

#[track_caller]
fn assert_says(finding: &Finding, parts: &[&str]) {
    for part in parts {
        assert!(finding.to_string().contains(part), "{part:?} in {finding}");
    }
}

/// Waits until maintenance has made the model's index.
async fn indexed(urls: &Urls) {
    let mut owner = postgres::connect(&urls.owner).await;
    let valid = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 WHERE c.relname LIKE 'embeddings_hnsw_%' AND i.indisvalid";
    for _ in 0..600 {
        let count: i64 = sqlx::query_scalar(valid).fetch_one(&mut owner).await.unwrap();
        if count > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("maintenance never made the index");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_database_is_sound_and_stays_as_it_is() {
    let (place, service, mut acme) = kept().await;
    acme.upsert(draft("post", 9_000, "written after the snapshot")).await.unwrap();
    indexed(&service.urls).await;
    let before = fs::read(&files(place.path())[0]).unwrap();
    let (findings, reports) = examined(&service.urls, place.path()).await;
    assert_eq!(wrong(&findings), Vec::<&Finding>::new());
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.organization.as_str(), report.model.as_str()), ("acme", MODEL));
    let (table, snapshot) = (report.table.as_ref().unwrap(), report.snapshot.as_ref().unwrap());
    assert_eq!((table.rows, snapshot.rows), (1_201, 1_201));
    assert!(table.graph && snapshot.graph);
    assert_eq!(table.revision, snapshot.revision);
    assert!(snapshot.from_revision < snapshot.revision, "the change log was followed");
    assert!(table.recall.unwrap() > 0.9 && snapshot.recall.unwrap() > 0.9, "{report}");
    assert_eq!(fs::read(&files(place.path())[0]).unwrap(), before);

    // Under other settings it is another service's snapshot: noted, and left where it is.
    let mut other = config(&service.urls);
    keeping(place.path())(&mut other);
    other.index.m = 8;
    let checkup = Checkup::open(&other).await.unwrap();
    let (_, partitions) = checkup.database(&Which::default(), chrono::Utc::now()).await.unwrap();
    let report = checkup.examiner(&other).await.unwrap().examine(&partitions[0]).await;
    checkup.close().await;
    assert!(report.is_sound() && report.snapshot.is_none(), "{report}");
    assert_says(&report.findings[0], &["note", "another database, setting or format"]);
    assert_eq!(fs::read(&files(place.path())[0]).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_behind_the_log_is_named() {
    let (place, service, acme) = kept().await;
    alter(&service.urls).await;
    let (_, reports) = examined(&service.urls, place.path()).await;
    let found = wrong(&reports[0].findings);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    let mut owner = postgres::connect(&service.urls.owner).await;
    let altered = "SELECT id FROM embeddings WHERE entity_id = '00000000-0000-0000-0000-000000000007'";
    let id: uuid::Uuid = sqlx::query_scalar(altered).fetch_one(&mut owner).await.unwrap();
    assert_says(finding, &["acme/words-64", "1 rows have other vectors or attributes", &id.to_string()]);

    // A row that is gone, and one that no log tells of.
    as_owner(
        &service.urls,
        "DELETE FROM embeddings WHERE entity_id = '00000000-0000-0000-0000-000000000008';
         UPDATE embeddings SET superseded_revision = NULL, id = gen_random_uuid()
         WHERE entity_id = '00000000-0000-0000-0000-000000000009'",
    )
    .await;
    let (_, reports) = examined(&service.urls, place.path()).await;
    assert_says(
        wrong(&reports[0].findings)[0],
        &["1 rows have other", "1 rows are in the table alone", "2 rows are in the snapshot alone"],
    );
    drop((service, acme));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_found_and_left_where_it_is() {
    let (place, service, _acme) = kept().await;
    let urls = service.urls.clone();
    // It would write another one.
    assert!(service.running.stop().await);
    let file = files(place.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (_, reports) = examined(&urls, place.path()).await;
    assert_says(wrong(&reports[0].findings)[0], &["cannot be used", "damaged", &file.display().to_string()]);
    assert_eq!(fs::read(&file).unwrap(), bytes);

    // One that the log does not lead on from is only worth knowing.
    as_owner(&urls, "DELETE FROM embedding_changes; UPDATE organization_revisions SET revision = revision + 1, oldest_kept = revision + 1").await;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (_, reports) = examined(&urls, place.path()).await;
    assert!(reports[0].is_sound(), "{}", reports[0]);
    assert_says(&reports[0].findings[0], &["note", "the change log goes from"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_database_is_found() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "the first")).await.unwrap();
    acme.upsert(draft("post", 2, "the second")).await.unwrap();
    let urls = service.urls.clone();
    indexed(&urls).await;
    // Maintenance would mend it.
    assert!(service.running.stop().await);
    let nowhere = Path::new("/nonexistent");
    let (findings, _) = examined(&urls, nowhere).await;
    assert_eq!(wrong(&findings), Vec::<&Finding>::new());

    as_owner(
        &urls,
        "DO $$ DECLARE index text := (SELECT relname FROM pg_class WHERE relname LIKE 'embeddings_hnsw_%' LIMIT 1);
         BEGIN EXECUTE format('DROP INDEX %I', index); END $$;
         UPDATE embeddings SET settled = false, created_at = now() - interval '3 hours'
         WHERE entity_id = '00000000-0000-0000-0000-000000000001';
         UPDATE embeddings SET settled = false, vector_data = '[1,2,3]'
         WHERE entity_id = '00000000-0000-0000-0000-000000000002';
         UPDATE embedding_changes SET created_at = now() - interval '3 days';
         UPDATE organization_revisions SET revision = revision - 1",
    )
    .await;
    let (findings, reports) = examined(&urls, nowhere).await;
    let found = wrong(&findings);
    assert_says(found[0], &[MODEL, "index is missing", "KINDRED_OWNER_DATABASE_URL"]);
    assert_says(found[1], &[MODEL, "2 rows are outside the HNSW index", "the oldest for 108"]);
    assert_says(found[2], &["embedding_changes", "maintenance keeps a day"]);
    assert_says(found[3], &["organization_revisions", &acme.id.to_string(), "counts revision 1", "ends with 2"]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_says(wrong(&reports[0].findings)[0], &["acme/words-64", "3 dimensions, its model has 64"]);
    assert_eq!(reports[0].table.as_ref().unwrap().rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_not_valid_is_found() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    acme.upsert(draft("post", 1, "the first")).await.unwrap();
    let urls = service.urls.clone();
    indexed(&urls).await;
    assert!(service.running.stop().await);
    let mut superuser = postgres::connect(&urls.superuser).await;
    sqlx::raw_sql(
        "UPDATE pg_index SET indisvalid = false
         WHERE indexrelid = (SELECT oid FROM pg_class WHERE relname LIKE 'embeddings_hnsw_%')",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let (findings, _) = examined(&urls, Path::new("/nonexistent")).await;
    assert_says(wrong(&findings)[0], &[MODEL, "not valid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_or_schema_that_serve_refuses_ends_the_examination() {
    let urls = postgres::database().await;
    let refused = Urls { app: urls.owner.clone(), ..urls };
    let (findings, reports) = examined(&refused, Path::new("/nonexistent")).await;
    assert_says(wrong(&findings)[0], &["kindred_owner", "must not serve requests"]);
    assert!(reports.is_empty());
    let empty = postgres::empty_database().await;
    let (findings, _) = examined(&empty, Path::new("/nonexistent")).await;
    assert_says(wrong(&findings)[0], &["kindred migrate up"]);
}

/// The program itself: what it prints, and how it exits.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_lines_or_json_and_exits_by_its_verdict() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let other = service.organization("other").await;
    acme.upsert(draft("post", 1, "the first")).await.unwrap();
    other.clone().upsert(draft("post", 1, "the first")).await.unwrap();
    let urls = service.urls.clone();
    indexed(&urls).await;
    assert!(service.running.stop().await);
    let doctor = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kindred"));
        command.arg("doctor").args(arguments).args(["--data-dir=/nonexistent", "--cache-dir=/nonexistent"]);
        command.env("DATABASE_URL", &urls.app).env("KINDRED_OWNER_DATABASE_URL", &urls.owner);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, lines, _) = doctor(&[]).await;
    assert_eq!(code, Some(0), "{lines}");
    assert!(lines.contains("sound  acme/words-64  revision 1: 1 rows, scan  no snapshot"), "{lines}");
    assert!(lines.contains("2 partitions were examined, 0 findings are wrong"), "{lines}");
    let (code, lines, _) = doctor(&["--organization=other", "--model=words-64"]).await;
    assert!(code == Some(0) && lines.contains("1 partitions") && !lines.contains("acme"), "{lines}");
    let (code, _, told) = doctor(&["--organization=nobody"]).await;
    assert!(code == Some(1) && told.contains("there is no organization with the slug nobody"), "{told}");
    let (code, _, told) = doctor(&["--model=nothing"]).await;
    assert!(code == Some(1) && told.contains("known are: words-64"), "{told}");

    as_owner(&urls, "UPDATE embeddings SET settled = false, vector_data = '[1,2,3]'").await;
    let (code, lines, told) = doctor(&["--json"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("2 findings are wrong"), "{told}");
    let values: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let partition = values.iter().find_map(|value| value.get("partition")).unwrap();
    assert_eq!(partition["organization"], "acme");
    assert_eq!(partition["findings"][0]["wrong"], true);
    assert_eq!(values.last().unwrap()["summary"]["wrong"], 2);
}
