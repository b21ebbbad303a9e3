//! Follows the change feed into the index: the one task that owns the index's writer. Another compares what is in memory
//! with the table. An [`Examiner`] does the same for `doctor`, beside a service or without one, and changes nothing.
//!
//! The bell wakes, the cursor tells: a ring (this replica's own, or another's by NOTIFY) or a jittered interval makes it
//! ask which organizations moved; what moved is read from the change log.

mod auditing;
mod conditions;
mod examining;
mod feed;
mod findings;
mod loading;
mod rows;
mod snapshots;

pub use auditing::{AuditSettings, Auditor};
pub use conditions::database_findings;
pub use examining::Examiner;
pub use feed::{Mirror, MirrorSettings};
pub use findings::{Finding, Loaded, PartitionReport};
pub use snapshots::Snapshots;
