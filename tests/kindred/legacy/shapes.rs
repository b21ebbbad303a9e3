//! There and back again, from every shape.

use std::collections::BTreeMap;

use kindred::migrate::{self, Outcome, OwnerOptions, read_user_places};

use super::fixtures::{Database, Legacy, Vectors, assert_same_surroundings, options};
use super::rows::{ADA, BOB, CLEO};

/// Up, over, back, and undone: nothing of the legacy side is ever another than it was.
async fn walk(shape: Legacy) -> Database {
    let database = shape.create().await;
    let (rows, surroundings) = (database.legacy_rows().await, database.surroundings().await);
    assert!(matches!(database.carry().await, Outcome::InStep { .. }));
    assert_same(&database.legacy_rows().await, &rows);
    database.verified().await;
    database.cut_over().await;
    database.verified().await;
    assert_same(&database.legacy_rows().await, &rows);
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_same(&database.legacy_rows().await, &rows);
    database.verified().await;
    undo(&database, &rows, &surroundings).await;
    assert!(matches!(database.carry().await, Outcome::InStep { .. }), "it can begin anew");
    database.verified().await;
    database
}

async fn undo(database: &Database, rows: &BTreeMap<String, Vec<String>>, surroundings: &[String]) {
    assert!(matches!(database.carry().await, Outcome::InStep { .. }), "the flags were taken back, too");
    let kept = migrate::restore_legacy(&database.urls.owner).await.unwrap();
    assert!(kept.starts_with("kindred_kept_"), "{kept}");
    assert_same(&database.legacy_rows().await, rows);
    assert_same_surroundings(&database.surroundings().await, surroundings);
}

fn assert_same(found: &BTreeMap<String, Vec<String>>, before: &BTreeMap<String, Vec<String>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (table, rows) in before {
        assert_eq!(&found[table], rows, "{table}");
    }
}

async fn quarantined(database: &Database, source: &str) -> Vec<String> {
    let query = format!(
        "SELECT right(source_id::text, 1) || ' ' || part FROM kindred_migration.quarantine WHERE source = '{source}' ORDER BY 1"
    );
    database.values(&query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_pgvector_and_chats_by_conversation_go_there_and_back() {
    let database = walk(Legacy::new()).await;
    assert_eq!(database.value::<i64>("SELECT count(*) FROM kindred.posts_core").await, 7);
    assert_eq!(
        quarantined(&database, "posts").await,
        ["1 media_urls[3]", "3 row", "4 row", "5 embedding"].map(str::to_owned)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_floats_and_chats_by_session_go_there_and_back() {
    let shape = Legacy::new().posts(Vectors::Floats).chat("message", "session_id", "message_type", Vectors::Pgvector);
    let database = walk(shape).await;
    assert_eq!(database.value::<i64>("SELECT count(*) FROM kindred.chat_messages").await, 3);
    let parts = ["1 media_urls[3]", "3 row", "4 row", "5 embedding", "6 embedding", "7 embedding"];
    assert_eq!(quarantined(&database, "posts").await, parts.map(str::to_owned));
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_and_chats_without_vectors_go_there_and_back() {
    let shape = Legacy::new()
        .posts(Vectors::Absent)
        .chat("content", "session_id", "message_type", Vectors::Absent)
        .generations_name_users();
    let database = walk(shape).await;
    let generated = "SELECT count(*) FROM kindred.ai_suggestions WHERE metadata ->> 'source' = 'content_generations'";
    assert_eq!(database.value::<i64>(generated).await, 4);
    assert_eq!(quarantined(&database, "posts").await, ["1 media_urls[3]", "3 row", "4 row"].map(str::to_owned));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supabase_project_goes_there_and_back() {
    walk(Legacy::new().posts(Vectors::Floats).chat("message", "conversation_id", "role", Vectors::Floats).supabase())
        .await;
}

/// The same by the short way: it is undone from the cut-over on.
async fn one_table(name: &'static str) {
    let database = Legacy::only(&[name]).create().await;
    let (rows, surroundings) = (database.legacy_rows().await, database.surroundings().await);
    // Where no row names a user, there is no organization to wait for.
    let waits = name != "instagramreelscraper";
    assert_eq!(matches!(database.carry().await, Outcome::InStep { .. }), waits);
    if waits {
        database.cut_over().await;
    }
    database.verified().await;
    assert_same(&database.legacy_rows().await, &rows);
    migrate::restore_legacy(&database.urls.owner).await.unwrap();
    assert_same(&database.legacy_rows().await, &rows);
    assert_same_surroundings(&database.surroundings().await, &surroundings);
    database.carry().await;
    database.verified().await;
    let read = "SELECT source || ' ' || (rows_done > 0) FROM kindred_migration.sources WHERE relation IS NOT NULL";
    assert_eq!(database.values::<String>(read).await, [format!("{name} true")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_alone_go_there_and_back() {
    one_table("posts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_alone_go_there_and_back() {
    one_table("chat_messages").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_missing_posts_alone_go_there_and_back() {
    one_table("post_analytics").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_alone_go_there_and_back() {
    one_table("ai_suggestions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reels_alone_go_there_and_back() {
    one_table("instagramreelscraper").await;
}

/// Two users of one organization keep their own measurements of one hashtag at one time.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_brings_users_together() {
    let database = Legacy::new().create().await;
    let users = read_user_places(&format!("{ADA},acme,owner\n{BOB},acme,viewer\n{CLEO},solo\n")).unwrap();
    database.carry_with(&OwnerOptions { users, ..options() }).await;
    database.verified().await;
    let members = "SELECT s.slug || ' ' || m.role FROM organization_members m JOIN organization_slugs s USING (organization_id) ORDER BY 1";
    assert_eq!(database.values::<String>(members).await, ["acme owner", "acme viewer", "solo owner"]);
    let points = "SELECT metric_value::text FROM time_series_metrics t JOIN organization_slugs s USING (organization_id)
                  WHERE s.slug = 'acme' AND entity_type = 'hashtag' AND metric_name = 'impressions' AND recorded_at = '2026-01-01' ORDER BY 1";
    assert_eq!(database.values::<String>(points).await, ["5", "7"]);
    migrate::switch(&database.urls.owner, Some("acme"), true).await.unwrap();
    assert!(matches!(database.carry().await, Outcome::InStep { waiting: 1, .. }), "solo still reads the legacy side");
    database.cut_over().await;
    database.verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_organization_takes_the_rows_of_nobody() {
    let database = Legacy::new().create().await;
    let default_organization = Some("inherited".to_owned());
    database.carry_with(&OwnerOptions { default_organization, ..options() }).await;
    database.verified().await;
    let homeless = "SELECT source || ': ' || reason FROM kindred_migration.quarantine WHERE reason LIKE '%names no user%' AND source <> 'user_embeddings' ORDER BY 1";
    assert!(database.values::<String>(homeless).await.is_empty());
    let posts =
        "SELECT count(*) FROM posts_core JOIN organization_slugs s USING (organization_id) WHERE s.slug = 'inherited'";
    assert_eq!(database.value::<i64>(posts).await, 1);
    let generated = "SELECT count(*) FROM ai_suggestions JOIN organization_slugs s USING (organization_id) WHERE s.slug = 'inherited'";
    assert_eq!(database.value::<i64>(generated).await, 4);
    database.cut_over().await;
    database.verified().await;
    let seen = "SELECT content FROM posts WHERE user_id IS NULL";
    assert_eq!(database.values::<String>(seen).await, ["nobody wrote this"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_legacy_tables_is_fresh() {
    let database = Legacy::only(&["calendar_events", "unrelated"]).create().await;
    let rows = database.legacy_rows().await;
    assert_eq!(database.carry().await, Outcome::Fresh);
    let after = database.legacy_rows().await;
    assert!(rows.iter().all(|(table, rows)| &after[table] == rows));
    database.verified().await;
}
