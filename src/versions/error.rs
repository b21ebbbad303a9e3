//! Why a version was not read or changed.

use std::time::Duration;

use crate::domain::{Classify, EmbeddingKey, Invalid, Kind, Violation};
use crate::store::{CatalogError, StoreError};
use crate::tenancy::Denied;

/// Why a version was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] CatalogError),
    /// There is no such version.
    #[error("{key} has no {what}")]
    NotFound {
        /// The line.
        key: EmbeddingKey,
        /// Which version.
        what: String,
    },
    /// A deleted version has nothing to make current.
    #[error("version {version} of {key} was deleted; activate another one, or upsert the text again")]
    Gone {
        /// The line.
        key: EmbeddingKey,
        /// The version.
        version: i32,
    },
    /// Another version is current than the caller expected.
    #[error("the current version of {key} is {current} and {expected} was expected; read it, then decide again")]
    Conflict {
        /// The line.
        key: EmbeddingKey,
        /// The current version.
        current: i32,
        /// The caller's.
        expected: i32,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for VersionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::Denied(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::NotFound { .. } => Kind::NotFound,
            Self::Gone { .. } => Kind::FailedPrecondition,
            Self::Conflict { .. } => Kind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            Self::Model(error) => error.violations(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Model(error) => error.retry_after(),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
