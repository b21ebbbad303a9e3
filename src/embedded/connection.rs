//! How to reach the running server, for this process and for others.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _};

use super::layout::Layout;
use super::{Credentials, PostgresError, SUPERUSER, private_file};

/// How long one attempt to connect may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A running embedded Postgres of another process.
#[derive(Debug, Clone)]
pub struct Connection {
    port: u16,
    pid: u32,
    credentials: Credentials,
}

impl Connection {
    /// A URL for the role, one of [`super::ROLES`], and the database.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.credentials.url(self.port, role, database)
    }

    /// The process that runs the server.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

/// What is written for other processes; the passwords are in a file of their own.
#[derive(Serialize, Deserialize)]
struct Notice {
    pid: u32,
    port: u16,
}

/// Tells other processes of this user where the server is.
pub(super) fn publish(layout: &Layout, port: u16) -> Result<(), PostgresError> {
    let notice = Notice { pid: std::process::id(), port };
    let write = || private_file::write(&layout.connection, &serde_json::to_vec(&notice)?);
    write().map_err(|error| PostgresError::io("write", &layout.connection, &error))
}

/// Takes the notice back. One that stays is found out by the lock that nobody holds.
pub(super) fn withdraw(layout: &Layout) {
    let _ = fs::remove_file(&layout.connection);
}

/// Finds the server that another process runs on `data`, and makes sure that it answers. `None` where nobody runs one.
///
/// # Errors
/// Where the server is another user's, or does not answer though its process lives.
pub async fn attach(data: &Path) -> Result<Option<Connection>, PostgresError> {
    let layout = Layout::of(data).map_err(|error| PostgresError::io("use", data, &error))?;
    let Some(text) = read(&layout.connection)? else { return Ok(None) };
    if !is_held(&layout.lock)? {
        return Ok(None);
    }
    let broken = |path: &Path, error: io::Error| PostgresError::io("understand", path, &error);
    let notice: Notice = serde_json::from_slice(&text).map_err(|error| broken(&layout.connection, error.into()))?;
    let credentials = Credentials::load(&layout.credentials)
        .map_err(|error| broken(&layout.credentials, error))?
        .ok_or_else(|| broken(&layout.credentials, io::ErrorKind::NotFound.into()))?;
    match answer(&credentials, notice.port).await {
        Answer::Ready => Ok(Some(Connection { port: notice.port, pid: notice.pid, credentials })),
        Answer::Refused => Err(PostgresError::PasswordRefused { path: layout.credentials }),
        Answer::NotYet(reason) => Err(PostgresError::Silent { pid: notice.pid, reason }),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PostgresError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            io::ErrorKind::PermissionDenied => Err(PostgresError::OtherUser { path: path.to_owned() }),
            _ => Err(PostgresError::io("read", path, &error)),
        },
    }
}

/// Whether a process holds the lock. It is taken for a moment to find out; whoever starts meanwhile tries again.
fn is_held(path: &Path) -> Result<bool, PostgresError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| PostgresError::io("open", path, &error))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(PostgresError::io("look at the lock", path, &error)),
    }
}

/// What a server says to a log-in.
pub(super) enum Answer {
    /// It takes connections.
    Ready,
    /// It knows another password.
    Refused,
    /// It does not answer, or is starting or stopping.
    NotYet(String),
}

/// Logs in as the superuser and out again. SCRAM also proves to us that the server knows the password.
pub(super) async fn answer(credentials: &Credentials, port: u16) -> Answer {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(credentials.password(SUPERUSER).unwrap_or_default())
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    let attempt = async {
        let connection = options.connect().await?;
        // The answer is known; how the connection ends says nothing more.
        let _ = connection.close().await;
        Ok(())
    };
    match tokio::time::timeout(ANSWER_LIMIT, attempt).await {
        Ok(Ok(())) => Answer::Ready,
        Ok(Err(error)) => classify(&error),
        Err(_) => Answer::NotYet(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    }
}

fn classify(error: &sqlx::Error) -> Answer {
    match error.as_database_error().and_then(|error| error.code()).as_deref() {
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => Answer::Refused,
        // too_many_connections: busy, and so it runs
        Some("53300") => Answer::Ready,
        _ => Answer::NotYet(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_notice_whose_process_is_gone_is_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::of(&folder.path().join("postgres")).expect("a path");
        assert!(attach(&layout.data).await.expect("nothing there").is_none());
        publish(&layout, 1).expect("written");
        assert!(attach(&layout.data).await.expect("no lock").is_none());
        let lock = File::create(&layout.lock).expect("made");
        assert!(attach(&layout.data).await.expect("lock not held").is_none());
        lock.lock().expect("held");
        Credentials::generate().save(&layout.credentials).expect("written");
        let error = attach(&layout.data).await.expect_err("nobody listens on port 1");
        assert!(matches!(error, PostgresError::Silent { .. }), "{error}");
    }
}
