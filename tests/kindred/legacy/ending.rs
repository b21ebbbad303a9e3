//! The end of a migration, and runs that were broken off.

use kindred::migrate::{self, MigrateError, Outcome, Progress};

use super::fixtures::{Legacy, cut_over, in_step, one, options, run};
use super::rows::{ADA, POSTS, id};
use crate::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn finalize_refuses_before_the_cut_over() {
    let database = in_step().await;
    let error = migrate::finalize(&database.urls.owner, false).await.unwrap_err();
    assert!(error.to_string().contains("cut-over has not happened"), "{error}");
    assert!(!migrate::carry_state(&database.urls.owner).await.unwrap().unwrap().finalized);
    let fresh = postgres::database().await;
    assert!(matches!(migrate::finalize(&fresh.owner, false).await, Err(MigrateError::NothingUnderWay)));
}

#[tokio::test(flavor = "multi_thread")]
async fn finalize_refuses_while_a_row_differs() {
    let database = cut_over().await;
    let mut superuser = database.superuser().await;
    let behind = format!(
        "SET session_replication_role = replica; UPDATE kindred_legacy.posts SET content = 'altered behind its back' WHERE id = '{}'",
        id(POSTS, 1)
    );
    run(&mut superuser, &behind).await.unwrap();
    let found = migrate::verify(&database.urls.owner, 20).await.unwrap();
    assert!(!found.passed());
    assert!(found.differences.iter().any(|row| row.key.contains(&id(POSTS, 1))), "{found:#?}");
    let error = migrate::finalize(&database.urls.owner, false).await.unwrap_err();
    assert!(error.to_string().contains("verification failed: posts"), "{error}");
    assert!(matches!(migrate::finalize(&database.urls.owner, true).await, Err(MigrateError::Database(_))));
    assert!(database.legacy_rows().await["posts"].len() == 9, "nothing was dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_finalize_old_code_goes_on_and_the_legacy_tables_are_kept() {
    let database = cut_over().await;
    let rows = database.legacy_rows().await;
    let told = migrate::finalize(&database.urls.owner, false).await.unwrap();
    assert!(told.contains("kindred_legacy"), "{told}");
    assert_eq!(database.legacy_rows().await, rows, "the backup is whole");
    let kept = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'kindred_legacy'::regnamespace AND relkind = 'r'";
    assert_eq!(
        database.value::<String>(kept).await,
        "ai_suggestions chat_messages content_generations content_ideas hashtag_analytics hashtags instagramreelscraper \
         instagramreelsscraper media_files post_analytics post_hashtags posts user_embeddings"
    );
    database.verified().await;
    let mut dashboard = database.session("dashboard").await;
    let made: String = one(&mut dashboard, &format!("INSERT INTO posts (user_id, content, media_urls, campaign) VALUES ('{ADA}', 'still', '{{https://x/s.png}}', 'c') RETURNING id::text")).await.unwrap();
    run(&mut dashboard, &format!("UPDATE posts SET title = 'goes on' WHERE id = '{made}'")).await.unwrap();
    let shown =
        format!("SELECT concat_ws('|', title, content, media_urls, campaign, status) FROM posts WHERE id = '{made}'");
    assert_eq!(one::<String>(&mut dashboard, &shown).await.unwrap(), "goes on|still|{https://x/s.png}|c|draft");
    run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{made}'")).await.unwrap();
    run(&mut dashboard, &format!("DELETE FROM posts WHERE id = '{}'", id(POSTS, 1))).await.unwrap();
    assert_eq!(database.legacy_rows().await, rows, "what is deleted stays in the backup");
    assert!(matches!(migrate::take_back(&database.urls.owner).await, Err(MigrateError::Finalized)));
    assert_eq!(database.carry().await, Outcome::Finalized);
    migrate::finalize(&database.urls.owner, true).await.unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'kindred%'").await, 0);
    database.verified().await;
    posts_without_the_backup(&database).await;
}

/// Without the bookkeeping, too, the view of posts serves.
async fn posts_without_the_backup(database: &super::fixtures::Database) {
    let mut dashboard = database.session("dashboard").await;
    run(&mut dashboard, &format!("INSERT INTO posts (user_id, content) VALUES ('{ADA}', 'without a backup')"))
        .await
        .unwrap();
    run(&mut dashboard, "UPDATE posts SET content = 'changed' WHERE content = 'without a backup'").await.unwrap();
    run(&mut dashboard, "DELETE FROM posts WHERE content = 'changed'").await.unwrap();
    assert_eq!(database.carry().await, Outcome::Fresh);
    database.verified().await;
}

/// A run may end anywhere: dropped by its caller, or its backend killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_broken_off_anywhere_is_finished_by_the_next() {
    let database = Legacy::new().create().await;
    let rows = database.legacy_rows().await;
    let mut moments: Vec<usize> = (0..8).map(|n| n * 4).collect();
    moments.extend([1, 2]);
    for (round, moment) in moments.into_iter().enumerate() {
        broken_off(&database, moment, round % 2 == 0).await;
        // Writers go on in between, whatever is half done.
        database.old_code(&format!("UPDATE posts SET title = 'round {round}' WHERE id = '{}'", id(POSTS, 5))).await;
    }
    assert!(matches!(database.carry().await, Outcome::InStep { .. }));
    database.verified().await;
    assert_eq!(
        database.value::<String>(&format!("SELECT title FROM posts_core WHERE id = '{}'", id(POSTS, 5))).await,
        "round 9"
    );
    database.cut_over().await;
    database.verified().await;
    assert_eq!(database.legacy_rows().await["chat_messages"], rows["chat_messages"]);
}

/// Ends a run after so many words of progress: its backend is killed, or it is dropped where it stands.
async fn broken_off(database: &super::fixtures::Database, moment: usize, kill: bool) {
    let (sender, mut reached) = tokio::sync::mpsc::unbounded_channel();
    let mut words = 0;
    let options = options();
    let mut progress = |_: Progress| {
        words += 1;
        if words > moment {
            let _ = sender.send(());
        }
    };
    let run_up = migrate::carry_over(&database.urls.owner, &options, &mut progress);
    let mut superuser = database.superuser().await;
    tokio::select! {
        biased;
        _ = reached.recv() => {}
        ended = run_up => {
            ended.unwrap();
            return;
        }
    }
    let kill = if kill { "pg_terminate_backend(pid)" } else { "pid IS NOT NULL" };
    let end = format!(
        "SELECT count({kill}) FROM pg_stat_activity WHERE application_name = 'kindred migrate' AND datname = current_database()"
    );
    one::<i64>(&mut superuser, &end).await.unwrap();
    // The next run starts when the server has noticed.
    let gone = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while one::<i64>(&mut superuser, gone).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
}
