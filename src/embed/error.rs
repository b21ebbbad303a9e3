//! What goes wrong with embedding models.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{Classify, Kind, ModelId};

/// Why texts have no vectors. `Clone`, since callers that wait for one computation share its error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The model does not answer.
    #[error("the embedding model does not answer: {reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
        /// When to try again, where it is known.
        retry_after: Option<Duration>,
    },
    /// The model refuses the input, and will again.
    #[error("the embedding model refuses the input: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
    /// The model answered something that cannot be used: wrong count, order or width, or no finite numbers.
    #[error("the embedding model answered what cannot be used: {reason}")]
    Misbehaved {
        /// What is wrong with it.
        reason: String,
    },
    /// The provider refuses us, not the input: a wrong key, address or model name.
    #[error("the embedding model is not reachable as it is configured: {reason}")]
    Misconfigured {
        /// What the operator should look at.
        reason: String,
    },
    /// Too much is waiting already, here or at the provider.
    #[error("the embedding model has too much to do; try again later")]
    Overloaded {
        /// When to try again, where it is known.
        retry_after: Option<Duration>,
    },
    /// The vectors were not ready in time.
    #[error("the embedding model was not ready within {} ms", allowed.as_millis())]
    DeadlineExceeded {
        /// The time it had.
        allowed: Duration,
    },
    /// No such model here.
    #[error("the model {id} cannot be computed by this process; it computes {known}")]
    UnknownModel {
        /// The model asked for.
        id: ModelId,
        /// The ids there are, separated by commas; `no model` where there is none.
        known: String,
    },
}

impl Classify for EmbedError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unavailable { .. } | Self::Misbehaved { .. } | Self::Misconfigured { .. } => Kind::Unavailable,
            Self::Rejected { .. } => Kind::Invalid,
            Self::Overloaded { .. } => Kind::Exhausted,
            Self::DeadlineExceeded { .. } => Kind::DeadlineExceeded,
            Self::UnknownModel { .. } => Kind::FailedPrecondition,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Overloaded { retry_after } => *retry_after,
            _ => None,
        }
    }
}

/// Why a model could not be set up; told to whoever starts the service.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("{} cannot be read ({source}); {fix}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
        /// What to do.
        fix: String,
    },
    /// A file does not say what it should.
    #[error("{}: {reason}; {fix}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What it says instead.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A setting breaks a rule.
    #[error("setting {name}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was given and what is allowed.
        reason: String,
    },
    /// The model's own threads or HTTP client could not be made, or its first computation failed.
    #[error("the model could not be started: {reason}")]
    NotStarted {
        /// What was seen.
        reason: String,
    },
}

impl Classify for LoadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Setting { .. } => Kind::Invalid,
            Self::Unreadable { .. } | Self::Unsupported { .. } => Kind::FailedPrecondition,
            Self::NotStarted { .. } => Kind::Internal,
        }
    }
}
