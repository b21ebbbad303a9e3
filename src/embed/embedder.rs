//! What an embedding model does.

use futures::future::BoxFuture;

use super::EmbedError;
use crate::domain::{Model, Purpose, Vector};

/// One vector a text, in the order of the texts.
pub type EmbedFuture<'a> = BoxFuture<'a, Result<Vec<Vector>, EmbedError>>;

/// A model that this process can compute, here or through somebody else.
pub trait Embedder: Send + Sync {
    /// The model's identity.
    fn model(&self) -> &Model;

    /// Embeds raw texts: one vector each, in order, of the model's width, at unit length if the model says so.
    ///
    /// The model's recipe (its prefix for the purpose) is applied inside. The whole call fails or succeeds; it may be
    /// dropped at any time. Documents longer than [`Model::max_input_tokens`] are refused, since they are to be split
    /// before; a query that long is read up to the limit.
    fn embed(&self, texts: Vec<String>, purpose: Purpose) -> EmbedFuture<'_>;

    /// Tokens of the raw text as the model counts them, without special tokens, without the prefix and uncut.
    ///
    /// A remote model's tokenizer is not known here: the count is exact for OpenAI's, an estimate on the high side
    /// for others.
    fn count_tokens(&self, text: &str) -> usize;
}
