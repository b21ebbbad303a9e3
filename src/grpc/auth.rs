//! Who calls: every service of ours asks; health and reflection are open.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::status::status_of;
use crate::access::{AccessError, Gate};
use crate::tenancy::Caller;

/// The caller of a request that has passed the gate.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| status_of(&AccessError::Missing))
}

/// Asks the gate, and puts the [`Caller`] into the request's extensions.
#[derive(Clone)]
pub(super) struct AuthLayer {
    pub(super) gate: Gate,
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { inner, gate: self.gate.clone() }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub(super) struct AuthService<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for AuthService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !request.uri().path().starts_with("/kindred.") {
            return Box::pin(self.inner.call(request));
        }
        // The service that was polled ready is the one to be called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            match gate.admit(authorization).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(error) => Ok(status_of(&error).into_http()),
            }
        })
    }
}
