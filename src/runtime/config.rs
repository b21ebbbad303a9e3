//! Settings, checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Settings, StartError};
use crate::archive;
use crate::domain::ModelId;
use crate::embedded::{default_cache, default_data, running_as_root};
use crate::grpc::GrpcSettings;
use crate::index;

/// Which database to use.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// A private one in the data directory.
    Embedded,
    /// One that is already there.
    Given {
        /// As `kindred_app`.
        app: String,
        /// As `kindred_owner`.
        owner: Option<String>,
    },
}

impl fmt::Debug for DatabaseChoice {
    /// URLs hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "Embedded",
            Self::Given { .. } => "Given",
        })
    }
}

/// Which model to compute.
#[derive(Clone, PartialEq, Eq)]
pub enum EmbedderChoice {
    /// A folder, or the one that is brought along.
    Local {
        /// The folder; all-MiniLM-L6-v2 where `None`.
        folder: Option<PathBuf>,
        /// Threads that compute.
        threads: usize,
    },
    /// An OpenAI-compatible endpoint.
    Remote {
        /// Its base.
        url: String,
        /// Its key.
        key: Option<String>,
        /// Its name for the model.
        name: String,
        /// Width of its vectors; asked at start where `None`.
        dimensions: Option<usize>,
    },
}

impl fmt::Debug for EmbedderChoice {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { folder, threads } => write!(f, "Local({folder:?}, {threads} threads)"),
            Self::Remote { url, name, .. } => write!(f, "Remote({name} at {url})"),
        }
    }
}

/// Everything a service is built from.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where metrics are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Limits of the transport.
    pub grpc: GrpcSettings,
    /// How long a shutdown waits for running calls.
    pub drain: Duration,
    /// Where the embedded Postgres and the mirror's snapshots live.
    pub data_dir: PathBuf,
    /// Where fetched parts are kept.
    pub cache_dir: PathBuf,
    /// The Python whose pip fetches parts.
    pub python: Option<PathBuf>,
    /// The database.
    pub database: DatabaseChoice,
    /// Most connections to it.
    pub database_connections: u32,
    /// Longest a statement may run.
    pub statement_timeout: Duration,
    /// Longest a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// Longest a request may wait for a connection.
    pub pool_timeout: Duration,
    /// The model.
    pub embedder: EmbedderChoice,
    /// The id under which its vectors are kept.
    pub model_id: Option<ModelId>,
    /// The mirror's index.
    pub index: index::Settings,
    /// How often the change feed is polled.
    pub mirror_interval: Duration,
    /// Most bytes of the mirror's snapshots in the data directory; 0 for none.
    pub snapshot_bytes: u64,
    /// Whether the vectors of partitions with a graph lie in the data directory instead of memory.
    pub vectors_on_disk: bool,
    /// Between two partitions that the auditor compares with the table; `None` for no auditor.
    pub audit_interval: Option<Duration>,
    /// How stale a partition may be.
    pub max_staleness: Duration,
    /// What is archived when, and where to.
    pub archive: archive::Policy,
    /// Whether progress bars are shown.
    pub show_progress: bool,
}

/// Collects what is wrong, so that everything is told at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn parse<T: FromStr>(&mut self, flag: &str, text: &str, wanted: &str) -> Option<T> {
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.0.push(format!("{}: {text:?} is not {wanted}", named(flag)));
        }
        parsed
    }

    fn count(&mut self, flag: &str, text: &str, least: u64, most: u64) -> u64 {
        let wanted = format!("a whole number from {least} to {most}");
        let parsed: Option<u64> = self.parse(flag, text, &wanted);
        match parsed {
            Some(count) if (least..=most).contains(&count) => count,
            Some(_) => {
                self.0.push(format!("{}: {text} is not {wanted}", named(flag)));
                least
            }
            None => least,
        }
    }

    /// Whether it is `this`, not `that`.
    fn either(&mut self, flag: &str, text: &str, this: &str, that: &str) -> bool {
        if text != this && text != that {
            self.0.push(format!("{}: {text:?} is not `{this}` or `{that}`", named(flag)));
        }
        text == this
    }

    fn millis(&mut self, flag: &str, text: &str) -> Duration {
        Duration::from_millis(self.count(flag, text, 1, 86_400_000))
    }

    /// Zero means never.
    fn millis_or_never(&mut self, flag: &str, text: &str) -> Option<Duration> {
        let millis = self.count(flag, text, 0, 86_400_000);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    fn postgres_url(&mut self, flag: &str, text: &str) {
        let well_formed = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        if !well_formed || text.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
            // Not repeated: it may hold a password.
            self.0.push(format!("{}: it is not of the form postgres://user:password@host:port/database", named(flag)));
        }
    }
}

/// A flag with its environment variable, which has the same name unless it is a well-known one.
fn named(flag: &str) -> String {
    let variable = match flag {
        "database-url" => "DATABASE_URL".to_owned(),
        other => format!("KINDRED_{}", other.replace('-', "_").to_uppercase()),
    };
    format!("--{flag} ({variable})")
}

impl Config {
    /// Where the mirror keeps its snapshots.
    pub(super) fn snapshots_folder(&self) -> PathBuf {
        self.data_dir.join("snapshots")
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`StartError::Settings`] lists everything that is wrong.
    pub fn from_settings(settings: &Settings) -> Result<Self, StartError> {
        let mut faults = Faults::default();
        let listen = faults.parse("listen", &settings.listen, "address:port, such as 127.0.0.1:50051");
        let metrics_listen = match settings.metrics_listen.as_str() {
            "off" => None,
            text => faults.parse("metrics-listen", text, "address:port, such as 127.0.0.1:9464, or `off`"),
        };
        let config = Self {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            metrics_listen,
            grpc: grpc_settings(&mut faults, settings),
            drain: faults.millis("drain-ms", &settings.drain_ms),
            data_dir: directory(&mut faults, "data-dir", settings.data_dir.as_deref(), default_data_dir()),
            cache_dir: directory(&mut faults, "cache-dir", settings.cache_dir.as_deref(), default_cache_dir()),
            python: settings.python.as_ref().map(PathBuf::from),
            database: database_choice(&mut faults, settings),
            database_connections: faults.count("database-connections", &settings.database_connections, 4, 1_000) as u32,
            statement_timeout: faults.millis("statement-timeout-ms", &settings.statement_timeout_ms),
            lock_timeout: faults.millis("lock-timeout-ms", &settings.lock_timeout_ms),
            pool_timeout: faults.millis("pool-timeout-ms", &settings.pool_timeout_ms),
            embedder: embedder_choice(&mut faults, settings),
            model_id: settings
                .model_id
                .as_deref()
                .and_then(|text| faults.parse("model-id", text, "1 to 40 of a-z 0-9 . _ -, such as all-minilm-l6-v2")),
            index: index_settings(&mut faults, settings),
            mirror_interval: faults.millis("mirror-interval-ms", &settings.mirror_interval_ms),
            snapshot_bytes: faults.count("mirror-snapshots-mib", &settings.mirror_snapshots_mib, 0, 1_048_576) << 20,
            vectors_on_disk: faults.either("mirror-vectors", &settings.mirror_vectors, "disk", "memory"),
            audit_interval: faults.millis_or_never("mirror-audit-ms", &settings.mirror_audit_ms),
            max_staleness: faults.millis("max-staleness-ms", &settings.max_staleness_ms),
            archive: archive_policy(&mut faults, settings),
            show_progress: true,
        };
        if config.max_staleness < config.mirror_interval * 2 {
            faults.0.push(format!(
                "{}: it is less than twice {}, so that no partition would ever be fresh enough",
                named("max-staleness-ms"),
                named("mirror-interval-ms")
            ));
        }
        if faults.0.is_empty() { Ok(config) } else { Err(StartError::Settings(faults.0)) }
    }
}

fn default_data_dir() -> Option<PathBuf> {
    default_data(running_as_root(), |name| std::env::var_os(name))
}

fn default_cache_dir() -> Option<PathBuf> {
    default_cache(running_as_root(), |name| std::env::var_os(name))
}

fn directory(faults: &mut Faults, flag: &str, given: Option<&str>, default: Option<PathBuf>) -> PathBuf {
    match (given.map(PathBuf::from), default) {
        (Some(given), _) => std::path::absolute(&given).unwrap_or(given),
        (None, Some(default)) => default,
        (None, None) => {
            faults.0.push(format!("{}: there is no home directory to put it in; give one", named(flag)));
            PathBuf::new()
        }
    }
}

fn grpc_settings(faults: &mut Faults, settings: &Settings) -> GrpcSettings {
    let origins = settings.web_origins.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    GrpcSettings {
        max_message_bytes: faults.count("max-message-mib", &settings.max_message_mib, 1, 256) as usize * 1024 * 1024,
        max_calls: faults.count("max-calls", &settings.max_calls, 1, 1_000_000) as usize,
        longest_call: faults.millis("longest-call-ms", &settings.longest_call_ms),
        web_origins: origins.map(str::to_owned).collect(),
    }
}

fn database_choice(faults: &mut Faults, settings: &Settings) -> DatabaseChoice {
    match (&settings.database_url, &settings.owner_database_url) {
        (Some(app), owner) => {
            faults.postgres_url("database-url", app);
            if let Some(owner) = owner {
                faults.postgres_url("owner-database-url", owner);
            }
            DatabaseChoice::Given { app: app.clone(), owner: owner.clone() }
        }
        (None, Some(_)) => {
            faults.0.push(format!("{}: it is given without {}", named("owner-database-url"), named("database-url")));
            DatabaseChoice::Embedded
        }
        (None, None) => DatabaseChoice::Embedded,
    }
}

fn embedder_choice(faults: &mut Faults, settings: &Settings) -> EmbedderChoice {
    let Some(url) = &settings.embedder_url else {
        for (flag, given) in [
            ("embedder-key", &settings.embedder_key),
            ("embedder-model", &settings.embedder_model),
            ("embedder-dimensions", &settings.embedder_dimensions),
        ] {
            if given.is_some() {
                faults.0.push(format!("{}: it is given without {}", named(flag), named("embedder-url")));
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = settings.embedder_threads.as_deref();
        let threads = threads.map_or(cores, |text| faults.count("embedder-threads", text, 1, 256) as usize);
        return EmbedderChoice::Local { folder: settings.model_dir.as_ref().map(PathBuf::from), threads };
    };
    if settings.model_dir.is_some() {
        faults.0.push(format!("{}: give it or {}, not both", named("model-dir"), named("embedder-url")));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        faults.0.push(format!("{}: it does not begin with http:// or https://", named("embedder-url")));
    }
    let name = settings.embedder_model.clone().unwrap_or_default();
    if name.is_empty() {
        faults.0.push(format!("{}: it is missing; name the endpoint's model", named("embedder-model")));
    }
    let dimensions = settings.embedder_dimensions.as_deref();
    EmbedderChoice::Remote {
        url: url.clone(),
        key: settings.embedder_key.clone(),
        name,
        dimensions: dimensions.map(|text| faults.count("embedder-dimensions", text, 1, 4_000) as usize),
    }
}

fn index_settings(faults: &mut Faults, settings: &Settings) -> index::Settings {
    index::Settings {
        memory_budget_bytes: faults.count("mirror-mib", &settings.mirror_mib, 1, 1_048_576) * 1024 * 1024,
        exact_below: faults.count("mirror-exact-below", &settings.mirror_exact_below, 1, 10_000_000) as usize,
        ef_search: faults.count("mirror-ef-search", &settings.mirror_ef_search, 1, 10_000) as usize,
        ..index::Settings::default()
    }
}

fn archive_policy(faults: &mut Faults, settings: &Settings) -> archive::Policy {
    let target = settings.archive_to.trim().parse().unwrap_or_else(|error| {
        faults.0.push(format!("{}: {error}", named("archive-to")));
        archive::Target::Table
    });
    let context_logs_after_months = match settings.context_logs_months.as_str() {
        "forever" => None,
        text => Some(faults.count("context-logs-months", text, 1, 1_200) as u32),
    };
    archive::Policy {
        target,
        metrics_after_months: faults.count("archive-after-months", &settings.archive_after_months, 1, 1_200) as u32,
        context_logs_after_months,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        settings: Settings,
    }

    fn config(arguments: &[&str]) -> Result<Config, StartError> {
        let settings = Command::parse_from(["kindred"].iter().chain(arguments)).settings;
        Config::from_settings(&settings)
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let arguments = [
            "--listen=nowhere",
            "--max-calls=0",
            "--drain-ms=soon",
            "--database-url=mysql://secret@host",
            "--embedder-url=ftp://x",
            "--max-staleness-ms=1",
            "--mirror-vectors=tape",
            "--archive-to=s3://key:secret@bucket/x",
            "--archive-after-months=0",
            "--context-logs-months=never",
        ];
        let Err(StartError::Settings(faults)) = config(&arguments) else { panic!("they are wrong") };
        let text = faults.join("\n");
        for expected in [
            "--listen (KINDRED_LISTEN)",
            "--max-calls (KINDRED_MAX_CALLS): 0 is not a whole number from 1",
            "--drain-ms (KINDRED_DRAIN_MS): \"soon\"",
            "--database-url (DATABASE_URL)",
            "--embedder-url (KINDRED_EMBEDDER_URL)",
            "--embedder-model (KINDRED_EMBEDDER_MODEL): it is missing",
            "--max-staleness-ms (KINDRED_MAX_STALENESS_MS)",
            "--mirror-vectors (KINDRED_MIRROR_VECTORS): \"tape\" is not `disk` or `memory`",
            "--archive-to (KINDRED_ARCHIVE_TO): store: it holds credentials",
            "--archive-after-months (KINDRED_ARCHIVE_AFTER_MONTHS): 0 is not a whole number from 1",
            "--context-logs-months (KINDRED_CONTEXT_LOGS_MONTHS): \"never\"",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!text.contains("secret"));
    }

    #[test]
    fn the_defaults_are_right() {
        let config = config(&["--data-dir=/tmp/d", "--cache-dir=/tmp/c"]).expect("defaults");
        assert_eq!(config.listen.port(), 50_051);
        assert!(matches!(config.embedder, EmbedderChoice::Local { folder: None, .. }));
        assert!(config.grpc.web_origins.is_empty());
    }
}
