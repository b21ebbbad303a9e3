//! Embedding models.

use super::ModelId;

/// What a text is embedded for: some models want another prefix for queries than for documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The text will be found.
    Document,
    /// The text looks for others.
    Query,
}

/// An embedding model's identity. Anything that changes a vector is part of it; a change makes another model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its id, which every vector carries.
    pub id: ModelId,
    /// Who computes it: `local`, `openai-compatible`, or `none` where only ready vectors come in.
    pub provider: String,
    /// The provider's own name for it.
    pub name: String,
    /// Width of its vectors, 1 to [`super::MAX_DIMENSIONS`].
    pub dimensions: usize,
    /// Whether vectors are brought to unit length at the door.
    pub normalized: bool,
    /// Put before a document's text; empty for most models.
    pub document_prefix: String,
    /// Put before a query's text; empty for most models.
    pub query_prefix: String,
    /// Tokens it reads of a text, beside prefixes and special tokens. Longer chunks are split or refused, never cut
    /// silently.
    pub max_input_tokens: usize,
}

impl Model {
    /// The text as the model wants to read it.
    pub fn recipe(&self, purpose: Purpose, text: &str) -> String {
        let prefix = match purpose {
            Purpose::Document => &self.document_prefix,
            Purpose::Query => &self.query_prefix,
        };
        format!("{prefix}{text}")
    }
}
