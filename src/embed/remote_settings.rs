//! Where a remote model is, and how hard to try.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::LoadError;
use crate::domain::{MAX_DIMENSIONS, Model, ModelId};

/// An endpoint, the model behind it, and how hard to try.
#[derive(Clone)]
pub struct RemoteSettings {
    /// The base such as `https://host/v1`; `/embeddings` is added.
    pub url: String,
    /// Sent as a bearer token; shown nowhere.
    pub api_key: Option<String>,
    /// The provider's own name for the model.
    pub name: String,
    /// The model's id here.
    pub model_id: ModelId,
    /// Width of its vectors, 1 to [`MAX_DIMENSIONS`]; an answer of another width is refused.
    pub dimensions: usize,
    /// Whether vectors are brought to unit length.
    pub normalized: bool,
    /// Most texts in a request; at least 1.
    pub max_batch: usize,
    /// Most requests at the provider at once, at least 1. A quarter of them (one at least) is kept for queries, so that
    /// they never wait behind documents.
    pub max_in_flight: usize,
    /// The longest one request may take.
    pub request_timeout: Duration,
    /// The longest a call may take, all its requests, waits and retries included.
    pub total_deadline: Duration,
    /// How often a request is sent at most; 1 never retries.
    pub attempts: usize,
    /// Put before documents.
    pub document_prefix: String,
    /// Put before queries.
    pub query_prefix: String,
    /// Tokens the model reads of a text.
    pub max_input_tokens: usize,
}

impl RemoteSettings {
    /// Settings with 128 texts a request, 4 requests in flight, 10 s a request, 30 s a call, 4 attempts, no prefixes,
    /// 8,191 tokens, unit length.
    pub fn new(url: impl Into<String>, name: impl Into<String>, model_id: ModelId, dimensions: usize) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            name: name.into(),
            model_id,
            dimensions,
            normalized: true,
            max_batch: 128,
            max_in_flight: 4,
            request_timeout: Duration::from_secs(10),
            total_deadline: Duration::from_secs(30),
            attempts: 4,
            document_prefix: String::new(),
            query_prefix: String::new(),
            max_input_tokens: 8_191,
        }
    }

    /// Refuses settings that cannot work.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let refuse = |name, reason: String| Err(LoadError::Setting { name, reason });
        if self.dimensions == 0 || self.dimensions > MAX_DIMENSIONS {
            return refuse("dimensions", format!("is {}; give 1 to {MAX_DIMENSIONS}", self.dimensions));
        }
        for (name, value) in [
            ("max_batch", self.max_batch),
            ("max_in_flight", self.max_in_flight),
            ("attempts", self.attempts),
            ("max_input_tokens", self.max_input_tokens),
        ] {
            if value == 0 {
                return refuse(name, "is 0; give at least 1".to_owned());
            }
        }
        if self.request_timeout.is_zero() || self.total_deadline.is_zero() {
            return refuse("request_timeout or total_deadline", "is 0; give some seconds".to_owned());
        }
        Ok(())
    }

    /// Where requests go.
    pub(super) fn endpoint(&self) -> Result<Url, LoadError> {
        let refuse = |reason: &str| LoadError::Setting { name: "url", reason: reason.to_owned() };
        let url = Url::parse(&format!("{}/embeddings", self.url.trim_end_matches('/')))
            .map_err(|error| refuse(&format!("is no URL ({error}); give one like https://host/v1")))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(refuse("is no web address; give one like https://host/v1"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("holds a user or password; give the key as api_key, which is never shown"));
        }
        Ok(url)
    }

    /// The identity these settings give the model.
    pub(super) fn model(&self) -> Model {
        Model {
            id: self.model_id.clone(),
            provider: "openai-compatible".to_owned(),
            name: self.name.clone(),
            dimensions: self.dimensions,
            normalized: self.normalized,
            document_prefix: self.document_prefix.clone(),
            query_prefix: self.query_prefix.clone(),
            max_input_tokens: self.max_input_tokens,
        }
    }

    /// What every request carries: the key, if any.
    pub(super) fn headers(&self) -> Result<HeaderMap, LoadError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            let reason = "holds characters that a header cannot; give it without blanks or line ends".to_owned();
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| LoadError::Setting { name: "api_key", reason })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

impl fmt::Debug for RemoteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSettings")
            .field("url", &self.url)
            .field("api_key", &self.api_key.as_ref().map(|_| "[hidden]"))
            .field("name", &self.name)
            .field("model_id", &self.model_id)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}
