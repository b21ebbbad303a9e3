//! A hundred thousand posts by the command line, killed again and again, while their application writes.

use std::process::Stdio;
use std::time::Duration;

use kindred::migrate::{self, Outcome, OwnerOptions};
use tokio::process::{Child, Command};

use super::fixtures::{Database, Legacy, one, options};
use super::rows::ADA;

/// The awkward rows of the other tests and these: unicode, nulls, addresses twice, nobody's posts, wrong statuses, NaN.
const MANY: &str = "
    INSERT INTO posts (id, user_id, title, content, media_urls, media_type, platforms, status, tags, likes, metadata, embedding)
    SELECT md5('post ' || n)::uuid,
           CASE WHEN n % 1000 <> 0 THEN md5('user ' || n % 300)::uuid END,
           CASE WHEN n % 7 <> 0 THEN 'Titel Ä ' || n || ' 😀' END,
           repeat('Inhalt ' || n || E' \\n', 1 + n % 5),
           CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '{}'::text[] WHEN 2 THEN ARRAY['https://x/' || n || '.jpg', '']
               ELSE ARRAY['https://x/a.mp4?n=' || n, 'https://x/a.mp4?n=' || n] END,
           (ARRAY['image', 'video', 'text', 'carousel', NULL])[1 + n % 5],
           CASE WHEN n % 3 <> 0 THEN ARRAY['instagram', 'tiktok'] END,
           CASE WHEN n % 5000 = 1 THEN 'weird' ELSE 'draft' END,
           CASE WHEN n % 11 <> 0 THEN ARRAY['kaffee', 'tag ' || n % 50] END,
           CASE WHEN n % 13 <> 0 THEN n % 900 END,
           CASE n % 17 WHEN 0 THEN '[1, 2]'::jsonb WHEN 1 THEN NULL ELSE jsonb_build_object('n', n) END,
           CASE n % 20 WHEN 0 THEN ARRAY['NaN', 1, 1]::float8[] WHEN 1 THEN '{1}' WHEN 2 THEN '{}' WHEN 3 THEN ARRAY[n, 1, 2]::float8[] END
    FROM generate_series(1, 100000) n;";

/// All rows of the legacy posts as one digest, wherever they lie.
const DIGEST: &str = "SELECT md5(string_agg(md5(to_jsonb(t)::text), '' ORDER BY id)) FROM public.posts t";

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_posts_survive_ten_kills_the_way_back_and_a_second_beginning() {
    let database =
        Legacy::only(&["user_profiles", "posts"]).posts(super::fixtures::Vectors::Floats).and(MANY).create().await;
    let place = tempfile::tempdir().unwrap();
    let mut killed = 0;
    for round in 0..10 {
        let mut up = start_up(&database, place.path());
        // Long enough to be anywhere between the first table and deep in the backfill.
        tokio::time::sleep(Duration::from_millis(rand::random_range(300..4_000))).await;
        killed += usize::from(up.try_wait().unwrap().is_none());
        up.kill().await.unwrap();
        write_on(&database, round).await;
    }
    assert!(killed > 0, "every run had ended before it was killed");
    let ended = start_up(&database, place.path()).wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let dumps = std::fs::read_dir(place.path()).unwrap().map(|dump| dump.unwrap().metadata().unwrap().len());
    assert!(dumps.max().is_some_and(|bytes| bytes > 1 << 20), "pg_dump took a backup first");
    database.verified().await;
    for round in 0..10 {
        let carried = format!(
            "SELECT count(*) FROM posts_core p JOIN posts_content c ON c.organization_id = p.organization_id AND c.post_id = p.id
             WHERE p.title = 'written after kill {round}' AND c.content = 'changed'"
        );
        assert_eq!(database.value::<i64>(&carried).await, 1, "what was written after kill {round}");
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM posts_core WHERE title LIKE 'deleted %'").await, 0);
    let carried: i64 = database.value("SELECT count(*) FROM posts_core").await;
    let refused: i64 = database
        .value("SELECT count(*) FROM kindred_migration.quarantine WHERE source = 'posts' AND part = 'row'")
        .await;
    assert_eq!(carried + refused, database.value::<i64>("SELECT count(*) FROM public.posts").await);
    assert!(refused >= 120, "{refused}");

    let mut superuser = database.superuser().await;
    let rows: String = one(&mut superuser, DIGEST).await.unwrap();
    migrate::restore_legacy(&database.urls.owner).await.unwrap();
    assert_eq!(one::<String>(&mut superuser, DIGEST).await.unwrap(), rows);
    let again = OwnerOptions { batch_rows: 2_000, ..options() };
    assert!(matches!(database.carry_with(&again).await, Outcome::InStep { .. }));
    database.verified().await;
}

/// `kindred migrate up`, with a backup by pg_dump the first time.
fn start_up(database: &Database, place: &std::path::Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kindred"));
    command.args(["migrate", "up", "--legacy-dimensions", "3", "--backup-folder"]).arg(place);
    command.env("KINDRED_OWNER_DATABASE_URL", &database.urls.owner).env("DATABASE_URL", &database.urls.app);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// One post that stays, changed, and one that does not.
async fn write_on(database: &Database, round: usize) {
    database
        .old_code(&format!(
            "INSERT INTO posts (user_id, title, content) VALUES ('{ADA}', 'written after kill {round}', 'x'), ('{ADA}', 'deleted {round}', 'x');
             UPDATE posts SET content = 'changed' WHERE title = 'written after kill {round}';
             DELETE FROM posts WHERE title = 'deleted {round}'"
        ))
        .await;
}
