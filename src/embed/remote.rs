//! A model computed by somebody else, behind OpenAI's embeddings protocol (OpenAI, TEI, vLLM, Ollama).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::wire::{Request, error_message, read_answer, retry_after};
use super::{EmbedError, EmbedFuture, Embedder, LoadError, RemoteSettings};
use crate::domain::{Classify, MAX_DIMENSIONS, Model, Purpose, Vector};

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
            .default_headers(settings.headers()?)
            .user_agent(concat!("kindred/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.request_timeout)
            // A redirect could carry the key and the texts to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| LoadError::NotStarted { reason: error.to_string() })?;
        let for_queries = (settings.max_in_flight / 4).max(1);
        let documents = Lane::new(settings.max_in_flight.saturating_sub(for_queries).max(1));
        Ok(Self { model: settings.model(), settings, client, endpoint, documents, queries: Lane::new(for_queries) })
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
                let asked = error.retry_after().unwrap_or_default();
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
