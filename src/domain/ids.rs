//! Identifiers and revisions.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Invalid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                parse_uuid($field, text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A tenant. Every row of a tenant table carries it.
    OrganizationId,
    "organization_id"
);
uuid_id!(
    /// A person. Known by id only.
    UserId,
    "user_id"
);
uuid_id!(
    /// An API key's public id.
    KeyId,
    "key_id"
);
uuid_id!(
    /// One row of `embeddings`: one chunk of one version.
    EmbeddingId,
    "embedding_id"
);
uuid_id!(
    /// One retrieval written to `ai_context_logs`; a version 7 UUID, whose own time is the row's `created_at`.
    ContextLogId,
    "context_log_id"
);

impl ContextLogId {
    /// The moment the id was made, to the millisecond; `None` where it is not a version 7 UUID.
    pub fn created_at(self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(seconds.try_into().ok()?, nanos)
    }
}

/// Parses a UUID that a caller gave in `field`.
pub(crate) fn parse_uuid(field: &str, text: &str) -> Result<Uuid, Invalid> {
    Uuid::try_parse(text).map_err(|_| {
        Invalid::new(
            field,
            format!("{:?} is not a UUID; give one like 018f2c1e-7c53-7cc0-8a4e-2f1c1f6f0d11", shorten(text)),
        )
    })
}

/// What a caller gave, short enough to repeat to them.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// The identity of an embedding model, such as `all-minilm-l6-v2`: 1 to 40 of `a-z 0-9 . _ -`.
///
/// Vectors of two models never meet, so everything that holds a vector names its model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(String);

impl ModelId {
    /// The id that comes before all others.
    pub fn first() -> Self {
        Self("-".to_owned())
    }

    /// The id as text; safe to stand in SQL as a literal, since its alphabet holds no quote.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > 40 || !text.bytes().all(allowed) {
            return Err(Invalid::new(
                "model_id",
                format!("{:?} is no model id; use 1 to 40 of a-z 0-9 . _ - such as all-minilm-l6-v2", shorten(text)),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ModelId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

/// A number of an organization's history: each write transaction takes the next one, so revisions are gap-free and in
/// commit order. 0 is the empty beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_keep_to_their_alphabet() {
        for good in ["all-minilm-l6-v2", "a", "text-embedding-3-small", "x_1.0"] {
            assert_eq!(good.parse::<ModelId>().expect(good).as_str(), good);
        }
        for bad in ["", "Upper", "with space", "quote'", &"a".repeat(41), "ü"] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn context_log_ids_know_their_time() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).expect("in range");
        let id = ContextLogId(Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            at.timestamp() as u64,
            at.timestamp_subsec_nanos(),
        )));
        assert_eq!(id.created_at(), Some(at));
        assert_eq!(ContextLogId(Uuid::nil()).created_at(), None);
    }
}
