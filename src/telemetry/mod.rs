//! Logs and metrics: set up once, by `cli` and `runtime` only.

mod logs;
mod metrics;

pub use self::logs::{LogFormat, start_logs};
pub use self::metrics::{MetricsExport, start_metrics};
