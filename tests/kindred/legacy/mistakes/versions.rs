//! Mistakes 9 to 14: versions, search, partitions.

use super::super::fixtures::{in_step, one, run};
use super::super::rows::{ADA, POSTS, id};
use crate::postgres;

const TENANT: &str = "00000000-0000-4000-8000-0000000000aa";

/// An organization with a model of three components, on a fresh database.
async fn fresh() -> (postgres::Urls, sqlx::PgConnection) {
    let urls = postgres::database().await;
    let mut owner = postgres::connect(&urls.owner).await;
    let tenant = format!(
        "INSERT INTO organizations (id, name, slug) VALUES ('{TENANT}', 'Acme', 'acme');
         INSERT INTO organization_revisions VALUES ('{TENANT}');
         INSERT INTO embedding_models (id, provider, name, dimensions, normalized, max_input_tokens)
         VALUES ('small', 'x', 'small', 3, true, 1), ('other', 'x', 'other', 3, true, 1), ('wide', 'x', 'wide', 5, true, 1);
         INSERT INTO organization_models (organization_id, model_version, status, calibrated_threshold)
         VALUES ('{TENANT}', 'small', 'active', 0.7), ('{TENANT}', 'wide', 'shadow', 0.4)"
    );
    run(&mut owner, &tenant).await.unwrap();
    (urls, owner)
}

/// SQL that writes a current vector.
fn vector(entity: u32, field: &str, chunk: u32, model: &str, components: &str) -> String {
    format!(
        "INSERT INTO embeddings (organization_id, id, entity_type, entity_id, source_field, chunk_index, model_version, version, vector_data, revision)
         VALUES ('{TENANT}', gen_random_uuid(), 'post', '{}', '{field}', {chunk}, '{model}', 1, '[{components}]', 1)",
        id(POSTS, entity)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_09_history_is_kept_widths_are_free_and_a_deleted_post_takes_its_vector_along() {
    let database = in_step().await;
    let history = format!(
        "SELECT string_agg(concat(v.version, ' ', e.content, CASE WHEN v.superseded_revision IS NULL THEN ' current' END), ', ' ORDER BY v.version)
         FROM embedding_versions v JOIN embeddings e USING (organization_id, entity_type, entity_id, source_field, version)
         WHERE v.entity_id = '{ADA}' AND v.source_field = 'brand_voice'"
    );
    assert_eq!(
        database.value::<String>(&history).await,
        "1 v1, 2 v2, 3 v3, 4 v2 current",
        "the second was the active one"
    );
    let current =
        format!("SELECT count(*) FROM embeddings WHERE entity_id = '{}' AND superseded_revision IS NULL", id(POSTS, 2));
    assert_eq!(database.value::<i64>(&current).await, 1);
    database.old_code(&format!("DELETE FROM posts WHERE id = '{}'", id(POSTS, 2))).await;
    assert_eq!(database.value::<i64>(&current).await, 0);
    let tombstone = format!(
        "SELECT deleted FROM embedding_versions WHERE entity_id = '{}' AND superseded_revision IS NULL",
        id(POSTS, 2)
    );
    assert!(database.value::<bool>(&tombstone).await);
    let (_, mut owner) = fresh().await;
    run(&mut owner, &vector(1, "content", 0, "small", "1,0,0")).await.unwrap();
    run(&mut owner, &vector(1, "content", 0, "wide", "1,0,0,0,0")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_10_similarity_is_served_by_an_index_and_never_mixes_models() {
    let (_, mut owner) = fresh().await;
    let many = format!(
        "INSERT INTO embeddings (organization_id, id, entity_type, entity_id, source_field, chunk_index, model_version, version, vector_data, revision, settled)
         SELECT '{TENANT}', gen_random_uuid(), 'post', md5('e' || n)::uuid, 'content', 0, 'small', 1,
                array[cos(n * 0.001), sin(n * 0.001), 0.01]::real[]::vector, 1, true FROM generate_series(1, 3000) n;
         CREATE INDEX small_index ON embeddings USING hnsw ((vector_data::vector(3)) vector_cosine_ops)
             WHERE model_version = 'small' AND superseded_revision IS NULL AND settled;
         ANALYZE embeddings"
    );
    run(&mut owner, &many).await.unwrap();
    run(&mut owner, &vector(1, "content", 0, "small", "0,0,1")).await.unwrap();
    // The same direction in another model, and the same entity twice, in another field and chunk.
    run(&mut owner, &vector(2, "content", 0, "other", "0,0,1")).await.unwrap();
    run(&mut owner, &vector(3, "content", 0, "small", "0,0.01,1")).await.unwrap();
    run(&mut owner, &vector(3, "caption", 1, "small", "0,0.02,1")).await.unwrap();
    let found = format!(
        "SELECT string_agg(entity_id::text || ' ' || source_field, ',') FROM find_similar_content('post', '{}', 0.9, 10)",
        id(POSTS, 1)
    );
    assert_eq!(one::<String>(&mut owner, &found).await.unwrap(), format!("{} content", id(POSTS, 3)));
    let near = "SELECT count(*) FROM find_similar_content('post', md5('e7')::uuid, 0.5, 10)";
    assert_eq!(one::<i64>(&mut owner, near).await.unwrap(), 10);
    run(&mut owner, "SELECT pg_stat_force_next_flush()").await.unwrap();
    let scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'small_index'";
    assert!(one::<i64>(&mut owner, scans).await.unwrap() >= 2, "both calls used it");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_11_each_model_has_a_threshold_of_its_own() {
    let (_, mut owner) = fresh().await;
    let thresholds = "SELECT string_agg(model_version || ' ' || calibrated_threshold, ', ' ORDER BY model_version) FROM organization_models";
    assert_eq!(one::<String>(&mut owner, thresholds).await.unwrap(), "small 0.7, wide 0.4");
    run(&mut owner, &vector(1, "content", 0, "small", "1,0,0")).await.unwrap();
    run(&mut owner, &vector(2, "content", 0, "small", "1,1,0")).await.unwrap();
    for (threshold, count) in [("", 0), (", 0.8", 0), (", 0.7", 1)] {
        let found = format!("SELECT count(*) FROM find_similar_content('post', '{}'{threshold})", id(POSTS, 1));
        assert_eq!(one::<i64>(&mut owner, &found).await.unwrap(), count, "{threshold}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_12_months_ahead_and_a_default_are_partitions_of_a_partitioned_table() {
    let (_, mut owner) = fresh().await;
    let kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'time_series_metrics'::regclass";
    assert!(one::<bool>(&mut owner, kind).await.unwrap());
    for (time, lies) in [
        ("now()", "month"),
        ("now() + interval '3 months'", "month"),
        ("now() + interval '3 years'", "default"),
        ("'1999-01-01'::timestamptz", "default"),
    ] {
        let insert = format!(
            "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
             VALUES ('{TENANT}', gen_random_uuid(), 'post', gen_random_uuid(), 'likes', 1, date_trunc('month', {time}))
             RETURNING CASE WHEN tableoid::regclass::text LIKE '%_default' THEN 'default' ELSE 'month' END"
        );
        assert_eq!(one::<String>(&mut owner, &insert).await.unwrap(), lies, "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_13_no_column_of_a_unique_key_is_nullable() {
    let (_, mut owner) = fresh().await;
    let nullable = "SELECT count(*) FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
        WHERE k.contype IN ('u', 'p') AND k.connamespace = 'public'::regnamespace AND NOT a.attnotnull
          AND (k.conrelid::regclass::text, a.attname) <> ('user_profiles', 'email')";
    assert_eq!(one::<i64>(&mut owner, nullable).await.unwrap(), 0);
    let point = format!(
        "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
         VALUES ('{TENANT}', gen_random_uuid(), 'post', '{TENANT}', 'likes', 1, '2026-01-01')"
    );
    run(&mut owner, &point).await.unwrap();
    assert!(run(&mut owner, &point).await.unwrap_err().to_string().contains("duplicate key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistake_14_archiving_moves_old_months_whole() {
    let (_, mut owner) = fresh().await;
    let insert = format!(
        "INSERT INTO time_series_metrics (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
         SELECT '{TENANT}', gen_random_uuid(), 'post', '{TENANT}', 'likes', n, date_trunc('month', now()) - make_interval(months => n)
         FROM generate_series(0, 40) n; SELECT ensure_month_partitions()"
    );
    run(&mut owner, &insert).await.unwrap();
    let live = "SELECT count(*) FROM time_series_metrics";
    let archive = "SELECT count(*) FROM time_series_metrics_archive";
    let moved: i32 = one(&mut owner, "SELECT archive_old_metrics()").await.unwrap();
    assert_eq!(moved, 16);
    assert_eq!(
        one::<i32>(&mut owner, "SELECT archive_old_metrics()").await.unwrap(),
        0,
        "again, nothing is left to move"
    );
    assert_eq!((one::<i64>(&mut owner, live).await.unwrap(), one::<i64>(&mut owner, archive).await.unwrap()), (25, 16));
    let months = format!("SELECT count(*) FROM get_metrics_aggregated('post', '{TENANT}', 'likes', 'month')");
    assert_eq!(one::<i64>(&mut owner, &months).await.unwrap(), 41, "what is archived is still read");
}
