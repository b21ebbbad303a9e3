//! Up, down, and where the database stands.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, PgConnection};

use super::MigrateError;
use super::connection::connect;
use super::legacy::{self, Origin};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// The newest migration in the database; 0 for none.
    pub applied: i64,
    /// The newest migration of this program.
    pub known: i64,
    /// Number, name, and whether it is applied.
    pub steps: Vec<(i64, String, bool)>,
}

/// Applies what is missing; safe to run again. Needs the owner's rights.
///
/// # Errors
/// Where the database is a legacy one: [`super::carry_over`] is for those.
pub async fn up(owner_url: &str) -> Result<SchemaState, MigrateError> {
    let mut connection = connect(owner_url).await?;
    if legacy::origin(&mut connection).await? == Origin::Legacy {
        return Err(MigrateError::IsLegacy);
    }
    run_migrations(&mut connection).await?;
    let state = state_of(&mut connection).await?;
    connection.close().await?;
    Ok(state)
}

/// Applies what is missing on an open connection of the owner.
pub(super) async fn run_migrations(connection: &mut PgConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run(connection).await.map_err(explained)
}

/// Undoes migrations down to and without `target`: with 0, all of them. Needs the owner's rights.
pub async fn down(owner_url: &str, target: i64) -> Result<SchemaState, MigrateError> {
    let mut connection = connect(owner_url).await?;
    if matches!(legacy::origin(&mut connection).await?, Origin::UnderWay | Origin::Finalized) {
        return Err(MigrateError::IsLegacy);
    }
    MIGRATIONS.undo(&mut connection, target).await.map_err(explained)?;
    let state = state_of(&mut connection).await?;
    connection.close().await?;
    Ok(state)
}

/// Where a database stands, read with any role that may read `_sqlx_migrations`.
///
/// # Errors
/// Where it is newer than this program, or holds another text of a migration.
pub async fn schema_state(url: &str) -> Result<SchemaState, MigrateError> {
    let mut connection = connect(url).await?;
    let state = state_of(&mut connection).await?;
    connection.close().await?;
    Ok(state)
}

async fn state_of(connection: &mut PgConnection) -> Result<SchemaState, MigrateError> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    let applied = if exists {
        connection.list_applied_migrations(&MIGRATIONS.table_name).await.map_err(explained)?
    } else {
        Vec::new()
    };
    let mut state = SchemaState { applied: 0, known: 0, steps: Vec::new() };
    for migration in MIGRATIONS.iter().filter(|migration| migration.migration_type.is_up_migration()) {
        let in_database = applied.iter().find(|applied| applied.version == migration.version);
        if in_database.is_some_and(|applied| applied.checksum != migration.checksum) {
            return Err(MigrateError::Rewritten(migration.version));
        }
        state.known = migration.version;
        state.steps.push((migration.version, migration.description.to_string(), in_database.is_some()));
    }
    state.applied = applied.iter().map(|applied| applied.version).max().unwrap_or_default();
    if state.applied > state.known {
        return Err(MigrateError::Newer { found: state.applied, known: state.known });
    }
    Ok(state)
}

fn explained(error: sqlx::migrate::MigrateError) -> MigrateError {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    match error {
        sqlx::migrate::MigrateError::VersionMissing(found) => MigrateError::Newer { found, known },
        sqlx::migrate::MigrateError::VersionMismatch(version) => MigrateError::Rewritten(version),
        other => MigrateError::Failed(other),
    }
}
