//! Everything wired together, without a port: what `serve` serves, and what commands use.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::embedders::{embedder, register};
use super::write_threads::{BusyShare, WriteThreads};
use super::{Config, Databases, StartError};
use crate::access::Gate;
use crate::admin::Administrator;
use crate::archive::Archives;
use crate::context::{Journal, Retriever, Tokenizer};
use crate::domain::ModelId;
use crate::embed::{Embedder, Embedders};
use crate::embedded::PostgresError;
use crate::grpc::Services;
use crate::index::{self, IndexReader};
use crate::ingest::{IngestSettings, Ingestor, WriteTasks};
use crate::maintenance::{MaintenanceSettings, MonthsSettings, MonthsTask, Scheduler};
use crate::mirror::{AuditSettings, Auditor, Mirror, MirrorSettings, Snapshots};
use crate::search::{SearchSettings, Searcher};
use crate::store::{Database, ModelCatalog};
use crate::transfer::{ImportSettings, Importer};
use crate::versions::VersionKeeper;

/// Bytes of query embeddings that are kept.
const QUERY_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// How long an organization's models and a credential's verdict are kept.
const VERDICTS_HOLD: Duration = Duration::from_secs(10);
/// Between two looks at the partitions of months.
const MONTHS_INTERVAL: Duration = Duration::from_secs(3_600);
/// Beyond the drain: what background tasks may take to end.
const BACKGROUND_END: Duration = Duration::from_secs(10);

/// What an application is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Long: with mirror and maintenance.
    Service,
    /// One command: everything is answered from Postgres.
    Command,
}

/// Everything wired together.
pub struct Application {
    /// What is served.
    pub services: Services,
    /// The model that is active in new organizations.
    pub default_model: ModelId,
    databases: Databases,
    index: IndexReader,
    /// What must end before the background may: streams and batches.
    serving: TaskTracker,
    stop_serving: CancellationToken,
    background: TaskTracker,
    stop_background: CancellationToken,
    /// Of the private Postgres, which ends last.
    supervision: TaskTracker,
    /// Tasks of writing, and connections that they opened, need them until the end.
    _write_threads: WriteThreads,
}

impl Application {
    /// Builds everything: database, model, index and services. In [`Mode::Service`], mirror and maintenance run.
    pub async fn start(config: &Config, mode: Mode) -> Result<Self, StartError> {
        let supervision = TaskTracker::new();
        let databases = Databases::open(config, &supervision).await?;
        let embedder = match embedder(config).await {
            Ok(embedder) => embedder,
            Err(error) => return Err(given_up(databases, error).await),
        };
        Self::assemble(config, mode, databases, vec![embedder], supervision).await
    }

    /// The same with embedders of the caller's; the first one's model is the default.
    pub async fn start_with(
        config: &Config,
        mode: Mode,
        embedders: Vec<Arc<dyn Embedder>>,
    ) -> Result<Self, StartError> {
        let supervision = TaskTracker::new();
        let databases = Databases::open(config, &supervision).await?;
        Self::assemble(config, mode, databases, embedders, supervision).await
    }

    async fn assemble(
        config: &Config,
        mode: Mode,
        databases: Databases,
        embedders: Vec<Arc<dyn Embedder>>,
        supervision: TaskTracker,
    ) -> Result<Self, StartError> {
        for embedder in &embedders {
            if let Err(error) = register(&databases.app, embedder.model()).await {
                return Err(given_up(databases, error).await);
            }
        }
        let default_model = embedders.first().map(|first| first.model().id.clone());
        let default_model =
            default_model.ok_or_else(|| StartError::Settings(vec!["no embedder is configured".to_owned()]))?;
        let write_threads = match WriteThreads::start() {
            Ok(threads) => threads,
            Err(error) => return Err(given_up(databases, StartError::Threads(error)).await),
        };
        let (serving, background) = (TaskTracker::new(), TaskTracker::new());
        let (stop_serving, stop_background) = (CancellationToken::new(), CancellationToken::new());
        let (writer, index) = index::open(config.index);
        let services = services(
            config,
            &databases.app,
            Embedders::new(embedders, QUERY_CACHE_BYTES),
            &index,
            (&serving, &write_threads),
            &stop_serving,
        );
        if mode == Mode::Service {
            let settings = MirrorSettings { interval: config.mirror_interval, ..MirrorSettings::default() };
            let mirror = Mirror::new(
                databases.app.clone(),
                (writer, index.clone()),
                settings,
                snapshots(config, &databases.app).await,
                background.clone(),
                stop_background.clone(),
            );
            background.spawn_on(mirror.run(), write_threads.handle());
            if let Some(interval) = config.audit_interval {
                let settings = AuditSettings { interval, ..AuditSettings::default() };
                let (tasks, stop) = (background.clone(), stop_background.clone());
                background.spawn(Auditor::new(databases.app.clone(), index.clone(), settings, tasks, stop).run());
            }
            let (threads, stop) = (write_threads.handle().clone(), stop_background.clone());
            background.spawn(measure(databases.app.clone(), threads, stop));
            match &databases.owner {
                Some(owner) => {
                    let settings = MaintenanceSettings::default();
                    let holder = Uuid::now_v7();
                    let scheduler = Scheduler::new(owner.clone(), settings, holder, stop_background.clone());
                    background.spawn(scheduler.run());
                    let settings = MonthsSettings { interval: MONTHS_INTERVAL, policy: config.archive.clone() };
                    let months =
                        MonthsTask::new(Archives::new(owner.clone()), settings, holder, stop_background.clone());
                    background.spawn(months.run());
                }
                None => tracing::warn!(
                    "KINDRED_OWNER_DATABASE_URL is not set: this replica does no maintenance, so new rows stay outside \
                     the model's HNSW index until another one does"
                ),
            }
            // The vocabulary takes some hundred milliseconds to read: not in somebody's first request.
            serving.spawn_blocking(|| Tokenizer::default().count("prewarmed"));
        }
        Ok(Self {
            services,
            default_model,
            databases,
            index,
            serving,
            stop_serving,
            background,
            stop_background,
            supervision,
            _write_threads: write_threads,
        })
    }

    /// What needs the owner's rights.
    pub fn administrator(&self) -> Result<Administrator, StartError> {
        Ok(Administrator::new(self.owner()?.clone()))
    }

    /// What imports files. Needs the owner's rights.
    pub fn importer(&self, settings: ImportSettings) -> Result<Importer, StartError> {
        let catalog = ModelCatalog::new(self.databases.app.clone(), VERDICTS_HOLD);
        Ok(Importer::new(self.owner()?.clone(), catalog, self.services.ingestor.clone(), settings))
    }

    /// The database with the owner's rights.
    pub fn owner(&self) -> Result<&Database, StartError> {
        self.databases.owner.as_ref().ok_or(StartError::NoOwner)
    }

    /// The index, for its status.
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// The tracker and the token of everything that serves.
    pub(super) fn serving(&self) -> (TaskTracker, CancellationToken) {
        (self.serving.clone(), self.stop_serving.clone())
    }

    /// Resolves when the private Postgres has died too often; never where there is none.
    pub(super) fn postgres_failed(&self) -> impl Future<Output = PostgresError> + Send + use<> {
        let failed = self.databases.embedded.as_ref().map(|server| server.wait_failed());
        async move {
            match failed {
                Some(failed) => failed.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Ends everything in order: what serves (for at most `drain`), the background, the database. Tells whether
    /// everything had ended in time.
    pub async fn stop(self, drain: Duration) -> bool {
        self.stop_serving.cancel();
        self.serving.close();
        let drained = tokio::time::timeout(drain, self.serving.wait()).await.is_ok();
        self.stop_background.cancel();
        self.background.close();
        let ended = tokio::time::timeout(BACKGROUND_END, self.background.wait()).await.is_ok();
        self.databases.close().await;
        self.supervision.close();
        let ended = tokio::time::timeout(BACKGROUND_END, self.supervision.wait()).await.is_ok() && ended;
        drained && ended
    }
}

async fn given_up(databases: Databases, error: StartError) -> StartError {
    if let Some(server) = databases.embedded {
        // The reason for giving up is worth more than how the end went.
        let _ = server.stop().await;
    }
    error
}

fn services(
    config: &Config,
    database: &Database,
    embedders: Embedders,
    index: &IndexReader,
    (tasks, write_threads): (&TaskTracker, &WriteThreads),
    stop: &CancellationToken,
) -> Services {
    let catalog = ModelCatalog::new(database.clone(), VERDICTS_HOLD);
    let ingest = IngestSettings::default();
    let search = SearchSettings { max_staleness: config.max_staleness, ..SearchSettings::default() };
    let searcher = Searcher::new(database.clone(), catalog.clone(), embedders.clone(), index.clone(), search);
    Services {
        gate: Gate::new(database.clone(), catalog.clone(), VERDICTS_HOLD),
        ingestor: Ingestor::new(
            database.clone(),
            catalog.clone(),
            embedders,
            index.clone(),
            ingest,
            WriteTasks::new(tasks.clone(), write_threads.handle().clone()),
            stop.clone(),
        ),
        keeper: VersionKeeper::new(database.clone(), catalog, index.clone(), ingest.mirror_patience),
        retriever: Retriever::new(database.clone(), searcher.clone(), tasks.clone()),
        journal: Journal::new(database.clone()),
        searcher,
    }
}

/// Where the mirror keeps its snapshots, and the vectors of what is loaded. It does without them where they cannot be kept.
async fn snapshots(config: &Config, database: &Database) -> Option<Arc<Snapshots>> {
    if config.snapshot_bytes == 0 {
        return None;
    }
    let folder = config.snapshots_folder();
    let opened = match database.identity().await {
        Ok(identity) => Snapshots::open(folder.clone(), config.snapshot_bytes, identity, config.vectors_on_disk)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(snapshots) => Some(Arc::new(snapshots)),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), error, "the mirror keeps nothing on the disk: after a restart partitions are read from the database, and vectors are in memory");
            None
        }
    }
}

/// Tells how busy the connections to the database and the threads of writing are.
async fn measure(database: Database, write_threads: Handle, stop: CancellationToken) {
    let mut busy = BusyShare::new(write_threads);
    loop {
        let (used, open) = database.pool_usage();
        metrics::gauge!("kindred_pool_connections", "state" => "used").set(used as f64);
        metrics::gauge!("kindred_pool_connections", "state" => "open").set(f64::from(open));
        metrics::gauge!("kindred_write_threads_busy").set(busy.since_last());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
