//! Why the service does not start.

use std::net::SocketAddr;

use crate::domain::{Model, ModelId};
use crate::embed::{EmbedError, LoadError};
use crate::embedded::{FetchError, PostgresError};
use crate::migrate::MigrateError;
use crate::store::StoreError;

/// Why the service does not start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings are wrong: all of them are listed.
    #[error("{} of the settings cannot be used:\n  {}", .0.len(), .0.join("\n  "))]
    Settings(Vec<String>),
    /// The system gives no threads.
    #[error("the threads of writing do not start: {0}; see how many this user may have (`ulimit -u`)")]
    Threads(#[source] std::io::Error),
    /// A part could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The private Postgres does not run.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The schema is not as it must be.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The database does not answer.
    #[error(
        "the database of {setting} cannot be used: {cause}; check its address, and that it accepts this role and password"
    )]
    Database {
        /// Which URL.
        setting: &'static str,
        /// What went wrong.
        cause: StoreError,
    },
    /// A local model cannot be used.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// An endpoint cannot be used.
    #[error("the embedding endpoint cannot be used: {0}")]
    Endpoint(#[source] EmbedError),
    /// The id stands for another model already.
    #[error(
        "the model id {id} stands in the database for {kept} and is configured as {given}; vectors of two models never \
         meet under one id, so set KINDRED_MODEL_ID to a new one"
    )]
    OtherModel {
        /// The id.
        id: ModelId,
        /// What the database knows.
        kept: String,
        /// What is configured.
        given: String,
    },
    /// The address is taken, or may not be used.
    #[error("{what} cannot be served at {address}: {cause}; free the port, or choose another with {setting}")]
    Listen {
        /// What.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
        /// The setting that chooses another.
        setting: &'static str,
    },
    /// Metrics cannot be served.
    #[error("{0}")]
    Metrics(String),
    /// Something needs the owner's rights.
    #[error("this needs the owner's rights: set KINDRED_OWNER_DATABASE_URL beside DATABASE_URL")]
    NoOwner,
    /// The transport failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A model in a few words, for people who compare two.
pub(super) fn described(model: &Model) -> String {
    let form = if model.normalized { "normalised" } else { "not normalised" };
    format!("{} {} ({} dimensions, {form})", model.provider, model.name, model.dimensions)
}
