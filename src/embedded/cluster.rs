//! A Postgres cluster on disk: locked, checked, and made where there is none.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::Instant;

use super::account::{self, Account};
use super::directories::make_folders;
use super::keeper::Keeper;
use super::layout::Layout;
use super::server_log::{self, Tail};
use super::{Credentials, PostgresError, PostgresSettings, SUPERUSER, private_file, running_as_root};

/// A stopping predecessor, or a command that looks whether somebody is there, holds the lock for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A cluster that is ours until this is dropped.
pub(super) struct Cluster {
    pub(super) layout: Layout,
    pub(super) credentials: Credentials,
    binaries: PathBuf,
    account: Option<Account>,
    _lock: File,
}

impl Cluster {
    /// Locks the cluster and checks it, or makes it.
    pub(super) async fn open(keeper: &Keeper, settings: &PostgresSettings) -> Result<Self, PostgresError> {
        let layout = Layout::of(&settings.data).map_err(|error| PostgresError::io("use", &settings.data, &error))?;
        let binaries = std::path::absolute(&settings.binaries)
            .map_err(|error| PostgresError::io("use", &settings.binaries, &error))?;
        make_parent(&layout.parent)?;
        let account = Account::for_data(&layout.data)?;
        let lock = lock(&layout).await?;
        if let Some(account) = account {
            account.require_reach(&layout.parent, "KINDRED_DATA_DIR")?;
            account.require_reach(&binaries, "KINDRED_CACHE_DIR")?;
        }
        let deadline = Instant::now() + settings.start_timeout;
        let maker = Maker { keeper, layout: &layout, binaries: &binaries, account, deadline };
        let ours = maker.version().await?;
        let credentials = match maker.existing_version()? {
            Some(found) if found == ours => maker.adopt()?,
            Some(found) => return Err(PostgresError::WrongVersion { path: layout.data, found, ours }),
            None => maker.make(settings.hasty()).await?,
        };
        Ok(Self { layout, credentials, binaries, account, _lock: lock })
    }

    /// A command of the binaries that runs under the right account, with a clean environment.
    pub(super) fn command(&self, program: &str) -> Command {
        command(&self.binaries, self.account, program)
    }
}

fn command(binaries: &Path, account: Option<Account>, program: &str) -> Command {
    let mut command = Command::new(binaries.join("bin").join(program));
    // PGDATA, PGOPTIONS, LC_ALL and the like are not meant for this server. The working directory must be open to it.
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(account) = account {
        account.run(&mut command);
    }
    command
}

/// As root Postgres runs under another account and passes through; it reads nothing there but its own folder.
fn make_parent(parent: &Path) -> Result<(), PostgresError> {
    let mode = if running_as_root() { 0o711 } else { 0o700 };
    make_folders(parent, mode).map_err(|error| PostgresError::io("make the folder", parent, &error))
}

async fn lock(layout: &Layout) -> Result<File, PostgresError> {
    let failed = |error| PostgresError::io("lock", &layout.lock, &error);
    let mut options = File::options();
    let mut file =
        options.create(true).truncate(false).read(true).write(true).mode(0o600).open(&layout.lock).map_err(failed)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
                return Err(PostgresError::InUse { path: layout.data.clone(), pid });
            }
        }
    }
    let mut note = || -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note().map_err(failed)?;
    Ok(file)
}

/// What is needed to look at a cluster and to make one.
struct Maker<'a> {
    keeper: &'a Keeper,
    layout: &'a Layout,
    binaries: &'a Path,
    account: Option<Account>,
    deadline: Instant,
}

impl Maker<'_> {
    /// The major version of the binaries; also shows that they run here at all.
    async fn version(&self) -> Result<String, PostgresError> {
        let mut command = command(self.binaries, self.account, "postgres");
        command.arg("--version");
        let refused = |reason: String| PostgresError::Binaries { path: self.binaries.to_owned(), reason };
        let (status, said) = self.run(command).await.map_err(|error| refused(error.to_string()))?;
        let major = said.split_whitespace().last().and_then(|version| version.split('.').next()).unwrap_or_default();
        if !status.success() || major.parse::<u32>().is_err() {
            return Err(refused(format!("{status}: {said}")));
        }
        Ok(major.to_owned())
    }

    /// The major version of the cluster; `None` where there is nothing.
    fn existing_version(&self) -> Result<Option<String>, PostgresError> {
        let data = &self.layout.data;
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) => return Ok(Some(version.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(PostgresError::io("read", data, &error)),
        }
        match fs::read_dir(data).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(None),
            Ok(false) => Err(PostgresError::NotACluster { path: data.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PostgresError::io("read", data, &error)),
        }
    }

    /// Takes a cluster that is there, also one that was copied by root.
    fn adopt(&self) -> Result<Credentials, PostgresError> {
        let Layout { data, credentials, .. } = self.layout;
        let unusable =
            |reason: String| PostgresError::Credentials { data: data.clone(), path: credentials.clone(), reason };
        let found = Credentials::load(credentials)
            .map_err(|error| unusable(error.to_string()))?
            .ok_or_else(|| unusable("it is missing".to_owned()))?;
        let take = || -> io::Result<()> {
            if let Some(account) = self.account
                && fs::metadata(data)?.uid() != account.uid
            {
                account.own_all(data)?;
            }
            account::close(data)
        };
        take().map_err(|error| PostgresError::io("take over", data, &error))?;
        Ok(found)
    }

    /// Makes the cluster aside and renames it, so that one that is there is always whole. Passwords come first.
    async fn make(&self, hasty: bool) -> Result<Credentials, PostgresError> {
        let Layout { data, parent, credentials: path, .. } = self.layout;
        let failed = |error: io::Error| PostgresError::io("make a cluster at", data, &error);
        let unusable = |error: io::Error| PostgresError::Credentials {
            data: data.clone(),
            path: path.clone(),
            reason: error.to_string(),
        };
        let credentials = match Credentials::load(path).map_err(unusable)? {
            Some(credentials) => credentials,
            None => {
                let credentials = Credentials::generate();
                credentials.save(path).map_err(failed)?;
                credentials
            }
        };
        self.remove_unfinished();
        let aside = data.with_added_extension(format!("init-{:016x}", rand::random::<u64>()));
        let password_file = data.with_added_extension("init-password");
        let prepare = || -> io::Result<()> {
            let password = credentials.password(SUPERUSER).unwrap_or_default();
            private_file::write_new(&password_file, password.as_bytes())?;
            DirBuilder::new().mode(0o700).create(&aside)?;
            if let Some(account) = self.account {
                account.own(&password_file)?;
                account.own(&aside)?;
            }
            Ok(())
        };
        let made = match prepare() {
            Ok(()) => self.initdb(&aside, &password_file, hasty).await,
            Err(error) => Err(failed(error)),
        };
        let moved = made.and_then(|()| {
            let _ = fs::remove_file(&password_file);
            fs::rename(&aside, data).and_then(|()| File::open(parent)?.sync_all()).map_err(failed)
        });
        if moved.is_err() {
            self.remove_unfinished();
        }
        moved.map(|()| credentials)
    }

    async fn initdb(&self, to: &Path, password_file: &Path, hasty: bool) -> Result<(), PostgresError> {
        let mut command = command(self.binaries, self.account, "initdb");
        command.arg("-D").arg(to).args(["-U", SUPERUSER, "--auth=scram-sha-256", "--no-instructions", "-E", "UTF8"]);
        command.arg(format!("--pwfile={}", password_file.display()));
        if self.has_builtin_locales() {
            command.arg("--locale-provider=builtin");
        }
        if cfg!(target_os = "linux") {
            command.arg("--locale=C.UTF-8");
        } else {
            // The C library of macOS knows no C.UTF-8.
            command.args(["--locale=en_US.UTF-8", "--builtin-locale=C.UTF-8"]);
        }
        if hasty {
            command.arg("--no-sync");
        }
        let path = self.layout.data.clone();
        let (status, said) =
            self.run(command).await.map_err(|error| PostgresError::io("run initdb for", &path, &error))?;
        match status.success() {
            true => Ok(()),
            false if said.contains("No space left on device") => Err(PostgresError::NoSpace { path }),
            false => Err(PostgresError::Init { path, said: format!("{said}\n({status})") }),
        }
    }

    /// Whether these binaries sort by themselves, without the machine's C library, as Postgres does from 17 on. Its
    /// catalog's first line tells the version.
    fn has_builtin_locales(&self) -> bool {
        let catalog = File::open(self.binaries.join("share/postgresql/postgres.bki"));
        let mut first_line = String::new();
        let read = catalog.and_then(|file| BufReader::new(file).read_line(&mut first_line));
        let version = first_line.trim().rsplit(' ').next().and_then(|version| version.parse::<u32>().ok());
        read.is_err() || version.is_none_or(|version| version >= 17)
    }

    /// Removes what an interrupted start left. Our lock is held.
    fn remove_unfinished(&self) {
        let Some(name) = self.layout.data.file_name() else { return };
        let beginning = format!("{}.init-", name.to_string_lossy());
        for entry in fs::read_dir(&self.layout.parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&beginning) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }

    /// Runs a command to its end; returns its last lines with it.
    async fn run(&self, command: Command) -> io::Result<(ExitStatus, String)> {
        let launched = self.keeper.launch(command).await?;
        let (Some(stdout), Some(stderr)) = (launched.stdout, launched.stderr) else {
            return Err(io::Error::other("its output was not piped"));
        };
        let tail = Tail::default();
        let (stdout, stderr) = (ChildStdout::from_std(stdout)?, ChildStderr::from_std(stderr)?);
        let finished = async {
            let (_, _, status) = tokio::join!(
                server_log::follow(stdout, tail.clone(), false),
                server_log::follow(stderr, tail.clone(), false),
                launched.exited
            );
            status.map_err(io::Error::other)
        };
        match tokio::time::timeout_at(self.deadline, finished).await {
            Ok(status) => Ok((status?, tail.text())),
            Err(_) => {
                self.keeper.signal(rustix::process::Signal::KILL);
                Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"))
            }
        }
    }
}
