//! Reads, lists, activates and deletes versions.

mod error;
mod keeper;

pub use error::VersionError;
pub use keeper::{Deleted, Line, Page, Target, VersionKeeper};
