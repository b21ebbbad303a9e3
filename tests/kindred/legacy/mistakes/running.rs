//! Mistakes 22 to 29: verification, the way back, and what froze.

use kindred::catalog;
use kindred::migrate::{self, Backup, MigrateError};

use super::super::fixtures::{Legacy, assert_same_surroundings, cut_over, in_step, one, run};
use super::super::rows::{ADA, POSTS, id};
use crate::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn mistake_22_the_verification_runs_and_finds_what_is_wrong() {
    let fresh = postgres::database().await;
    assert!(migrate::verify(&fresh.owner, 5).await.unwrap().passed());
    let database = in_step().await;
    let found = database.verified().await;
    assert!(found.checks.iter().any(|check| check.name == "posts → posts_core" && check.new_rows == 7), "{found:#?}");
    let post = id(POSTS, 1);
    for (damage, check, problem) in [
        (
            format!("DELETE FROM post_insights WHERE post_id = '{post}' AND platform = 'tiktok'"),
            "post_analytics → post_insights",
            "missing",
        ),
        (
            format!("UPDATE posts_content SET content = 'x' WHERE post_id = '{post}'"),
            "posts → posts_content",
            "different",
        ),
        (
            format!(
                "INSERT INTO posts_core (organization_id, id) SELECT organization_id, '{}' FROM posts_core LIMIT 1",
                id(POSTS, 66)
            ),
            "posts → posts_core",
            "surplus",
        ),
        (
            format!("UPDATE embeddings SET vector_data = '[9,9,9]' WHERE entity_id = '{post}'"),
            "posts → embeddings",
            "different",
        ),
        ("DELETE FROM instagram_reels WHERE external_reel_id = 'DEF'".to_owned(), "reels → instagram_reels", "missing"),
    ] {
        database.owner(&damage).await;
        let found = migrate::verify(&database.urls.owner, 20).await.unwrap();
        assert!(!found.passed(), "{damage}");
        assert!(
            found.differences.iter().any(|row| row.check == check && row.problem == problem),
            "{damage}\n{found:#?}"
        );
    }
    let error =
        migrate::carry_over(&database.urls.owner, &super::super::fixtures::options(), &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, MigrateError::Differs(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_23_the_way_back_drops_nothing_of_the_application() {
    let own = "CREATE VIEW my_posts AS SELECT id, title, content FROM posts; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM posts;
        CREATE FUNCTION my_titles() RETURNS SETOF text LANGUAGE sql AS 'SELECT title FROM posts';
        CREATE INDEX my_index ON posts (title);";
    let database = Legacy::new().and(own).create().await;
    let before = database.surroundings().await;
    let mut dashboard = database.session("dashboard").await;
    let rows = "SELECT string_agg(right(id::text, 1) || content, '' ORDER BY id) FROM my_posts";
    let seen: String = one(&mut dashboard, rows).await.unwrap();
    database.carry().await;
    database.cut_over().await;
    assert_eq!(one::<String>(&mut dashboard, rows).await.unwrap(), seen, "it reads the table that is kept in step");
    run(&mut dashboard, &format!("UPDATE posts SET content = 'new' WHERE id = '{}'", id(POSTS, 1))).await.unwrap();
    assert!(one::<String>(&mut dashboard, rows).await.unwrap().starts_with("1new"));
    migrate::restore_legacy(&database.urls.owner).await.unwrap();
    assert_same_surroundings(&database.surroundings().await, &before);
    assert!(one::<String>(&mut dashboard, rows).await.unwrap().starts_with("1new"));
    // Where nothing was done, nothing is taken back.
    let untouched = Legacy::only(&["posts"]).create().await;
    assert!(matches!(migrate::restore_legacy(&untouched.urls.owner).await, Err(MigrateError::NothingUnderWay)));
    assert_eq!(untouched.legacy_rows().await["posts"].len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_24_a_second_run_changes_nothing_and_a_refused_one_neither() {
    let database = in_step().await;
    let all = "SELECT md5(string_agg(row, '' ORDER BY row)) FROM (
        SELECT t::text AS row FROM posts_core t UNION ALL SELECT t::text FROM posts_content t UNION ALL SELECT t::text FROM media_files t
        UNION ALL SELECT t::text FROM time_series_metrics t UNION ALL SELECT t::text FROM embeddings t UNION ALL SELECT t::text FROM embedding_versions t
        UNION ALL SELECT t::text FROM organization_revisions t UNION ALL SELECT t::text FROM instagram_reels t UNION ALL SELECT t::text FROM hashtags t) rows";
    let before: String = database.value(all).await;
    database.carry().await;
    assert_eq!(database.value::<String>(all).await, before);
    database.cut_over().await;
    database.carry().await;
    assert_eq!(database.value::<String>(all).await, before);

    let blocked = Legacy::only(&["posts"]).and("CREATE TABLE embeddings (id int)").create().await;
    let surroundings = blocked.surroundings().await;
    let plan = migrate::plan(&blocked.urls.owner).await.unwrap();
    assert!(
        plan.obstacles.iter().any(|obstacle| obstacle.blocks && obstacle.reason.contains("public.embeddings")),
        "{plan:#?}"
    );
    let error = migrate::prepare(&blocked.urls.owner, &Backup::Checked("there".to_owned())).await.unwrap_err();
    assert!(matches!(error, MigrateError::Blocked(_)), "{error}");
    assert_eq!(blocked.surroundings().await, surroundings);
    assert!(matches!(migrate::up(&blocked.urls.owner).await, Err(MigrateError::IsLegacy)));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_25_each_step_stands_without_the_later_ones() {
    let urls = postgres::database().await;
    for (step, last, next) in [
        (4, "instagram_reels", "api_keys"),
        (3, "ai_prompts", "posts_unified"),
        (2, "embeddings", "ai_prompts"),
        (1, "hashtags", "embeddings"),
    ] {
        assert_eq!(migrate::down(&urls.owner, step).await.unwrap().applied, step);
        let mut owner = postgres::connect(&urls.owner).await;
        let there = format!("SELECT to_regclass('{last}') IS NOT NULL AND to_regclass('{next}') IS NULL");
        assert!(one::<bool>(&mut owner, &there).await.unwrap(), "{step}");
        run(&mut owner, "INSERT INTO organizations (id, name, slug) VALUES (gen_random_uuid(), 'x', 'x')")
            .await
            .unwrap();
    }
    migrate::up(&urls.owner).await.unwrap();
    migrate::check_service_role(&urls.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_26_one_name_has_one_shape_and_the_older_rows_are_in_it() {
    let database = cut_over().await;
    let file = "SELECT concat_ws('|', filename, storage_url, file_type, metadata -> 'legacy' ->> 'processing_status') FROM media_files WHERE metadata ->> 'source' = 'media_files'";
    assert_eq!(database.values::<String>(file).await, ["clip Ä.mp4|/u/clip Ä.mp4|video|done"]);
    let suggestions = "SELECT concat_ws('|', suggestion_type, suggestion_text, is_accepted, is_dismissed, feedback_text) FROM ai_suggestions
        WHERE metadata ->> 'source' = 'ai_suggestions' ORDER BY 1";
    assert_eq!(
        database.values::<String>(suggestions).await,
        ["content_idea|write|t|f", "hashtag|#x|f|t|", "optimization|ask|f", "optimization|post at 9|t|f|gut"]
    );
    let other = "SELECT count(*) FROM media_files WHERE file_path IS DISTINCT FROM storage_url";
    assert_eq!(database.value::<i64>(other).await, 0, "the older name of a column shows the column");
    migrate::finalize(&database.urls.owner, false).await.unwrap();
    let shapes = "SELECT count(*) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
        AND (attrelid, attname) IN (('media_files'::regclass, 'file_path'), ('ai_suggestions'::regclass, 'user_feedback'))";
    assert_eq!(database.value::<i64>(shapes).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_27_every_foreign_key_is_there_and_checked() {
    let fresh = postgres::database().await;
    let mut owner = postgres::connect(&fresh.owner).await;
    let keys = "SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND convalidated AND confrelid <> 'organizations'::regclass";
    let expected = "embedding_versions_model_fkey embeddings_model_fkey organization_models_model_fkey post_insights_post_fkey \
        post_media_links_media_fkey post_media_links_post_fkey posts_content_post_fkey";
    assert_eq!(one::<String>(&mut owner, keys).await.unwrap(), expected);
    let database = cut_over().await;
    let own = format!(
        "{keys} AND conrelid::regclass::text NOT IN ('post_analytics', 'post_hashtags', 'interactions', 'unrelated', 'hashtag_analytics')"
    );
    assert_eq!(database.value::<String>(&own).await, expected);
    let unchecked = "SELECT string_agg(conrelid::regclass || ' ' || confrelid::regclass, ', ') FROM pg_constraint
        WHERE contype = 'f' AND NOT convalidated AND connamespace = 'public'::regnamespace";
    assert_eq!(
        database.value::<Option<String>>(unchecked).await.as_deref(),
        Some("post_analytics posts_core"),
        "a snapshot of a post in quarantine"
    );
    let orphan = "INSERT INTO posts_content (organization_id, post_id, content) SELECT organization_id, gen_random_uuid(), 'x' FROM posts_core LIMIT 1";
    let mut owner = postgres::connect(&database.urls.owner).await;
    assert!(run(&mut owner, orphan).await.unwrap_err().to_string().contains("posts_content_post_fkey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_28_neither_side_freezes_while_the_other_is_written() {
    let database = in_step().await;
    let post = id(POSTS, 5);
    let new = format!("SELECT title FROM posts_core WHERE id = '{post}'");
    let old = |schema: &str| format!("SELECT title FROM {schema}.posts WHERE id = '{post}'");
    database.old_code(&format!("UPDATE posts SET title = 'one' WHERE id = '{post}'")).await;
    assert_eq!(database.value::<String>(&new).await, "one");
    database.cut_over().await;
    database.old_code(&format!("UPDATE posts SET title = 'two' WHERE id = '{post}'")).await;
    assert_eq!(database.value::<String>(&new).await, "two");
    assert_eq!(database.value::<String>(&old("kindred_legacy")).await, "two");
    database.owner(&format!("UPDATE posts_core SET title = 'three' WHERE id = '{post}'")).await;
    assert_eq!(database.value::<String>(&old("public")).await, "three");
    assert_eq!(database.value::<String>(&old("kindred_legacy")).await, "three");
    migrate::take_back(&database.urls.owner).await.unwrap();
    database.old_code(&format!("UPDATE posts SET title = 'four' WHERE id = '{post}'")).await;
    assert_eq!(database.value::<String>(&new).await, "four");
    database.old_code(&format!("UPDATE posts SET user_id = '{ADA}' WHERE id = '{post}'")).await;
    let moved = format!(
        "SELECT count(*) FROM posts_core JOIN organization_members m USING (organization_id) WHERE posts_core.id = '{post}' AND m.user_id = '{ADA}'"
    );
    assert_eq!(database.value::<i64>(&moved).await, 1, "a post that changes hands changes its organization");
    database.old_code(&format!("DELETE FROM posts WHERE id = '{post}'")).await;
    assert!(database.values::<String>(&new).await.is_empty());
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_29_types_are_written_from_the_schema() {
    let database = cut_over().await;
    for url in [postgres::database().await.owner, database.urls.owner.clone()] {
        let types = catalog::typescript(&catalog::read(&url).await.unwrap());
        for (table, column) in [
            ("organizations", "max_storage_gb: number"),
            ("organization_members", "permissions: Json"),
            ("posts_core", "scheduled_at: string | null"),
            ("posts_content", "hashtags: string[]"),
            ("media_files", "original_filename: string | null"),
            ("post_media_links", "order_index: number"),
            ("post_insights", "comments_count: number"),
            ("time_series_metrics", "metric_value: number"),
            ("time_series_metrics_archive", "archived_at: string"),
            ("embeddings", "similarity_method: \"cosine\""),
            ("ai_context_logs", "feedback_score: number | null"),
            ("ai_prompts", "template: string"),
            ("ai_suggestions", "reasoning: string | null"),
            ("instagram_reels", "external_reel_id: string"),
        ] {
            let start = types.find(&format!("      {table}: {{\n")).unwrap_or_else(|| panic!("{table} has no type"));
            let end = start + types[start..].find("Insert:").unwrap();
            assert!(types[start..end].contains(column), "{table}.{column} is not in\n{}", &types[start..end]);
        }
        for function in [
            "find_similar_content",
            "get_metrics_aggregated",
            "user_has_org_permission",
            "archive_old_metrics",
            "verify_migration_integrity",
            "finalize_migration_cleanup",
        ] {
            assert!(types.contains(&format!("      {function}: {{\n")), "{function}");
        }
    }
}
