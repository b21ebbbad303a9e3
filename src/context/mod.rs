//! RAG context: retrieve, pack under a token budget, write down, and learn what came of it.
//!
//! Every retrieval is one row of `ai_context_logs`: the question, each candidate with its version and score, what was
//! packed and what was dropped and why, and the revision it all rests on.

mod error;
mod fence;
mod item;
mod journal;
mod query;
mod retriever;
mod tokenizer;

pub use error::ContextError;
pub use item::ContextItem;
pub use journal::{FeedbackKind, Journal, Verdict};
pub use query::{ContextQuery, Source, SourceType};
pub use retriever::{Retrieved, Retriever};
pub use tokenizer::Tokenizer;
