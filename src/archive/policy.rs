//! What leaves when, and where to.

use super::Target;

/// What leaves the live tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where months go.
    pub target: Target,
    /// Metrics leave when their month ended this many months ago.
    pub metrics_after_months: u32,
    /// So do context logs; `None` keeps them for ever. Where the target is the archive table, which they do not have, they
    /// are deleted.
    pub context_logs_after_months: Option<u32>,
}
