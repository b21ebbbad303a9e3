//! What runs in the background with the owner's rights: model indexes, settling, the length of the change log.
//!
//! Every duty is leased by a row, so that one replica does it at a time.

mod scheduler;

pub use scheduler::{MaintenanceSettings, Scheduler};
