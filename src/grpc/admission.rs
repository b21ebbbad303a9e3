//! Overload is told early: more calls than the service can hold are refused at the door.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

/// Bounds the calls that run at once, over all connections. Health checks always pass.
#[derive(Debug, Clone)]
pub(super) struct AdmissionLayer {
    places: Arc<Semaphore>,
}

impl AdmissionLayer {
    pub(super) fn new(most_calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most_calls)) }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService { inner, places: Arc::clone(&self.places) }
    }
}

/// Too much at once: the caller may come again.
pub(super) fn overloaded(message: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(500)));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// See [`AdmissionLayer`].
#[derive(Debug, Clone)]
pub(super) struct AdmissionService<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for AdmissionService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.") {
            return Box::pin(self.inner.call(request));
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                let answering = self.inner.call(request);
                Box::pin(async move {
                    let _place = place;
                    answering.await
                })
            }
            Err(_) => {
                metrics::counter!("kindred_rpc_shed_total").increment(1);
                let status = overloaded("too many calls are running; try again after a moment");
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}
