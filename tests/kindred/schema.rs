//! Migrations: up, down, up again; and databases that are not this program's.

use kindred::migrate::{self, MigrateError};
use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::postgres;

/// The migrations of releases, with the SHA-256 of each file: databases of users have run them as they are.
const RELEASED: [(&str, &str); 10] = [
    ("01_posts_normalization.down.sql", "f2ddfa203bbb39553c65b9f4c2a466c630f018d490c6ccf30c0966e4e61a1459"),
    ("01_posts_normalization.up.sql", "0cf59da98b7749de764501cb7d341069322ba8e6a0102ccc0b9f256bc7ef9b19"),
    ("02_unified_metrics_embeddings.down.sql", "dbbd5be8199d94d3e793c9efd1d191ca6343f28e9c39a6613d74fa5cbf4a5dc3"),
    ("02_unified_metrics_embeddings.up.sql", "6ea0e0be9dff19fb465b68a4636c6df78d703da6685b92c2e5a20a25ac4582a1"),
    ("03_organizations_ai_context.down.sql", "55aefa54bae25610c5b24e189d5f16059cb203d518aeaac035befd241e1882a9"),
    ("03_organizations_ai_context.up.sql", "ca842b1fcd29ff7b6debcf04112cb68e3b08925ce86500766e1693e5a6683954"),
    ("04_cleanup_consolidation.down.sql", "7b35f68a6586c885194d0812e74e88c3d41a85b787d0e950dbd6e942b7743eb6"),
    ("04_cleanup_consolidation.up.sql", "4ec8e96ce4085535d8801c27939348b413c4b09bb14445064f0272c65b02b073"),
    ("05_service.down.sql", "275339a04c976ea92a0fb71f46381d3ec851b7789827cd1f8272e04a2e4919c2"),
    ("05_service.up.sql", "1f8a53a9b3395450efd3e84ae54637abc0629e54b8af58a0e56401486b8894d5"),
];

#[test]
fn released_migrations_are_never_changed() {
    for (name, digest) in RELEASED {
        let text = std::fs::read(format!("{}/migrations/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let found: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{name} was released: write a new migration instead");
    }
}

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
