//! `kindred key`.

use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::output;
use super::prepare::{Failure, prepared};
use crate::access::{self, NewKey};
use crate::domain::{KeyId, UserId};
use crate::runtime::{Application, Mode, Settings};
use crate::tenancy::Role;

#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an API key; prints it this once
    Create {
        /// The organization's slug
        #[arg(long)]
        organization: String,
        /// viewer, member, editor, admin or owner
        #[arg(long, default_value = "editor")]
        role: Role,
        /// What it is for
        #[arg(long, default_value = "created at the command line")]
        name: String,
        /// The person it belongs to, a UUID
        #[arg(long)]
        user: Option<UserId>,
        /// Days until it is worth nothing [default: for ever]
        #[arg(long)]
        days: Option<u16>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List an organization's keys: id, role, name
    List {
        /// The organization's slug
        #[arg(long)]
        organization: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a key worth nothing; running services notice within ten seconds
    Revoke {
        /// The organization's slug
        #[arg(long)]
        organization: String,
        /// The key's id: the third part of its text
        id: KeyId,
        #[command(flatten)]
        settings: Settings,
    },
}

impl Key {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = match &self.command {
            Command::Create { settings, .. } | Command::List { settings, .. } | Command::Revoke { settings, .. } => {
                settings
            }
        };
        let config = prepared(settings)?;
        let application = Application::start(&config, Mode::Command).await?;
        let done = self.command.run(&application).await;
        application.stop(config.drain).await;
        done
    }
}

impl Command {
    async fn run(self, application: &Application) -> Result<(), Failure> {
        let administrator = application.administrator()?;
        let owner = application.owner()?;
        match self {
            Self::Create { organization, role, name, user, days, .. } => {
                let organization = administrator.organization(&organization).await?.id;
                let expires_at = days.map(|days| Utc::now() + TimeDelta::days(i64::from(days)));
                let new = NewKey { organization, name, role, user, expires_at };
                let (_, text) = access::issue(owner, new).await?;
                output::line(text);
            }
            Self::List { organization, .. } => {
                let organization = administrator.organization(&organization).await?.id;
                for (id, name, role) in access::list(owner, organization).await? {
                    output::line(format_args!("{}  {role:6}  {name}", id.0.simple()));
                }
            }
            Self::Revoke { organization, id, .. } => {
                let organization = administrator.organization(&organization).await?.id;
                if !access::revoke(owner, organization, id, Utc::now()).await? {
                    return Err(format!("the organization has no key {id}; `kindred key list` shows its keys").into());
                }
                output::line(format_args!("revoked {id}"));
            }
        }
        Ok(())
    }
}
