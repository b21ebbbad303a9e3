//! Reads context logs, and adds what came of them.

use chrono::{DateTime, Utc};

use super::{ContextError, ContextItem};
use crate::domain::{ContextLogId, Invalid};
use crate::store::{ContextLog, Database, Feedback};
use crate::tenancy::{Caller, Role};

/// What a person thought of an answer, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackKind {
    /// It helped.
    Helpful,
    /// It said nothing particular.
    TooGeneric,
    /// It was about something else.
    NotRelevant,
    /// It was wrong.
    Incorrect,
    /// It could not be better.
    Excellent,
}

impl FeedbackKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Helpful, Self::TooGeneric, Self::NotRelevant, Self::Incorrect, Self::Excellent];

    /// Its name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helpful => "helpful",
            Self::TooGeneric => "too_generic",
            Self::NotRelevant => "not_relevant",
            Self::Incorrect => "incorrect",
            Self::Excellent => "excellent",
        }
    }

    /// The kind of a name in the table.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A person's verdict: a score, a kind, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    score: Option<i16>,
    kind: Option<FeedbackKind>,
    comment: Option<String>,
}

impl Verdict {
    /// Refuses a score outside 1 to 5, and a verdict that says nothing.
    pub fn new(score: Option<i32>, kind: Option<FeedbackKind>, comment: Option<String>) -> Result<Self, Invalid> {
        if let Some(given) = score.filter(|score| !(1..=5).contains(score)) {
            return Err(Invalid::new("score", format!("is {given}; 1 (worst) to 5 (best) are allowed")));
        }
        if score.is_none() && kind.is_none() && comment.is_none() {
            return Err(Invalid::new("score", "is absent, and so are type and comment; give at least one of them"));
        }
        Ok(Self { score: score.map(|score| score as i16), kind, comment })
    }
}

/// Reads context logs and adds to them. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    database: Database,
}

impl Journal {
    /// The journal of one database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// One log with its items.
    pub async fn get(&self, caller: &Caller, id: ContextLogId) -> Result<(ContextLog, Vec<ContextItem>), ContextError> {
        caller.require(Role::Viewer)?;
        let mut transaction = self.database.tenant("context_get", caller.organization).await?;
        let log = transaction.context_log(id).await?.ok_or(ContextError::NoLog(id))?;
        transaction.commit().await?;
        let items = serde_json::from_value(log.items.clone())
            .map_err(|error| ContextError::DamagedLog { id, reason: error.to_string() })?;
        Ok((log, items))
    }

    /// Adds the model's answer. Recording again replaces it.
    pub async fn record_response(
        &self,
        caller: &Caller,
        id: ContextLogId,
        response: &str,
        model_used: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<(), ContextError> {
        caller.require(Role::Member)?;
        let mut transaction = self.database.tenant("context_response", caller.organization).await?;
        let found = transaction.record_response(id, response, model_used, at).await?;
        transaction.commit().await?;
        if found { Ok(()) } else { Err(ContextError::NoLog(id)) }
    }

    /// Adds a person's verdict. Recording again replaces it.
    pub async fn record_feedback(
        &self,
        caller: &Caller,
        id: ContextLogId,
        verdict: Verdict,
        at: DateTime<Utc>,
    ) -> Result<(), ContextError> {
        caller.require(Role::Member)?;
        let feedback = Feedback {
            score: verdict.score,
            kind: verdict.kind.map(|kind| kind.as_str().to_owned()),
            comment: verdict.comment,
        };
        let mut transaction = self.database.tenant("context_feedback", caller.organization).await?;
        let found = transaction.record_feedback(id, &feedback, at).await?;
        transaction.commit().await?;
        if found { Ok(()) } else { Err(ContextError::NoLog(id)) }
    }
}
