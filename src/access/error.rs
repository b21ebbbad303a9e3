//! Why a caller was not let in.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Classify, Kind};
use crate::store::StoreError;

/// Why a caller was not let in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccessError {
    /// There is no credential.
    #[error("no credential: send an API key as metadata `authorization: Bearer kindred_…`")]
    Missing,
    /// The credential has not the form of a key.
    #[error("the credential is no API key: a key begins with kindred_ and was printed when it was made")]
    Malformed,
    /// No such key, another secret, revoked, or expired: told alike, so that nothing can be probed.
    #[error("the API key is not valid: it is unknown, revoked or expired; ask an admin for a new one")]
    Refused,
    /// The database failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl Classify for AccessError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing | Self::Malformed | Self::Refused => Kind::Unauthenticated,
            Self::Store(error) => error.kind(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
