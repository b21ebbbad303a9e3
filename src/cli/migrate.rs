//! `kindred migrate`.

use clap::{Args, Subcommand};

use super::output;
use super::prepare::{Failure, prepared};
use crate::migrate::{self as schema, Catalog, RolePasswords, SchemaState};
use crate::runtime::{Settings, owner_url};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply what is missing; safe to run again
    Up {
        #[command(flatten)]
        settings: Settings,
    },
    /// Show which migrations are applied
    Status {
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
    /// Undo migrations
    Down {
        /// Undo down to and without this number; 0 undoes all of them, and with them all data
        #[arg(long)]
        to: i64,
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

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Up { settings } => {
                let config = prepared(&settings)?;
                let (url, server) = owner_url(&config).await?;
                let done = schema::up(&url).await;
                server.stop().await;
                show(&done?);
            }
            Command::Status { settings } => {
                let config = prepared(&settings)?;
                let (url, server) = owner_url(&config).await?;
                let state = schema::schema_state(&url).await;
                server.stop().await;
                show(&state?);
            }
            Command::Types { settings } => print(&settings, schema::typescript).await?,
            Command::Diagram { settings } => print(&settings, schema::diagram).await?,
            Command::Down { to, settings } => {
                let config = prepared(&settings)?;
                let (url, server) = owner_url(&config).await?;
                let done = schema::down(&url, to).await;
                server.stop().await;
                show(&done?);
            }
            Command::Bootstrap { superuser_database_url, owner_password, app_password } => {
                let passwords = RolePasswords { owner: owner_password, app: app_password, reader: None };
                schema::bootstrap(&superuser_database_url, &passwords).await?;
                output::line("kindred_owner, kindred_app, kindred_reader and the extension vector are there");
            }
        }
        Ok(())
    }
}

fn show(state: &SchemaState) {
    for (number, name, applied) in &state.steps {
        output::line(format_args!("{number:02}  {}  {name}", if *applied { "applied" } else { "missing" }));
    }
}

/// Prints what is written from the schema as it is.
async fn print(settings: &Settings, write: fn(&Catalog) -> String) -> Result<(), Failure> {
    let config = prepared(settings)?;
    let (url, server) = owner_url(&config).await?;
    let catalog = schema::catalog(&url).await;
    server.stop().await;
    output::line(write(&catalog?).trim_end());
    Ok(())
}
