//! The model that the service computes.

use std::sync::Arc;

use super::databases::fetch_settings;
use super::error::described;
use super::{Config, EmbedderChoice, StartError};
use crate::domain::{Model, ModelId};
use crate::embed::{Embedder, LocalEmbedder, LocalSettings, RemoteEmbedder, RemoteSettings};
use crate::embedded::{Part, fetch};
use crate::store::Database;

/// The id of the model that is brought along.
const DEFAULT_MODEL_ID: &str = "all-minilm-l6-v2";

/// Loads the local model, or reaches the endpoint.
pub(super) async fn embedder(config: &Config) -> Result<Arc<dyn Embedder>, StartError> {
    match &config.embedder {
        EmbedderChoice::Local { folder, threads } => {
            let (folder, default_id) = match folder {
                Some(folder) => (folder.clone(), None),
                None => (fetch(&Part::local_model(), &fetch_settings(config)).await?, DEFAULT_MODEL_ID.parse().ok()),
            };
            let settings = LocalSettings {
                model_id: config.model_id.clone().or(default_id),
                threads: *threads,
                ..LocalSettings::new(folder)
            };
            let loading = tokio::task::spawn_blocking(move || LocalEmbedder::load(settings));
            let loaded = loading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            Ok(Arc::new(loaded))
        }
        EmbedderChoice::Remote { url, key, name, dimensions } => {
            let model_id = config.model_id.clone().unwrap_or_else(|| id_of(name));
            // An endpoint whose width is not told is asked for one vector.
            let settings = |dimensions| RemoteSettings {
                api_key: key.clone(),
                ..RemoteSettings::new(url.clone(), name.clone(), model_id.clone(), dimensions)
            };
            let dimensions = match dimensions {
                Some(told) => *told,
                None => RemoteEmbedder::new(settings(1))?.probe().await.map_err(StartError::Endpoint)?,
            };
            Ok(Arc::new(RemoteEmbedder::new(settings(dimensions))?))
        }
    }
}

/// An id made of a provider's name: what its alphabet lacks becomes a hyphen.
fn id_of(name: &str) -> ModelId {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    let name = name.to_lowercase();
    let id: String = name.chars().map(|letter| if allowed(letter) { letter } else { '-' }).take(40).collect();
    id.parse().unwrap_or_else(|_| "remote-model".parse().expect("a constant of the right alphabet"))
}

/// Makes the model known to the database, and refuses an id that stands for another one.
pub(super) async fn register(database: &Database, model: &Model) -> Result<(), StartError> {
    let kept = database
        .register_model(model)
        .await
        .map_err(|cause| StartError::Database { setting: "DATABASE_URL", cause })?;
    let same = kept.dimensions == model.dimensions
        && kept.name == model.name
        && kept.normalized == model.normalized
        && kept.document_prefix == model.document_prefix
        && kept.query_prefix == model.query_prefix;
    if same {
        return Ok(());
    }
    Err(StartError::OtherModel { id: model.id.clone(), kept: described(&kept), given: described(model) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_names() {
        for (name, id) in
            [("text-embedding-3-small", "text-embedding-3-small"), ("BAAI/bge-m3", "baai-bge-m3"), ("", "remote-model")]
        {
            assert_eq!(id_of(name).as_str(), id);
        }
        assert_eq!(id_of(&"x".repeat(90)).as_str().len(), 40);
    }
}
