//! What can go wrong between the database and an object store.

use std::time::Duration;

use parquet::errors::ParquetError;

use crate::domain::{Classify, Invalid, Kind, Month};
use crate::store::{MonthlyTable, StoreError};

/// Why months do not move.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object store refused something.
    #[error(
        "the object store does not {action} {path}: {cause}; check its address, the AWS_* variables and its rights"
    )]
    Objects {
        /// What was asked of it.
        action: &'static str,
        /// Of which object.
        path: String,
        /// What it said.
        cause: object_store::Error,
    },
    /// The object store does not answer.
    #[error("the object store did not {action} {path} within {} seconds", .after.as_secs())]
    Slow {
        /// What was asked of it.
        action: &'static str,
        /// Of which object.
        path: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// A directory that is to be an object store cannot be used.
    #[error("{path} cannot be used: {cause}; create the directory, or mount what belongs there")]
    Directory {
        /// The directory.
        path: String,
        /// Why not.
        cause: String,
    },
    /// A file in the store is not what was written.
    #[error("{path} in the object store is damaged: {reason}")]
    Damaged {
        /// Which.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows cannot be written as Parquet.
    #[error("rows cannot be written as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// A month is still written.
    #[error("{table} of {month} changed each time it was archived; it stays, and is tried again by the next run")]
    Changing {
        /// The table.
        table: MonthlyTable,
        /// The month.
        month: Month,
    },
    /// Another run does the same.
    #[error("another replica or command is archiving or restoring at this moment; try again when it is done")]
    Busy,
    /// A run declared this one's work abandoned.
    #[error("another run took over the archiving of {table} of {month}")]
    TakenOver {
        /// The table.
        table: MonthlyTable,
        /// The month.
        month: Month,
    },
    /// Context logs have no archive in the database.
    #[error("ai_context_logs has no archive table: name an object store, such as --to file:///var/archive")]
    NoArchiveTable,
    /// The store has no such month.
    #[error("{store} holds no part of {table} of {month}; `kindred archive list` shows what it holds")]
    NotThere {
        /// The table.
        table: MonthlyTable,
        /// The month.
        month: Month,
        /// Where it was looked for.
        store: String,
    },
    /// The table has changed too much.
    #[error(
        "{path} has a column {column} of type {found}, which {table} has not; restore it with the release that wrote it"
    )]
    OtherColumn {
        /// Which part.
        path: String,
        /// The table.
        table: MonthlyTable,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// Live rows have the same keys and other values.
    #[error(
        "{table} of {month} has rows with the keys of archived ones and other values, such as {}; nothing was restored. \
         `kindred archive run` archives them first, and then the later ones count",
        .rows.join(", ")
    )]
    OtherRows {
        /// The table.
        table: MonthlyTable,
        /// The month.
        month: Month,
        /// Some of them, by key.
        rows: Vec<String>,
    },
    /// A file for reading back cannot be made.
    #[error(
        "a temporary file cannot be written: {0}; reading back an archived file needs its size in the temporary directory"
    )]
    Temporary(#[source] std::io::Error),
    /// A bug.
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Classify for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::NoArchiveTable => Kind::Invalid,
            Self::Store(error) => error.kind(),
            Self::Objects { .. } | Self::Slow { .. } | Self::Directory { .. } | Self::Temporary(_) => Kind::Unavailable,
            Self::Changing { .. } | Self::Busy | Self::TakenOver { .. } => Kind::Conflict,
            Self::NotThere { .. } => Kind::NotFound,
            Self::OtherColumn { .. } | Self::OtherRows { .. } => Kind::FailedPrecondition,
            Self::Damaged { .. } | Self::Parquet(_) | Self::Task(_) => Kind::Internal,
        }
    }
}
