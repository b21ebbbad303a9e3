//! Whether a database is a legacy one, and what is installed beside its tables to carry them over.

use sqlx::{Connection, PgConnection, Row};

use super::connection::{briefly, connect};
use super::{MigrateError, OwnerOptions};

/// The tables that a legacy database may have, by the step that takes them over.
pub(super) const LEGACY_TABLES: [(&str, i32, &str); 17] = [
    ("user_profiles", 1, "adopted in place"),
    (
        "posts",
        1,
        "carried to posts_core, posts_content, media_files, post_media_links, post_insights; becomes a view of them",
    ),
    ("media_files", 1, "carried to the new media_files, which takes its name"),
    ("chat_messages", 1, "carried to the new chat_messages, which takes its name"),
    ("content_ideas", 1, "carried to the new content_ideas, which takes its name"),
    ("hashtags", 1, "carried to the new hashtags, one row for each organization that uses it"),
    ("post_hashtags", 1, "read for the hashtags of posts; kept"),
    ("post_analytics", 2, "carried to time_series_metrics and post_insights; kept until finalize"),
    ("hashtag_analytics", 2, "carried to time_series_metrics; kept until finalize"),
    ("interactions", 2, "kept; its vectors are adopted"),
    ("user_embeddings", 2, "its history is carried to embeddings; kept until finalize"),
    ("ai_suggestions", 3, "carried to the new ai_suggestions, which takes its name"),
    ("content_generations", 3, "carried to ai_suggestions; kept until finalize"),
    ("ai_feedback", 3, "kept as it is"),
    ("instagramreelsscraper", 4, "merged into instagram_reels; kept until finalize"),
    ("instagramreelscraper", 4, "merged into instagram_reels; kept until finalize"),
    ("social_accounts", 4, "kept as it is: it holds tokens, which are never read"),
];

const FILES: [&str; 13] = [
    include_str!("../../migrations/legacy/shapes.sql"),
    include_str!("../../migrations/legacy/engine.sql"),
    include_str!("../../migrations/legacy/organizations.sql"),
    include_str!("../../migrations/legacy/01_posts.sql"),
    include_str!("../../migrations/legacy/02_metrics.sql"),
    include_str!("../../migrations/legacy/02_embeddings.sql"),
    include_str!("../../migrations/legacy/03_context.sql"),
    include_str!("../../migrations/legacy/04_reels.sql"),
    include_str!("../../migrations/legacy/keys.sql"),
    include_str!("../../migrations/legacy/old_columns.sql"),
    include_str!("../../migrations/legacy/cut_over.sql"),
    include_str!("../../migrations/legacy/posts_view.sql"),
    include_str!("../../migrations/legacy/trust.sql"),
];
const BOOKKEEPING: &str = include_str!("../../migrations/legacy/bookkeeping.sql");

/// What a database is to a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing of a legacy application is there.
    Fresh,
    /// Legacy tables are there, and nothing was done to them yet.
    Legacy,
    /// A legacy database is being carried over.
    UnderWay,
    /// A legacy database was carried over for good.
    Finalized,
}

/// Looks which one a database is.
pub async fn origin_of(owner_url: &str) -> Result<Origin, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let origin = origin(&mut connection).await?;
    connection.close().await?;
    Ok(origin)
}

/// The same on an open connection.
pub(super) async fn origin(connection: &mut PgConnection) -> Result<Origin, MigrateError> {
    let row = sqlx::query(
        "SELECT to_regclass('kindred_migration.settings') IS NOT NULL AS begun,
                to_regclass('public.posts_core') IS NOT NULL AS ours,
                EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('public') AND relkind IN ('r', 'p')
                        AND relname = ANY ($1)) AS theirs",
    )
    .bind(LEGACY_TABLES.map(|(name, ..)| name).as_slice())
    .fetch_one(&mut *connection)
    .await?;
    if row.try_get("begun")? {
        let finalized: bool = sqlx::query_scalar("SELECT finalized_at IS NOT NULL FROM kindred_migration.settings")
            .fetch_one(connection)
            .await?;
        return Ok(if finalized { Origin::Finalized } else { Origin::UnderWay });
    }
    let (ours, theirs): (bool, bool) = (row.try_get("ours")?, row.try_get("theirs")?);
    Ok(if theirs && !ours { Origin::Legacy } else { Origin::Fresh })
}

/// Makes the place where the new tables grow.
pub(super) async fn make_room(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let sql = "CREATE SCHEMA IF NOT EXISTS kindred; GRANT USAGE ON SCHEMA kindred TO kindred_app, kindred_reader";
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

/// Installs what carries rows over, and lets it follow the legacy tables' writers. Safe to run again.
pub(super) async fn install(connection: &mut PgConnection, options: &OwnerOptions) -> Result<(), MigrateError> {
    briefly(connection, BOOKKEEPING).await?;
    choose_model(connection, options).await?;
    for file in FILES {
        briefly(connection, file).await?;
    }
    let rest = "SELECT kindred_migration.make_posts_view_helpers();
                SELECT kindred_migration.make_keys_possible();
                SELECT kindred_migration.keep_old_columns_of(source) FROM unnest('{chat_messages,content_ideas,hashtags,media_files,ai_suggestions}'::text[]) source;
                SELECT kindred_migration.make_switching_view();";
    briefly(connection, rest).await?;
    place_users(connection, options).await?;
    let sources: Vec<String> = sqlx::query_scalar(
        "SELECT source FROM kindred_migration.sources WHERE relation IS NOT NULL ORDER BY step, position",
    )
    .fetch_all(&mut *connection)
    .await?;
    // A transaction for each table: its writers wait for no longer than one short attempt.
    for source in sources {
        briefly(connection, &format!("SELECT kindred_migration.follow_writers('{source}')")).await?;
    }
    briefly(connection, "SELECT kindred_migration.follow_link_writers()").await?;
    let expanded = "INSERT INTO kindred_migration.phases SELECT step, 'expanded' FROM generate_series(1, 4) step ON CONFLICT DO NOTHING";
    sqlx::raw_sql(expanded).execute(connection).await?;
    Ok(())
}

/// The model under which legacy vectors are adopted. Chosen once: vectors of two models never meet.
async fn choose_model(connection: &mut PgConnection, options: &OwnerOptions) -> Result<(), MigrateError> {
    let chosen: Option<String> = sqlx::query_scalar(
        "SELECT model_version FROM kindred_migration.settings
         WHERE EXISTS (SELECT FROM embedding_models m WHERE m.id = model_version AND m.dimensions = settings.dimensions)
           AND EXISTS (SELECT FROM kindred_migration.phases)",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(chosen) = chosen {
        if chosen != options.legacy_model.as_str() {
            return Err(MigrateError::OtherModel { chosen, asked: options.legacy_model.to_string() });
        }
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO embedding_models (id, provider, name, dimensions, normalized, max_input_tokens)
         VALUES ($1, 'legacy', $1, $2, false, 8191) ON CONFLICT (id) DO NOTHING",
    )
    .bind(options.legacy_model.as_str())
    .bind(options.legacy_dimensions)
    .execute(&mut *connection)
    .await?;
    let dimensions: i32 = sqlx::query_scalar("SELECT dimensions FROM embedding_models WHERE id = $1")
        .bind(options.legacy_model.as_str())
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("UPDATE kindred_migration.settings SET model_version = $1, dimensions = $2")
        .bind(options.legacy_model.as_str())
        .bind(dimensions)
        .execute(connection)
        .await?;
    Ok(())
}

/// The operator's mapping, and the organization of rows without a user.
async fn place_users(connection: &mut PgConnection, options: &OwnerOptions) -> Result<(), MigrateError> {
    for place in &options.users {
        sqlx::query("SELECT kindred_migration.map_user($1, $2, $3)")
            .bind(place.user)
            .bind(&place.organization)
            .bind(&place.role)
            .execute(&mut *connection)
            .await?;
    }
    let Some(slug) = &options.default_organization else { return Ok(()) };
    sqlx::query(
        "UPDATE kindred_migration.settings SET default_organization = kindred_migration.named_organization($1)",
    )
    .bind(slug)
    .execute(connection)
    .await?;
    Ok(())
}
