//! The connection pool and tenant transactions.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};

use super::StoreError;
use crate::domain::OrganizationId;

/// How to reach a database, and the limits that hold there.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// The most connections.
    pub max_connections: u32,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// The longest a statement may wait for a lock.
    pub lock_timeout: Duration,
}

impl DatabaseSettings {
    /// The usual limits: 16 connections, 5 s for one, 30 s a statement, 10 s a lock.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
        }
    }

    /// The same limits and address for one connection.
    pub(super) fn connect_options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        Ok(PgConnectOptions::from_str(&self.url)?.application_name("kindred").options([
            ("statement_timeout", self.statement_timeout.as_millis().to_string()),
            ("lock_timeout", self.lock_timeout.as_millis().to_string()),
            ("idle_in_transaction_session_timeout", "60000".to_owned()),
            // Beside a legacy database the tables are in `kindred` until they take over; pgvector may be in `extensions`.
            ("search_path", "kindred,public,extensions".to_owned()),
        ]))
    }
}

/// A pool of connections of one role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    settings: DatabaseSettings,
}

impl Database {
    /// Connects, and proves it by one statement.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database does not answer or refuses the password.
    pub async fn connect(settings: DatabaseSettings) -> Result<Self, StoreError> {
        // A pool would try again until its time is over, and then tell only that it was.
        let first = settings.connect_options()?;
        let first = tokio::time::timeout(settings.acquire_timeout, first.connect());
        match first.await {
            Ok(connected) => connected?.close().await?,
            Err(_) => return Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut)),
        }
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .idle_timeout(Duration::from_secs(600))
            .connect_with(settings.connect_options()?)
            .await?;
        Ok(Self { pool, settings })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// The pool, for what is not a tenant's.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection for what takes as long as it takes, such as building an index: the statement limit of requests does not
    /// fit it. It is none of the pool's, so it ends where it is dropped, and what it was about is undone.
    pub(super) async fn unlimited(&self) -> Result<PgConnection, StoreError> {
        // That its statements take long is no news.
        let options = self.settings.connect_options()?.disable_statement_logging();
        let connected = tokio::time::timeout(self.settings.acquire_timeout, options.connect()).await;
        let mut connection = connected.map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut))??;
        // Between statements an object store may be waited for.
        let limits = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '10min'";
        sqlx::raw_sql(limits).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Connections in use and open.
    pub fn pool_usage(&self) -> (usize, u32) {
        let open = self.pool.size();
        ((open as usize).saturating_sub(self.pool.num_idle()), open)
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that sees one organization's rows only. `name` tells it apart in metrics.
    ///
    /// Dropped without [`TenantTransaction::commit`], it rolls back.
    pub async fn tenant(
        &self,
        name: &'static str,
        organization: OrganizationId,
    ) -> Result<TenantTransaction, StoreError> {
        self.begin(name, organization, "BEGIN").await
    }

    /// The same, reading one snapshot throughout.
    pub async fn tenant_snapshot(
        &self,
        name: &'static str,
        organization: OrganizationId,
    ) -> Result<TenantTransaction, StoreError> {
        self.begin(name, organization, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// The same for reading all rows of a partition, which the statement limit of requests does not fit where they are many.
    pub async fn tenant_bulk_snapshot(
        &self,
        name: &'static str,
        organization: OrganizationId,
    ) -> Result<TenantTransaction, StoreError> {
        let mut transaction = self.tenant_snapshot(name, organization).await?;
        sqlx::raw_sql("SET LOCAL statement_timeout = '1h'").execute(transaction.connection()).await?;
        Ok(transaction)
    }

    async fn begin(
        &self,
        name: &'static str,
        organization: OrganizationId,
        begin: &'static str,
    ) -> Result<TenantTransaction, StoreError> {
        let started = Instant::now();
        let mut transaction = self.pool.begin_with(begin).await?;
        // A message of its own, written out: a bound parameter or set_config() would not reach Citus' workers.
        let setting = format!("SET LOCAL app.organization_id = '{}'", organization.0);
        sqlx::raw_sql(sqlx::AssertSqlSafe(setting)).execute(&mut *transaction).await?;
        Ok(TenantTransaction { transaction, organization, name, started })
    }
}

/// An open transaction of one organization.
#[derive(Debug)]
pub struct TenantTransaction {
    transaction: Transaction<'static, Postgres>,
    organization: OrganizationId,
    name: &'static str,
    started: Instant,
}

impl TenantTransaction {
    /// The organization it sees.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Makes its writes durable and visible.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        metrics::histogram!("kindred_transaction_seconds", "name" => self.name)
            .record(self.started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Undoes its writes.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.transaction.rollback().await?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
