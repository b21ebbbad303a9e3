//! A private Postgres that lives and dies with this process.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::server::Server;
use super::supervisor::{State, supervise};
use super::{Credentials, PostgresError, PostgresSettings, connection};

/// Beyond the stop timeout, what forcing the server down may take.
const FORCING: Duration = Duration::from_secs(30);

/// A running embedded Postgres.
///
/// It listens on 127.0.0.1 alone and wants a password from every role. When this is dropped it is stopped, without
/// anybody waiting for it; on Linux it also stops when the process is killed.
pub struct EmbeddedPostgres {
    port: u16,
    credentials: Credentials,
    state: watch::Receiver<State>,
    stop_timeout: Duration,
    stop: DropGuard,
}

impl EmbeddedPostgres {
    /// Starts the server and waits until it takes connections; makes the cluster where there is none. `tasks` gets the
    /// supervisor and the readers of the log; they end soon after the server was stopped.
    ///
    /// # Errors
    /// Each [`PostgresError`] names what to do.
    pub async fn start(settings: PostgresSettings, tasks: &TaskTracker) -> Result<Self, PostgresError> {
        let stop_timeout = settings.stop_timeout;
        let server = Server::open(settings, tasks.clone()).await?;
        let up = server.bring_up(server.settings.port).await?;
        let port = up.port;
        if let Err(error) = connection::publish(&server.cluster.layout, port) {
            // That it cannot be stopped either would hide the reason.
            let _ = server.take_down().await;
            return Err(error);
        }
        let credentials = server.cluster.credentials.clone();
        let (sender, state) = watch::channel(State::Running(server.pid()));
        let token = CancellationToken::new();
        tasks.spawn(supervise(server, up, token.clone(), sender));
        Ok(Self { port, credentials, state, stop_timeout, stop: token.drop_guard() })
    }

    /// A URL for the role, one of [`super::ROLES`], and the database. It stays right when the server is restarted.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.credentials.url(self.port, role, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The passwords of all roles.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The postmaster's process id; `None` while it is being brought back, or after its end.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            State::Running(pid) => pid,
            State::Stopped(_) | State::GaveUp(_) => None,
        }
    }

    /// Resolves with the reason when the server died too often and is not brought back any more; never where it was
    /// stopped.
    pub fn wait_failed(&self) -> impl Future<Output = PostgresError> + Send + use<> {
        let mut state = self.state.clone();
        async move {
            loop {
                if let State::GaveUp(error) = &*state.borrow_and_update() {
                    return error.clone();
                }
                if state.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Stops the server and waits for its end, the stop timeout and what forcing takes.
    ///
    /// # Errors
    /// Where it does not end, or had been given up before.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let Self { mut state, stop_timeout, stop, .. } = self;
        drop(stop);
        let ended = state.wait_for(|state| !matches!(state, State::Running(_)));
        match tokio::time::timeout(stop_timeout + FORCING, ended).await {
            Ok(Ok(end)) => match &*end {
                State::Stopped(result) => result.clone(),
                State::GaveUp(error) => Err(error.clone()),
                State::Running(_) => Ok(()),
            },
            // The supervisor's runtime is gone, and with it the keeper, whose end stops the server.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(PostgresError::Stop { seconds: stop_timeout.as_secs() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use sqlx::{Connection as _, PgConnection};

    use super::*;
    use crate::embedded::{FetchSettings, Part, Progress, SUPERUSER, attach, default_cache, fetch, running_as_root};

    const LIMIT: Duration = Duration::from_secs(60);

    pub(super) async fn binaries() -> PathBuf {
        let cache = std::env::var_os("KINDRED_CACHE_DIR").map(PathBuf::from);
        let cache = cache.or_else(|| default_cache(running_as_root(), |name| std::env::var_os(name))).expect("a home");
        let settings = FetchSettings { progress: Progress::Silent, ..FetchSettings::new(cache) };
        fetch(&Part::postgres().expect("supported"), &settings).await.expect("fetched")
    }

    fn settings(binaries: &Path, folder: &Path) -> PostgresSettings {
        let extra = vec![("fsync".to_owned(), "off".to_owned()), ("shared_buffers".to_owned(), "32MB".to_owned())];
        PostgresSettings { extra, ..PostgresSettings::new(binaries.to_owned(), folder.join("kindred/postgres")) }
    }

    /// A folder that Postgres can pass through as root too.
    fn folder() -> tempfile::TempDir {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("opened");
        folder
    }

    async fn text(url: &str, sql: &'static str) -> Result<String, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        let text = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(text)
    }

    async fn run(url: &str, sql: &'static str) {
        let mut connection = PgConnection::connect(url).await.expect("connected");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
        connection.close().await.expect("closed");
    }

    fn kill(pid: u32) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    }

    #[tokio::test]
    async fn a_server_starts_comes_back_after_a_kill_and_keeps_its_data() {
        let (binaries, folder, tasks) = (binaries().await, folder(), TaskTracker::new());
        let settings = settings(&binaries, folder.path());
        let server = EmbeddedPostgres::start(settings.clone(), &tasks).await.expect("started");
        let url = server.url(SUPERUSER, "postgres");
        assert!(text(&url, "select version()").await.expect("a version").starts_with("PostgreSQL 18"));
        run(&url, "create extension vector; create table kept as select '[1,2]'::vector as v").await;
        assert!(PgConnection::connect(&server.url("nobody", "postgres")).await.is_err());

        let second = EmbeddedPostgres::start(settings.clone(), &tasks).await.err().map(|error| error.to_string());
        let expected = format!("another kindred uses this data directory (pid {})", std::process::id());
        assert!(second.as_ref().is_some_and(|error| error.starts_with(&expected)), "{second:?}");
        let found = attach(&settings.data).await.expect("looked").expect("found");
        assert_eq!((found.url(SUPERUSER, "postgres"), found.pid()), (url.clone(), std::process::id()));

        let first = server.pid().expect("it runs");
        kill(first);
        let mut state = server.state.clone();
        let back = state.wait_for(|state| matches!(state, State::Running(Some(pid)) if *pid != first));
        tokio::time::timeout(LIMIT, back).await.expect("in time").expect("supervised");
        assert_eq!(text(&url, "select v::text from kept").await.expect("kept"), "[1,2]");
        server.stop().await.expect("stopped");
        assert!(attach(&settings.data).await.expect("looked").is_none());

        let server = EmbeddedPostgres::start(settings, &tasks).await.expect("started again");
        assert_eq!(text(&server.url(SUPERUSER, "postgres"), "select v::text from kept").await.expect("kept"), "[1,2]");
        server.stop().await.expect("stopped");
        tasks.close();
        tokio::time::timeout(LIMIT, tasks.wait()).await.expect("no task is left");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_told_with_its_fix() {
        let (binaries, folder, tasks) = (binaries().await, folder(), TaskTracker::new());
        let settings = settings(&binaries, folder.path());
        let error = |settings: PostgresSettings| async {
            EmbeddedPostgres::start(settings, &tasks).await.err().map(|error| error.to_string()).unwrap_or_default()
        };
        fs::create_dir_all(&settings.data).expect("made");
        fs::write(settings.data.join("letter.txt"), "").expect("written");
        assert!(error(settings.clone()).await.contains("holds files but no Postgres cluster"));
        fs::write(settings.data.join("PG_VERSION"), "17\n").expect("written");
        assert!(error(settings.clone()).await.contains("was made by Postgres 17 and this release brings Postgres 18"));
        fs::write(settings.data.join("PG_VERSION"), "18\n").expect("written");
        assert!(error(settings.clone()).await.contains("nobody can log in"));
        let nowhere = PostgresSettings { binaries: folder.path().join("nowhere"), ..settings };
        assert!(error(nowhere).await.contains("do not run on this machine"));
    }
}
