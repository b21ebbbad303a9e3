//! Brings a server that died back, a bounded number of times, until it is told to stop.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::server::{Server, Up};
use super::{PostgresError, connection};

/// After so many deaths in a row it is given up.
const MAX_RESTARTS: u32 = 6;
/// A server that ran for so long counts as one that works: the count begins again.
const STEADY: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What has become of the server.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It runs under this process id, or is being brought back (`None`).
    Running(Option<u32>),
    /// It was stopped, or could not be.
    Stopped(Result<(), PostgresError>),
    /// It died too often.
    GaveUp(PostgresError),
}

/// Runs until `stop` is cancelled or the server is given up. The cluster's lock is held until then.
pub(super) async fn supervise(server: Server, mut up: Up, stop: CancellationToken, state: watch::Sender<State>) {
    let mut deaths = 0;
    let end = loop {
        let since = Instant::now();
        state.send_replace(State::Running(server.pid()));
        let status = tokio::select! {
            () = stop.cancelled() => break State::Stopped(server.take_down().await),
            status = &mut up.exited => status,
        };
        state.send_replace(State::Running(None));
        if since.elapsed() >= STEADY {
            deaths = 0;
        }
        let reason = format!(
            "{}\n{}",
            status.map_or_else(|_| "unknown".to_owned(), |status| status.to_string()),
            up.tail.text()
        );
        up = match bring_back(&server, up.port, reason, &mut deaths, &stop).await {
            Ok(up) => up,
            Err(end) => break end,
        };
    };
    connection::withdraw(&server.cluster.layout);
    // The lock and the thread go first, so that whoever waits for the end may start anew at once.
    drop(server);
    state.send_replace(end);
}

/// Starts it again on the same port, which clients have in their URLs.
async fn bring_back(
    server: &Server,
    port: u16,
    mut reason: String,
    deaths: &mut u32,
    stop: &CancellationToken,
) -> Result<Up, State> {
    loop {
        *deaths += 1;
        tracing::error!(deaths, %reason, "the embedded Postgres ended");
        if *deaths > MAX_RESTARTS {
            return Err(State::GaveUp(PostgresError::GaveUp { times: *deaths, reason }));
        }
        let restart = async {
            tokio::time::sleep(pause_after(*deaths)).await;
            metrics::counter!("kindred_postgres_restarts_total").increment(1);
            server.bring_up(Some(port)).await
        };
        let result = tokio::select! {
            () = stop.cancelled() => return Err(State::Stopped(server.take_down().await)),
            result = restart => result,
        };
        match result {
            Ok(up) => {
                tracing::info!("the embedded Postgres is back");
                return Ok(up);
            }
            Err(error) => reason = error.to_string(),
        }
    }
}

fn pause_after(deaths: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << deaths.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(pause_after(1), FIRST_PAUSE);
        assert_eq!(pause_after(2), FIRST_PAUSE * 2);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
