//! Migrations: up, down, up again; and databases that are not this program's.

use kindred::migrate::{self, MigrateError};
use sqlx::Row;

use crate::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn up_down_and_up_again_leave_the_same_schema() {
    let urls = postgres::empty_database().await;
    let before = migrate::schema_state(&urls.owner).await.unwrap();
    assert_eq!((before.applied, before.known), (0, 5));
    let first = migrate::up(&urls.owner).await.unwrap();
    assert_eq!(first.applied, first.known);
    let shape = shape(&urls.owner).await;
    assert_eq!(migrate::up(&urls.owner).await.unwrap(), first, "a second run changes nothing");
    for target in [4, 2, 0] {
        assert_eq!(migrate::down(&urls.owner, target).await.unwrap().applied, target);
    }
    assert_eq!(self::shape(&urls.owner).await.len(), 0, "nothing is left");
    migrate::up(&urls.owner).await.unwrap();
    assert_eq!(self::shape(&urls.owner).await, shape);
}

/// Every column, constraint, index, policy and grant.
async fn shape(url: &str) -> Vec<String> {
    let mut connection = postgres::connect(url).await;
    let rows = sqlx::query(
        "SELECT format('%s.%s %s', table_name, column_name, data_type) AS line FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'
         UNION ALL SELECT pg_get_constraintdef(oid) || ' ' || conname FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> '_sqlx_migrations'
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'
         UNION ALL SELECT format('%s %s %s', tablename, policyname, qual) FROM pg_policies
         ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    rows.iter().map(|row| row.get("line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn older_newer_and_rewritten_schemas_are_refused() {
    let urls = postgres::empty_database().await;
    migrate::up(&urls.owner).await.unwrap();
    migrate::check_service_role(&urls.app).await.unwrap();

    let mut owner = postgres::connect(&urls.owner).await;
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                  VALUES (99, 'from the future', true, '', 0)";
    sqlx::raw_sql(insert).execute(&mut owner).await.unwrap();
    let newer = migrate::check_service_role(&urls.app).await.unwrap_err();
    assert!(matches!(newer, MigrateError::Newer { found: 99, known: 5 }), "{newer}");
    assert!(matches!(migrate::up(&urls.owner).await, Err(MigrateError::Newer { found: 99, .. })));

    sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version = 99").execute(&mut owner).await.unwrap();
    sqlx::raw_sql("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 2").execute(&mut owner).await.unwrap();
    let rewritten = migrate::check_service_role(&urls.app).await.unwrap_err();
    assert!(matches!(rewritten, MigrateError::Rewritten(2)), "{rewritten}");

    let empty = postgres::empty_database().await;
    let older = migrate::check_service_role(&empty.app).await.unwrap_err();
    assert!(older.to_string().contains("kindred migrate up"), "{older}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_short_and_every_tenant_key_begins_with_the_organization() {
    let urls = postgres::database().await;
    let mut owner = postgres::connect(&urls.owner).await;
    let rows = sqlx::query(
        "SELECT conname AS name, contype::text AS kind, conrelid::regclass::text AS table_name, pg_get_constraintdef(oid) AS rule
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u')
           AND conrelid::regclass::text <> '_sqlx_migrations'
           AND NOT (SELECT relispartition FROM pg_class WHERE pg_class.oid = conrelid)",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let global = [
        "organizations",
        "organization_slugs",
        "user_profiles",
        "embedding_models",
        "instagram_reels",
        "duty_leases",
        "archive_parts",
        "organization_revisions",
    ];
    for row in rows {
        let (name, table, rule): (String, String, String) = (row.get("name"), row.get("table_name"), row.get("rule"));
        assert!(name.len() <= 50, "{name}");
        assert!(
            global.contains(&table.as_str()) || rule.contains("(organization_id,"),
            "{table}: {name} {rule} does not begin with organization_id"
        );
    }
}
