//! Rows as a legacy application leaves them: unicode, nulls, wrong vectors, duplicates, orphans, rows without a user.

use super::fixtures::{Legacy, Vectors};

/// Ada, who has a profile.
pub const ADA: &str = "00000000-0000-0000-0000-0000000000a1";
/// Bob, whose profile has no name.
pub const BOB: &str = "00000000-0000-0000-0000-0000000000b1";
/// Cleo, who has no profile.
pub const CLEO: &str = "00000000-0000-0000-0000-0000000000c1";

/// A row's id: which table, which row.
pub fn id(table: u32, row: u32) -> String {
    format!("{table:08x}-0000-4000-8000-{row:012x}")
}

pub const POSTS: u32 = 1;
pub const HASHTAGS: u32 = 2;
pub const CHATS: u32 = 3;
pub const IDEAS: u32 = 4;
pub const SNAPSHOTS: u32 = 5;

/// SQL that fills the tables of one shape.
pub fn sql(shape: &Legacy) -> String {
    let mut sql = String::new();
    for (name, rows) in ROWS {
        if shape.has(name) {
            sql.push_str(&rows.replace("$ada", ADA).replace("$bob", BOB).replace("$cleo", CLEO));
        }
    }
    if shape.has("posts") {
        let vectors = [(1, "1,0,0"), (2, "0,1,0"), (5, "0,0,0"), (6, "1,2"), (7, "NaN,1,1"), (8, ""), (12, "1,1,0")];
        sql.push_str(&embeddings("posts", POSTS, shape.posts, &vectors));
    }
    if shape.has("chat_messages") {
        sql.push_str(&chats(shape));
    }
    if shape.has("content_generations") && shape.generations_name_users {
        sql.push_str(&format!("UPDATE content_generations SET user_id = '{ADA}';\n"));
    }
    sql
}

/// Sets vectors; a `vector(3)` cannot be as wrong as a `float8[]`.
fn embeddings(table: &str, number: u32, kind: Vectors, vectors: &[(u32, &str)]) -> String {
    let mut sql = String::new();
    for (row, components) in vectors {
        let literal = match kind {
            Vectors::Absent => continue,
            Vectors::Floats => format!("'{{{components}}}'"),
            Vectors::Pgvector if components.split(',').count() != 3 || components.contains("NaN") => continue,
            Vectors::Pgvector => format!("'[{components}]'"),
        };
        sql.push_str(&format!("UPDATE {table} SET embedding = {literal} WHERE id = '{}';\n", id(number, *row)));
    }
    sql
}

fn chats(shape: &Legacy) -> String {
    let chat = &shape.chat;
    let threads = match chat.thread {
        "session_id" => ["'sess-1'", "'sess-1'", "''", "'00000000-0000-4000-8000-00000000abcd'", "NULL"],
        _ => {
            ["'00000000-0000-4000-8000-00000000abcd'", "NULL", "NULL", "'00000000-0000-4000-8000-00000000abcd'", "NULL"]
        }
    };
    let lines = [
        (ADA, "assistant", "Grüße 😀", r#"'{"a": {"b": null}}'"#),
        (ADA, "user", "", "NULL"),
        (BOB, "robot", "a role that nobody knows", "NULL"),
        (BOB, "user", "line\nbreak \\ and ''quotes''", "'{}'"),
        ("", "user", "nobody said this", "NULL"),
    ];
    let mut sql = format!(
        "INSERT INTO chat_messages (id, user_id, {}, {}, {}, metadata, reactions) VALUES ",
        chat.thread, chat.speaker, chat.text
    );
    for (place, ((user, speaker, text, metadata), thread)) in lines.iter().zip(threads).enumerate() {
        let user = if user.is_empty() { "NULL".to_owned() } else { format!("'{user}'") };
        let row = place as u32 + 1;
        let comma = if place == 0 { "" } else { ", " };
        sql.push_str(&format!(
            "{comma}('{}', {user}, {thread}, '{speaker}', '{text}', {metadata}, '{{👍,null}}')",
            id(CHATS, row)
        ));
    }
    sql.push_str(";\n");
    sql + &embeddings(
        "chat_messages",
        CHATS,
        chat.vectors,
        &[(1, "1,2,3"), (2, "1,NaN,3"), (3, "1,1,1"), (4, "0,0,0"), (5, "1,0,0")],
    )
}

const ROWS: [(&str, &str); 17] = [
    (
        "user_profiles",
        "INSERT INTO user_profiles (id, email, full_name) VALUES ('$ada', 'ada@example.org', 'Ada Löwe'), ('$bob', 'bob@example.org', NULL);",
    ),
    (
        "posts",
        r#"INSERT INTO posts (id, user_id, title, content, media_urls, media_type, platforms, status, tags, likes, comments, shares, reach, impressions, metadata, campaign, weight, labels, "Zusatz-Feld", published_at) VALUES
 ('00000001-0000-4000-8000-000000000001', '$ada', 'Grüße', 'Inhalt 😀', '{https://x/a.jpg?x=1,https://x/a.jpg?x=1,"",https://x/b.mp4}', 'carousel', '{instagram,tiktok}', 'published', '{kaffee,"a b"}', 5, 0, 1, 9, 10, '{"a": 1, "ü": [null]}', 'spring', 1.5000, '{1,2}', 'ja', '2026-01-03'),
 ('00000001-0000-4000-8000-000000000002', '$bob', NULL, 'all else is null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 ('00000001-0000-4000-8000-000000000003', NULL, NULL, 'nobody wrote this', '{https://x/n.png}', 'image', '{}', 'draft', '{}', 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL),
 ('00000001-0000-4000-8000-000000000004', '$bob', 'bad', 'a status that nobody knows', NULL, 'text', '{x}', 'weird', NULL, 1, 1, 1, 1, 1, NULL, NULL, NULL, NULL, NULL, NULL),
 ('00000001-0000-4000-8000-000000000005', '$bob', '', '', '{}', 'text', '{}', 'draft', '{}', 0, 0, 0, 0, 0, '{}', '', 0, '{}', '', NULL),
 ('00000001-0000-4000-8000-000000000006', '$ada', 'list', 'metadata is a list', NULL, 'video', '{x}', 'failed', NULL, 0, 0, 0, 0, 0, '[1, 2]', NULL, NULL, NULL, NULL, NULL),
 ('00000001-0000-4000-8000-000000000007', '$ada', 'null', 'metadata is a null', NULL, 'image', '{x}', 'scheduled', NULL, 0, 0, 0, 0, 0, 'null', NULL, NULL, NULL, NULL, NULL),
 ('00000001-0000-4000-8000-000000000008', '$cleo', 'Cleo', 'no profile', '{https://x/dir/}', 'image', '{x}', 'draft', NULL, 2147483647, 0, 0, 0, 0, NULL, NULL, 'NaN', NULL, NULL, NULL);
INSERT INTO posts (id, user_id, content, created_at, updated_at) VALUES ('00000001-0000-4000-8000-00000000000c', '$cleo', 'without times', NULL, NULL);
"#,
    ),
    (
        "post_analytics",
        "INSERT INTO post_analytics (id, post_id, user_id, platform, likes, saves, clicks, video_views, profile_visits, website_clicks, impressions, recorded_at, engagement_rate) VALUES
 ('00000005-0000-4000-8000-000000000001', '00000001-0000-4000-8000-000000000001', '$ada', 'instagram', 0, 3, 4, 5, 6, 7, 10, '2026-01-05 10:00+00', 1.5),
 ('00000005-0000-4000-8000-000000000002', '00000001-0000-4000-8000-000000000001', '$ada', 'instagram', 9, 4, 0, 0, 0, 0, 100, '2026-01-05 20:00+00', 2.5),
 ('00000005-0000-4000-8000-000000000003', '00000001-0000-4000-8000-000000000001', '$ada', 'tiktok', 3, NULL, NULL, NULL, NULL, NULL, 50, '2026-02-05', NULL),
 ('00000005-0000-4000-8000-000000000004', '00000001-0000-4000-8000-000000000002', NULL, NULL, 1, 1, 1, 1, 1, 1, 1, '2026-02-05', 0),
 ('00000005-0000-4000-8000-000000000005', '00000001-0000-4000-8000-000000000002', NULL, NULL, 2, 2, 2, 2, 2, 2, 2, '2026-02-05', 0),
 ('00000005-0000-4000-8000-000000000006', '00000001-0000-4000-8000-000000000003', NULL, 'x', 9, 4, 1, 1, 1, 1, 1, '2026-02-05', 1),
 ('00000005-0000-4000-8000-000000000007', NULL, NULL, 'x', 1, 1, 1, 1, 1, 1, 1, '2026-01-01', 1),
 ('00000005-0000-4000-8000-000000000008', '00000001-0000-4000-8000-000000000005', NULL, 'x', 1, 0, 0, 0, 0, 0, 1, '0001-01-01 00:00+00', 1),
 ('00000005-0000-4000-8000-000000000009', '00000001-0000-4000-8000-000000000005', NULL, 'x', 1, 0, 0, 0, 0, 0, 1, 'infinity', 1),
 ('00000005-0000-4000-8000-00000000000a', '00000001-0000-4000-8000-000000000005', NULL, 'x', 1, 0, 0, 0, 0, 0, 1, '2026-02-28 23:30-05', 'NaN');
",
    ),
    (
        "content_ideas",
        "INSERT INTO content_ideas (id, user_id, title, description, due_date, embedding, status, mood) VALUES
 ('00000004-0000-4000-8000-000000000001', '$bob', 't', 'ein Grüner Daumen', '2026-05-01', '{1,1,0}', 'idea', 'gut'),
 ('00000004-0000-4000-8000-000000000002', '$bob', 't', 'd', NULL, '{1,1}', NULL, NULL),
 ('00000004-0000-4000-8000-000000000003', '$ada', '', '', NULL, '{}', 'someday', NULL),
 ('00000004-0000-4000-8000-000000000004', NULL, 'x', 'y', NULL, NULL, 'idea', NULL);
",
    ),
    (
        "hashtags",
        "INSERT INTO hashtags (id, tag, normalized_tag, usage_count, trending_score, embedding) VALUES
 ('00000002-0000-4000-8000-000000000001', '#Kaffee', 'kaffee', 3, 0.5, '[0,1,0]'),
 ('00000002-0000-4000-8000-000000000002', '#unused', 'unused', 0, NULL, NULL),
 ('00000002-0000-4000-8000-000000000003', 'KAFFEE', 'kaffee', NULL, 1.25, '[0,0,0]'),
 ('00000002-0000-4000-8000-000000000004', '#Tee', NULL, 1, 'NaN', '[1,0,1]');
",
    ),
    (
        "post_hashtags",
        "INSERT INTO post_hashtags VALUES
 ('00000001-0000-4000-8000-000000000001', '00000002-0000-4000-8000-000000000001'),
 ('00000001-0000-4000-8000-000000000001', '00000002-0000-4000-8000-000000000003'),
 ('00000001-0000-4000-8000-000000000002', '00000002-0000-4000-8000-000000000001');
",
    ),
    (
        "hashtag_analytics",
        "INSERT INTO hashtag_analytics (hashtag_id, user_id, platform, impressions, posts_count, recorded_at) VALUES
 ('00000002-0000-4000-8000-000000000001', '$ada', 'ig', 5, 0, '2026-01-01'),
 ('00000002-0000-4000-8000-000000000001', '$bob', 'ig', 7, 1, '2026-01-01'),
 ('00000002-0000-4000-8000-000000000004', '$cleo', NULL, 1, 1, '2026-01-01'),
 ('00000002-0000-4000-8000-000000000004', NULL, 'ig', 1, 1, '2026-01-01');
",
    ),
    (
        "user_embeddings",
        "INSERT INTO user_embeddings (id, user_id, embedding_type, content_sample, embedding, version, is_active, confidence_score) VALUES
 ('00000006-0000-4000-8000-000000000001', '$ada', 'brand_voice', 'v1', '{1,0,0}', 1, false, 0.5),
 ('00000006-0000-4000-8000-000000000002', '$ada', 'brand_voice', 'v2', '{0,1,0}', 2, true, 0.6),
 ('00000006-0000-4000-8000-000000000003', '$ada', 'brand_voice', 'v3', '{0,0,1}', 3, false, NULL),
 ('00000006-0000-4000-8000-000000000004', '$ada', 'writing_style', NULL, '{0,NaN,1}', 1, true, NULL),
 ('00000006-0000-4000-8000-000000000005', '$bob', 'brand_voice', 'none is active', '{1,1,1}', NULL, false, NULL),
 ('00000006-0000-4000-8000-000000000006', NULL, 'brand_voice', 'of nobody', '{1,1,1}', 1, true, NULL),
 ('00000006-0000-4000-8000-000000000007', '$cleo', 'brand_voice', 'x', '{}', 1, true, NULL);
",
    ),
    (
        "media_files",
        "INSERT INTO media_files (id, user_id, file_path, processing_status) VALUES
 ('00000007-0000-4000-8000-000000000001', '$ada', '/u/clip Ä.mp4', 'done'),
 ('00000007-0000-4000-8000-000000000002', '$bob', NULL, 'failed'),
 ('00000007-0000-4000-8000-000000000003', NULL, '/u/n.pdf', NULL);
",
    ),
    (
        "ai_suggestions",
        "INSERT INTO ai_suggestions (id, user_id, suggestion_type, suggestion_text, confidence_score, status, user_feedback) VALUES
 ('00000008-0000-4000-8000-000000000001', '$ada', 'timing', 'post at 9', 0.75, 'accepted', 'gut'),
 ('00000008-0000-4000-8000-000000000002', '$ada', 'timing', 'too sure', 7, 'pending', NULL),
 ('00000008-0000-4000-8000-000000000003', '$bob', 'content', 'write', NULL, 'modified', NULL),
 ('00000008-0000-4000-8000-000000000004', '$bob', 'hashtag', '#x', 0, 'rejected', ''),
 ('00000008-0000-4000-8000-000000000005', '$bob', 'engagement', 'ask', 1, NULL, NULL),
 ('00000008-0000-4000-8000-000000000006', '$bob', 'nonsense', 'ask', 1, NULL, NULL);
",
    ),
    (
        "content_generations",
        r#"INSERT INTO content_generations (id, user_input, generated_content) VALUES
 ('00000009-0000-4000-8000-000000000001', 'eingabe', '{"text": "ausgabe"}'), ('00000009-0000-4000-8000-000000000002', '', '"nur Text"'),
 ('00000009-0000-4000-8000-000000000003', 'x', '[1, null]'), ('00000009-0000-4000-8000-000000000004', 'y', 'null');
"#,
    ),
    (
        "interactions",
        "INSERT INTO interactions (id, user_id, interaction_type, message, embedding) VALUES
 ('0000000a-0000-4000-8000-000000000001', '$ada', 'dm', 'hallo', '{1,1,1}'), ('0000000a-0000-4000-8000-000000000002', '$bob', 'comment', '', '{1}'),
 ('0000000a-0000-4000-8000-000000000003', NULL, 'like', 'x', NULL), ('0000000a-0000-4000-8000-000000000004', '$bob', 'mention', 'x', '{0,Infinity,0}');
",
    ),
    (
        "instagramreelsscraper",
        "INSERT INTO instagramreelsscraper (reel_url, likes_count, scraped_at, hashtags, creator_username) VALUES
 ('https://www.instagram.com/reel/ABC/', 1, '2026-01-01', '{a,ü}', 'cleo'), ('https://instagram.com/reel/ABC?x=1', 2, '2026-02-01', NULL, NULL),
 ('https://www.instagram.com/reel/DEF', 3, NULL, '{}', NULL), ('https://www.instagram.com/reel/DEF', NULL, NULL, '{}', NULL);
",
    ),
    (
        "instagramreelscraper",
        "INSERT INTO instagramreelscraper (reel_url, likes_count, scraped_at, caption) VALUES
 ('http://instagram.com/reels/ABC/#a', NULL, '2026-03-01', 'cap'), (' ', 1, NULL, NULL), ('https://www.instagram.com/reel/XYZ/?igsh=1', 0, '2026-01-01', '😀');
",
    ),
    ("ai_feedback", "INSERT INTO ai_feedback (user_id, action_type, rating) VALUES ('$ada', 'caption', 5);"),
    ("social_accounts", "INSERT INTO social_accounts (user_id, access_token) VALUES ('$ada', 'a secret');"),
    ("unrelated", "INSERT INTO unrelated VALUES (1, NULL, 'stays');"),
];
