//! What every call gets: an id, a span, a deadline, and a measurement.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the call that is being answered; empty outside of one.
pub(super) fn request_id() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Runs a call's background part under the call's id.
pub(super) fn within<F: Future>(request_id: String, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(request_id, future)
}

/// When the caller stops waiting; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// Gives every call an id, a span, a deadline and a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallLayer {
    /// The deadline of calls that bring none, and the longest one of unary calls.
    pub(super) longest: Duration,
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, longest: self.longest }
    }
}

/// See [`CallLayer`].
#[derive(Debug, Clone)]
pub(super) struct CallService<S> {
    inner: S,
    longest: Duration,
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let id = id_of(request.headers());
        let path = request.uri().path().to_owned();
        let asked = timeout_of(request.headers());
        let allowed = asked.unwrap_or(self.longest).min(self.longest);
        // Streams live as long as their caller allows; their own deadline is kept inside.
        request.extensions_mut().insert(Deadline(started + asked.unwrap_or(Duration::from_secs(24 * 3600))));
        let span = tracing::info_span!("call", request_id = %id, method = %path);
        // tonic answers CANCELLED at the caller's very deadline: ours comes a little earlier, with the right code.
        let patience = allowed - (allowed / 50).min(Duration::from_millis(20));
        let answering = tokio::time::timeout(patience, CURRENT.scope(id.clone(), self.inner.call(request)));
        let call = async move {
            let mut response = match answering.await {
                Ok(response) => response?,
                Err(_) => too_late(allowed),
            };
            let code = code_of(response.headers());
            measure(&path, code, started.elapsed());
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(response)
        };
        Box::pin(call.instrument(span))
    }
}

fn too_late(allowed: Duration) -> Response<Body> {
    let message = format!("not answered within {} ms; allow more time, or ask for less", allowed.as_millis());
    Status::deadline_exceeded(message).into_http()
}

fn measure(path: &str, code: Code, took: Duration) {
    tracing::debug!(?code, micros = took.as_micros() as u64, "answered");
    // A path that nobody serves is the caller's invention: as a label it would grow without bound.
    let method = if code == Code::Unimplemented { "unknown".to_owned() } else { path.to_owned() };
    metrics::histogram!("kindred_rpc_seconds", "method" => method, "code" => format!("{code:?}"))
        .record(took.as_secs_f64());
}

/// A call that failed at once carries its status as a header; a status in trailers is not known yet.
fn code_of(headers: &HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// The caller's id where it is short and printable, else a new one.
fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    match given.filter(|id| (1..=64).contains(&id.len())) {
        Some(id) => id.to_owned(),
        None => uuid::Uuid::now_v7().to_string(),
    }
}

/// The `grpc-timeout` header: at most eight digits and a unit (gRPC over HTTP/2, "Requests").
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header value"));
        headers
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-5S", None),
        ] {
            assert_eq!(timeout_of(&headers("grpc-timeout", text)), expected, "{text:?}");
        }
    }

    #[test]
    fn a_usable_request_id_is_kept() {
        assert_eq!(id_of(&headers(REQUEST_ID, "abc-1")), "abc-1");
        assert_ne!(id_of(&headers(REQUEST_ID, &"x".repeat(65))).len(), 65);
        assert!(!id_of(&HeaderMap::new()).is_empty());
    }
}
