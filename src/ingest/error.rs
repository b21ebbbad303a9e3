//! Why a draft was not written.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Classify, Invalid, Kind, Violation};
use crate::embed::EmbedError;
use crate::store::{CatalogError, StoreError};
use crate::tenancy::Denied;

/// Why a draft was not written. A failure of a whole batch is shared by its drafts.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    /// The draft breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not write.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The model cannot be used.
    #[error(transparent)]
    Model(Arc<CatalogError>),
    /// The model has no embedder in this service.
    #[error("model {model} is not computed by this service; send ready vectors, or configure its embedder")]
    NoEmbedder {
        /// The model.
        model: String,
    },
    /// The embedder failed.
    #[error("the text could not be embedded: {0}")]
    Embed(Arc<EmbedError>),
    /// The database failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// Other writers changed the line again and again.
    #[error("the embedding changed {attempts} times while it was being written; send it again")]
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
    /// The service is going down.
    #[error("the service is shutting down; send it again to another replica")]
    ShuttingDown,
    /// The batch's task ended without an answer.
    #[error("the batch was lost before it was written")]
    Lost,
}

impl From<CatalogError> for IngestError {
    fn from(error: CatalogError) -> Self {
        Self::Model(Arc::new(error))
    }
}

impl From<EmbedError> for IngestError {
    fn from(error: EmbedError) -> Self {
        Self::Embed(Arc::new(error))
    }
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl Classify for IngestError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::Denied(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::NoEmbedder { .. } => Kind::FailedPrecondition,
            Self::Embed(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Contended { .. } => Kind::Conflict,
            Self::ShuttingDown => Kind::Unavailable,
            Self::Lost => Kind::Internal,
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
            Self::Embed(error) => error.retry_after(),
            Self::Store(error) => error.retry_after(),
            Self::Contended { .. } | Self::ShuttingDown => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
