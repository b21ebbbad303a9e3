//! Why the schema is not as it must be.

use crate::domain::{Classify, Kind};

/// Why the schema is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Failed(#[source] sqlx::migrate::MigrateError),
    /// The database was migrated by a newer Kindred.
    #[error(
        "the database has migration {found:02}, which this Kindred does not know (it knows up to {known:02}): \
         it belongs to a newer release; run that one, or restore a backup of the older schema"
    )]
    Newer {
        /// The newest migration in the database.
        found: i64,
        /// The newest migration of this program.
        known: i64,
    },
    /// Migrations are missing.
    #[error(
        "the database is at migration {found:02} and this Kindred needs {known:02}: \
         run `kindred migrate up` with KINDRED_OWNER_DATABASE_URL"
    )]
    Older {
        /// The newest migration in the database; 0 for none.
        found: i64,
        /// The newest migration of this program.
        known: i64,
    },
    /// A migration that was applied is not the one that this program holds.
    #[error(
        "migration {0:02} in the database is another one than this Kindred's: the database was made by a \
         state before release 0.1.0, or by a changed one; remove the data directory (kindred serve: --data-dir), or drop and \
         create the database again"
    )]
    Rewritten(i64),
    /// The service's role could bypass row level security.
    #[error("the role {role} must not serve requests: {reason}; log in as kindred_app (DATABASE_URL)")]
    UnsafeRole {
        /// The role.
        role: String,
        /// Why not.
        reason: String,
    },
    /// The database is a legacy one, which `up` alone must not touch.
    #[error(
        "the database holds a legacy application's tables: look at `kindred migrate plan`, then run `kindred migrate up`"
    )]
    IsLegacy,
    /// Something stands in the way of a migration.
    #[error("{0}\nnothing was changed; kindred migrate plan shows everything that is in the way")]
    Blocked(String),
    /// No backup could be taken or checked.
    #[error("no checked backup: {0}")]
    Backup(String),
    /// An option of the migration is wrong.
    #[error("{0}")]
    Options(String),
    /// Legacy vectors were adopted under another model.
    #[error(
        "legacy vectors were adopted under the model {chosen}, not {asked}: leave --legacy-model out, or start anew after kindred migrate down --to 0"
    )]
    OtherModel {
        /// The model they were adopted under.
        chosen: String,
        /// The model that was asked for.
        asked: String,
    },
    /// Both sides differ.
    #[error("the legacy and the new side differ ({0}): nothing was cut over; kindred migrate verify names the rows")]
    Differs(String),
    /// Another run is at work.
    #[error("another kindred migrate is at work on this database: wait for it, or stop it")]
    Busy,
    /// Somebody holds rows or tables too long.
    #[error(
        "{0} stayed locked by somebody else's transaction: look at pg_stat_activity for one that is idle in transaction, then run it again"
    )]
    Locked(String),
    /// No legacy database is being carried over.
    #[error("no migration of a legacy database is under way here")]
    NothingUnderWay,
    /// The cut-over has happened.
    #[error(
        "the cut-over has happened, so every organization reads the new side; kindred migrate down --cut-over takes it back"
    )]
    CutOverDone,
    /// The migration was finalized.
    #[error("the migration was finalized, so there is no way back but a backup")]
    Finalized,
    /// Something outside the backup still reads it.
    #[error("nothing was dropped: these still hang on the backup, change or drop them first: {}", dependents.join(", "))]
    BackupInUse {
        /// Views, and keys with their tables.
        dependents: Vec<String>,
    },
    /// No organization has the slug.
    #[error("no organization has the slug {0:?}; kindred organization list shows them")]
    NoOrganization(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl Classify for MigrateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::Rewritten(_)
            | Self::UnsafeRole { .. }
            | Self::IsLegacy
            | Self::Blocked(_)
            | Self::OtherModel { .. }
            | Self::Differs(_)
            | Self::NothingUnderWay
            | Self::CutOverDone
            | Self::BackupInUse { .. }
            | Self::Finalized => Kind::FailedPrecondition,
            Self::Backup(_) | Self::Options(_) => Kind::Invalid,
            Self::NoOrganization(_) => Kind::NotFound,
            Self::Busy | Self::Locked(_) => Kind::Unavailable,
            Self::Failed(_) => Kind::Internal,
            Self::Database(_) => Kind::Unavailable,
        }
    }
}
