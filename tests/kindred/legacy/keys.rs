//! Foreign keys around replaced tables, what cascades take, and the columns that old code names.

use kindred::migrate::{self, MigrateError, Outcome};

use super::fixtures::{Legacy, Vectors, in_step, one, run};
use super::rows::{ADA, BOB, CHATS, HASHTAGS, POSTS, id};

/// Users whose deletion takes their posts and leaves their chats, and tables of others that lead to replaced ones.
const USERS: &str = "
    INSERT INTO user_profiles (id) SELECT DISTINCT user_id FROM posts WHERE user_id IS NOT NULL ON CONFLICT DO NOTHING;
    INSERT INTO user_profiles (id) SELECT DISTINCT user_id FROM chat_messages WHERE user_id IS NOT NULL ON CONFLICT DO NOTHING;
    ALTER TABLE posts ADD CONSTRAINT posts_user_id_fkey FOREIGN KEY (user_id) REFERENCES user_profiles (id) ON DELETE CASCADE;
    ALTER TABLE chat_messages ADD CONSTRAINT chats_user_key FOREIGN KEY (user_id) REFERENCES user_profiles (id) ON DELETE SET NULL;
    CREATE TABLE bookmarks (id int PRIMARY KEY, chat_id uuid REFERENCES chat_messages (id) ON DELETE CASCADE,
                            hashtag_id uuid REFERENCES hashtags (id));";

async fn with_users() -> super::fixtures::Database {
    let database = Legacy::only(&["user_profiles", "posts", "chat_messages", "hashtags", "post_hashtags"])
        .chat("message", "session_id", "message_type", Vectors::Floats)
        .and(USERS)
        .create()
        .await;
    assert!(matches!(database.carry().await, Outcome::InStep { .. }));
    database
}

const POSTS_OF_ADA: &str = "SELECT count(*) FROM posts_core WHERE user_id = '$ada'";

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_deleted_after_the_cut_over_takes_along_what_they_took_before() {
    let database = with_users().await;
    database.cut_over().await;
    let current = format!(
        "SELECT count(*) FROM embeddings WHERE superseded_revision IS NULL AND entity_type = 'post' AND entity_id = '{}'",
        id(POSTS, 1)
    );
    assert_eq!(database.value::<i64>(&current).await, 1);
    let chats = "SELECT count(*) FROM chat_messages";
    let before: i64 = database.value(chats).await;
    database.old_code(&format!("DELETE FROM user_profiles WHERE id = '{ADA}'")).await;
    assert_eq!(database.value::<i64>(&POSTS_OF_ADA.replace("$ada", ADA)).await, 0);
    assert_eq!(database.value::<i64>(&current).await, 0, "no current vector is left behind");
    assert_eq!(database.value::<i64>(chats).await, before, "chats stay, without their user");
    assert_eq!(
        database
            .value::<i64>(&format!(
                "SELECT count(*) FROM chat_messages WHERE user_id = '{ADA}' OR organization_id IS NULL"
            ))
            .await,
        0
    );
    database.verified().await;
    // After the end, too: the new tables have taken over the key.
    migrate::finalize(&database.urls.owner, false).await.unwrap();
    let rows = database.legacy_rows().await;
    database.old_code(&format!("DELETE FROM user_profiles WHERE id = '{BOB}'")).await;
    assert_eq!(database.value::<i64>(&POSTS_OF_ADA.replace("$ada", BOB)).await, 0);
    assert_eq!(database.legacy_rows().await["posts"], rows["posts"], "the backup stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_new_code_deletes_leaves_no_current_vector() {
    let database = with_users().await;
    database.cut_over().await;
    database.owner(&format!("DELETE FROM posts_core WHERE id = '{}'", id(POSTS, 1))).await;
    let versions = format!(
        "SELECT string_agg(version || ' ' || deleted, ', ' ORDER BY version) FROM embedding_versions
         WHERE entity_type = 'post' AND entity_id = '{}'",
        id(POSTS, 1)
    );
    assert_eq!(database.value::<String>(&versions).await, "1 false, 2 true");
    database.verified().await;
}

const KEYS: &str = "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'public.bookmarks'::regclass OR conname IN ('posts_user_id_fkey', 'chats_user_key') ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn keys_to_every_replaced_table_are_told_follow_it_and_come_back() {
    let database = with_users().await;
    let before: Vec<String> = database.values(KEYS).await;
    database.cut_over().await;
    let mut dashboard = database.session("dashboard").await;
    let chat: String = one(
        &mut dashboard,
        &format!("INSERT INTO chat_messages (user_id, message, message_type) VALUES ('{ADA}', 'marked', 'user') RETURNING id::text"),
    )
    .await
    .unwrap();
    let mark = |id, chat: &str, tag: &str| format!("INSERT INTO bookmarks VALUES ({id}, '{chat}', '{tag}')");
    run(&mut dashboard, &mark(1, &chat, &id(HASHTAGS, 1))).await.unwrap();
    assert!(run(&mut dashboard, &mark(2, &id(CHATS, 99), &id(HASHTAGS, 1))).await.is_err(), "the key holds");
    run(&mut dashboard, &format!("DELETE FROM chat_messages WHERE id = '{chat}'")).await.unwrap();
    assert_eq!(one::<i64>(&mut dashboard, "SELECT count(*) FROM bookmarks").await.unwrap(), 0, "it cascades");
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_eq!(database.values::<String>(KEYS).await, before);
    database.back_in_step().await;

    database.cut_over().await;
    migrate::finalize(&database.urls.owner, false).await.unwrap();
    let left: Vec<String> = database.values(KEYS).await;
    assert_eq!(left.len(), 3, "{left:#?}");
    assert!(left.iter().all(|key| !key.contains("kindred_legacy")), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_keys_and_columns_that_will_not_be_the_same() {
    let shape =
        Legacy::only(&["user_profiles", "posts", "chat_messages", "hashtags", "post_hashtags", "ai_suggestions"]);
    let database = shape.and(USERS).create().await;
    let plan = migrate::plan(&database.urls.owner).await.unwrap();
    let told: String = plan.obstacles.iter().map(|obstacle| format!("{}\n", obstacle.reason)).collect();
    for part in [
        "bookmarks_chat_id_fkey of bookmarks will lead to the new chat_messages",
        "bookmarks_hashtag_id_fkey of bookmarks leads to hashtags",
        "post_hashtags_post_id_fkey of post_hashtags will lead to posts_core",
        "ai_suggestions.suggestion_type says content_idea for content",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(plan.obstacles.iter().all(|obstacle| !obstacle.blocks), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_still_read_is_not_dropped() {
    let database = in_step().await;
    database.cut_over().await;
    migrate::finalize(&database.urls.owner, false).await.unwrap();
    let mut superuser = database.superuser().await;
    run(&mut superuser, "CREATE VIEW public.last_look AS SELECT id FROM kindred_legacy.posts").await.unwrap();
    let error = migrate::finalize(&database.urls.owner, true).await.unwrap_err();
    assert!(matches!(&error, MigrateError::BackupInUse { dependents } if dependents == &["last_look"]), "{error}");
    run(&mut superuser, "DROP VIEW public.last_look").await.unwrap();
    migrate::finalize(&database.urls.owner, true).await.unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'kindred%'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_with_a_key_that_is_ours_come_through() {
    let database = Legacy::only(&["user_profiles", "posts", "content_ideas"])
        .and("UPDATE posts SET metadata = '{\"legacy\": {\"campaign\": 1}, \"a\": 2}' WHERE id = '00000001-0000-4000-8000-000000000001'")
        .create()
        .await;
    let read = format!("SELECT metadata::text || coalesce(campaign, '') FROM posts WHERE id = '{}'", id(POSTS, 1));
    let mut dashboard = database.session("dashboard").await;
    let before: String = one(&mut dashboard, &read).await.unwrap();
    database.carry().await;
    database.cut_over().await;
    assert_eq!(one::<String>(&mut dashboard, &read).await.unwrap(), before);
    run(&mut dashboard, "UPDATE posts SET metadata = metadata || '{\"legacy\": \"mine\"}', title = 'x'").await.unwrap();
    let after: String = one(&mut dashboard, &read).await.unwrap();
    assert_eq!(after, "{\"a\": 2, \"legacy\": \"mine\"}spring");
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_eq!(one::<String>(&mut dashboard, &read).await.unwrap(), after);
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_cut_over_back_chooses_anew() {
    let database = in_step().await;
    database.cut_over().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert!(matches!(database.carry().await, Outcome::InStep { .. }), "it is not cut over again at once");
    let state = migrate::carry_state(&database.urls.owner).await.unwrap().unwrap();
    assert_eq!(state.switched.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_and_dashboards_read_posts_unified_within_their_organization() {
    let database = in_step().await;
    let all: i64 = database.value("SELECT count(*) FROM public.posts_unified").await;
    let organization: String =
        database.value(&format!("SELECT organization_id::text FROM posts_core WHERE id = '{}'", id(POSTS, 1))).await;
    let own: i64 = database
        .value(&format!("SELECT count(*) FROM public.posts_unified WHERE organization_id = '{organization}'"))
        .await;
    assert!(0 < own && own < all, "{own} of {all}");
    for role in ["kindred_app", "kindred_reader"] {
        let mut session = database.session(role).await;
        let count = "SELECT count(*) FROM public.posts_unified";
        assert_eq!(one::<i64>(&mut session, count).await.unwrap(), 0, "{role} outside of any organization");
        run(&mut session, &format!("SET app.organization_id = '{organization}'")).await.unwrap();
        assert_eq!(one::<i64>(&mut session, count).await.unwrap(), own, "{role}");
    }
}
