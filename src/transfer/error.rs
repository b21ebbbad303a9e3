//! Why an import ended before its files did.

use std::path::PathBuf;

use crate::domain::{Classify, Kind};
use crate::ingest::IngestError;
use crate::store::{CatalogError, StoreError};
use crate::tenancy::Denied;

/// Why an import ended before its files did. What was acknowledged stays, and a further run goes on there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The caller may not write.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] CatalogError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file's kind is not known.
    #[error("{}: the name ends neither in .jsonl nor in .parquet; convert the file to one of these", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read, or a file beside it cannot be written.
    #[error("{}: it cannot {action}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not what its name says, or is damaged.
    #[error("{}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A row could not be written, for a reason that is not its own.
    #[error("{}: row {row} was not written: {cause}; run the same command again to go on there", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row or line, from 1.
        row: u64,
        /// Why not.
        cause: IngestError,
    },
    /// The reading task ended without a word: a bug, ours or of a library that reads the file.
    #[error("{}: the reading of the file failed", .path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
}

impl Classify for ImportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Denied(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::UnknownFormat { .. } | Self::Damaged { .. } => Kind::Invalid,
            Self::File { .. } => Kind::FailedPrecondition,
            Self::Row { cause, .. } => cause.kind(),
            Self::Lost { .. } => Kind::Internal,
        }
    }
}
