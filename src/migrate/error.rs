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
        "migration {0:02} in the database is another one than this Kindred's: before release 0.1.0 migrations may be \
         rewritten; remove the data directory (kindred serve: --data-dir), or drop and create the database again"
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
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl Classify for MigrateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Newer { .. } | Self::Older { .. } | Self::Rewritten(_) | Self::UnsafeRole { .. } => {
                Kind::FailedPrecondition
            }
            Self::Failed(_) => Kind::Internal,
            Self::Database(_) => Kind::Unavailable,
        }
    }
}
