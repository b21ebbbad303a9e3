//! What can go wrong.

use super::entry::PartitionKey;
use crate::domain::{Classify, EmbeddingId, Invalid, Kind, Revision, Violation};

/// An error of the index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The query's vector is of another width than the partition's.
    #[error(transparent)]
    Query(Invalid),
    /// A row that was handed in holds a vector of another width than the partition's.
    #[error("row {id} of embeddings cannot be indexed")]
    Row {
        /// The row.
        id: EmbeddingId,
        /// What is wrong with it.
        source: Invalid,
    },
    /// A row that was handed in belongs to another (entity, source field) than the change it came with.
    #[error("row {id} of embeddings came with a change of another entity or source field")]
    Misplaced {
        /// The row.
        id: EmbeddingId,
    },
    /// The same row was handed in twice.
    #[error("row {id} of embeddings came twice")]
    Repeated {
        /// The row.
        id: EmbeddingId,
    },
    /// A change came after one that is newer.
    #[error("partition {key} shows revision {shown}; changes of revision {given} come too late")]
    OutOfOrder {
        /// The partition.
        key: PartitionKey,
        /// What it shows.
        shown: Revision,
        /// What was handed in.
        given: Revision,
    },
    /// The partition is not in memory.
    #[error("partition {0} is not loaded")]
    NotLoaded(PartitionKey),
    /// The system gives no threads to build a graph on.
    #[error("no threads to build a graph on")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// A saved segment is damaged or no such thing; it is to be built again.
    #[error("the saved segment {reason}")]
    Unusable {
        /// What it is instead, as the end of a sentence.
        reason: String,
    },
    /// A saved segment is of something else; it is to be built again.
    #[error("the saved segment is of another database, partition, setting or format")]
    Foreign,
    /// A segment numbers its rows with 31 bits.
    #[error("{rows} rows are more than a partition can hold")]
    TooLarge {
        /// How many were handed in.
        rows: usize,
    },
}

impl Classify for IndexError {
    fn kind(&self) -> Kind {
        match self {
            Self::Query(_) => Kind::Invalid,
            Self::Unusable { .. } | Self::Foreign | Self::NotLoaded(_) => Kind::Unavailable,
            Self::TooLarge { .. } | Self::Threads(_) => Kind::Exhausted,
            Self::Row { .. } | Self::Misplaced { .. } | Self::Repeated { .. } | Self::OutOfOrder { .. } => {
                Kind::Internal
            }
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Query(invalid) => invalid.violations(),
            _ => Vec::new(),
        }
    }
}
