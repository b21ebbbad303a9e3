//! Decides what a draft means, embeds what changed, and writes it: nothing accepted is ever lost, nothing unchanged is
//! embedded or written.
//!
//! A draft is gathered with its neighbours of the same organization ([`Ingestor`]), compared with the current versions
//! by the pure rules of `plan`, cut and embedded without a transaction, and written in one transaction that decides
//! again ([`write_versions`]). Its acknowledgement comes after the commit, when this replica's mirror has it.

mod announce;
mod batch;
mod chunking;
mod error;
mod gather;
mod ingestor;
mod plan;
mod tasks;
mod write;

pub use announce::announce;
pub use error::IngestError;
pub use ingestor::{IngestSettings, Ingestor, Pending};
pub use tasks::WriteTasks;
pub use write::{VersionWrite, commit_versions, write_versions};
