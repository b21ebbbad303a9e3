//! The checked queries in `.sqlx` are those of the present schema.

use std::fs;

use serde_json::Value;
use sqlx::{Column, Executor, SqlSafeStr, Statement, TypeInfo};

use crate::postgres;

/// Prepares every kept query on a migrated database, and compares columns and types.
#[tokio::test(flavor = "multi_thread")]
async fn every_kept_query_is_what_the_schema_says() {
    let urls = postgres::database().await;
    let mut connection = postgres::connect(&urls.owner).await;
    let mut count = 0;
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap() {
        let kept: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let query = kept["query"].as_str().unwrap();
        let statement = (&mut connection)
            .prepare(sqlx::AssertSqlSafe(query.to_owned()).into_sql_str())
            .await
            .unwrap_or_else(|error| panic!("{error}: {query}"));
        let columns: Vec<(String, String)> = statement
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_info().name().to_lowercase()))
            .collect();
        let expected: Vec<String> = kept["describe"]["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected, "{query}");
        count += 1;
    }
    assert!(count > 30, "{count} queries are kept");
}
