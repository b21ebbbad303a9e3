//! `kindred migrate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::migrate_report as report;
use super::output;
use super::prepare::{Failure, prepared};
use crate::catalog;
use crate::migrate::{self as schema, Backup, OwnerOptions, RolePasswords, read_user_places};
use crate::runtime::{Config, Settings, owner_url, postgres_programs};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what will happen to each legacy table, what it needs and what is in the way; changes nothing
    Plan {
        #[command(flatten)]
        settings: Settings,
    },
    /// Apply what is missing, and carry a legacy database over as far as it can go; safe to run again
    Up {
        #[command(flatten)]
        carrying: Carrying,
        #[command(flatten)]
        settings: Settings,
    },
    /// Show which migrations are applied, and how far a legacy database has come
    Status {
        #[command(flatten)]
        settings: Settings,
    },
    /// Compare the legacy and the new side row by row, and name the rows that differ
    Verify {
        /// The most rows named for each comparison
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        name_rows: i64,
        #[command(flatten)]
        settings: Settings,
    },
    /// Say which side organizations read while a legacy database is carried over
    Switch {
        /// One organization, by its slug
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        organization: Option<String>,
        /// Every organization
        #[arg(long)]
        all: bool,
        /// Back to the legacy side
        #[arg(long)]
        back: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Undo migrations, or restore a legacy database with all that was written since
    Down {
        /// Undo down to and without this number; 0 undoes all of them. A fresh database loses its data with them; on a
        /// legacy one only 0 is possible, and what has no place there is set aside in a schema
        #[arg(long, required_unless_present = "cut_over")]
        to: Option<i64>,
        /// Only take the cut-over back: the legacy tables serve again
        #[arg(long, conflicts_with = "to")]
        cut_over: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// End the migration of a legacy database after a passing verification; its tables stay in schema kindred_legacy
    Finalize {
        /// Drop the legacy tables that an earlier run kept
        #[arg(long)]
        drop_backup: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the schema as TypeScript types, in the form of Supabase's clients
    Types {
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the schema as an entity-relationship diagram in DOT, which `dot -Tsvg` draws
    Diagram {
        #[command(flatten)]
        settings: Settings,
    },
    /// Create roles, ownership and the pgvector extension in a database, as a superuser; safe to run again
    Bootstrap {
        /// The database, as a superuser
        #[arg(long, env = "KINDRED_SUPERUSER_DATABASE_URL", hide_env_values = true)]
        superuser_database_url: String,
        /// Password for kindred_owner
        #[arg(long, env = "KINDRED_OWNER_PASSWORD", hide_env_values = true)]
        owner_password: Option<String>,
        /// Password for kindred_app
        #[arg(long, env = "KINDRED_APP_PASSWORD", hide_env_values = true)]
        app_password: Option<String>,
    },
}

/// What only the operator knows of a legacy database; a fresh one needs none of it.
#[derive(Debug, Args)]
struct Carrying {
    /// The model under which legacy vectors are adopted
    #[arg(long, default_value = "legacy-1536")]
    legacy_model: String,
    /// Components of a legacy vector
    #[arg(long, default_value_t = 1_536, value_parser = clap::value_parser!(i32).range(1..=4_000))]
    legacy_dimensions: i32,
    /// Slug of the organization that takes rows without a user; without it they are quarantined
    #[arg(long)]
    default_organization: Option<String>,
    /// File of lines USER_ID,ORGANIZATION_SLUG or USER_ID,ORGANIZATION_SLUG,ROLE; users not named get one of their own
    #[arg(long)]
    organizations: Option<PathBuf>,
    /// Rows a batch of the backfill
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    batch_rows: i32,
    /// Folder for the backup that is taken first [default: backups in the data directory]
    #[arg(long, conflicts_with = "backup_at")]
    backup_folder: Option<PathBuf>,
    /// Where a backup lies that you have taken and checked yourself; none is taken then
    #[arg(long)]
    backup_at: Option<String>,
}

impl Carrying {
    fn options(&self) -> Result<OwnerOptions, Failure> {
        let users = match &self.organizations {
            Some(file) => read_user_places(
                &std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
            )?,
            None => Vec::new(),
        };
        Ok(OwnerOptions {
            legacy_model: self.legacy_model.parse()?,
            legacy_dimensions: self.legacy_dimensions,
            default_organization: self.default_organization.clone(),
            users,
            batch_rows: self.batch_rows,
        })
    }

    async fn backup(&self, config: &Config) -> Result<Backup, Failure> {
        if let Some(place) = &self.backup_at {
            return Ok(Backup::Checked(place.clone()));
        }
        let folder = self.backup_folder.clone().unwrap_or_else(|| config.data_dir.join("backups"));
        Ok(Backup::Take { programs: postgres_programs(config).await?, folder })
    }
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = match &self.command {
            Command::Bootstrap { superuser_database_url, owner_password, app_password } => {
                let passwords =
                    RolePasswords { owner: owner_password.clone(), app: app_password.clone(), reader: None };
                schema::bootstrap(superuser_database_url, &passwords).await?;
                output::line("kindred_owner, kindred_app, kindred_reader and the extension vector are there");
                return Ok(());
            }
            Command::Plan { settings }
            | Command::Up { settings, .. }
            | Command::Status { settings }
            | Command::Verify { settings, .. }
            | Command::Switch { settings, .. }
            | Command::Down { settings, .. }
            | Command::Finalize { settings, .. }
            | Command::Types { settings }
            | Command::Diagram { settings } => settings,
        };
        let config = prepared(settings)?;
        let (url, server) = owner_url(&config).await?;
        let done = self.command.on(&config, &url).await;
        server.stop().await;
        done
    }
}

impl Command {
    /// Runs on the owner's database.
    async fn on(&self, config: &Config, url: &str) -> Result<(), Failure> {
        match self {
            Self::Plan { .. } => report::plan(&schema::plan(url).await?),
            Self::Up { carrying, .. } => up(config, url, carrying).await?,
            Self::Status { .. } => {
                report::steps(&schema::schema_state(url).await?);
                if let Some(state) = schema::carry_state(url).await? {
                    report::carrying(&state);
                }
            }
            Self::Verify { name_rows, .. } => {
                let found = schema::verify(url, *name_rows).await?;
                report::verification(&found);
                if !found.passed() {
                    return Err("the verification failed".into());
                }
            }
            Self::Switch { organization, back, .. } => {
                let changed = schema::switch(url, organization.as_deref(), !back).await?;
                let side = if *back { "legacy" } else { "new" };
                output::line(format_args!("{changed} organizations read the {side} side from now on"));
            }
            Self::Down { to: Some(0), .. } if schema::carry_state(url).await?.is_some() => {
                let kept = schema::restore_legacy(url).await?;
                output::line(format_args!(
                    "the legacy database is restored; what has no place in it is in schema {kept}"
                ));
            }
            Self::Down { to: Some(to), .. } => report::steps(&schema::down(url, *to).await?),
            Self::Down { to: None, .. } => {
                schema::take_back(url).await?;
                output::line("the legacy tables serve again; kindred migrate up brings both sides into step");
            }
            Self::Finalize { drop_backup, .. } => output::line(schema::finalize(url, *drop_backup).await?),
            Self::Types { .. } => output::line(catalog::typescript(&catalog::read(url).await?).trim_end()),
            Self::Diagram { .. } => output::line(catalog::diagram(&catalog::read(url).await?).trim_end()),
            // It is run without an owner's database.
            Self::Bootstrap { .. } => {}
        }
        Ok(())
    }
}

async fn up(config: &Config, url: &str, carrying: &Carrying) -> Result<(), Failure> {
    let options = carrying.options()?;
    if schema::origin_of(url).await? == schema::Origin::Legacy {
        let backup = carrying.backup(config).await?;
        if let Some(place) = schema::prepare(url, &backup).await? {
            output::line(format_args!("the backup is {place}"));
        }
    }
    let mut bars = report::Bars::default();
    let outcome = schema::carry_over(url, &options, &mut |step| bars.show(&step)).await;
    bars.finish();
    report::outcome(&outcome?);
    report::steps(&schema::schema_state(url).await?);
    Ok(())
}
