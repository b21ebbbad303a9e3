//! The demonstration: a fictional coffee roastery whose staff and customers write German and English.

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::output;
use super::prepare::Failure;
use crate::access::{self, NewKey};
use crate::domain::{Attributes, ChunkDraft, Draft, EntityRef, LongText, OrganizationId};
use crate::runtime::{Application, Config};
use crate::tenancy::{Caller, Role};

/// The demonstration organization's slug.
pub(super) const SLUG: &str = "alpenglow";
const NAME: &str = "Alpenglow Coffee";
/// Drafts that are on their way at once.
const IN_FLIGHT: usize = 64;

const DATA: [&str; 5] = [
    include_str!("../../examples/demo/posts.jsonl"),
    include_str!("../../examples/demo/chat_messages.jsonl"),
    include_str!("../../examples/demo/content_ideas.jsonl"),
    include_str!("../../examples/demo/templates.jsonl"),
    include_str!("../../examples/demo/hashtags.jsonl"),
];

/// One line of the data.
#[derive(Debug, Deserialize)]
struct Line {
    entity_type: String,
    entity_id: String,
    source_field: String,
    text: String,
    language: String,
    tags: Vec<String>,
    platform: String,
    status: String,
    occurred_at: DateTime<Utc>,
    metadata: Map<String, Value>,
}

impl Line {
    fn draft(self) -> Result<Draft, Failure> {
        let attributes = Attributes::new(
            self.metadata,
            self.tags,
            self.platform,
            self.status,
            Some(self.language),
            Some(self.occurred_at),
        )?;
        Ok(Draft {
            entity: EntityRef::parse(&self.entity_type, &self.entity_id)?,
            source_field: self.source_field.parse()?,
            model: None,
            chunks: vec![ChunkDraft { text: self.text, vector: None }],
            attributes,
            expected_version: None,
            idempotency_key: None,
            long_text: LongText::Split,
        }
        .check()?)
    }
}

/// Loads the demonstration where it is missing, and prints what to do with it.
pub(super) async fn load(application: &Application, config: &Config, address: SocketAddr) -> Result<(), Failure> {
    let administrator = application.administrator()?;
    let organization = match administrator.organization(SLUG).await {
        Ok(found) => found.id,
        Err(_) => administrator.create_organization(NAME, SLUG, &application.default_model).await?,
    };
    embed(application, organization).await?;
    let file = config.data_dir.join("demo.key");
    let key = key(application, organization, &file).await?;
    explain(&key, &file, address);
    Ok(())
}

/// Upserts every line: at a second start all of them are unchanged, and nothing is embedded.
async fn embed(application: &Application, organization: OrganizationId) -> Result<(), Failure> {
    let lines = DATA.iter().flat_map(|file| file.lines()).filter(|line| !line.trim().is_empty());
    let drafts = lines.map(|line| serde_json::from_str::<Line>(line)?.draft()).collect::<Result<Vec<_>, Failure>>()?;
    let caller = Caller::operator(organization);
    let bar = bar(drafts.len() as u64);
    stream::iter(drafts)
        .map(|draft| application.services.ingestor.upsert(&caller, draft))
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|_| {
            bar.inc(1);
            std::future::ready(Ok(()))
        })
        .await?;
    bar.finish_and_clear();
    Ok(())
}

fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("embedding the demonstration ({total} texts)");
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(total).with_style(style).with_message("embedding the demonstration")
}

/// The demonstration's key: from its file, or a new one.
async fn key(application: &Application, organization: OrganizationId, file: &Path) -> Result<String, Failure> {
    if let Ok(kept) = fs::read_to_string(file)
        && application.services.gate.admit(Some(&format!("Bearer {}", kept.trim()))).await.is_ok()
    {
        return Ok(kept.trim().to_owned());
    }
    let new =
        NewKey { organization, name: "demonstration".to_owned(), role: Role::Editor, user: None, expires_at: None };
    let (_, text) = access::issue(application.owner()?, new).await?;
    write_private(file, &text)
        .map_err(|error| format!("the demonstration's key cannot be kept in {}: {error}", file.display()))?;
    Ok(text)
}

/// Writes a file that only its owner can read, also where it was there with other rights.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = PathBuf::from(format!("{}.new", file.display()));
    let _ = fs::remove_file(&draft);
    let mut opened = fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    fs::rename(draft, file)
}

fn explain(key: &str, file: &Path, address: SocketAddr) {
    let call = |rpc: &str, body: &str| {
        format!(
            "buf curl --protocol grpc --http2-prior-knowledge -H \"authorization: Bearer $KINDRED_KEY\" \\\n    -d '{body}' \\\n    http://{address}/kindred.v1.{rpc}"
        )
    };
    output::line(format_args!(
        "\nKindred serves the demonstration organization {NAME} at {address}.\n\
         Its key (role editor) is kept in {}:\n\n\
         export KINDRED_KEY={key}\n\n\
         # What do we have on cold brew?\n{}\n\n\
         # Posts and ideas like a post\n{}\n\n\
         # Context for a question, 400 tokens at most\n{}\n\n\
         Stop with Ctrl-C; the data stays.",
        file.display(),
        call("SearchService/Search", r#"{"text": "cold brew for hot days", "limit": 3, "includeContent": true}"#),
        call(
            "SearchService/SimilarEntities",
            r#"{"entity": {"type": "post", "id": "00000001-0000-4000-8000-000000000001"}, "targets": [{"entityType": "post", "limit": 3}, {"entityType": "content_idea", "limit": 2}]}"#
        ),
        call(
            "ContextService/RetrieveContext",
            r#"{"query": "Sind die Kaffeebeutel kompostierbar?", "tokenBudget": 400}"#
        ),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_a_draft() {
        let lines: Vec<&str> =
            DATA.iter().flat_map(|file| file.lines()).filter(|line| !line.trim().is_empty()).collect();
        assert!(lines.len() >= 300);
        for line in lines {
            serde_json::from_str::<Line>(line).expect(line).draft().expect(line);
        }
    }
}
