//! Files in: JSON lines and Parquet.

mod files;
mod indexes;
mod resuming;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kindred::domain::OrganizationId;
use kindred::runtime::{Application, Mode};
use kindred::tenancy::Caller;
use kindred::transfer::{Import, ImportError, ImportSettings, Report, Standing};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::embedder::{WordEmbedder, words};
use crate::harness::config;
use crate::postgres::{self, Urls};

/// What `kindred import` has: everything but mirror and maintenance.
struct Command {
    urls: Urls,
    application: Application,
    folder: TempDir,
    settings: ImportSettings,
}

impl Command {
    async fn new() -> Self {
        Self::on(postgres::database().await).await
    }

    async fn on(urls: Urls) -> Self {
        let embedder = Arc::new(WordEmbedder::new());
        let application = Application::start_with(&config(&urls), Mode::Command, vec![embedder]).await.unwrap();
        let settings = ImportSettings { index_lease: std::time::Duration::from_secs(2), ..ImportSettings::default() };
        Self { urls, application, folder: tempfile::tempdir().unwrap(), settings }
    }

    async fn organization(&self, slug: &str) -> OrganizationId {
        let administrator = self.application.administrator().unwrap();
        administrator.create_organization(slug, slug, &self.application.default_model).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of JSON lines.
    fn lines(&self, name: &str, lines: impl IntoIterator<Item = Value>) -> PathBuf {
        let path = self.path(name);
        let lines: Vec<String> = lines.into_iter().map(|line| line.to_string()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    fn import(organization: OrganizationId, files: &[&Path]) -> Import {
        let files = files.iter().map(|path| path.to_path_buf()).collect();
        Import { caller: Caller::operator(organization), model: None, files }
    }

    async fn run(&self, organization: OrganizationId, files: &[&Path]) -> Result<Report, ImportError> {
        self.run_until(organization, files, &CancellationToken::new(), |_| false).await.unwrap()
    }

    /// Imports, and breaks off without a word where `enough` says so of where it stands.
    async fn run_until(
        &self,
        organization: OrganizationId,
        files: &[&Path],
        stop: &CancellationToken,
        enough: impl Fn(&Standing) -> bool,
    ) -> Option<Result<Report, ImportError>> {
        let importer = self.application.importer(self.settings).unwrap();
        let import = Self::import(organization, files);
        let (standing, mut watched) = watch::channel(Standing::default());
        let running = importer.run(&import, &standing, stop);
        tokio::select! {
            done = running => Some(done),
            Ok(_) = watched.wait_for(enough) => None,
        }
    }

    /// One number out of the database.
    async fn count(&self, sql: &str) -> i64 {
        let mut connection = postgres::connect(&self.urls.owner).await;
        let count = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

/// A line with a ready vector.
fn ready(number: u128, text: &str) -> Value {
    json!({ "entity_type": "post", "entity_id": id(number), "text": text, "vector": words(text).as_slice() })
}
