//! Starts and stops one postmaster on a cluster.

use std::net::TcpListener;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::cluster::Cluster;
use super::connection::{Answer, answer};
use super::keeper::{Keeper, Launched};
use super::server_log::{self, Tail};
use super::tuning::Machine;
use super::{PostgresError, PostgresSettings, leftover};

/// How long an immediate shutdown, and after it a kill, may take.
const FORCED_LIMIT: Duration = Duration::from_secs(10);
/// How long a server that ends may take to do so, and its output to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);
const GONE_POLL: Duration = Duration::from_millis(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A locked cluster, and the thread that starts postmasters on it.
pub(super) struct Server {
    pub(super) cluster: Cluster,
    pub(super) settings: PostgresSettings,
    keeper: Keeper,
    tasks: TaskTracker,
}

/// A postmaster that takes connections.
pub(super) struct Up {
    pub(super) port: u16,
    pub(super) exited: oneshot::Receiver<ExitStatus>,
    pub(super) tail: Tail,
}

/// Why a start failed, and whether another attempt may succeed.
struct Failure {
    error: PostgresError,
    passing: bool,
}

impl Server {
    pub(super) async fn open(settings: PostgresSettings, tasks: TaskTracker) -> Result<Self, PostgresError> {
        let keeper =
            Keeper::start().map_err(|error| PostgresError::io("start a thread for", &settings.data, &error))?;
        let cluster = Cluster::open(&keeper, &settings).await?;
        Ok(Self { cluster, settings, keeper, tasks })
    }

    /// Starts a postmaster and waits until it takes connections, on `port` or a free one. What passes by itself, such
    /// as an orphan from before that is still shutting down, is waited for until the start timeout.
    pub(super) async fn bring_up(&self, port: Option<u16>) -> Result<Up, PostgresError> {
        let deadline = Instant::now() + self.settings.start_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            leftover::clear(&self.cluster.layout.data, deadline).await?;
            match self.try_start(port, deadline).await {
                Ok(up) => return Ok(up),
                Err(Failure { error, passing }) if !passing || Instant::now() + pause >= deadline => return Err(error),
                Err(Failure { error, .. }) => tracing::debug!(%error, "trying again to start Postgres"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_start(&self, wanted: Option<u16>, deadline: Instant) -> Result<Up, Failure> {
        let lasting = |error: PostgresError| Failure { error, passing: false };
        let data = &self.cluster.layout.data;
        let failed = |error| lasting(PostgresError::io("start Postgres on", data, &error));
        let port = choose_port(wanted).map_err(|error| match (error.kind(), wanted) {
            (std::io::ErrorKind::AddrInUse, Some(port)) => lasting(PostgresError::PortInUse { port }),
            _ => failed(error),
        })?;
        let mut command = self.cluster.command("postgres");
        command.arg("-D").arg(data);
        for (name, value) in Machine::look().settings(port).iter().chain(&self.settings.extra) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let Launched { stdout, stderr, mut exited } = self.keeper.launch(command).await.map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(failed(std::io::Error::other("its output was not piped")));
        };
        let (stdout, stderr) =
            (ChildStdout::from_std(stdout).map_err(failed)?, ChildStderr::from_std(stderr).map_err(failed)?);
        let tail = Tail::default();
        self.tasks.spawn(server_log::follow(stdout, tail.clone(), true));
        let log = self.tasks.spawn(server_log::follow(stderr, tail.clone(), true));

        tokio::select! {
            answer = self.first_answer(port, deadline) => match answer {
                Ok(()) => Ok(Up { port, exited, tail }),
                Err(error) => {
                    // Another server on the same port may have answered, and ours may be about to end because of it.
                    if let Ok(status) = tokio::time::timeout(LAST_WORDS, &mut exited).await {
                        return Err(diagnose(status.ok(), &tail.text(), port, wanted.is_none(), data));
                    }
                    self.force_down().await;
                    Err(lasting(error.unwrap_or_else(|| PostgresError::StartTimeout {
                        seconds: self.settings.start_timeout.as_secs(),
                        said: tail.text(),
                    })))
                }
            },
            status = &mut exited => {
                // Its last words are in the pipe; an orphaned backend may keep that open, so not for ever.
                let _ = tokio::time::timeout(LAST_WORDS, log).await;
                Err(diagnose(status.ok(), &tail.text(), port, wanted.is_none(), data))
            }
        }
    }

    /// Waits until the server lets us in; `Err(None)` where the deadline passed.
    async fn first_answer(&self, port: u16, deadline: Instant) -> Result<(), Option<PostgresError>> {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match answer(&self.cluster.credentials, port).await {
                Answer::Ready => return Ok(()),
                Answer::Refused => {
                    return Err(Some(PostgresError::PasswordRefused { path: self.cluster.layout.credentials.clone() }));
                }
                Answer::NotYet(_) if Instant::now() >= deadline => return Err(None),
                Answer::NotYet(_) => pause = (pause * 3 / 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Stops the postmaster, where one lives: fast, then immediate, then by force. All three keep the data safe.
    pub(super) async fn take_down(&self) -> Result<(), PostgresError> {
        self.keeper.signal(Signal::INT);
        if self.gone_within(self.settings.stop_timeout).await {
            return Ok(());
        }
        tracing::warn!("Postgres does not stop in time and is forced to; its next start reads its log again");
        if self.force_down().await {
            return Ok(());
        }
        Err(PostgresError::Stop { seconds: self.settings.stop_timeout.as_secs() })
    }

    async fn force_down(&self) -> bool {
        for signal in [Signal::QUIT, Signal::KILL] {
            self.keeper.signal(signal);
            if self.gone_within(FORCED_LIMIT).await {
                return true;
            }
        }
        false
    }

    async fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.keeper.pid().is_some() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(GONE_POLL).await;
        }
        true
    }

    /// The postmaster's process id, while one lives.
    pub(super) fn pid(&self) -> Option<u32> {
        self.keeper.pid()
    }
}

/// The wanted port, or any, that is free at this moment. That another process is faster is found out later.
fn choose_port(wanted: Option<u16>) -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", wanted.unwrap_or(0)))?.local_addr()?.port())
}

/// Reads out of a postmaster's last words why it ended.
fn diagnose(
    status: Option<ExitStatus>,
    said: &str,
    port: u16,
    port_is_free_choice: bool,
    data: &std::path::Path,
) -> Failure {
    if said.contains("No space left on device") {
        return Failure { error: PostgresError::NoSpace { path: data.to_owned() }, passing: false };
    }
    if said.contains("Address already in use") {
        return Failure { error: PostgresError::PortInUse { port }, passing: port_is_free_choice };
    }
    // A postmaster, or backends of one, that have not quite ended.
    let passing = said.contains("already exists") || said.contains("still in use");
    let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
    Failure { error: PostgresError::Start { status, said: said.to_owned() }, passing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_understood() {
        for (said, free, passing, part) in [
            ("LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use", true, true, "port 5"),
            ("LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use", false, false, "port 5"),
            ("FATAL:  lock file \"postmaster.pid\" already exists", false, true, "already exists"),
            ("FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", false, true, "still in use"),
            ("FATAL:  could not write: No space left on device", false, false, "KINDRED_DATA_DIR"),
            ("FATAL:  unrecognized configuration parameter", false, false, "unrecognized"),
        ] {
            let failure = diagnose(None, said, 5, free, std::path::Path::new("/data"));
            assert_eq!(failure.passing, passing, "{said}");
            assert!(failure.error.to_string().contains(part), "{}", failure.error);
        }
    }
}
