//! Snapshots of the mirror: a restart is hot from them, and what is damaged or foreign is not believed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kindred::grpc::proto::{SearchRequest, ServedBy, Vector, search_request};
use kindred::runtime::Config;
use kindred::tenancy::Role;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::embedder::DIMENSIONS;
use crate::harness::{Service, Tenant, draft, vector_draft};
use crate::postgres::{self, Urls};

pub fn keeping(place: &Path) -> impl FnOnce(&mut Config) {
    let place = place.to_owned();
    move |config| {
        config.data_dir = place;
        config.snapshot_bytes = 1 << 30;
        // It would find out what these tests alter.
        config.audit_interval = None;
        config.index.exact_below = 500;
    }
}

pub fn files(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.join("snapshots")).into_iter().flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "snapshot")).collect()
}

/// Waits until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn direction(number: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(number as u64);
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// The score of the nearest to this direction, which is 1 only where it is there itself.
async fn best(tenant: &mut Tenant, direction: Vec<f32>) -> f32 {
    let request = SearchRequest {
        query: Some(search_request::Query::Vector(Vector { values: direction })),
        limit: Some(1),
        ..SearchRequest::default()
    };
    let answer = tenant.search.search(request).await.unwrap().into_inner();
    assert_ne!(answer.served_by(), ServedBy::Postgres);
    answer.results[0].score
}

/// A service of 1,200 vectors that has written its snapshot.
pub async fn kept() -> (TempDir, Service, Tenant) {
    let place = tempfile::tempdir().unwrap();
    let service = Service::with(keeping(place.path())).await;
    let mut acme = service.organization("acme").await;
    acme.upsert_all((0..1_200).map(|number| vector_draft("post", number as u128, direction(number))).collect()).await;
    acme.mirrored().await;
    until("a snapshot", || !files(place.path()).is_empty()).await;
    (place, service, acme)
}

/// Puts the direction of 5,000 where that of 7 was, which only the table tells then.
pub async fn alter(urls: &Urls) {
    let mut owner = postgres::connect(&urls.owner).await;
    sqlx::query("UPDATE embeddings SET vector_data = $1::real[]::vector WHERE entity_id = '00000000-0000-0000-0000-000000000007'")
        .bind(direction(5_000))
        .execute(&mut owner)
        .await
        .unwrap();
}

/// Stops the service and starts another one; it is hot before anybody searches, where there is a snapshot.
async fn again(service: Service, place: &Path, acme: &Tenant) -> (Service, Tenant) {
    let urls = service.urls.clone();
    assert!(service.running.stop().await);
    let service = Service::on(urls, keeping(place)).await;
    let tenant = service.tenant(acme.id, Role::Editor).await;
    (service, tenant)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_hot_from_the_snapshot_and_catches_up() {
    let (place, service, mut acme) = kept().await;
    let mode = fs::metadata(&files(place.path())[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::metadata(place.path().join("snapshots")).unwrap().permissions().mode() & 0o777, 0o700);
    acme.upsert(draft("post", 9_000, "written after the snapshot")).await.unwrap();
    alter(&service.urls).await;
    let (service, mut acme) = again(service, place.path(), &acme).await;
    let index = service.running.application().index().clone();
    until("hot and caught up", || index.status().iter().any(|partition| partition.confirmed_at.is_some())).await;
    let found = acme.find("written after the snapshot", 0).await;
    assert!(found.results[0].entity.as_ref().unwrap().id.ends_with("2328"), "{found:?}");
    assert!(best(&mut acme, direction(5_000)).await < 0.999, "it was read from the snapshot, not from the table");
    assert!(best(&mut acme, direction(7)).await > 0.999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_replaced_by_what_the_table_holds() {
    let (place, service, acme) = kept().await;
    alter(&service.urls).await;
    let file = files(place.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (_service, mut acme) = again(service, place.path(), &acme).await;
    acme.mirrored().await;
    assert!(best(&mut acme, direction(5_000)).await > 0.999, "the table was read");
    until("a sound snapshot again", || fs::read(&file).is_ok_and(|found| found.len() > middle && found != bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_the_log_does_not_reach_back_to_is_not_used() {
    let (place, service, mut acme) = kept().await;
    acme.upsert(draft("post", 9_000, "written after the snapshot")).await.unwrap();
    let mut owner = postgres::connect(&service.urls.owner).await;
    sqlx::raw_sql("DELETE FROM embedding_changes; UPDATE organization_revisions SET oldest_kept = revision")
        .execute(&mut owner)
        .await
        .unwrap();
    alter(&service.urls).await;
    let (_service, mut acme) = again(service, place.path(), &acme).await;
    acme.mirrored().await;
    assert!(best(&mut acme, direction(5_000)).await > 0.999, "the table was read");
}
