//! Why an operator's wish was not fulfilled.

use crate::domain::{Classify, Invalid, Kind, Violation};
use crate::store::StoreError;

/// Why an operator's wish was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The wish breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The slug belongs to another organization.
    #[error("an organization with the slug {0} exists already; choose another slug")]
    SlugTaken(String),
    /// There is no such organization.
    #[error("there is no organization with the slug {0}; `kindred organization list` shows all of them")]
    NoOrganization(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for AdminError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::SlugTaken(_) => Kind::AlreadyExists,
            Self::NoOrganization(_) => Kind::NotFound,
            Self::Store(error) => error.kind(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            _ => Vec::new(),
        }
    }
}
