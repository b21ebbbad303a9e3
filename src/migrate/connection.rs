//! Connections with the owner's rights.

use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::MigrateError;

/// Where names are looked up: as the service does, and never in temporary tables first. Beside a legacy database the new one grows in schema `kindred`, and moves to `public` when it
/// takes over; on a fresh database `kindred` does not exist. pgvector may live in `extensions`.
const SEARCH_PATH: &str = "kindred,public,extensions,pg_temp";

/// How often a statement that waits for a lock is tried, each time for at most [`LOCK_TIMEOUT_MS`].
const LOCK_ATTEMPTS: u32 = 100;

/// The longest that writers queue behind one of our locks.
const LOCK_TIMEOUT_MS: u32 = 250;

/// Connects, with times in UTC.
pub(super) async fn connect(url: &str) -> Result<PgConnection, MigrateError> {
    let options = PgConnectOptions::from_str(url)?.application_name("kindred migrate").options([
        ("search_path", SEARCH_PATH),
        ("TimeZone", "UTC"),
        ("check_function_bodies", "off"),
        ("client_min_messages", "warning"),
    ]);
    Ok(options.connect().await?)
}

/// Runs SQL of this room in a transaction of its own that waits only briefly for each lock, and tries again while others hold it.
/// Tells how long the attempt that succeeded took.
pub(super) async fn briefly(connection: &mut PgConnection, sql: &str) -> Result<Duration, MigrateError> {
    let mut attempt = 1;
    loop {
        let started = std::time::Instant::now();
        let mut transaction = connection.begin().await?;
        let limit = format!("SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(limit)).execute(&mut *transaction).await?;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await {
            Ok(_) => {
                transaction.commit().await?;
                return Ok(started.elapsed());
            }
            Err(error) if is_lock(&error) && attempt < LOCK_ATTEMPTS => {
                transaction.rollback().await?;
                let pause = rand::rng().random_range(50..250) * u64::from(attempt.min(8));
                tokio::time::sleep(Duration::from_millis(pause)).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether somebody else's lock, or a deadlock with somebody else, was in the way.
pub(super) fn is_lock(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01" | "40001"))
}
