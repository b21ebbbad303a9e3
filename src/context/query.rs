//! What context is asked for.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::Tokenizer;
use crate::domain::{EntityType, Filter, Invalid, ModelId, Revision, UserId};

/// What asks for context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceType(&'static str);

const SOURCE_TYPES: [&str; 11] = [
    "chat",
    "post",
    "dm",
    "comment",
    "insight",
    "suggestion",
    "analysis",
    "smart_search",
    "chat_memory",
    "feedback_collection",
    "system",
];

impl Default for SourceType {
    /// `chat`.
    fn default() -> Self {
        Self("chat")
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for SourceType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = SOURCE_TYPES.into_iter().find(|known| *known == text);
        known.map(Self).ok_or_else(|| {
            Invalid::new("source_type", format!("{text:?} is not known; give one of {}", SOURCE_TYPES.join(", ")))
        })
    }
}

/// Where context may come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The entity type.
    pub entity_type: EntityType,
    /// The most items from here.
    pub quota: usize,
    /// Least cosine similarity from here; the query's where `None`.
    pub threshold: Option<f32>,
}

/// A question for context.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextQuery {
    /// The question.
    pub query: String,
    /// The last turns of the conversation, oldest first.
    pub recent_turns: Vec<String>,
    /// Who asks; the credential's person where `None`.
    pub user: Option<UserId>,
    /// In which conversation.
    pub conversation_id: Option<Uuid>,
    /// What asks.
    pub source_type: SourceType,
    /// Where context may come from; everywhere where empty.
    pub sources: Vec<Source>,
    /// The most tokens of the packed text.
    pub token_budget: usize,
    /// How they are counted.
    pub tokenizer: Tokenizer,
    /// Least cosine similarity.
    pub threshold: f32,
    /// What items must meet.
    pub filter: Filter,
    /// The model; the organization's active one where `None`.
    pub model: Option<ModelId>,
    /// The answer is as of this revision or a later one.
    pub min_revision: Revision,
    /// Kept with the log.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}
