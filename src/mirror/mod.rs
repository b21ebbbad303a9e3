//! Follows the change feed into the index: the one task that owns the index's writer. Another compares what is in memory
//! with the table.
//!
//! The bell wakes, the cursor tells: a ring (this replica's own, or another's by NOTIFY) or a jittered interval makes it
//! ask which organizations moved; what moved is read from the change log.

mod auditing;
mod feed;
mod loading;
mod snapshots;

pub use auditing::{AuditSettings, Auditor};
pub use feed::{Mirror, MirrorSettings};
pub use snapshots::Snapshots;
