//! While both sides are in step: what the old application writes is followed, and never refused.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fixtures::{Database, in_step, one, run};
use super::rows::{ADA, POSTS, id};

/// What the old application does to one row, and what the new side shows of it.
struct Followed {
    table: &'static str,
    insert: &'static str,
    update: &'static str,
    /// SQL that shows the row `$id`, a text or nothing.
    shown: &'static str,
    inserted: &'static str,
    updated: &'static str,
}

const CURRENT_VECTOR: &str = "SELECT source_field || ' ' || vector_data FROM embeddings
    WHERE metadata ->> 'source_id' = '$id' AND superseded_revision IS NULL";
const POINTS: &str = "SELECT string_agg(metric_name || '=' || metric_value, ',' ORDER BY metric_name)
    FROM time_series_metrics WHERE metadata ->> 'source_id' = '$id'";
const SUGGESTION: &str = "SELECT concat_ws('|', suggestion_type, suggestion_text, is_accepted, is_dismissed)
    FROM ai_suggestions WHERE id = '$id'";
const REEL: &str = "SELECT concat_ws('|', external_reel_id, likes_count) FROM instagram_reels WHERE external_reel_id IN ('NEU', 'NEUER')";

const FOLLOWED: [Followed; 12] = [
    Followed {
        table: "posts",
        insert: "(id, user_id, content, media_urls, tags, embedding, campaign)
                 VALUES ('$id', '$ada', 'neu', '{https://x/n.png}', '{t}', '[0,1,1]', 'c')",
        update: "content = 'anders', media_urls = '{}', embedding = NULL",
        shown: "SELECT concat_ws('|', c.content, c.tags, c.metadata -> 'legacy' ->> 'campaign',
                       (SELECT count(*) FROM post_media_links l WHERE l.post_id = c.post_id),
                       (SELECT e.vector_data FROM embeddings e WHERE e.entity_id = c.post_id AND e.superseded_revision IS NULL))
                FROM posts_content c WHERE c.post_id = '$id'",
        inserted: "neu|{t}|c|1|[0,1,1]",
        updated: "anders|{t}|c|0",
    },
    Followed {
        table: "post_analytics",
        insert: "(id, post_id, platform, likes, recorded_at) VALUES ('$id', '$post', 'x', 3, '2026-03-03')",
        update: "likes = 4, saves = 0, recorded_at = '2026-04-04'",
        shown: POINTS,
        inserted: "likes=3",
        updated: "likes=4,saves=0",
    },
    Followed {
        table: "chat_messages",
        insert: "(id, user_id, role, content, embedding) VALUES ('$id', '$ada', 'assistant', 'hallo', '{1,1,1}')",
        update: "content = 'tschüss', embedding = '{1,1,2}'",
        shown: "SELECT concat_ws('|', m.role, m.content, e.vector_data) FROM chat_messages m
                LEFT JOIN embeddings e ON e.entity_id = m.id AND e.superseded_revision IS NULL WHERE m.id = '$id'",
        inserted: "assistant|hallo|[1,1,1]",
        updated: "assistant|tschüss|[1,1,2]",
    },
    Followed {
        table: "content_ideas",
        insert: "(id, user_id, title, description, embedding) VALUES ('$id', '$ada', 't', 'd', '{1,1,1}')",
        update: "title = 'u', due_date = '2026-05-01', embedding = '{}'",
        shown: "SELECT concat_ws('|', i.title, i.due_date::date, e.vector_data) FROM content_ideas i
                LEFT JOIN embeddings e ON e.entity_id = i.id AND e.superseded_revision IS NULL WHERE i.id = '$id'",
        inserted: "t|[1,1,1]",
        updated: "u|2026-05-01",
    },
    Followed {
        table: "hashtag_analytics",
        insert: "(id, hashtag_id, user_id, platform, reach, recorded_at)
                 VALUES ('$id', '00000002-0000-4000-8000-000000000001', '$ada', 'x', 0, '2026-03-03')",
        update: "reach = 5, engagement = 2",
        shown: POINTS,
        inserted: "reach=0",
        updated: "engagement=2,reach=5",
    },
    Followed {
        table: "interactions",
        insert: "(id, user_id, interaction_type, message, embedding) VALUES ('$id', '$ada', 'dm', 'hallo', '{1,1,1}')",
        update: "embedding = '{1,1,2}'",
        shown: CURRENT_VECTOR,
        inserted: "message [1,1,1]",
        updated: "message [1,1,2]",
    },
    Followed {
        table: "user_embeddings",
        insert: "(id, user_id, embedding_type, embedding, version, is_active)
                 VALUES ('$id', '$ada', 'content_preference', '{1,1,1}', 1, true)",
        update: "embedding = '{1,1,2}'",
        shown: CURRENT_VECTOR,
        inserted: "content_preference [1,1,1]",
        updated: "content_preference [1,1,2]",
    },
    Followed {
        table: "media_files",
        insert: "(id, user_id, file_path, processing_status) VALUES ('$id', '$ada', '/u/a.png', 'new')",
        update: "file_path = '/u/b.mp3'",
        shown: "SELECT concat_ws('|', filename, storage_url, file_type) FROM media_files WHERE id = '$id'",
        inserted: "a.png|/u/a.png|image",
        updated: "b.mp3|/u/b.mp3|audio",
    },
    Followed {
        table: "ai_suggestions",
        insert: "(id, user_id, suggestion_type, suggestion_text, status) VALUES ('$id', '$ada', 'content', 'x', 'pending')",
        update: "status = 'rejected'",
        shown: SUGGESTION,
        inserted: "content_idea|x|f",
        updated: "content_idea|x|f|t",
    },
    Followed {
        table: "content_generations",
        insert: r#"(id, user_id, user_input, generated_content) VALUES ('$id', '$ada', 'x', '{"text": "y"}')"#,
        update: r#"generated_content = '{"content": "z"}'"#,
        shown: SUGGESTION,
        inserted: "content_idea|y|f",
        updated: "content_idea|z|f",
    },
    Followed {
        table: "instagramreelsscraper",
        insert: "(id, reel_url, likes_count) VALUES ('$id', 'https://instagram.com/reel/NEU/?a', 1)",
        update: "reel_url = 'https://instagram.com/p/NEUER', likes_count = 2",
        shown: REEL,
        inserted: "NEU|1",
        updated: "NEUER|2",
    },
    Followed {
        table: "instagramreelscraper",
        insert: "(id, reel_url, likes_count) VALUES ('$id', 'https://instagram.com/reel/NEU/?a', 1)",
        update: "reel_url = 'https://instagram.com/p/NEUER', likes_count = 2",
        shown: REEL,
        inserted: "NEU|1",
        updated: "NEUER|2",
    },
];

fn filled(sql: &str) -> String {
    sql.replace("$id", &id(99, 99)).replace("$ada", ADA).replace("$post", &id(POSTS, 1))
}

async fn shown(database: &Database, case: &Followed) -> Option<String> {
    database.values::<Option<String>>(&filled(case.shown)).await.into_iter().flatten().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_insert_update_and_delete_is_followed() {
    let database = in_step().await;
    for case in &FOLLOWED {
        let table = case.table;
        database.old_code(&filled(&format!("INSERT INTO {table} {}", case.insert))).await;
        assert_eq!(shown(&database, case).await.as_deref(), Some(case.inserted), "{table}");
        database.old_code(&filled(&format!("UPDATE {table} SET {} WHERE id = '$id'", case.update))).await;
        assert_eq!(shown(&database, case).await.as_deref(), Some(case.updated), "{table}");
        database.verified().await;
        database.old_code(&filled(&format!("DELETE FROM {table} WHERE id = '$id'"))).await;
        assert_eq!(shown(&database, case).await, None, "{table}");
    }
    database.verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_between_a_post_and_a_hashtag_is_followed() {
    let database = in_step().await;
    let (hashtag, other) = (id(99, 1), id(POSTS, 8));
    database
        .old_code(&format!("INSERT INTO hashtags (id, tag, embedding) VALUES ('{hashtag}', '#Neu', '[1,1,1]')"))
        .await;
    let carried = format!("SELECT count(*) FROM hashtags WHERE id = '{hashtag}'");
    let of_post = format!("SELECT hashtags::text FROM posts_content WHERE post_id = '{other}'");
    assert_eq!(database.value::<i64>(&carried).await, 0, "nobody uses it");
    for _ in 0..2 {
        database.old_code(&format!("INSERT INTO post_hashtags VALUES ('{other}', '{hashtag}')")).await;
        assert_eq!(database.value::<i64>(&carried).await, 1);
        assert_eq!(database.value::<String>(&of_post).await, "{#Neu}");
        database.verified().await;
        database.old_code(&format!("DELETE FROM post_hashtags WHERE hashtag_id = '{hashtag}'")).await;
        assert_eq!(database.value::<i64>(&carried).await, 0);
        assert_eq!(database.value::<String>(&of_post).await, "{}");
        database.verified().await;
    }
    database.old_code("UPDATE hashtags SET tag = '#Espresso' WHERE tag = '#Kaffee'").await;
    database.verified().await;
    database.old_code(&format!("INSERT INTO post_hashtags VALUES ('{other}', '{hashtag}')")).await;
    database.old_code(&format!("UPDATE posts SET user_id = '{ADA}' WHERE id = '{other}'")).await;
    assert_eq!(database.value::<i64>(&carried).await, 1, "it changed hands with its post");
    database.verified().await;
    database.old_code("TRUNCATE post_hashtags").await;
    database.verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_truncate_is_followed() {
    let database = in_step().await;
    for case in FOLLOWED.iter().rev() {
        database.old_code(&filled(&format!("INSERT INTO {} {}", case.table, case.insert))).await;
        database.old_code(&format!("TRUNCATE {} CASCADE", case.table)).await;
        assert_eq!(shown(&database, case).await, None, "{}", case.table);
        database.verified().await;
    }
    database.old_code("TRUNCATE hashtags CASCADE").await;
    database.verified().await;
    let left = "SELECT (SELECT count(*) FROM posts_core) + (SELECT count(*) FROM hashtags) + (SELECT count(*) FROM time_series_metrics)
                     + (SELECT count(*) FROM media_files) + (SELECT count(*) FROM embeddings WHERE superseded_revision IS NULL)";
    assert_eq!(database.value::<i64>(left).await, 0);
}

/// A row the new side cannot hold, beside one that it can; and what repairs it.
const BAD: [(&str, &str, &str, &str); 13] = [
    ("posts", "(id, user_id, content, status)", "'$ada', 'x', 'weird'|'$ada', 'x', 'draft'", "status = 'draft'"),
    ("posts", "(id, user_id, content, status)", "NULL, 'x', 'draft'|'$ada', 'x', 'draft'", "user_id = '$ada'"),
    (
        "post_analytics",
        "(id, post_id, platform, likes, recorded_at)",
        "NULL, 'x', 1, '2026-03-03'|'$post', 'x', 1, '2026-03-03'",
        "post_id = '$post', platform = 'y'",
    ),
    (
        "post_analytics",
        "(id, post_id, platform, likes, recorded_at)",
        "'$post', 'x', 1, 'infinity'|'$post', 'x', 1, '2026-03-03'",
        "recorded_at = '2026-03-04'",
    ),
    ("chat_messages", "(id, user_id, role, content)", "'$ada', 'robot', 'x'|'$ada', 'user', 'x'", "role = 'system'"),
    (
        "content_ideas",
        "(id, user_id, title, description, status)",
        "'$ada', 't', 'd', 'x'|'$ada', 't', 'd', 'idea'",
        "status = 'archived'",
    ),
    (
        "hashtag_analytics",
        "(id, hashtag_id, user_id, platform, reach, recorded_at)",
        "'$hashtag', '$ada', 'x', 1, NULL|'$hashtag', '$ada', 'x', 1, '2026-03-03'",
        "recorded_at = '2026-03-04'",
    ),
    (
        "user_embeddings",
        "(id, user_id, embedding_type, embedding)",
        "'$ada', NULL, '{1,1,1}'|'$ada', 'other', '{1,1,1}'",
        "embedding_type = 'more'",
    ),
    ("media_files", "(id, user_id, file_path)", "'$ada', NULL|'$ada', '/a.png'", "file_path = '/b.png'"),
    (
        "ai_suggestions",
        "(id, user_id, suggestion_type, suggestion_text, confidence_score)",
        "'$ada', 'timing', 'x', 7|'$ada', 'timing', 'x', 0.7",
        "confidence_score = 1",
    ),
    (
        "content_generations",
        "(id, user_id, user_input, generated_content)",
        "NULL, 'x', '{}'|'$ada', 'x', '{}'",
        "user_id = '$ada'",
    ),
    (
        "interactions",
        "(id, user_id, message, embedding)",
        "'$ada', 'x', '{1,NaN,1}'|'$ada', 'x', '{1,1,1}'",
        "embedding = '{1,0,1}'",
    ),
    (
        "instagramreelscraper",
        "(id, reel_url)",
        "' '|'https://instagram.com/reel/NEU'",
        "reel_url = 'https://instagram.com/reel/NEUER'",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_never_fails_its_statement_and_is_carried_once_repaired() {
    let database = in_step().await;
    let (bad, good) = (id(99, 1), id(99, 2));
    for (table, columns, values, repair) in BAD {
        let (wrong, right) = values.split_once('|').unwrap();
        let insert = filled(&format!("INSERT INTO {table} {columns} VALUES ('{bad}', {wrong}), ('{good}', {right})"));
        database.old_code(&insert.replace("$hashtag", "00000002-0000-4000-8000-000000000001")).await;
        let held = format!(
            "SELECT source_id::text FROM quarantine WHERE source = '{table}' AND source_id IN ('{bad}', '{good}')"
        );
        assert_eq!(database.values::<String>(&held).await, [bad.as_str()], "{table} {values}");
        database.old_code(&filled(&format!("UPDATE {table} SET {repair} WHERE id = '{bad}'"))).await;
        assert!(database.values::<String>(&held).await.is_empty(), "{table} {values} {repair}");
        database.verified().await;
        database.old_code(&format!("DELETE FROM {table} WHERE id IN ('{bad}', '{good}')")).await;
    }
    database.verified().await;
}

/// A row that was repaired by what it hangs on is carried by the next run.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_repaired_row_is_carried_with_the_next_run() {
    let database = in_step().await;
    let held = "SELECT count(*) FROM quarantine WHERE source = 'post_analytics' AND source_id = '00000005-0000-4000-8000-000000000006'";
    assert_eq!(database.value::<i64>(held).await, 1, "its post is in quarantine");
    database.old_code(&format!("UPDATE posts SET user_id = '{ADA}' WHERE id = '{}'", id(POSTS, 3))).await;
    database.carry().await;
    assert_eq!(database.value::<i64>(held).await, 0);
    database.verified().await;
}

/// The comparison sees one moment, whatever is written while it looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_right_while_writers_go_on() {
    let database = in_step().await;
    let many = format!("INSERT INTO posts (user_id, content) SELECT '{ADA}', 'lasting' FROM generate_series(1, 5000)");
    database.old_code(&many).await;
    let done = AtomicBool::new(false);
    let writing = async || {
        let mut dashboard = database.session("dashboard").await;
        while !done.load(Ordering::Relaxed) {
            let brief = format!("INSERT INTO posts (user_id, content) VALUES ('{ADA}', 'brief') RETURNING id::text");
            let brief: String = one(&mut dashboard, &brief).await.unwrap();
            run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{brief}'")).await.unwrap();
        }
    };
    let verifying = async {
        for _ in 0..20 {
            database.verified().await;
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(writing(), writing(), verifying);
}
