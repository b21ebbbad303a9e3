//! What can go wrong with the database.

use std::time::Duration;

use crate::domain::{Classify, Kind};

/// A statement, or the way to the database, failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or no connection was free in time.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A statement or lock took longer than its limit.
    #[error("the database took too long: {0}")]
    Timeout(#[source] sqlx::Error),
    /// Another transaction was faster; the same transaction may succeed when run again.
    #[error("another transaction was faster: {0}")]
    Conflict(#[source] sqlx::Error),
    /// What was to be created exists.
    #[error("it exists already: {0}")]
    AlreadyExists(#[source] sqlx::Error),
    /// A row that the service itself wrote cannot be read.
    #[error("{table}.{column} of row {row} is damaged: {reason}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A write touched another number of rows than it meant.
    #[error("{statement} touched {touched} rows and meant {meant}")]
    UnexpectedRows {
        /// Which write.
        statement: &'static str,
        /// How many rows it touched.
        touched: u64,
        /// How many it meant.
        meant: u64,
    },
    /// A column cannot leave the database.
    #[error("{table}.{column} is of type {found}, of which it is not known how to write it to a file")]
    UnknownType {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// Its type's name in Postgres.
        found: String,
    },
    /// Another holder took over what this one was doing.
    #[error("the lease of {duty} was lost: the database was out of reach for too long, or another holder has it")]
    LostLease {
        /// What was being done.
        duty: String,
    },
    /// The organization does not exist.
    #[error("there is no such organization")]
    NoOrganization,
    /// Anything else is a bug.
    #[error("the database refused a statement: {0}")]
    Internal(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    /// Maps by SQLSTATE, since constraint and table names may be empty.
    fn from(error: sqlx::Error) -> Self {
        let state = match &error {
            sqlx::Error::Database(database) => database.code().map(|code| code.into_owned()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                return Self::Unavailable(error);
            }
            sqlx::Error::WorkerCrashed => return Self::Unavailable(error),
            _ => None,
        };
        match state.as_deref() {
            Some("57014" | "55P03") => Self::Timeout(error),
            Some("40001" | "40P01") => Self::Conflict(error),
            Some("23505") => Self::AlreadyExists(error),
            // Connection exceptions, out of resources, shutting down or starting up, failed authentication.
            Some(code)
                if code.starts_with("08")
                    || code.starts_with("53")
                    || code.starts_with("57P")
                    || code.starts_with("28") =>
            {
                Self::Unavailable(error)
            }
            _ => Self::Internal(error),
        }
    }
}

impl Classify for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unavailable(_) | Self::Timeout(_) | Self::LostLease { .. } => Kind::Unavailable,
            Self::Conflict(_) => Kind::Conflict,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NoOrganization => Kind::NotFound,
            Self::BadRow { .. } | Self::UnexpectedRows { .. } | Self::UnknownType { .. } | Self::Internal(_) => {
                Kind::Internal
            }
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self.kind(), Kind::Unavailable | Kind::Conflict).then_some(Duration::from_secs(1))
    }
}

/// Refuses a write that touched another number of rows than it meant.
pub(super) fn ensure_rows(statement: &'static str, touched: u64, meant: u64) -> Result<(), StoreError> {
    if touched == meant { Ok(()) } else { Err(StoreError::UnexpectedRows { statement, touched, meant }) }
}
