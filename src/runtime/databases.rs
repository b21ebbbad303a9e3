//! The database, embedded or given, with its schema in place.

use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use super::{Config, DatabaseChoice, StartError};
use crate::domain::{Classify, Kind};
use crate::embedded::{
    Connection, Credentials, EmbeddedPostgres, FetchSettings, Part, PostgresSettings, Progress, SUPERUSER, attach,
    fetch,
};
use crate::migrate::{self, MigrateError, RolePasswords};
use crate::store::{Database, DatabaseSettings, StoreError};

/// The name of the database inside the embedded Postgres.
const NAME: &str = "kindred";
const APP: &str = "kindred_app";
const OWNER: &str = "kindred_owner";

/// A database whose schema is this program's, reached by the service's role and, where it is known, the owner's.
pub struct Databases {
    /// As `kindred_app`.
    pub app: Database,
    /// As `kindred_owner`.
    pub owner: Option<Database>,
    /// The private server, where this process runs it.
    pub(super) embedded: Option<EmbeddedPostgres>,
}

/// Where a database is reached, and the private server where this process runs it.
pub struct Urls {
    pub(super) app: String,
    pub(super) owner: Option<String>,
    superuser: Option<(String, Credentials)>,
    embedded: Option<EmbeddedPostgres>,
}

impl Databases {
    /// Starts or finds the database, migrates it where it is the embedded one, and checks it where it is not.
    pub async fn open(config: &Config, tasks: &TaskTracker) -> Result<Self, StartError> {
        let urls = Urls::find(config, tasks).await?;
        match urls.prepare(config).await {
            Ok((app, owner)) => Ok(Self { app, owner, embedded: urls.embedded }),
            Err(error) => {
                urls.stop().await;
                Err(error)
            }
        }
    }

    /// The same without migrating anything, and without refusing a role or schema: what speaks against them is given beside.
    pub(super) async fn examine(config: &Config, tasks: &TaskTracker) -> Result<(Self, Vec<MigrateError>), StartError> {
        let urls = Urls::find(config, tasks).await?;
        match urls.look_at(config).await {
            Ok((app, owner, objections)) => Ok((Self { app, owner, embedded: urls.embedded }, objections)),
            Err(error) => {
                urls.stop().await;
                Err(error)
            }
        }
    }

    /// Closes every connection, and stops the private server where this process runs it.
    pub async fn close(self) {
        self.app.close().await;
        if let Some(owner) = &self.owner {
            owner.close().await;
        }
        if let Some(server) = self.embedded
            && let Err(error) = server.stop().await
        {
            tracing::warn!(%error, "the private Postgres did not stop cleanly");
        }
    }
}

impl Urls {
    /// The given URLs, or those of the embedded server: this process starts it unless another one runs it already.
    pub(super) async fn find(config: &Config, tasks: &TaskTracker) -> Result<Self, StartError> {
        if let DatabaseChoice::Given { app, owner } = &config.database {
            return Ok(Self { app: app.clone(), owner: owner.clone(), superuser: None, embedded: None });
        }
        let data = config.data_dir.join("postgres");
        if let Some(running) = attach(&data).await? {
            return Ok(Self::of_running(&running));
        }
        let binaries = binaries(config).await?;
        let server = EmbeddedPostgres::start(PostgresSettings::new(binaries, data), tasks).await?;
        Ok(Self {
            app: server.url(APP, NAME),
            owner: Some(server.url(OWNER, NAME)),
            superuser: Some((server.url(SUPERUSER, "postgres"), server.credentials().clone())),
            embedded: Some(server),
        })
    }

    fn of_running(running: &Connection) -> Self {
        Self { app: running.url(APP, NAME), owner: Some(running.url(OWNER, NAME)), superuser: None, embedded: None }
    }

    async fn prepare(&self, config: &Config) -> Result<(Database, Option<Database>), StartError> {
        if let (Some((superuser, credentials)), Some(owner)) = (&self.superuser, &self.owner) {
            prepare_embedded(superuser, owner, credentials).await?;
        }
        let app = self.connect_app(config).await?;
        migrate::check_service_role(&self.app).await?;
        Ok((app, self.connect_owner(config).await?))
    }

    async fn connect_app(&self, config: &Config) -> Result<Database, StartError> {
        connect(config, &self.app, config.database_connections, "DATABASE_URL").await
    }

    async fn connect_owner(&self, config: &Config) -> Result<Option<Database>, StartError> {
        match &self.owner {
            Some(url) => Ok(Some(connect(config, url, 4, "KINDRED_OWNER_DATABASE_URL").await?)),
            None => Ok(None),
        }
    }

    /// Connects without migrating anything, and without refusing a role or schema: what speaks against them is given beside.
    async fn look_at(&self, config: &Config) -> Result<(Database, Option<Database>, Vec<MigrateError>), StartError> {
        self.bootstrap().await?;
        let app = self.connect_app(config).await?;
        let mut objections = Vec::new();
        for checked in [migrate::check_role(&self.app).await, migrate::check_schema(&self.app).await] {
            match checked {
                Err(error) if error.kind() == Kind::FailedPrecondition => objections.push(error),
                checked => checked?,
            }
        }
        Ok((app, self.connect_owner(config).await?, objections))
    }

    /// Stops the private server, where this process runs it.
    pub async fn stop(self) {
        if let Some(server) = self.embedded
            && let Err(error) = server.stop().await
        {
            tracing::warn!(%error, "the private Postgres did not stop cleanly");
        }
    }

    /// Makes the embedded server's database and roles, without migrating it.
    pub(super) async fn bootstrap(&self) -> Result<(), StartError> {
        match &self.superuser {
            Some((superuser, credentials)) => Ok(bootstrap(superuser, credentials).await?),
            None => Ok(()),
        }
    }
}

/// The folder of the embedded Postgres' programs, fetched where it is missing: `pg_dump` among them.
pub async fn postgres_programs(config: &Config) -> Result<PathBuf, StartError> {
    Ok(binaries(config).await?.join("bin"))
}

async fn binaries(config: &Config) -> Result<PathBuf, StartError> {
    Ok(fetch(&Part::postgres()?, &fetch_settings(config)).await?)
}

/// How parts are fetched under this configuration.
pub(super) fn fetch_settings(config: &Config) -> FetchSettings {
    FetchSettings {
        python: config.python.clone(),
        progress: if config.show_progress { Progress::Shown } else { Progress::Silent },
        ..FetchSettings::new(config.cache_dir.clone())
    }
}

async fn bootstrap(superuser: &str, credentials: &Credentials) -> Result<(), MigrateError> {
    let passwords = RolePasswords {
        owner: credentials.password(OWNER).map(str::to_owned),
        app: credentials.password(APP).map(str::to_owned),
        reader: credentials.password("kindred_reader").map(str::to_owned),
    };
    migrate::create_database(superuser, NAME).await?;
    let database = superuser.rsplit_once('/').map_or_else(String::new, |(server, _)| format!("{server}/{NAME}"));
    migrate::bootstrap(&database, &passwords).await
}

async fn prepare_embedded(superuser: &str, owner: &str, credentials: &Credentials) -> Result<(), StartError> {
    bootstrap(superuser, credentials).await?;
    migrate::up(owner).await?;
    Ok(())
}

async fn connect(config: &Config, url: &str, connections: u32, setting: &'static str) -> Result<Database, StartError> {
    let settings = DatabaseSettings {
        max_connections: connections,
        acquire_timeout: config.pool_timeout,
        statement_timeout: config.statement_timeout,
        lock_timeout: config.lock_timeout,
        ..DatabaseSettings::new(url)
    };
    Database::connect(settings).await.map_err(|cause: StoreError| StartError::Database { setting, cause })
}

/// The owner's URL for commands that work on the schema itself; stop the server afterwards.
pub async fn owner_url(config: &Config) -> Result<(String, Urls), StartError> {
    let tasks = TaskTracker::new();
    let urls = Urls::find(config, &tasks).await?;
    let prepared = match (urls.bootstrap().await, &urls.owner) {
        (Err(error), _) => Err(error),
        (Ok(()), None) => Err(StartError::NoOwner),
        (Ok(()), Some(owner)) => Ok(owner.clone()),
    };
    match prepared {
        Ok(owner) => Ok((owner, urls)),
        Err(error) => {
            urls.stop().await;
            Err(error)
        }
    }
}
