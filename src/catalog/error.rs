//! Why a catalog cannot be read.

use crate::domain::{Classify, Kind};

/// Why a catalog cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the schema cannot be read: {0}")]
pub struct CatalogError(#[from] sqlx::Error);

impl Classify for CatalogError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}
