//! Columns that only the legacy tables had are read and written by old code after the cut-over as before: their own, those
//! that are called otherwise now, vectors, and how a suggestion was received.

use kindred::maintenance::close_orphans;
use kindred::migrate;
use kindred::store::{Database as Store, DatabaseSettings};

use super::fixtures::{Database, Legacy, Vectors, cut_over, one, run};
use super::rows::{ADA, BOB, CHATS, HASHTAGS, IDEAS, POSTS, id};

/// What is current of a line, as text; nothing where it has ended or never began.
async fn current(database: &Database, entity: &str) -> String {
    let query = format!(
        "SELECT coalesce(string_agg(version || ' ' || vector_data, ', ' ORDER BY source_field), '')
         FROM embeddings WHERE entity_id = '{entity}' AND superseded_revision IS NULL"
    );
    database.value(&query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_reads_and_writes_the_columns_that_it_knows() {
    let database = Legacy::only(&["user_profiles", "chat_messages", "content_ideas", "media_files"])
        .chat("message", "session_id", "message_type", Vectors::Floats)
        .create()
        .await;
    let shown = "SELECT concat_ws('|', message, session_id, message_type, reactions)
        FROM chat_messages WHERE message <> '' AND user_id IS NOT NULL AND message_type IN ('user', 'assistant') ORDER BY id";
    let others = [
        "SELECT concat_ws('|', file_path, processing_status) FROM media_files WHERE user_id IS NOT NULL AND file_path IS NOT NULL ORDER BY id",
        "SELECT concat_ws('|', title, mood, due_date::date) FROM content_ideas WHERE mood IS NOT NULL ORDER BY id",
    ];
    let mut dashboard = database.session("dashboard").await;
    let mut before = Vec::new();
    for query in [shown, others[0], others[1]] {
        before.push(strings(&mut dashboard, query).await);
    }
    database.carry().await;
    database.cut_over().await;
    for (query, expected) in [shown, others[0], others[1]].into_iter().zip(&before) {
        assert_eq!(&strings(&mut dashboard, query).await, expected, "{query}");
    }
    let chat: String = one(
        &mut dashboard,
        &format!("INSERT INTO chat_messages (user_id, session_id, message_type, message) VALUES ('{ADA}', 'sess-9', 'assistant', 'hey') RETURNING id::text"),
    )
    .await
    .unwrap();
    let both = format!(
        "SELECT concat_ws('|', message, content, session_id, message_type, role) FROM chat_messages WHERE id = '{chat}'"
    );
    assert_eq!(one::<String>(&mut dashboard, &both).await.unwrap(), "hey|hey|sess-9|assistant|assistant");
    run(&mut dashboard, &format!("UPDATE chat_messages SET message = 'by old code' WHERE id = '{chat}'"))
        .await
        .unwrap();
    assert!(one::<String>(&mut dashboard, &both).await.unwrap().starts_with("by old code|by old code|sess-9|"));
    database.owner(&format!("UPDATE chat_messages SET content = 'by new code' WHERE id = '{chat}'")).await;
    assert!(one::<String>(&mut dashboard, &both).await.unwrap().starts_with("by new code|by new code|sess-9|"));
    run(&mut dashboard, "UPDATE media_files SET processing_status = 'again'").await.unwrap();
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    let old =
        format!("SELECT concat_ws('|', message, session_id, message_type) FROM chat_messages WHERE id = '{chat}'");
    assert_eq!(one::<String>(&mut dashboard, &old).await.unwrap(), "by new code|sess-9|assistant");
    let again = "SELECT count(*) FROM media_files WHERE user_id IS NOT NULL AND file_path IS NOT NULL AND processing_status IS DISTINCT FROM 'again'";
    assert_eq!(one::<i64>(&mut dashboard, again).await.unwrap(), 0);
    database.back_in_step().await;
}

async fn strings(connection: &mut sqlx::PgConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).persistent(false).fetch_all(connection).await.unwrap()
}

/// Old code writes vectors of chats, be they arrays or pgvector's.
async fn chats(vectors: Vectors) {
    let shape =
        Legacy::only(&["user_profiles", "chat_messages"]).chat("message", "session_id", "message_type", vectors);
    let database = shape.create().await;
    let literal = |components: &str| match vectors {
        Vectors::Pgvector => format!("'[{components}]'"),
        _ => format!("'{{{components}}}'"),
    };
    let shown = "SELECT coalesce(string_agg(concat(message, '|', embedding), ', ' ORDER BY id), '') FROM chat_messages
                 WHERE user_id IS NOT NULL AND message_type <> 'robot'";
    let mut dashboard = database.session("dashboard").await;
    let before: String = one(&mut dashboard, shown).await.unwrap();
    assert!(before.contains("1,2,3"), "{before}");
    database.carry().await;
    run(&mut dashboard, &format!("UPDATE chat_messages SET embedding = embedding WHERE id = '{}'", id(CHATS, 1)))
        .await
        .unwrap();
    database.cut_over().await;
    assert_eq!(one::<String>(&mut dashboard, shown).await.unwrap(), before, "each vector reads as it did");

    let insert = format!(
        "INSERT INTO chat_messages (user_id, session_id, message, embedding) VALUES ('{ADA}', 's', 'with a vector', {}),
         ('{ADA}', 's', 'without one', NULL) RETURNING id::text",
        literal("4,5,6")
    );
    let made: String = one(&mut dashboard, &insert).await.unwrap();
    assert_eq!(current(&database, &made).await, "1 [4,5,6]");
    run(&mut dashboard, &format!("UPDATE chat_messages SET embedding = {} WHERE id = '{made}'", literal("7,8,9")))
        .await
        .unwrap();
    run(&mut dashboard, &format!("UPDATE chat_messages SET message = 'reworded' WHERE id = '{made}'")).await.unwrap();
    assert_eq!(current(&database, &made).await, "2 [7,8,9]", "a vector is written when it changes");
    run(&mut dashboard, &format!("UPDATE chat_messages SET embedding = NULL WHERE id = '{}'", id(CHATS, 1)))
        .await
        .unwrap();
    assert_eq!(current(&database, &id(CHATS, 1)).await, "");
    database.verified().await;

    by_the_service(&database, &made).await;
    let both = format!(
        "SELECT new.embedding::text || legacy.embedding::text FROM chat_messages new JOIN kindred_legacy.chat_messages legacy USING (id) WHERE id = '{made}'"
    );
    let expected = if matches!(vectors, Vectors::Pgvector) { "[1,1,2][1,1,2]" } else { "{1,1,2}{1,1,2}" };
    assert_eq!(database.value::<String>(&both).await, expected, "what the service wrote is what old code reads");
    database.verified().await;

    let after: String = one(&mut dashboard, shown).await.unwrap();
    migrate::take_back(&database.urls.owner).await.unwrap();
    assert_eq!(one::<String>(&mut dashboard, shown).await.unwrap(), after);
    database.back_in_step().await;
    assert!(current(&database, &made).await.ends_with("[1,1,2]"));
}

/// The next version of a chat's line, as the service writes it: closed, inserted, logged.
async fn by_the_service(database: &Database, chat: &str) {
    let tenant: String =
        database.value(&format!("SELECT organization_id::text FROM chat_messages WHERE id = '{chat}'")).await;
    let line = format!(
        "organization_id = '{tenant}' AND entity_type = 'chat' AND entity_id = '{chat}' AND superseded_revision IS NULL"
    );
    let mut app = crate::postgres::connect(&database.urls.app).await;
    let writes = format!(
        "BEGIN; SET LOCAL app.organization_id = '{tenant}';
         UPDATE organization_revisions SET revision = revision + 1 WHERE organization_id = '{tenant}';
         CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT revision FROM organization_revisions WHERE organization_id = '{tenant}';
         UPDATE embeddings SET superseded_revision = taken.revision FROM taken WHERE {line};
         UPDATE embedding_versions SET superseded_revision = taken.revision FROM taken WHERE {line};
         INSERT INTO embedding_versions (organization_id, id, entity_type, entity_id, source_field, model_version, version, revision,
                                         content_hash, attributes_hash, chunk_count)
         SELECT '{tenant}', gen_random_uuid(), 'chat', '{chat}', 'content', 'legacy-1536', 3, revision, sha256(''), sha256(''), 1 FROM taken;
         INSERT INTO embeddings (organization_id, id, entity_type, entity_id, source_field, chunk_index, model_version, version,
                                 vector_data, content, occurred_at, revision)
         SELECT '{tenant}', gen_random_uuid(), 'chat', '{chat}', 'content', 0, 'legacy-1536', 3, '[1,1,2]', 'x', now(), revision FROM taken;
         INSERT INTO embedding_changes (organization_id, revision, entity_type, entity_id, source_field, model_version, version, kind)
         SELECT '{tenant}', revision, 'chat', '{chat}', 'content', 'legacy-1536', 3, 'put' FROM taken; COMMIT"
    );
    run(&mut app, &writes).await.unwrap();
    assert_eq!(current(database, chat).await, "3 [1,1,2]", "it is no version of old code's");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_reads_and_writes_vectors_of_chats_as_arrays() {
    chats(Vectors::Floats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_reads_and_writes_vectors_of_chats_by_pgvector() {
    chats(Vectors::Pgvector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_writes_vectors_of_ideas_hashtags_and_posts() {
    let database = cut_over().await;
    let (idea, hashtag, post) = (id(IDEAS, 1), id(HASHTAGS, 1), id(POSTS, 1));
    let mut dashboard = database.session("dashboard").await;
    run(&mut dashboard, &format!("UPDATE content_ideas SET embedding = '{{2,1,2}}' WHERE id = '{idea}'"))
        .await
        .unwrap();
    assert!(current(&database, &idea).await.ends_with("[2,1,2]"));
    run(&mut dashboard, &format!("UPDATE hashtags SET embedding = '[2,2,1]' WHERE id = '{hashtag}'")).await.unwrap();
    let each = current(&database, &hashtag).await;
    assert!(each.matches("[2,2,1]").count() >= 2, "a hashtag is one of each organization: {each}");
    // What cannot be a vector of this model keeps its row, and is listed.
    run(&mut dashboard, &format!("UPDATE content_ideas SET embedding = '{{NaN,1,1}}' WHERE id = '{idea}'"))
        .await
        .unwrap();
    assert_eq!(current(&database, &idea).await, "");
    let listed =
        format!("SELECT reason FROM kindred_migration.quarantine WHERE source_id = '{idea}' AND part = 'embedding'");
    assert_eq!(database.value::<String>(&listed).await, "its vector holds NaN");
    run(&mut dashboard, &format!("UPDATE content_ideas SET embedding = '{{1,1,1}}' WHERE id = '{idea}'"))
        .await
        .unwrap();
    assert_eq!(database.values::<String>(&listed).await, Vec::<String>::new());
    assert_ne!(current(&database, &post).await, "");
    run(&mut dashboard, &format!("UPDATE posts SET embedding = NULL WHERE id = '{post}'")).await.unwrap();
    assert_eq!(current(&database, &post).await, "", "no vector is a tombstone");
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    let back = format!(
        "SELECT concat_ws('|', (SELECT embedding::text FROM posts WHERE id = '{post}'), (SELECT embedding::text FROM content_ideas WHERE id = '{idea}'),
                (SELECT embedding::text FROM hashtags WHERE id = '{hashtag}'))"
    );
    assert_eq!(one::<String>(&mut dashboard, &back).await.unwrap(), "{1,1,1}|[2,2,1]");
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_code_reads_and_writes_suggestions_of_the_older_shape() {
    let database = cut_over().await;
    let mut dashboard = database.session("dashboard").await;
    let insert = format!(
        "INSERT INTO ai_suggestions (user_id, suggestion_type, context_type, suggestion_text) VALUES ('{ADA}', 'engagement', 'post', 'ask') RETURNING id::text"
    );
    let made: String = one(&mut dashboard, &insert).await.unwrap();
    let shown = |id: &str| {
        format!(
            "SELECT concat_ws('|', suggestion_type, status, context_type, user_feedback, is_accepted) FROM ai_suggestions WHERE id = '{id}'"
        )
    };
    assert_eq!(one::<String>(&mut dashboard, &shown(&made)).await.unwrap(), "optimization|pending|post");
    run(
        &mut dashboard,
        &format!("UPDATE ai_suggestions SET status = 'modified', user_feedback = 'gut' WHERE id = '{made}'"),
    )
    .await
    .unwrap();
    assert_eq!(one::<String>(&mut dashboard, &shown(&made)).await.unwrap(), "optimization|modified|post|gut|t");
    let carried = id(8, 1);
    database
        .owner(&format!("UPDATE ai_suggestions SET is_accepted = false, is_dismissed = true WHERE id = '{carried}'"))
        .await;
    assert_eq!(one::<String>(&mut dashboard, &shown(&carried)).await.unwrap(), "optimization|rejected|gut|f");
    let wrong = run(&mut dashboard, &format!("UPDATE ai_suggestions SET status = 'done' WHERE id = '{made}'")).await;
    assert!(wrong.unwrap_err().to_string().contains("pending, accepted, rejected or modified, not done"));
    database.verified().await;
    migrate::take_back(&database.urls.owner).await.unwrap();
    let old = |id: &str| {
        format!(
            "SELECT concat_ws('|', suggestion_type, status, context_type, user_feedback) FROM ai_suggestions WHERE id = '{id}'"
        )
    };
    assert_eq!(one::<String>(&mut dashboard, &old(&made)).await.unwrap(), "engagement|modified|post|gut");
    assert_eq!(one::<String>(&mut dashboard, &old(&carried)).await.unwrap(), "timing|rejected|gut");
    database.back_in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_finalize_old_columns_are_gone_and_the_sweep_closes_what_was_deleted() {
    let database = cut_over().await;
    let (post, chat) = (id(POSTS, 1), id(CHATS, 1));
    migrate::finalize(&database.urls.owner, false).await.unwrap();
    let left = "SELECT count(*) FROM pg_attribute WHERE attrelid IN ('chat_messages'::regclass, 'content_ideas'::regclass, 'hashtags'::regclass)
                AND attname = 'embedding' AND NOT attisdropped";
    assert_eq!(database.value::<i64>(left).await, 0);
    let owner = Store::connect(DatabaseSettings::new(&database.urls.owner)).await.unwrap();
    let all = "SELECT count(*) FROM embeddings WHERE superseded_revision IS NULL";
    let before: i64 = database.value(all).await;
    assert_eq!(close_orphans(&owner).await.unwrap(), 0);
    // The same entity under another model ends, too; another organization's stays.
    database.owner(&format!(
        "INSERT INTO embedding_models (id, provider, name, dimensions, normalized, max_input_tokens) VALUES ('other', 'local', 'other', 3, true, 100);
         INSERT INTO embedding_versions SELECT (v).* FROM (SELECT jsonb_populate_record(v, '{{\"model_version\": \"other\", \"id\": \"{BOB}\"}}') AS v
             FROM embedding_versions v WHERE entity_id = '{post}') c;
         INSERT INTO embeddings SELECT (e).* FROM (SELECT jsonb_populate_record(e, '{{\"model_version\": \"other\", \"id\": \"{BOB}\"}}') AS e
             FROM embeddings e WHERE entity_id = '{post}') c;
         DELETE FROM posts_core WHERE id = '{post}'; DELETE FROM chat_messages WHERE id = '{chat}'"
    )).await;
    assert_eq!(close_orphans(&owner).await.unwrap(), 3);
    assert_eq!((current(&database, &post).await, current(&database, &chat).await), (String::new(), String::new()));
    assert_eq!(database.value::<i64>(all).await, before - 2);
    let told = format!(
        "SELECT string_agg(c.model_version || ' ' || c.version || ' ' || c.kind, ', ' ORDER BY c.model_version) FROM embedding_changes c
         JOIN organization_revisions r USING (organization_id, revision) WHERE c.entity_id = '{post}'"
    );
    assert_eq!(database.value::<String>(&told).await, "legacy-1536 2 removed, other 2 removed");
    assert_eq!(close_orphans(&owner).await.unwrap(), 0);
    database.verified().await;
}
