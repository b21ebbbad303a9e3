//! A model computed by somebody else, behind OpenAI's embeddings protocol (OpenAI, TEI, vLLM, Ollama).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::wire::{Request, error_message, read_answer, retry_after};
use super::{EmbedError, EmbedFuture, Embedder, LoadError};
use crate::domain::{MAX_DIMENSIONS, Model, ModelId, Purpose, Vector};

/// The most bytes one component takes in an answer, white space included.
const BYTES_PER_COMPONENT: usize = 40;
/// The most bytes of an answer beside its components.
const BYTES_BESIDE: usize = 64 * 1024;
/// The most bytes of an error's body that are read.
const ERROR_BYTES: usize = 16 * 1024;
/// Requests that may wait for each one in flight; more are refused.
const WAITING_PER_REQUEST: usize = 64;
/// The first back-off; each later one doubles, with jitter of up to its own length.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// Back-off grows no longer than this.
const LAST_DELAY: Duration = Duration::from_secs(10);
/// Texts are counted in pieces of this many bytes: the tokenizer's regular expression backtracks on long blanks.
const COUNTED_BYTES: usize = 4 * 1024;

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

    fn check(&self) -> Result<(), LoadError> {
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

    fn endpoint(&self) -> Result<Url, LoadError> {
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

/// A model behind an OpenAI-compatible endpoint.
pub struct RemoteEmbedder {
    settings: RemoteSettings,
    model: Model,
    client: Client,
    endpoint: Url,
    documents: Lane,
    queries: Lane,
}

/// So many requests at once for one purpose, and a bounded crowd that waits for its turn.
struct Lane {
    turns: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Lane {
    fn new(in_flight: usize) -> Self {
        let most_waiting = in_flight * WAITING_PER_REQUEST;
        Self { turns: Semaphore::new(in_flight), waiting: AtomicUsize::new(0), most_waiting }
    }

    /// Counts `requests` in until what is returned is dropped; a call that finds nobody waiting may be any size.
    fn enter(&self, requests: usize) -> Result<Entered<'_>, EmbedError> {
        let before = self.waiting.fetch_add(requests, Ordering::Relaxed);
        let entered = Entered { lane: self, requests };
        if before > 0 && before + requests > self.most_waiting {
            return Err(EmbedError::Overloaded { retry_after: Some(Duration::from_secs(1)) });
        }
        Ok(entered)
    }
}

struct Entered<'a> {
    lane: &'a Lane,
    requests: usize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(self.requests, Ordering::Relaxed);
    }
}

impl RemoteEmbedder {
    /// Sets up the client; sends nothing yet.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn new(settings: RemoteSettings) -> Result<Self, LoadError> {
        settings.check()?;
        let endpoint = settings.endpoint()?;
        let client = Client::builder()
            .default_headers(headers(settings.api_key.as_deref())?)
            .user_agent(concat!("kindred/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.request_timeout)
            // A redirect could carry the key and the texts to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| LoadError::NotStarted { reason: error.to_string() })?;
        let for_queries = (settings.max_in_flight / 4).max(1);
        let model = Model {
            id: settings.model_id.clone(),
            provider: "openai-compatible".to_owned(),
            name: settings.name.clone(),
            dimensions: settings.dimensions,
            normalized: settings.normalized,
            document_prefix: settings.document_prefix.clone(),
            query_prefix: settings.query_prefix.clone(),
            max_input_tokens: settings.max_input_tokens,
        };
        let documents = Lane::new(settings.max_in_flight.saturating_sub(for_queries).max(1));
        Ok(Self { settings, model, client, endpoint, documents, queries: Lane::new(for_queries) })
    }

    /// Asks the endpoint once, without retry, and returns the width of its vectors, whatever the settings say.
    ///
    /// # Errors
    /// What one request can meet.
    pub async fn probe(&self) -> Result<usize, EmbedError> {
        let vectors = self.send(&[self.model.recipe(Purpose::Query, "probe")], None).await?;
        Ok(vectors.first().map_or(0, Vector::dimensions))
    }

    async fn embed_all(&self, texts: Vec<String>, purpose: Purpose) -> Result<Vec<Vector>, EmbedError> {
        let deadline = Instant::now() + self.settings.total_deadline;
        let lane = match purpose {
            Purpose::Document => &self.documents,
            Purpose::Query => &self.queries,
        };
        let texts: Vec<String> = texts.iter().map(|text| self.model.recipe(purpose, text)).collect();
        let batches = texts.chunks(self.settings.max_batch);
        let _entered = lane.enter(batches.len())?;
        let requests: Vec<EmbedFuture<'_>> =
            batches.map(|batch| self.persist(batch, lane, deadline)).map(FutureExt::boxed).collect();
        let requests = stream::iter(requests).buffered(self.settings.max_in_flight);
        let collect = requests.try_fold(Vec::new(), |mut all, vectors| {
            all.extend(vectors);
            std::future::ready(Ok(all))
        });
        let vectors = match tokio::time::timeout_at(deadline, collect).await {
            Ok(result) => result?,
            Err(_) => return Err(EmbedError::DeadlineExceeded { allowed: self.settings.total_deadline }),
        };
        let normalize = |vector: Vector| if self.model.normalized { vector.normalized() } else { vector };
        Ok(vectors.into_iter().map(normalize).collect())
    }

    /// Sends a batch until it is answered, refused, or not worth trying again before `deadline`.
    async fn persist(&self, batch: &[String], lane: &Lane, deadline: Instant) -> Result<Vec<Vector>, EmbedError> {
        let backoff = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LAST_DELAY)
            .with_max_times(self.settings.attempts - 1);
        let attempt = || async {
            // Given back while waiting for the next attempt, so that others have their turn.
            let _turn = lane.turns.acquire().await;
            self.send(batch, Some(self.model.dimensions)).await
        };
        attempt
            .retry(backoff)
            .when(|error| matches!(error, EmbedError::Unavailable { .. } | EmbedError::Overloaded { .. }))
            .adjust(|error, delay| {
                let asked = crate::domain::Classify::retry_after(error).unwrap_or_default();
                delay.map(|delay| delay.max(asked)).filter(|delay| Instant::now() + *delay < deadline)
            })
            .notify(|error, delay| {
                tracing::warn!(model = %self.model.id, %error, delay_ms = delay.as_millis(), "embedding is tried again");
            })
            .await
            .inspect_err(|error| {
                if matches!(error, EmbedError::Misbehaved { .. } | EmbedError::Misconfigured { .. }) {
                    tracing::error!(model = %self.model.id, %error, "remote model failed");
                }
            })
    }

    /// One request and its checked answer.
    async fn send(&self, batch: &[String], dimensions: Option<usize>) -> Result<Vec<Vector>, EmbedError> {
        let request = Request { model: &self.model.name, input: batch, encoding_format: "float" };
        let response = self.client.post(self.endpoint.clone()).json(&request).send().await;
        let mut response = response.map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let components = batch.len().saturating_mul(dimensions.unwrap_or(MAX_DIMENSIONS));
        let limit = components.saturating_mul(BYTES_PER_COMPONENT).saturating_add(BYTES_BESIDE);
        let (body, complete) = self.read(&mut response, limit).await?;
        if !complete {
            let reason = format!("more than {limit} bytes for {} texts", batch.len());
            return Err(EmbedError::Misbehaved { reason });
        }
        read_answer(&body, batch.len(), dimensions).map_err(|reason| EmbedError::Misbehaved { reason })
    }

    /// The body's first `limit` bytes, and whether that was all.
    async fn read(&self, response: &mut Response, limit: usize) -> Result<(Vec<u8>, bool), EmbedError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            let room = limit - body.len();
            if chunk.len() > room {
                body.extend_from_slice(&chunk[..room]);
                return Ok((body, false));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, true))
    }

    /// The error of a request that had no whole answer.
    fn unreachable(&self, error: reqwest::Error) -> EmbedError {
        let reason = if error.is_timeout() {
            format!("no answer within {} ms", self.settings.request_timeout.as_millis())
        } else if error.is_connect() {
            format!("no connection to {}", self.endpoint.host_str().unwrap_or_default())
        } else {
            error.without_url().to_string()
        };
        EmbedError::Unavailable { reason, retry_after: None }
    }

    /// The error of an answer that is none: whose fault it is decides what becomes of it.
    async fn refusal(&self, mut response: Response) -> EmbedError {
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|header| retry_after(header, Utc::now()));
        let body = self.read(&mut response, ERROR_BYTES).await.map(|(body, _)| body).unwrap_or_default();
        let reason = || format!("{status}: {}", error_message(&body, self.settings.api_key.as_deref()));
        match status {
            StatusCode::TOO_MANY_REQUESTS => EmbedError::Overloaded { retry_after },
            StatusCode::REQUEST_TIMEOUT => EmbedError::Unavailable { reason: reason(), retry_after },
            _ if status.is_server_error() => EmbedError::Unavailable { reason: reason(), retry_after },
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                EmbedError::Rejected { reason: reason() }
            }
            // Providers repeat parts of a wrong key: none of what they say about it is passed on.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                EmbedError::Misconfigured { reason: format!("{status}: check its api_key") }
            }
            _ => EmbedError::Misconfigured { reason: format!("{}; check its url and name", reason()) },
        }
    }
}

impl Embedder for RemoteEmbedder {
    fn model(&self) -> &Model {
        &self.model
    }

    fn embed(&self, texts: Vec<String>, purpose: Purpose) -> EmbedFuture<'_> {
        Box::pin(self.embed_all(texts, purpose))
    }

    fn count_tokens(&self, text: &str) -> usize {
        let tokens = count_cl100k(text);
        // OpenAI's embedding models are read by this tokenizer; for others a tenth is added.
        if self.model.name.starts_with("text-embedding-") { tokens } else { tokens + tokens.div_ceil(10) }
    }
}

fn headers(api_key: Option<&str>) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = api_key {
        let reason = "holds characters that a header cannot; give it without blanks or line ends".to_owned();
        let value = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut value = value.map_err(|_| LoadError::Setting { name: "api_key", reason })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn count_cl100k(mut text: &str) -> usize {
    let tokenizer = tiktoken_rs::cl100k_base_singleton();
    let mut tokens = 0;
    while text.len() > COUNTED_BYTES {
        let (piece, rest) = text.split_at(text.floor_char_boundary(COUNTED_BYTES));
        tokens += tokenizer.count_ordinary(piece);
        text = rest;
    }
    tokens + tokenizer.count_ordinary(text)
}
