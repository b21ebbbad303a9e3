//! What the embedded Postgres is started with.

use std::path::PathBuf;
use std::time::Duration;

/// How to run the embedded Postgres.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// The folder with `bin`, `lib` and `share`; [`super::fetch()`] returns it for [`super::Part::postgres`].
    pub binaries: PathBuf,
    /// The cluster, such as `/var/lib/kindred/postgres`; made at the first start. Passwords, lock and connection file
    /// lie beside it and begin with its name.
    pub data: PathBuf,
    /// The port on 127.0.0.1; a free one where `None`.
    pub port: Option<u16>,
    /// Settings of Postgres, over the built-in ones. `fsync` as `off` makes the making of the cluster hasty as well.
    pub extra: Vec<(String, String)>,
    /// How long the making of the cluster, and then each start, may take; after a crash the log is read again in it.
    pub start_timeout: Duration,
    /// How long an orderly stop may take before it is forced.
    pub stop_timeout: Duration,
}

impl PostgresSettings {
    /// On a free port, two minutes for a start and one for a stop.
    pub fn new(binaries: PathBuf, data: PathBuf) -> Self {
        Self {
            binaries,
            data,
            port: None,
            extra: Vec::new(),
            start_timeout: Duration::from_secs(120),
            stop_timeout: Duration::from_secs(60),
        }
    }

    /// Whether what is written may be lost in a crash of the machine.
    pub(super) fn hasty(&self) -> bool {
        self.extra.iter().rev().find(|(name, _)| name == "fsync").is_some_and(|(_, value)| value == "off")
    }
}
