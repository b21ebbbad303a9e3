//! Mistakes 1 to 8: what was lost, doubled or mistaken.

use super::super::fixtures::{Legacy, in_step};
use super::super::rows::{POSTS, SNAPSHOTS, id};

#[tokio::test(flavor = "multi_thread")]
async fn mistake_01_a_reel_is_one_row_however_its_address_is_written_and_its_sources_stay() {
    let database = in_step().await;
    let reels = "SELECT concat_ws('|', external_reel_id, likes_count, caption, creator_username, scraped_at::date) FROM instagram_reels ORDER BY 1";
    assert_eq!(
        database.values::<String>(reels).await,
        ["ABC|2|cap|cleo|2026-03-01", "DEF|3", "XYZ|0|😀|2026-01-01"],
        "of several scrapes the newest that says something counts"
    );
    database.cut_over().await;
    let rows = database.legacy_rows().await;
    assert_eq!((rows["instagramreelsscraper"].len(), rows["instagramreelscraper"].len()), (4, 3));
    for (address, reel) in [
        ("https://www.instagram.com/reel/Cx_-9/?igsh=a#b", "Cx_-9"),
        ("instagram.com/someone/p/Cx_-9", "Cx_-9"),
        ("HTTPS://Example.org/Video/7/", "example.org/Video/7"),
        ("  ", ""),
    ] {
        let asked = format!("SELECT coalesce(reel_id('{address}'), '')");
        assert_eq!(database.value::<String>(&asked).await, reel);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_02_a_measurement_is_carried_once_and_of_snapshots_the_latest_counts() {
    let database = in_step().await;
    let post = id(POSTS, 1);
    let points =
        format!("SELECT count(*) FROM time_series_metrics WHERE entity_id = '{post}' AND metric_name = 'likes'");
    assert_eq!(database.value::<i64>(&points).await, 3, "a point a snapshot, none of the aggregate");
    let days = format!(
        "SELECT period_start::date || ' ' || total_value FROM get_metrics_aggregated('post', '{post}', 'likes') ORDER BY 1"
    );
    assert_eq!(database.values::<String>(&days).await, ["2026-01-05 9", "2026-02-05 3"], "0 and then 9 are 9");
    database.cut_over().await;
    // Instagram's 9 and TikTok's 3; the 5 that the post itself carries are an aggregate of the like.
    for view in ["SELECT likes FROM posts_unified WHERE id", "SELECT likes FROM top_performing_posts WHERE post_id"] {
        assert_eq!(database.value::<i64>(&format!("{view} = '{post}'")).await, 12, "{view}");
    }
    let dashboard = "SELECT sum(d.likes)::bigint FROM analytics_dashboard d JOIN posts_core p USING (organization_id) WHERE p.id = ";
    let ada = format!("{dashboard}'{post}' AND d.platform IN ('instagram', 'tiktok')");
    assert_eq!(database.value::<i64>(&ada).await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_03_every_metric_and_every_zero_is_carried() {
    let database = in_step().await;
    let of = |row| {
        format!(
            "SELECT string_agg(metric_name || '=' || metric_value, ' ' ORDER BY metric_name) FROM time_series_metrics
             WHERE metadata ->> 'source_id' = '{}'",
            id(SNAPSHOTS, row)
        )
    };
    assert_eq!(
        database.value::<String>(&of(1)).await,
        "clicks=4 engagement_rate=1.50 impressions=10 likes=0 profile_visits=6 saves=3 video_views=5 website_clicks=7"
    );
    assert_eq!(
        database.value::<String>(&of(2)).await,
        "clicks=0 engagement_rate=2.50 impressions=100 likes=9 profile_visits=0 saves=4 video_views=0 website_clicks=0"
    );
    assert_eq!(database.value::<String>(&of(3)).await, "impressions=50 likes=3", "what is null was not measured");
    // A time of no calendar is kept as it is; one of no month waits in the default partition.
    assert!(database.value::<String>(&of(8)).await.contains("likes=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_04_media_become_files_in_order_and_tags_stay_tags() {
    let database = in_step().await;
    let files = format!(
        "SELECT l.order_index || ' ' || f.file_type || ' ' || f.filename || ' ' || f.storage_url FROM post_media_links l
         JOIN media_files f ON f.organization_id = l.organization_id AND f.id = l.media_file_id WHERE l.post_id = '{}' ORDER BY l.order_index",
        id(POSTS, 1)
    );
    assert_eq!(
        database.values::<String>(&files).await,
        ["0 image a.jpg https://x/a.jpg?x=1", "1 image a.jpg https://x/a.jpg?x=1", "3 video b.mp4 https://x/b.mp4"]
    );
    let texts =
        format!("SELECT tags::text || ' ' || hashtags::text FROM posts_content WHERE post_id = '{}'", id(POSTS, 1));
    assert_eq!(database.value::<String>(&texts).await, "{kaffee,\"a b\"} {#Kaffee,KAFFEE}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_05_columns_that_are_not_there_are_not_read() {
    let tables = "CREATE TABLE posts (id uuid PRIMARY KEY, user_id uuid, content text);
        CREATE TABLE post_analytics (id uuid PRIMARY KEY, post_id uuid, likes bigint, created_at timestamp);
        CREATE TABLE chat_messages (id uuid PRIMARY KEY, user_id uuid, message text);
        CREATE TABLE hashtags (id uuid PRIMARY KEY, tag text);
        CREATE TABLE instagramreelscraper (id uuid PRIMARY KEY, reel_url text);
        INSERT INTO posts VALUES ('00000001-0000-4000-8000-000000000001', '00000000-0000-0000-0000-0000000000a1', 'x');
        INSERT INTO post_analytics VALUES ('00000005-0000-4000-8000-000000000001', '00000001-0000-4000-8000-000000000001', 3, '2026-01-31 23:30');
        INSERT INTO chat_messages VALUES ('00000003-0000-4000-8000-000000000001', '00000000-0000-0000-0000-0000000000a1', 'x');";
    let database = Legacy::only(&["posts", "post_analytics", "chat_messages", "hashtags", "instagramreelscraper"])
        .made_by(tables)
        .create()
        .await;
    let rows = database.legacy_rows().await;
    database.carry().await;
    database.verified().await;
    let point = "SELECT metric_value || ' ' || recorded_at::text FROM time_series_metrics";
    assert_eq!(database.values::<String>(point).await, ["3 2026-01-31 23:30:00+00"]);
    database.cut_over().await;
    database
        .old_code("INSERT INTO chat_messages (user_id, message) VALUES ('00000000-0000-0000-0000-0000000000a1', 'y')")
        .await;
    database.verified().await;
    let kept = kindred::migrate::restore_legacy(&database.urls.owner).await.unwrap();
    assert!(!kept.is_empty());
    let mut after = database.legacy_rows().await;
    assert_eq!(after.get_mut("chat_messages").unwrap().len(), 2);
    assert_eq!(after["posts"], rows["posts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_06_a_row_that_collides_stays_behind_alone() {
    let database = in_step().await;
    let held = "SELECT source || ' ' || right(source_id::text, 1) FROM quarantine
        WHERE part = 'row' AND reason LIKE '%unique constraint%' ORDER BY 1";
    assert_eq!(database.values::<String>(held).await, ["hashtags 3", "post_analytics 5"]);
    let landed = "SELECT string_agg(right(source_id::text, 1), '' ORDER BY source_id) FROM carried WHERE source = 'post_analytics'";
    assert_eq!(database.value::<String>(landed).await, "12348a");
    assert_eq!(
        database.value::<i64>("SELECT count(DISTINCT id) FROM hashtags WHERE tag IN ('#Kaffee', '#Tee')").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_07_vectors_of_every_table_and_type_are_carried() {
    let database = in_step().await;
    let current = "SELECT entity_type || ' ' || count(*) FROM embeddings WHERE superseded_revision IS NULL GROUP BY entity_type ORDER BY 1";
    assert_eq!(
        database.values::<String>(current).await,
        ["chat 1", "content_idea 1", "dm 1", "hashtag 3", "post 3", "user 1"],
        "hashtags: Ada's, Bob's and Cleo's"
    );
    let refused =
        "SELECT source || ' ' || count(*) FROM quarantine WHERE part = 'embedding' GROUP BY source ORDER BY 1";
    assert_eq!(
        database.values::<String>(refused).await,
        ["chat_messages 2", "content_ideas 1", "interactions 2", "posts 1", "user_embeddings 1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_08_a_model_is_named_and_a_version_is_counted() {
    let database = in_step().await;
    let models = "SELECT DISTINCT model_version || ' ' || pg_typeof(version) FROM embeddings";
    assert_eq!(database.values::<String>(models).await, ["legacy-1536 integer"]);
    let registered = "SELECT id || ' ' || dimensions FROM embedding_models";
    assert_eq!(database.values::<String>(registered).await, ["legacy-1536 3"]);
    let other =
        kindred::migrate::OwnerOptions { legacy_model: "other".parse().unwrap(), ..super::super::fixtures::options() };
    let error = kindred::migrate::carry_over(&database.urls.owner, &other, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, kindred::migrate::MigrateError::OtherModel { .. }), "{error}");
}
