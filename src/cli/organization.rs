//! `kindred organization`.

use clap::{Args, Subcommand};

use super::output;
use super::prepare::{Failure, prepared};
use crate::runtime::{Application, Mode, Settings};

#[derive(Debug, Args)]
pub(super) struct Organization {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an organization; prints its id
    Create {
        /// 1 to 63 of a-z 0-9 and single hyphens, unique
        slug: String,
        /// Shown to people [default: the slug]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List organizations: id, slug, name
    List {
        #[command(flatten)]
        settings: Settings,
    },
}

impl Organization {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Create { slug, name, settings } => {
                let config = prepared(&settings)?;
                let application = Application::start(&config, Mode::Command).await?;
                let created = async {
                    let administrator = application.administrator()?;
                    let name = name.as_deref().unwrap_or(&slug);
                    Ok::<_, Failure>(administrator.create_organization(name, &slug, &application.default_model).await?)
                };
                let created = created.await;
                application.stop(config.drain).await;
                output::line(created?);
            }
            Command::List { settings } => {
                let config = prepared(&settings)?;
                let application = Application::start(&config, Mode::Command).await?;
                let listed = async { Ok::<_, Failure>(application.administrator()?.organizations().await?) }.await;
                application.stop(config.drain).await;
                for organization in listed? {
                    output::line(format_args!("{}  {}  {}", organization.id, organization.slug, organization.name));
                }
            }
        }
        Ok(())
    }
}
