//! Which file lies where beside a data folder.

use std::io;
use std::path::{Path, PathBuf};

/// A data folder and what lies beside it, outside of it because Postgres owns the inside.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The cluster.
    pub(super) data: PathBuf,
    /// The folder that holds all of these.
    pub(super) parent: PathBuf,
    /// Locked by the process that runs the server; holds its pid.
    pub(super) lock: PathBuf,
    /// The passwords.
    pub(super) credentials: PathBuf,
    /// How to reach the running server.
    pub(super) connection: PathBuf,
}

impl Layout {
    /// Of `data`, such as `/var/lib/kindred/postgres`.
    ///
    /// # Errors
    /// Where the path is empty or a root.
    pub(super) fn of(data: &Path) -> io::Result<Self> {
        let data = std::path::absolute(data)?;
        let parent = data.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let beside = |extension: &str| data.with_added_extension(extension);
        let (lock, credentials, connection) = (beside("lock"), beside("credentials.json"), beside("connection.json"));
        Ok(Self { data, parent, lock, credentials, connection })
    }
}
