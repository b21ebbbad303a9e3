//! What every command begins with, and how it fails.

use crate::runtime::{Config, Settings};
use crate::telemetry::start_logs;

/// What ends a command: told to a person.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Checks settings and starts logging by them.
pub(super) fn prepared(settings: &Settings) -> Result<Config, Failure> {
    start_logs(&settings.log, settings.log_format)?;
    Ok(Config::from_settings(settings)?)
}
