//! Two organizations, a row of each in every tenant table: nobody sees or touches the other's, by whatever name.

use kindred::catalog::{self, Catalog, Column, Table};
use kindred::migrate;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::sync::OnceCell;

use super::fixtures::{Database, Legacy, copy_of, one, run};
use super::rows::{ADA, BOB};
use crate::postgres;

const OURS: &str = "00000000-0000-4000-8000-0000000000aa";
const THEIRS: &str = "00000000-0000-4000-8000-0000000000bb";
/// Of shared prompt templates.
const SYSTEM: &str = "00000000-0000-0000-0000-000000000001";

/// Ada is a member of ours, Bob of theirs.
async fn two_organizations() -> (Database, Catalog) {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let database = copy_of(&TEMPLATE, fill_both).await;
    let catalog = catalog::read(&database.urls.owner).await.unwrap();
    (database, catalog)
}

async fn fill_both() -> Database {
    let database = Legacy::only(&[]).supabase().create().await;
    migrate::up(&database.urls.owner).await.unwrap();
    let catalog = catalog::read(&database.urls.owner).await.unwrap();
    let shared = format!(
        "INSERT INTO organizations (id, name, slug) VALUES ('{OURS}', 'Ours', 'ours'), ('{THEIRS}', 'Theirs', 'theirs');
         INSERT INTO embedding_models (id, provider, name, dimensions, normalized, max_input_tokens) VALUES ('post', 'x', 'x', 3, true, 1);
         INSERT INTO organization_members (organization_id, user_id, role) VALUES ('{OURS}', '{ADA}', 'owner'), ('{THEIRS}', '{BOB}', 'owner');
         INSERT INTO ai_prompts (organization_id, id, name, prompt_type, template) VALUES ('{SYSTEM}', '{SYSTEM}', 'x', 'analysis', 'x')"
    );
    database.owner(&shared).await;
    for organization in [OURS, THEIRS] {
        fill(&database, &catalog, organization).await;
    }
    database
}

fn tenant_tables(catalog: &Catalog) -> impl Iterator<Item = &Table> {
    catalog.tables.iter().filter(|table| {
        table.name != "organization_slugs" && table.columns.iter().any(|column| column.name == "organization_id")
    })
}

/// A row in every tenant table that has none yet. All ids are the organization's own, so that every foreign key holds.
async fn fill(database: &Database, catalog: &Catalog, organization: &str) {
    let mut owner = postgres::connect(&database.urls.owner).await;
    let mut missing: Vec<&Table> = tenant_tables(catalog).collect();
    // Parents before children, whatever their order is.
    for _ in 0..5 {
        let mut waiting = Vec::new();
        for table in missing {
            if run(&mut owner, &insert(table, organization)).await.is_err() {
                waiting.push(table);
            }
        }
        missing = waiting;
    }
    if let Some(table) = missing.first() {
        let error = run(&mut owner, &insert(table, organization)).await.unwrap_err();
        panic!("{}: {error}\n{}", table.name, insert(table, organization));
    }
}

fn insert(table: &Table, organization: &str) -> String {
    let needed: Vec<&Column> = table.columns.iter().filter(|column| !column.nullable && !column.has_default).collect();
    let names: Vec<&str> = needed.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = needed.iter().map(|column| value(column, organization)).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", table.name, names.join(", "), values.join(", "))
}

fn value(column: &Column, organization: &str) -> String {
    if let Some(literal) = column.literals.first() {
        return format!("'{literal}'");
    }
    match column.data_type.name.as_str() {
        _ if column.data_type.array => "'{}'".to_owned(),
        "uuid" => format!("'{organization}'"),
        "text" => "'post'".to_owned(),
        "bytea" => "sha256('x')".to_owned(),
        "vector" => "'[1,0,0]'".to_owned(),
        "timestamptz" => "date_trunc('day', now())".to_owned(),
        "jsonb" => "'[]'".to_owned(),
        "bool" => "true".to_owned(),
        _ => "1".to_owned(),
    }
}

/// Tables, views and partitions, with the column that names the tenant.
async fn names(database: &Database) -> Vec<(String, String)> {
    let mut owner = postgres::connect(&database.urls.owner).await;
    let query = "SELECT c.relname::text, CASE c.relname WHEN 'organizations' THEN 'id' ELSE 'organization_id' END FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'organization_slugs'
          AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                      AND a.attname = CASE c.relname WHEN 'organizations' THEN 'id' ELSE 'organization_id' END) ORDER BY 1";
    let rows = sqlx::query(query).fetch_all(&mut owner).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// How many of our rows somebody sees in each; fails where a foreign one is seen.
async fn sees(connection: &mut PgConnection, names: &[(String, String)], who: &str) -> Vec<(String, i64)> {
    let mut seen = Vec::new();
    for (name, tenant) in names {
        let count = format!(
            "SELECT count(*) FILTER (WHERE {tenant} = '{OURS}'), count(*) FILTER (WHERE {tenant} NOT IN ('{OURS}', '{SYSTEM}')) FROM {name}"
        );
        match sqlx::query(AssertSqlSafe(count)).fetch_one(&mut *connection).await {
            Ok(row) => {
                // The feed reads every organization's revision: ids and numbers only.
                let foreign: i64 = row.get(1);
                assert!(
                    foreign == 0 || (name == "organization_revisions" && who.starts_with("app")),
                    "{who} sees {name}"
                );
                seen.push((name.clone(), row.get(0)));
            }
            Err(error) => assert!(error.to_string().contains("permission denied"), "{who} {name}: {error}"),
        }
    }
    seen
}

fn seen<'a>(found: &'a [(String, i64)], name: &str) -> Option<&'a i64> {
    found.iter().find(|(found, _)| found == name).map(|(_, count)| count)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_another_organizations_rows_by_any_name() {
    let (database, catalog) = two_organizations().await;
    let names = names(&database).await;
    assert!(names.len() > 35, "tables, views and partitions: {names:?}");
    let mut app = postgres::connect(&database.urls.app).await;
    let mut reader = database.session("kindred_reader").await;
    for (who, connection) in [("app", &mut app), ("reader", &mut reader)] {
        let without = sees(connection, &names, who).await;
        assert!(
            without.iter().all(|(name, count)| *count == 0 || name == "organization_revisions"),
            "{who} {without:?}"
        );
        run(connection, &format!("SET app.organization_id = '{OURS}'")).await.unwrap();
        let with = sees(connection, &names, who).await;
        for table in tenant_tables(&catalog)
            .filter(|table| !["api_keys", "embedding_changes", "organization_revisions"].contains(&table.name.as_str()))
        {
            assert!(seen(&with, &table.name) >= Some(&1), "{who} {}", table.name);
        }
        for view in ["posts_unified", "top_performing_posts", "analytics_dashboard", "latest_post_insights"] {
            assert_eq!(seen(&with, view), Some(&1), "{who} {view}");
        }
        assert!(
            with.iter().all(|(name, _)| !name.contains("_default") && !name.contains("_y20")),
            "partitions are not read directly"
        );
    }
    let mut ada = database.person(ADA).await;
    let own = sees(&mut ada, &names, "Ada").await;
    for name in [
        "organizations",
        "organization_members",
        "posts_core",
        "embeddings",
        "time_series_metrics",
        "ai_context_logs",
        "posts_unified",
    ] {
        assert!(seen(&own, name) >= Some(&1), "Ada {name}");
    }
    assert!(seen(&own, "api_keys").is_none(), "digests are for the service alone");
    let nobody = sees(&mut database.person("00000000-0000-0000-0000-0000000000ff").await, &names, "nobody").await;
    assert!(nobody.iter().all(|(_, count)| *count == 0), "{nobody:?}");
    let anonymous = sees(&mut database.session("anon").await, &names, "anon").await;
    assert!(anonymous.is_empty(), "{anonymous:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_another_organizations_rows() {
    let (database, catalog) = two_organizations().await;
    let mut app = postgres::connect(&database.urls.app).await;
    run(&mut app, &format!("SET app.organization_id = '{OURS}'")).await.unwrap();
    let mut ada = database.person(ADA).await;
    for (who, connection) in [("app", &mut app), ("Ada", &mut ada)] {
        for table in tenant_tables(&catalog) {
            let name = &table.name;
            for write in [
                insert(table, THEIRS),
                format!("UPDATE {name} SET organization_id = '{THEIRS}' WHERE organization_id = '{OURS}'"),
            ] {
                let error = run(connection, &write).await.expect_err(&format!("{who}: {write}")).to_string();
                assert!(
                    error.contains("row-level security") || error.contains("permission denied"),
                    "{who}: {write}\n{error}"
                );
            }
            for write in [format!("DELETE FROM {name}"), format!("UPDATE {name} SET organization_id = organization_id")]
            {
                run(connection, "BEGIN").await.unwrap();
                let touched = format!(
                    "WITH touched AS ({write} RETURNING organization_id) SELECT count(*) FROM touched WHERE organization_id <> '{OURS}'"
                );
                match one::<i64>(connection, &touched).await {
                    Ok(count) => assert_eq!(count, 0, "{who}: {write}"),
                    Err(error) => assert!(
                        error.to_string().contains("permission denied") || error.to_string().contains("foreign key"),
                        "{who}: {write}\n{error}"
                    ),
                }
                run(connection, "ROLLBACK").await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_tell_nothing_of_another_organization() {
    let (database, _) = two_organizations().await;
    let alike = format!(
        "INSERT INTO embeddings (organization_id, id, entity_type, entity_id, source_field, chunk_index, model_version, version, vector_data, revision)
         SELECT o, gen_random_uuid(), 'post', gen_random_uuid(), 'post', 0, 'post', 1, '[1,0,0]', 1 FROM unnest('{{{OURS},{THEIRS}}}'::uuid[]) o"
    );
    database.owner(&alike).await;
    let asked = |organization: &str, person: &str| {
        [
            (format!("SELECT count(*) FROM find_similar_content('post', '{organization}')"), 1),
            (format!("SELECT count(*) FROM get_metrics_aggregated('post', '{organization}', 'post')"), 1),
            (format!("SELECT user_has_org_permission('{person}', '{organization}', 'owner')::int::bigint"), 1),
        ]
    };
    let mut app = postgres::connect(&database.urls.app).await;
    run(&mut app, &format!("SET app.organization_id = '{OURS}'")).await.unwrap();
    for (query, count) in asked(OURS, ADA) {
        assert_eq!(one::<i64>(&mut app, &query).await.unwrap(), count, "{query}");
    }
    for (query, _) in asked(THEIRS, BOB) {
        assert_eq!(one::<i64>(&mut app, &query).await.unwrap(), 0, "{query}");
    }
    let mut ada = database.person(ADA).await;
    for (query, count) in asked(OURS, ADA) {
        assert_eq!(one::<i64>(&mut ada, &query).await.unwrap(), count, "{query}");
    }
    for (query, _) in asked(THEIRS, BOB).iter().take(2) {
        assert_eq!(one::<i64>(&mut ada, query).await.unwrap(), 0, "{query}");
    }
    for forbidden in [
        "SELECT archive_old_metrics()",
        "SELECT finalize_migration_cleanup()",
        "SELECT * FROM verify_migration_integrity()",
    ] {
        assert!(run(&mut app, forbidden).await.is_err(), "{forbidden}");
        assert!(run(&mut ada, forbidden).await.is_err(), "{forbidden}");
    }
}

const ROLES: [&str; 5] = ["viewer", "member", "editor", "admin", "owner"];
const STATUSES: [&str; 4] = ["active", "inactive", "pending", "suspended"];

/// Whatever somebody's memberships are: active ones let them read, and write from editor on.
#[test]
fn any_memberships_show_their_organizations_and_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (database, _) = runtime.block_on(two_organizations());
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let membership = proptest::option::of((0..ROLES.len(), 0..STATUSES.len()));
    runner
        .run(&(membership.clone(), membership), |(ours, theirs)| {
            runtime.block_on(one_case(&database, &[(OURS, ours), (THEIRS, theirs)]));
            Ok(())
        })
        .unwrap();
}

async fn one_case(database: &Database, memberships: &[(&str, Option<(usize, usize)>)]) {
    let person = "00000000-0000-0000-0000-0000000000e1";
    let mut session = database.superuser().await;
    let mut setup = format!("BEGIN; DELETE FROM organization_members WHERE user_id = '{person}';");
    for (organization, membership) in memberships {
        if let Some((role, status)) = membership {
            setup.push_str(&format!(
                "INSERT INTO organization_members (organization_id, user_id, role, status) VALUES ('{organization}', '{person}', '{}', '{}');",
                ROLES[*role], STATUSES[*status]
            ));
        }
    }
    run(&mut session, &format!("{setup} SET LOCAL ROLE authenticated; SET LOCAL request.jwt.claim.sub = '{person}'"))
        .await
        .unwrap();
    for (organization, membership) in memberships {
        let active = membership.filter(|(_, status)| STATUSES[*status] == "active").map(|(role, _)| role);
        for (query, expected) in [
            (format!("SELECT count(*) FROM posts_core WHERE organization_id = '{organization}'"), active.is_some()),
            (format!("SELECT count(*) FROM posts_unified WHERE organization_id = '{organization}'"), active.is_some()),
            (
                format!(
                    "WITH w AS (UPDATE posts_core SET title = 'x' WHERE organization_id = '{organization}' RETURNING 1) SELECT count(*) FROM w"
                ),
                active >= Some(2),
            ),
            (
                format!(
                    "WITH w AS (UPDATE ai_suggestions SET is_accepted = true WHERE organization_id = '{organization}' RETURNING 1) SELECT count(*) FROM w"
                ),
                active >= Some(1),
            ),
            (
                format!(
                    "WITH w AS (UPDATE organizations SET name = 'x' WHERE id = '{organization}' RETURNING 1) SELECT count(*) FROM w"
                ),
                active >= Some(3),
            ),
        ] {
            assert_eq!(one::<i64>(&mut session, &query).await.unwrap(), i64::from(expected), "{membership:?}: {query}");
        }
        for (rank, role) in ROLES.iter().enumerate() {
            let permitted = format!("SELECT user_has_org_permission('{person}', '{organization}', '{role}')");
            assert_eq!(
                one::<bool>(&mut session, &permitted).await.unwrap(),
                active.is_some_and(|held| held >= rank),
                "{membership:?} {role}"
            );
        }
    }
    run(&mut session, "ROLLBACK").await.unwrap();
}
