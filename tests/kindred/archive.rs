//! Months that leave the database, and come back.

mod faults;
mod months;
mod restoring;
mod scheduling;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kindred::archive::{ArchiveError, Archives, MonthlyTable, Outcome, Target};
use kindred::domain::Month;
use kindred::store::{Database, DatabaseSettings};
use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;

use crate::postgres;

const ACME: &str = "00000000-0000-0000-0000-0000000000a1";
const BETA: &str = "00000000-0000-0000-0000-0000000000b2";

/// A migrated database and an empty directory as its object store.
struct Archived {
    owner: PgConnection,
    database: Database,
    archives: Archives,
    directory: TempDir,
}

impl Archived {
    async fn new() -> Self {
        let urls = postgres::database().await;
        let database = Database::connect(DatabaseSettings::new(&urls.owner)).await.unwrap();
        Self {
            owner: postgres::connect(&urls.owner).await,
            archives: Archives::new(database.clone()),
            database,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn target(&self) -> Target {
        format!("file://{}", self.directory.path().display()).parse().unwrap()
    }

    async fn run(&mut self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.owner).await.unwrap();
    }

    async fn one<T>(&mut self, query: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut self.owner).await.unwrap()
    }

    /// Every row of a month to its last digit, in order.
    async fn rows(&mut self, table: MonthlyTable, month: &str) -> Vec<String> {
        let moment = if table == MonthlyTable::Metrics { "recorded_at" } else { "created_at" };
        let select = format!(
            "SELECT t::text FROM {table} t WHERE {moment} >= '{month}-01 00:00+00'::timestamptz
             AND {moment} < '{month}-01 00:00+00'::timestamptz + interval '1 month' ORDER BY 1"
        );
        sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&mut self.owner).await.unwrap()
    }

    /// A metric of two organizations for each of some times.
    async fn measure(&mut self, name: &str, times: &[&str]) {
        for (number, time) in times.iter().enumerate() {
            self.run(&format!(
                "INSERT INTO time_series_metrics
                     (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
                 SELECT o, gen_random_uuid(), 'post', o, '{name}', {number}, '{time}'
                 FROM unnest(ARRAY['{ACME}', '{BETA}']::uuid[]) o"
            ))
            .await;
        }
    }

    async fn archive(&self, table: MonthlyTable, restored: bool) -> Result<Outcome, ArchiveError> {
        self.archives.archive((table, month("2024-01")), &self.target(), restored, Utc::now()).await
    }

    /// Files of the store by their endings.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        files(self.directory.path(), ending)
    }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
