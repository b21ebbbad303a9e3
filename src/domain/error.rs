//! How errors are classified: near their cause, once.

use std::time::Duration;

/// What kind of failure an error is. Each kind becomes one gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong and stays wrong when repeated.
    Invalid,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// The caller is known but may not do this.
    Denied,
    /// No such thing for this organization.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// Somebody else was faster: read again, then retry.
    Conflict,
    /// The system's state forbids it until something else was done.
    FailedPrecondition,
    /// A limit was reached: retry later.
    Exhausted,
    /// A part the service needs does not answer: retry later.
    Unavailable,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// A bug of ours.
    Internal,
}

/// One thing that is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field as the caller wrote it, such as `drafts[3].chunks[0].vector`.
    pub field: String,
    /// What was given, what is allowed, and what to do.
    pub description: String,
}

/// An error that knows its kind.
pub trait Classify: std::error::Error {
    /// The kind of failure.
    fn kind(&self) -> Kind;

    /// The fields at fault, where the request is.
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }

    /// How long to wait before trying again, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// A value that breaks a rule: which field, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field as the caller wrote it.
    pub field: String,
    /// What was given, what is allowed, and what to do.
    pub reason: String,
}

impl Invalid {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same error, seen from the message that holds the field: `inside("drafts[2]")` makes `tags` `drafts[2].tags`.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.field) };
        self
    }
}

impl Classify for Invalid {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn violations(&self) -> Vec<Violation> {
        vec![Violation { field: self.field.clone(), description: self.reason.clone() }]
    }
}
