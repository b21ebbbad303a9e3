//! `kindred search`: from Postgres, also while no service runs.

use clap::Args;

use super::output;
use super::prepare::{Failure, prepared};
use crate::domain::{EntityType, Filter, Revision};
use crate::runtime::{Application, Mode, Settings};
use crate::search::{Answer, SearchQuery, Subject};
use crate::tenancy::Caller;

#[derive(Debug, Args)]
pub(super) struct Search {
    /// What to look for, in any language the model knows
    text: String,
    /// The organization's slug
    #[arg(long, default_value = super::demo::SLUG)]
    organization: String,
    /// Most results, 1 to 1000
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only this entity type; may be repeated
    #[arg(long = "type")]
    types: Vec<EntityType>,
    #[command(flatten)]
    settings: Settings,
}

impl Search {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = prepared(&self.settings)?;
        let application = Application::start(&config, Mode::Command).await?;
        let found = self.find(&application).await;
        application.stop(config.drain).await;
        show(found?);
        Ok(())
    }

    async fn find(self, application: &Application) -> Result<Answer, Failure> {
        let organization = application.administrator()?.organization(&self.organization).await?;
        let query = SearchQuery {
            subject: Subject::Text(self.text),
            model: None,
            limit: usize::from(self.limit),
            threshold: None,
            filter: Filter { entity_types: self.types, ..Filter::default() },
            min_revision: Revision(0),
            with_content: true,
            every_chunk: false,
        };
        Ok(application.services.searcher.search(&Caller::operator(organization.id), query).await?)
    }
}

fn show(answer: Answer) {
    for hit in answer.hits {
        let text = hit.content.map(|content| content.content).unwrap_or_default().replace('\n', " ");
        let mut shown: String = text.chars().take(100).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        output::line(format_args!("{:.3}  {}  {shown}", hit.chunk.score, hit.chunk.entity));
    }
    output::line(format_args!("revision {}, model {}", answer.provenance.revision, answer.model.id));
}
