//! What runs in the background with the owner's rights: model indexes, settling, the length of the change log, the sweep of
//! orphans; months that are made ahead, archived, and deleted.
//!
//! Every duty is leased by a row, so that one replica does it at a time. Months have a task and a lease of their own, since
//! archiving takes as long as it takes, and new rows must be settled meanwhile.

mod months;
mod orphans;
mod scheduler;

pub use months::{MonthsSettings, MonthsTask};
pub use orphans::close_orphans;
pub use scheduler::{MaintenanceSettings, Scheduler};
