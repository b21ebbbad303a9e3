//! Mistakes 15 to 21: who sees and may do what.

use kindred::migrate;
use sqlx::Row;
use tokio::sync::OnceCell;

use super::super::fixtures::{Database, Legacy, copy_of, cut_over, in_step, one, run};
use super::super::rows::{ADA, BOB, CLEO};

/// A fresh Supabase project with one organization: Ada owns it, Bob is a viewer, Cleo is suspended.
async fn project() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    copy_of(&TEMPLATE, make_project).await
}

async fn make_project() -> Database {
    let database = Legacy::only(&[]).supabase().create().await;
    migrate::up(&database.urls.owner).await.unwrap();
    let rows = format!(
        "INSERT INTO organizations (id, name, slug) VALUES ('{ACME}', 'Acme', 'acme'), ('{OTHER}', 'Other', 'other');
         INSERT INTO organization_members (organization_id, user_id, role, status)
         VALUES ('{ACME}', '{ADA}', 'owner', 'active'), ('{ACME}', '{BOB}', 'viewer', 'active'), ('{ACME}', '{CLEO}', 'admin', 'suspended');
         INSERT INTO posts_core (organization_id, id, title) VALUES ('{ACME}', '{ACME}', 'ours'), ('{OTHER}', '{OTHER}', 'theirs');
         INSERT INTO ai_suggestions (organization_id, id, suggestion_type, suggestion_text) VALUES ('{ACME}', '{ACME}', 'caption', 'x');
         INSERT INTO ai_context_logs (organization_id, id, source_type, query, context_summary, items, token_count, token_budget, tokenizer,
             model_version, revision, served_by, created_at) VALUES ('{ACME}', '{ACME}', 'chat', 'q', 's', '[]', 0, 0, 't', 'm', 0, 's', now())"
    );
    database.owner(&rows).await;
    database
}

const ACME: &str = "00000000-0000-4000-8000-0000000000aa";
const OTHER: &str = "00000000-0000-4000-8000-0000000000bb";

#[tokio::test(flavor = "multi_thread")]
async fn mistake_15_the_policy_of_the_members_table_does_not_recurse() {
    let database = project().await;
    let count = "SELECT count(*) FROM organization_members";
    assert_eq!(one::<i64>(&mut database.person(BOB).await, count).await.unwrap(), 3);
    assert_eq!(
        one::<i64>(&mut database.person(CLEO).await, count).await.unwrap(),
        0,
        "a suspended member sees nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_16_no_policy_shows_every_tenants_rows() {
    for database in [project().await, cut_over().await] {
        let open = "SELECT tablename || ' ' || policyname FROM pg_policies
            WHERE schemaname IN ('public', 'kindred') AND (qual = 'true' OR with_check = 'true') AND permissive = 'PERMISSIVE'
              AND policyname <> 'organization_revisions_read' AND roles <> '{dashboard}'";
        assert!(database.values::<String>(open).await.is_empty());
        let unlocked = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
            WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relrowsecurity AND c.relname <> 'organization_slugs'
              AND c.relowner = 'kindred_owner'::regrole";
        assert!(database.values::<String>(unlocked).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_17_every_user_owns_an_organization_of_their_own() {
    let database = in_step().await;
    let owners = "SELECT count(*) || ' ' || count(DISTINCT organization_id) || ' ' || count(DISTINCT user_id) || ' ' || min(role) FROM organization_members";
    assert_eq!(database.value::<String>(owners).await, "3 3 3 owner");
    let names = "SELECT string_agg(name, ', ' ORDER BY lower(name)) FROM organizations JOIN organization_members m ON m.organization_id = id";
    assert_eq!(database.value::<String>(names).await, "Ada Löwe, bob, Personal");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_18_views_are_held_by_the_policies_of_who_reads() {
    for database in [project().await, cut_over().await] {
        let free =
            "SELECT c.relname::text FROM pg_class c WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
            AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)";
        assert!(database.values::<String>(free).await.is_empty());
    }
    // Before the cut-over one view shows both sides, and asks itself who looks.
    let database = in_step().await;
    let readers =
        "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles r WHERE NOT rolsuper AND rolname !~ '^pg_' AND rolname <> 'kindred_owner'
        AND has_table_privilege(r.oid, 'public.posts_unified', 'SELECT')";
    assert_eq!(database.value::<String>(readers).await, "kindred_app kindred_reader");
    let barrier =
        "SELECT 'security_barrier=true' = ANY (reloptions) FROM pg_class WHERE oid = 'public.posts_unified'::regclass";
    assert!(database.value::<bool>(barrier).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_19_definer_functions_have_a_fixed_path_and_are_not_for_everybody() {
    for database in [project().await, in_step().await, cut_over().await] {
        let loose = "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.prosecdef AND n.nspname IN ('public', 'kindred', 'kindred_migration')
              AND (NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')
                   OR p.prorettype <> 'trigger'::regtype AND n.nspname <> 'kindred_migration' AND EXISTS (
                       SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0))";
        assert_eq!(database.values::<String>(loose).await, Vec::<String>::new());
        let entrance = "SELECT count(*) FROM pg_namespace n, pg_roles r WHERE n.nspname = 'kindred_migration'
            AND r.rolname IN ('kindred_app', 'kindred_reader', 'authenticated', 'anon', 'dashboard') AND has_schema_privilege(r.oid, n.oid, 'USAGE')";
        assert_eq!(database.value::<i64>(entrance).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_20_feedback_lands_embeddings_go_and_viewers_view() {
    let database = project().await;
    let mut ada = database.person(ADA).await;
    for feedback in [
        "UPDATE ai_suggestions SET is_accepted = true, feedback_rating = 5 RETURNING feedback_rating::text",
        "UPDATE ai_context_logs SET feedback_score = 4, feedback_type = 'helpful' RETURNING feedback_type",
    ] {
        one::<String>(&mut ada, feedback).await.unwrap();
    }
    let mut app = crate::postgres::connect(&database.urls.app).await;
    for feedback in [
        "UPDATE ai_suggestions SET feedback_rating = 3 RETURNING feedback_rating::text",
        "UPDATE ai_context_logs SET feedback_type = 'excellent' RETURNING feedback_type",
    ] {
        run(&mut app, &format!("BEGIN; SET LOCAL app.organization_id = '{ACME}'")).await.unwrap();
        one::<String>(&mut app, feedback).await.unwrap();
        run(&mut app, "DELETE FROM embeddings").await.unwrap();
        run(&mut app, "COMMIT").await.unwrap();
    }
    let mut bob = database.person(BOB).await;
    assert_eq!(one::<String>(&mut bob, "SELECT title FROM posts_core").await.unwrap(), "ours");
    assert!(
        one::<String>(&mut bob, "UPDATE posts_core SET title = 'changed' RETURNING title").await.is_err(),
        "a viewer changes nothing"
    );
    let organization =
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'embeddings'::regclass AND attname = 'organization_id'";
    assert!(database.value::<bool>(organization).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_21_shared_templates_are_read_by_all_and_never_doubled() {
    let database = project().await;
    let template = "INSERT INTO ai_prompts (organization_id, id, name, prompt_type, template)
        VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'shared', 'analysis', 't')";
    database.owner(template).await;
    let mut owner = crate::postgres::connect(&database.urls.owner).await;
    assert!(run(&mut owner, template).await.unwrap_err().to_string().contains("ai_prompts_name_key"));
    let names = "SELECT name FROM ai_prompts";
    assert_eq!(one::<String>(&mut database.person(BOB).await, names).await.unwrap(), "shared");
    assert!(one::<String>(&mut database.person(CLEO).await, names).await.is_err(), "who is no member reads none");
    let mut app = crate::postgres::connect(&database.urls.app).await;
    assert!(one::<String>(&mut app, names).await.is_err());
    run(&mut app, &format!("SET app.organization_id = '{OTHER}'")).await.unwrap();
    let read = sqlx::query(names).fetch_all(&mut app).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].get::<String, _>(0), "shared");
    assert!(run(&mut app, template).await.is_err(), "and nobody writes them");
}
