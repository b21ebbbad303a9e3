//! What an embedding is of.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{parse_uuid, shorten};
use super::{Invalid, ModelId};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                if is_name(text) {
                    return Ok(Self(text.into()));
                }
                let given = shorten(text);
                Err(Invalid::new(
                    $field,
                    format!("{given:?} is no name; use 1 to 40 of a-z 0-9 _ beginning with a letter, such as {}", $example),
                ))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

name!(
    /// The kind of thing an entity is: `post`, `chat`, `user`, `hashtag`, `dm`, `template`, `content_idea`, or another
    /// name of 1 to 40 of `a-z 0-9 _`.
    EntityType,
    "entity.type",
    "content_idea"
);
name!(
    /// Which text of the entity was embedded: `content`, `caption`, `title`, ….
    SourceField,
    "source_field",
    "content"
);

impl Default for SourceField {
    /// `content`.
    fn default() -> Self {
        Self("content".into())
    }
}

/// One entity of the dashboard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityRef {
    /// Its kind.
    #[serde(rename = "type")]
    pub entity_type: EntityType,
    /// Its id.
    pub id: Uuid,
}

impl EntityRef {
    /// Parses what a caller gave.
    pub fn parse(entity_type: &str, id: &str) -> Result<Self, Invalid> {
        Ok(Self { entity_type: entity_type.parse()?, id: parse_uuid("entity.id", id)? })
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.entity_type, self.id)
    }
}

/// What has a line of versions of its own, within an organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmbeddingKey {
    /// The entity.
    pub entity: EntityRef,
    /// Which of its texts.
    pub source_field: SourceField,
    /// By which model.
    pub model: ModelId,
}

impl fmt::Display for EmbeddingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} by {}", self.entity, self.source_field, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_checked_when_made() {
        assert!(EntityRef::parse("content_idea", "018f2c1e-7c53-7cc0-8a4e-2f1c1f6f0d11").is_ok());
        let bad_id = EntityRef::parse("post", "42").expect_err("no uuid");
        assert_eq!(bad_id.field, "entity.id");
        for bad in ["", "Post", "1post", "content-idea", &"p".repeat(41)] {
            assert_eq!(bad.parse::<EntityType>().expect_err(bad).field, "entity.type");
        }
    }
}
