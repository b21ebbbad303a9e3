//! Why context was not given or recorded.

use std::time::Duration;

use crate::domain::{Classify, ContextLogId, Invalid, Kind, Violation};
use crate::search::SearchError;
use crate::store::StoreError;
use crate::tenancy::Denied;

/// Why context was not given or recorded.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Candidates could not be found.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// There is no such log.
    #[error("there is no context log {0}; RetrieveContext returns the id of each")]
    NoLog(ContextLogId),
    /// A log that the service itself wrote cannot be read.
    #[error("the items of context log {id} are damaged: {reason}")]
    DamagedLog {
        /// Which.
        id: ContextLogId,
        /// What is wrong with it.
        reason: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for ContextError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::Denied(error) => error.kind(),
            Self::Search(error) => error.kind(),
            Self::NoLog(_) => Kind::NotFound,
            Self::DamagedLog { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            Self::Search(error) => error.violations(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Search(error) => error.retry_after(),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
