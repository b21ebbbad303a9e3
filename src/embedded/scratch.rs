//! A Postgres for one process that leaves nothing behind, however the process ends.
//!
//! It lives in a folder of the system's temporary directory that this process has locked. When the process ends, the
//! server is signalled (see `keeper`), and a shell that waits on a pipe removes the folder after it. Where even that is
//! killed, the next one that starts sweeps.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::process::{Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::task::TaskTracker;

use super::leftover;
use super::{EmbeddedPostgres, PostgresError, PostgresSettings};

const PREFIX: &str = "kindred-test-";
const LOCK: &str = "owner.lock";
const DATA: &str = "postgres";
/// A folder that has no lock file yet may be one that is being made.
const YOUNG: Duration = Duration::from_secs(60);

/// How to run a scratch server.
#[derive(Debug, Clone)]
pub struct ScratchSettings {
    /// As in [`PostgresSettings`].
    pub binaries: PathBuf,
    /// Where its folder is made; the system's temporary directory where `None`.
    pub inside: Option<PathBuf>,
    /// Whether it writes through to the disk, as a real one does. Tests are faster without.
    pub durable: bool,
    /// Settings of Postgres, over the built-in ones.
    pub extra: Vec<(String, String)>,
}

impl ScratchSettings {
    /// In the system's temporary directory, fast rather than durable.
    pub fn new(binaries: PathBuf) -> Self {
        Self { binaries, inside: None, durable: false, extra: Vec::new() }
    }
}

/// A Postgres that leaves nothing behind.
///
/// Its supervisor belongs to the runtime that starts it. A server that many `#[tokio::test]`s share must therefore be
/// started on a runtime that outlives them all, on a thread of its own.
pub struct ScratchPostgres {
    server: EmbeddedPostgres,
    folder: Folder,
}

impl ScratchPostgres {
    /// Sweeps what dead processes left, and starts a new server.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::start`].
    pub async fn start(settings: ScratchSettings, tasks: &TaskTracker) -> Result<Self, PostgresError> {
        let inside = settings.inside.unwrap_or_else(std::env::temp_dir);
        let swept = inside.clone();
        // That it fails, or does not come to its end, is the next one's matter.
        let _ = tokio::task::spawn_blocking(move || sweep_stale(&swept)).await;
        let folder = Folder::make(&inside)?;
        let mut extra: Vec<(String, String)> = Vec::new();
        if !settings.durable {
            extra.extend(
                ["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name.to_owned(), "off".to_owned())),
            );
        }
        extra.push(("shared_buffers".to_owned(), "128MB".to_owned()));
        extra.extend(settings.extra);
        let settings = PostgresSettings { extra, ..PostgresSettings::new(settings.binaries, folder.path.join(DATA)) };
        let server = EmbeddedPostgres::start(settings, tasks).await?;
        Ok(Self { server, folder })
    }

    /// The server.
    pub fn server(&self) -> &EmbeddedPostgres {
        &self.server
    }

    /// Its folder, which is there as long as this is.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Stops the server and removes the folder.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::stop`].
    pub async fn stop(self) -> Result<(), PostgresError> {
        let Self { server, folder } = self;
        let result = server.stop().await;
        // The shell is faster to be reaped when it finds nothing to do.
        let _ = fs::remove_dir_all(&folder.path);
        result
    }
}

/// A locked folder, and the shell that removes it once the pipe to it closes.
struct Folder {
    path: PathBuf,
    _lock: File,
    _remover: Child,
}

impl Folder {
    fn make(inside: &Path) -> Result<Self, PostgresError> {
        let path = inside.join(format!("{PREFIX}{}-{:08x}", std::process::id(), rand::random::<u32>()));
        let failed = |error| PostgresError::io("make the folder", &path, &error);
        DirBuilder::new().mode(0o711).create(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o711)).map_err(failed)?;
        let lock = File::options().create_new(true).write(true).mode(0o600).open(path.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        let remover = remover(&path).map_err(failed)?;
        Ok(Self { path, _lock: lock, _remover: remover })
    }
}

/// Waits for the end of its input, then (10 s at most) for Postgres to remove its pid file, then removes the folder.
fn remover(folder: &Path) -> std::io::Result<Child> {
    const SCRIPT: &str = r#"cat >/dev/null; n=0
while [ -e "$1/postgres/postmaster.pid" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -rf -- "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(folder);
    // Ctrl-C is not for it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").spawn()
}

/// Removes the scratch folders in `inside` whose processes are dead; one whose Postgres still lives is told to stop
/// and left for the next time.
pub fn sweep_stale(inside: &Path) {
    for entry in fs::read_dir(inside).into_iter().flatten().flatten() {
        let ours = entry
            .metadata()
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw());
        if !ours || !entry.file_name().to_string_lossy().starts_with(PREFIX) || !is_abandoned(&entry.path()) {
            continue;
        }
        match leftover::living(&entry.path().join(DATA)) {
            Some(pid) => {
                let _ = kill_process(pid, Signal::QUIT);
            }
            None => {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether nobody holds the folder's lock. A pid alone would not tell: it may be another process's by now.
fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(_) => {
            let modified = fs::metadata(folder).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > YOUNG))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .expect("readable")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[tokio::test]
    async fn only_folders_of_the_dead_are_swept() {
        let inside = tempfile::tempdir().expect("a folder");
        let living = Folder::make(inside.path()).expect("made");
        let dead = inside.path().join(format!("{PREFIX}1-dead"));
        fs::create_dir(&dead).expect("made");
        File::create(dead.join(LOCK)).expect("made");
        fs::create_dir(inside.path().join(format!("{PREFIX}1-young"))).expect("made");
        fs::create_dir(inside.path().join("other")).expect("made");
        sweep_stale(inside.path());
        let mut left = names(inside.path());
        left.sort();
        let own = living.path.file_name().expect("a name").to_string_lossy().into_owned();
        let mut expected = vec![own, format!("{PREFIX}1-young"), "other".to_owned()];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[tokio::test]
    async fn the_remover_waits_for_the_pipe_to_close() {
        let inside = tempfile::tempdir().expect("a folder");
        let Folder { path, _lock, mut _remover } = Folder::make(inside.path()).expect("made");
        assert!(path.exists());
        drop(_remover.stdin.take());
        _remover.wait().await.expect("ended");
        assert!(!path.exists());
    }
}
