//! After the cut-over: old code goes on, new code writes beside it, and the way back loses nothing of either.

use kindred::migrate;

use super::fixtures::{Legacy, Vectors, cut_over, in_step, one, run};
use super::rows::{ADA, BOB, CHATS, CLEO, HASHTAGS, IDEAS, POSTS, id};

/// What of a post is compared: all that the old application reads and writes.
const POST: &str =
    "SELECT concat_ws('|', title, content, media_urls, media_type, platforms, status, tags, likes, comments, metadata,
    embedding, campaign, labels, \"Zusatz-Feld\", user_id = '$ada') FROM posts WHERE id = '$id'";

#[tokio::test(flavor = "multi_thread")]
async fn old_code_sees_the_posts_it_saw() {
    let database = cut_over().await;
    let mut dashboard = database.session("dashboard").await;
    let differing = "SELECT count(*) FROM kindred_legacy.posts o FULL JOIN posts n USING (id)
        WHERE n.id IS DISTINCT FROM o.id AND right(o.id::text, 1) NOT IN ('3', '4')
           OR (o.title, o.content, o.media_type, o.scheduled_at, o.published_at, o.campaign, o.weight, o.labels, o.\"Zusatz-Feld\", o.user_id)
              IS DISTINCT FROM (n.title, n.content, n.media_type, n.scheduled_at, n.published_at, n.campaign, n.weight, n.labels, n.\"Zusatz-Feld\", n.user_id)
              AND n.id IS NOT NULL";
    assert_eq!(database.value::<i64>(differing).await, 0);
    assert_eq!(
        one::<i64>(&mut dashboard, "SELECT count(*) FROM posts").await.unwrap(),
        7,
        "all but the two in quarantine"
    );
    let first = POST.replace("$id", &id(POSTS, 1)).replace("$ada", ADA);
    let expected = "Grüße|Inhalt 😀|{https://x/a.jpg?x=1,https://x/a.jpg?x=1,https://x/b.mp4}|carousel|{instagram,tiktok}|published|{kaffee,\"a b\"}|5|0|{\"a\": 1, \"ü\": [null]}|[1,0,0]|spring|{1,2}|ja|t";
    assert_eq!(one::<String>(&mut dashboard, &first).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_old_code_writes_to_posts_is_in_the_legacy_table_again() {
    let database = cut_over().await;
    let mut dashboard = database.session("dashboard").await;
    let insert = format!(
        "INSERT INTO posts (user_id, content, media_urls, platforms, tags, metadata, embedding, campaign, labels, \"Zusatz-Feld\")
         VALUES ('{ADA}', 'neu', '{{https://x/a.jpg,https://x/b.mp4}}', '{{x}}', '{{t}}', '{{\"k\": 1}}', '[0,1,1]', 'c2', '{{7}}', 'ü')
         RETURNING id::text || ' ' || status || ' ' || likes"
    );
    let returned: String = one(&mut dashboard, &insert).await.unwrap();
    let (made, rest) = returned.split_once(' ').unwrap();
    assert_eq!(rest, "draft 0", "an INSERT gets the legacy table's defaults");
    let changes = [
        ("title = 'anders', likes = 77, campaign = NULL, labels = '{3}'", id(POSTS, 1)),
        ("media_urls = '{https://x/z.png}', tags = '{}', embedding = '[0,0,1]'", id(POSTS, 1)),
        ("title = 'ein Titel', metadata = '{\"b\": true}', media_type = 'text'", id(POSTS, 2)),
        ("title = 'still a list'", id(POSTS, 6)),
        ("title = 'still nothing'", id(POSTS, 7)),
    ];
    for (set, post) in &changes {
        run(&mut dashboard, &format!("UPDATE posts SET {set} WHERE id = '{post}'")).await.unwrap();
    }
    run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{}'", id(POSTS, 8))).await.unwrap();
    let new_user = "00000000-0000-0000-0000-0000000000d1";
    run(&mut dashboard, &format!("INSERT INTO posts (user_id, content) VALUES ('{new_user}', 'of a new user')"))
        .await
        .unwrap();
    database.verified().await;

    let touched = [made.to_owned(), id(POSTS, 1), id(POSTS, 2), id(POSTS, 6), id(POSTS, 7)];
    let show = |post: &str| POST.replace("$id", post).replace("$ada", ADA);
    let mut shown = Vec::new();
    for post in &touched {
        shown.push(one::<String>(&mut dashboard, &show(post)).await.unwrap());
    }
    assert_eq!(shown[0], "neu|{https://x/a.jpg,https://x/b.mp4}|{x}|draft|{t}|0|0|{\"k\": 1}|[0,1,1]|c2|{7}|ü|t");
    let first = "anders|Inhalt 😀|{https://x/z.png}|carousel|{instagram,tiktok}|published|{}|77|0|{\"a\": 1, \"ü\": [null]}|[0,0,1]|{3}|ja|t";
    assert_eq!(shown[1], first);
    migrate::take_back(&database.urls.owner).await.unwrap();
    for (post, shown) in touched.iter().zip(&shown).take(2) {
        assert_eq!(&one::<String>(&mut dashboard, &show(post)).await.unwrap(), shown);
    }
    let metadata =
        |post| format!("SELECT title || coalesce(metadata::text, ' nothing') FROM posts WHERE id = '{post}'");
    assert_eq!(one::<String>(&mut dashboard, &metadata(id(POSTS, 2))).await.unwrap(), "ein Titel{\"b\": true}");
    assert_eq!(one::<String>(&mut dashboard, &metadata(id(POSTS, 6))).await.unwrap(), "still a list[1, 2]");
    assert!(one::<String>(&mut dashboard, &metadata(id(POSTS, 7))).await.unwrap().starts_with("still nothing"));
    assert_eq!(
        one::<i64>(&mut dashboard, &format!("SELECT count(*) FROM posts WHERE id = '{}'", id(POSTS, 8))).await.unwrap(),
        0
    );
    let of_new_user = format!("SELECT content FROM posts WHERE user_id = '{new_user}'");
    assert_eq!(one::<String>(&mut dashboard, &of_new_user).await.unwrap(), "of a new user");
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_on_conflict_into_posts_is_refused_and_says_so() {
    let database = cut_over().await;
    let mut dashboard = database.session("dashboard").await;
    let upsert = format!(
        "INSERT INTO posts (id, user_id, content) VALUES ('{}', '{ADA}', 'x') ON CONFLICT (id) DO UPDATE SET content = 'x'",
        id(POSTS, 1)
    );
    assert!(run(&mut dashboard, &upsert).await.is_err());
    let twice = format!("INSERT INTO posts (id, user_id, content) VALUES ('{}', '{ADA}', 'x')", id(POSTS, 1));
    let error = run(&mut dashboard, &twice).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("23505"), "{error}");
    let nobody = run(&mut dashboard, "INSERT INTO posts (content) VALUES ('x')").await.unwrap_err();
    assert!(nobody.to_string().contains("names no user"), "{nobody}");
}

const KEYS: &str = "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conrelid::regclass::text IN ('post_analytics', 'post_hashtags', 'interactions', 'unrelated', 'hashtag_analytics') ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_point_to_the_new_posts_and_back_again() {
    let database = in_step().await;
    let before: Vec<String> = database.values(KEYS).await;
    database.cut_over().await;
    let of_posts = "SELECT count(*) FILTER (WHERE confrelid = 'posts_core'::regclass), count(*) FILTER (WHERE confrelid = 'kindred_legacy.posts'::regclass)
        FROM pg_constraint WHERE contype = 'f' AND cardinality(conkey) = 1";
    let counts = format!("SELECT array[new, old] FROM ({of_posts}) AS c (new, old)");
    assert_eq!(database.value::<Vec<i64>>(&counts).await, [4, 0]);
    let mut dashboard = database.session("dashboard").await;
    let orphan = format!("INSERT INTO post_analytics (post_id, platform) VALUES ('{}', 'x')", id(POSTS, 77));
    assert!(run(&mut dashboard, &orphan).await.is_err(), "the key holds");
    let one_post = id(POSTS, 1);
    run(&mut dashboard, &format!("INSERT INTO unrelated VALUES (2, '{one_post}', 'holds it')")).await.unwrap();
    assert!(
        run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{one_post}'")).await.is_err(),
        "it is referenced"
    );
    run(&mut dashboard, "DELETE FROM unrelated WHERE id = 2").await.unwrap();
    run(&mut dashboard, &format!("UPDATE interactions SET post_id = '{one_post}' WHERE message = 'hallo'"))
        .await
        .unwrap();
    run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{one_post}'")).await.unwrap();
    let left = format!("SELECT (SELECT count(*) FROM post_analytics WHERE post_id = '{one_post}') + (SELECT count(*) FROM post_hashtags WHERE post_id = '{one_post}')
        + (SELECT count(*) FROM interactions WHERE post_id = '{one_post}')");
    assert_eq!(one::<i64>(&mut dashboard, &left).await.unwrap(), 0, "cascades go on");
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_eq!(database.values::<String>(KEYS).await, before);
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_old_code_writes_to_other_tables_is_there_again() {
    let database = cut_over().await;
    let (chat, idea) = (id(CHATS, 1), id(IDEAS, 1));
    let writes = [
        format!(
            "INSERT INTO post_analytics (post_id, platform, likes, recorded_at) VALUES ('{}', 'x', 3, '2026-03-03')",
            id(POSTS, 1)
        ),
        format!("INSERT INTO content_ideas (user_id, title, description) VALUES ('{BOB}', 'a new idea', 'd')"),
        format!("UPDATE content_ideas SET notes = 'noted' WHERE id = '{idea}'"),
        format!("UPDATE chat_messages SET content = 'korrigiert' WHERE id = '{chat}'"),
        format!("DELETE FROM chat_messages WHERE id = '{}'", id(CHATS, 4)),
        format!("INSERT INTO interactions (user_id, message) VALUES ('{CLEO}', 'after it')"),
        "DELETE FROM ai_suggestions WHERE suggestion_text = 'write'".to_owned(),
        format!(
            "INSERT INTO hashtag_analytics (hashtag_id, user_id, platform, reach, recorded_at) VALUES ('{}', '{ADA}', 'x', 8, '2026-05-05')",
            id(HASHTAGS, 1)
        ),
    ];
    for write in &writes {
        database.old_code(write).await;
        database.verified().await;
    }
    let points =
        "SELECT string_agg(metric_name || metric_value, ' ') FROM time_series_metrics WHERE recorded_at = '2026-03-03'";
    assert_eq!(database.value::<String>(points).await, "likes3");
    migrate::take_back(&database.urls.owner).await.unwrap();
    let rows = database.legacy_rows().await;
    for (table, part, times) in [
        ("post_analytics", "2026-03-03", 1),
        ("content_ideas", "a new idea", 1),
        ("content_ideas", "noted", 1),
        ("chat_messages", "korrigiert", 1),
        ("chat_messages", "quotes", 0),
        ("interactions", "after it", 1),
        ("hashtag_analytics", "2026-05-05", 1),
        ("ai_suggestions", "\"write\"", 0),
    ] {
        assert_eq!(rows[table].iter().filter(|row| row.contains(part)).count(), times, "{table} {part}");
    }
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_new_code_writes_is_in_the_legacy_tables_after_the_way_back() {
    let database = cut_over().await;
    let (post, chat, hashtag, suggestion) = (id(POSTS, 70), id(CHATS, 70), id(2, 70), id(8, 70));
    let tenant: uuid::Uuid =
        database.value(&format!("SELECT organization_id FROM organization_members WHERE user_id = '{ADA}'")).await;
    let mut app = crate::postgres::connect(&database.urls.app).await;
    let writes = format!(
        "BEGIN; SET LOCAL app.organization_id = '{tenant}';
         INSERT INTO posts_core (organization_id, id, user_id, title, platforms) VALUES ('{tenant}', '{post}', '{ADA}', 'by new code', '{{x}}');
         INSERT INTO posts_content (organization_id, post_id, content, tags) VALUES ('{tenant}', '{post}', 'Inhalt', '{{t}}');
         UPDATE posts_content SET content = 'rewritten' WHERE organization_id = '{tenant}' AND post_id = '{}';
         INSERT INTO chat_messages (organization_id, id, user_id, role, content) VALUES ('{tenant}', '{chat}', '{ADA}', 'user', 'by new code');
         INSERT INTO hashtags (organization_id, id, tag, normalized_tag) VALUES ('{tenant}', '{hashtag}', '#NewCode', 'newcode');
         INSERT INTO ai_suggestions (organization_id, id, user_id, suggestion_type, suggestion_text, is_accepted)
             VALUES ('{tenant}', '{suggestion}', '{ADA}', 'hashtag', 'by new code', true); COMMIT",
        id(POSTS, 1)
    );
    run(&mut app, &writes).await.unwrap();
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    let mut dashboard = database.session("dashboard").await;
    for (query, expected) in [
        (
            format!(
                "SELECT concat_ws('|', title, content, platforms, tags, status, user_id = '{ADA}') FROM posts WHERE id = '{post}'"
            ),
            "by new code|Inhalt|{x}|{t}|draft|t",
        ),
        (format!("SELECT content FROM posts WHERE id = '{}'", id(POSTS, 1)), "rewritten"),
        (format!("SELECT role || ' ' || content FROM chat_messages WHERE id = '{chat}'"), "user by new code"),
        (format!("SELECT tag FROM hashtags WHERE id = '{hashtag}'"), "#NewCode"),
        (
            format!("SELECT suggestion_type || ' ' || status FROM ai_suggestions WHERE id = '{suggestion}'"),
            "hashtag accepted",
        ),
    ] {
        assert_eq!(one::<String>(&mut dashboard, &query).await.unwrap(), expected, "{query}");
    }
    database.back_in_step().await;
}

/// Old code inserts without an id and under its own column names.
async fn chats(text: &'static str, thread: &'static str, speaker: &'static str, vectors: Vectors) {
    let database = Legacy::only(&["chat_messages"]).chat(text, thread, speaker, vectors).create().await;
    database.carry().await;
    database.cut_over().await;
    let spoken = "00000000-0000-4000-8000-00000000beef";
    let insert = format!(
        "INSERT INTO chat_messages (user_id, {thread}, {speaker}, {text}) VALUES ('{ADA}', '{spoken}', 'assistant', 'later')"
    );
    database.old_code(&insert).await;
    let new = "SELECT concat_ws('|', conversation_id, role, content) FROM chat_messages WHERE content = 'later'";
    assert_eq!(database.value::<String>(new).await, format!("{spoken}|assistant|later"));
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    let old =
        format!("SELECT concat_ws('|', {thread}, {speaker}, {text}) FROM public.chat_messages WHERE {text} = 'later'");
    assert_eq!(database.value::<String>(&old).await, format!("{spoken}|assistant|later"));
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_by_content_and_conversation_are_written_on() {
    chats("content", "conversation_id", "role", Vectors::Floats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_by_message_and_session_are_written_on() {
    chats("message", "session_id", "message_type", Vectors::Pgvector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_by_content_and_session_are_written_on() {
    chats("content", "session_id", "role", Vectors::Absent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_by_message_and_conversation_are_written_on() {
    chats("message", "conversation_id", "message_type", Vectors::Floats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_log_in_see_their_own_posts_before_and_after() {
    let database = Legacy::only(&["user_profiles", "posts"]).supabase().create().await;
    let own = "SELECT string_agg(right(id::text, 1), '' ORDER BY id) FROM posts";
    let mut ada = database.person(ADA).await;
    assert_eq!(one::<String>(&mut ada, own).await.unwrap(), "167");
    database.carry().await;
    database.cut_over().await;
    assert_eq!(one::<String>(&mut ada, own).await.unwrap(), "167");
    assert_eq!(one::<String>(&mut database.person(CLEO).await, own).await.unwrap(), "8c");
    assert_eq!(one::<String>(&mut database.session("dashboard").await, own).await.unwrap(), "125678c");
    run(&mut ada, &format!("INSERT INTO posts (user_id, content, embedding) VALUES ('{ADA}', 'mine', '[1,1,1]')"))
        .await
        .unwrap();
    run(&mut ada, "UPDATE posts SET title = 'mine, too' WHERE content = 'mine'").await.unwrap();
    let theft = format!("INSERT INTO posts (user_id, content) VALUES ('{BOB}', 'not mine')");
    assert!(run(&mut ada, &theft).await.is_err(), "nobody writes for another");
    run(&mut ada, &format!("UPDATE posts SET title = 'stolen' WHERE user_id = '{BOB}'")).await.unwrap();
    run(&mut ada, &format!("DELETE FROM posts WHERE user_id = '{BOB}'")).await.unwrap();
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_eq!(one::<i64>(&mut ada, "SELECT count(*) FROM posts WHERE title = 'mine, too'").await.unwrap(), 1);
    let bobs =
        format!("SELECT string_agg(coalesce(title, '-'), ',' ORDER BY id) FROM public.posts WHERE user_id = '{BOB}'");
    assert_eq!(database.value::<String>(&bobs).await, "-,bad,");
}
