//! What a migration will do, told before anything is touched.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::MigrateError;
use super::connection::connect;
use super::legacy::{self, LEGACY_TABLES, Origin};

/// One legacy table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTable {
    /// The step that takes it over, 1 to 4.
    pub step: i32,
    /// Its name in `public`.
    pub name: String,
    /// Rows, counted.
    pub rows: i64,
    /// Bytes on disk, with indexes.
    pub bytes: i64,
    /// What happens to it.
    pub action: String,
}

/// Something to know before, or to settle first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Whether nothing can begin before it is settled.
    pub blocks: bool,
    /// What it is, and what to do.
    pub reason: String,
}

/// What a migration will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the database is.
    pub origin: Origin,
    /// Every legacy table that is there.
    pub tables: Vec<PlannedTable>,
    /// Bytes that the new tables and their indexes will take, estimated.
    pub bytes_needed: i64,
    /// What is in the way, and what is worth knowing.
    pub obstacles: Vec<Obstacle>,
}

/// Looks at a database and changes nothing.
pub async fn plan(owner_url: &str) -> Result<Plan, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let plan = of_database(&mut connection).await?;
    connection.close().await?;
    Ok(plan)
}

/// The same on an open connection.
pub(super) async fn of_database(connection: &mut PgConnection) -> Result<Plan, MigrateError> {
    let origin = legacy::origin(connection).await?;
    let mut plan = Plan { origin, tables: Vec::new(), bytes_needed: 0, obstacles: Vec::new() };
    if origin != Origin::Legacy {
        return Ok(plan);
    }
    for (name, step, action) in LEGACY_TABLES {
        let size: Option<i64> = sqlx::query_scalar(
            "SELECT pg_total_relation_size(c.oid) FROM pg_class c
             WHERE c.oid = to_regclass('public.' || $1) AND c.relkind IN ('r', 'p')",
        )
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(bytes) = size else { continue };
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM public.{name}")))
            .fetch_one(&mut *connection)
            .await?;
        // A snapshot of measurements becomes a row a metric; all else keeps about its size.
        let growth = if name.ends_with("_analytics") { 8 } else { 2 };
        plan.bytes_needed += bytes * growth;
        plan.tables.push(PlannedTable { step, name: name.to_owned(), rows, bytes, action: action.to_owned() });
    }
    for (blocks, query) in OBSTACLES {
        let rows = sqlx::query(query)
            .bind(LEGACY_TABLES.map(|(name, ..)| name).as_slice())
            .bind(NEW_TABLES.as_slice())
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            plan.obstacles.push(Obstacle { blocks, reason: row.try_get("reason")? });
        }
    }
    Ok(plan)
}

/// Names that the new schema takes in `public` at the cut-over and that no legacy table is known to have.
const NEW_TABLES: [&str; 22] = [
    "organizations",
    "organization_slugs",
    "organization_members",
    "posts_core",
    "posts_content",
    "post_media_links",
    "post_insights",
    "time_series_metrics",
    "time_series_metrics_archive",
    "archive_parts",
    "embedding_models",
    "organization_models",
    "embedding_versions",
    "embeddings",
    "ai_context_logs",
    "ai_prompts",
    "instagram_reels",
    "api_keys",
    "organization_revisions",
    "embedding_changes",
    "duty_leases",
    "posts_unified",
];

/// Each finds reasons; `$1` are the legacy tables, `$2` the new names. Whether it blocks stands before it.
const OBSTACLES: [(bool, &str); 10] = [
    (
        true,
        "SELECT format('public.%s already exists and is no legacy table: rename it, the new schema takes this name', relname) AS reason
         FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($2) AND cardinality($1::text[]) > 0 ORDER BY relname",
    ),
    (
        true,
        "SELECT format('%s is owned by %s, whose rights kindred_owner does not have: run kindred migrate bootstrap as a superuser',
                       relname, relowner::regrole) AS reason
         FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1) AND relkind IN ('r', 'p')
           AND NOT pg_has_role(current_user, relowner, 'USAGE') AND cardinality($2::text[]) > 0 ORDER BY relname",
    ),
    (
        true,
        "SELECT format('%s has no primary key `id` of type uuid: add one, rows are carried by it', relname) AS reason
         FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relname = ANY ($1) AND relname NOT IN ('post_hashtags', 'social_accounts', 'ai_feedback', 'user_profiles')
           AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                           WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnatts = 1 AND a.attname = 'id'
                             AND a.atttypid = 'uuid'::regtype) AND cardinality($2::text[]) > 0 ORDER BY relname",
    ),
    (
        true,
        "SELECT format('everybody may read %s (it is granted to PUBLIC and has no row level security), so its successor would be readable by everybody: revoke it first', relname) AS reason
         FROM pg_class c CROSS JOIN LATERAL aclexplode(relacl) acl
         WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1) AND NOT relrowsecurity AND acl.grantee = 0
           AND cardinality($2::text[]) > 0 GROUP BY relname ORDER BY relname",
    ),
    (
        false,
        "SELECT DISTINCT format('the view %s reads %s: it goes on reading the legacy table, which is kept in step until finalize; move it to the new tables before', v.oid::regclass, c.relname) AS reason
         FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
         JOIN pg_class c ON c.oid = d.refobjid
         WHERE d.classid = 'pg_rewrite'::regclass AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1) AND v.oid <> c.oid
           AND cardinality($2::text[]) > 0 ORDER BY reason",
    ),
    (
        false,
        "SELECT format('the trigger %s on %s stays with the legacy table: after the cut-over it fires for what is carried back, not on the new table', tgname, c.relname) AS reason
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
           AND tgname NOT LIKE 'kindred\\_%' AND cardinality($2::text[]) > 0 ORDER BY reason",
    ),
    (
        false,
        "SELECT format('the policy %s on %s stays with the legacy table; the new tables have policies by organization', polname, c.relname) AS reason
         FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1) AND cardinality($2::text[]) > 0 ORDER BY reason",
    ),
    (
        false,
        "SELECT format(CASE c.relname WHEN 'posts' THEN 'the foreign key %s of %s will lead to posts_core'
                       WHEN 'hashtags' THEN 'the foreign key %s of %s leads to hashtags, of which there will be one for each organization: it leads to the legacy table until finalize, which drops it'
                       ELSE 'the foreign key %s of %s will lead to the new %3$s' END, k.conname, k.conrelid::regclass, c.relname) AS reason
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid
         WHERE k.contype = 'f' AND c.relnamespace = 'public'::regnamespace
           AND c.relname IN ('posts', 'media_files', 'chat_messages', 'content_ideas', 'hashtags', 'ai_suggestions')
           AND NOT EXISTS (SELECT FROM pg_class o WHERE o.oid = k.conrelid AND o.relnamespace = 'public'::regnamespace
                           AND o.relname IN ('posts', 'media_files', 'chat_messages', 'content_ideas', 'hashtags', 'ai_suggestions'))
           AND cardinality($1::text[]) > 0 AND cardinality($2::text[]) > 0 ORDER BY reason",
    ),
    (
        false,
        "SELECT 'ai_suggestions.suggestion_type says content_idea for content and optimization for timing and engagement after the cut-over: old code may write the old words, and reads the new ones' AS reason
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = 'ai_suggestions'
           AND cardinality($1::text[]) > 0 AND cardinality($2::text[]) > 0",
    ),
    (
        false,
        "SELECT format('the publication %s publishes %s: add the new tables to it after the cut-over', p.pubname, c.relname) AS reason
         FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1) AND cardinality($2::text[]) > 0 ORDER BY reason",
    ),
];
