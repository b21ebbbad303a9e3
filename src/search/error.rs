//! Why a search was not answered.

use std::time::Duration;

use crate::domain::{Classify, EntityRef, Invalid, Kind, ModelId, Revision, Violation};
use crate::embed::EmbedError;
use crate::index::IndexError;
use crate::store::{CatalogError, StoreError};
use crate::tenancy::Denied;

/// Why a search was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not read.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] CatalogError),
    /// The subject has no current embedding.
    #[error("{entity} has no current embedding by {model}; upsert it first, or search by text or vector")]
    NoSubject {
        /// The subject.
        entity: EntityRef,
        /// The model.
        model: ModelId,
    },
    /// The subject has several source fields and none of them is `content`.
    #[error("{entity} has the source fields {fields}; name one in source_field")]
    AmbiguousSubject {
        /// The subject.
        entity: EntityRef,
        /// Its source fields.
        fields: String,
    },
    /// Nothing computes the model here.
    #[error("model {0} is not computed by this service, so a text cannot be searched with it; send a vector")]
    NoEmbedder(ModelId),
    /// The query could not be embedded.
    #[error("the text could not be embedded: {0}")]
    Embed(#[from] EmbedError),
    /// The organization has not reached the revision that the answer must show.
    #[error(
        "revision {wanted} does not exist yet: the organization is at {present}; give a revision that a write returned"
    )]
    FutureRevision {
        /// What was asked for.
        wanted: Revision,
        /// What there is.
        present: Revision,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index is inconsistent.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Classify for SearchError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::Denied(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::NoSubject { .. } => Kind::NotFound,
            Self::AmbiguousSubject { .. } => Kind::Invalid,
            Self::NoEmbedder(_) | Self::FutureRevision { .. } => Kind::FailedPrecondition,
            Self::Embed(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Index(error) => error.kind(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            Self::Model(error) => error.violations(),
            Self::AmbiguousSubject { .. } => {
                vec![Violation { field: "source_field".to_owned(), description: self.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Model(error) => error.retry_after(),
            Self::Embed(error) => error.retry_after(),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
