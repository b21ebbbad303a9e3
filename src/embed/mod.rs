//! Embedding models: texts in, checked vectors out.
//!
//! [`Embedder`] has two living implementations, [`LocalEmbedder`] (a sentence-transformers folder, computed here) and
//! [`RemoteEmbedder`] (an OpenAI-compatible endpoint). [`Embedders`] holds the ones this process can compute and
//! caches the vectors of queries. Whoever calls a model sends raw texts; the model's recipe is applied inside.

mod bert;
mod embedder;
mod embedders;
mod error;
mod folder;
mod local;
mod queue;
mod remote;
mod remote_settings;
#[cfg(test)]
mod remote_tests;
mod rows;
mod wire;

pub use embedder::{EmbedFuture, Embedder};
pub use embedders::Embedders;
pub use error::{EmbedError, LoadError};
pub use local::{LocalEmbedder, LocalSettings};
pub use remote::RemoteEmbedder;
pub use remote_settings::RemoteSettings;
