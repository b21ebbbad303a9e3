//! Errors become statuses, here and once.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::call;
use crate::domain::{Classify, Kind};

/// The domain of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "kindred.v1";

/// The status of an error, with `google.rpc` details: field violations, a reason, when to retry, and the request's id.
///
/// An internal error is a bug: its whole chain is logged, and the caller learns the request's id only.
pub(super) fn status_of(error: &impl Classify) -> Status {
    let request_id = call::request_id();
    let (code, reason) = code_of(error.kind());
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_request_info(request_id.clone(), "");
    if code == Code::Internal {
        tracing::error!(request_id, error = chain(error), "a call failed for a reason of our own");
        let message = format!("internal error; tell the operators the request id {request_id}");
        return Status::with_error_details(code, message, details);
    }
    for violation in error.violations() {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code, error.to_string(), details)
}

fn code_of(kind: Kind) -> (Code, &'static str) {
    match kind {
        Kind::Invalid => (Code::InvalidArgument, "INVALID"),
        Kind::Unauthenticated => (Code::Unauthenticated, "UNAUTHENTICATED"),
        Kind::Denied => (Code::PermissionDenied, "DENIED"),
        Kind::NotFound => (Code::NotFound, "NOT_FOUND"),
        Kind::AlreadyExists => (Code::AlreadyExists, "ALREADY_EXISTS"),
        Kind::Conflict => (Code::Aborted, "CONFLICT"),
        Kind::FailedPrecondition => (Code::FailedPrecondition, "FAILED_PRECONDITION"),
        Kind::Exhausted => (Code::ResourceExhausted, "EXHAUSTED"),
        Kind::Unavailable => (Code::Unavailable, "UNAVAILABLE"),
        Kind::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        Kind::Internal => (Code::Internal, "INTERNAL"),
    }
}

/// An error with all that caused it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
