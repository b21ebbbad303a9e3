//! One row of a file, whatever the file's kind, and the draft that it becomes.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, Utc};
use serde_json::{Map, Value};

use crate::domain::{Attributes, ChunkDraft, Draft, EntityRef, Invalid, LongText, ModelId, SourceField, Vector};

/// What the fields of a row are called. Where a field has several names, they mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    EntityType,
    EntityId,
    Entity,
    SourceField,
    ModelId,
    Chunks,
    Text,
    Vector,
    ChunkIndex,
    Metadata,
    Tags,
    Platform,
    Status,
    Language,
    OccurredAt,
    ExpectedVersion,
    Idempotency,
    LongText,
    ItemId,
}

impl Key {
    /// The field of a name: as in the message `Draft`, in its JSON, or flat.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "entity_type" | "entityType" => Self::EntityType,
            "entity_id" | "entityId" => Self::EntityId,
            "entity" => Self::Entity,
            "source_field" | "sourceField" => Self::SourceField,
            "model_id" | "modelId" => Self::ModelId,
            "chunks" => Self::Chunks,
            "text" | "content" => Self::Text,
            "vector" | "embedding" => Self::Vector,
            "chunk_index" | "chunkIndex" => Self::ChunkIndex,
            "metadata" => Self::Metadata,
            "tags" => Self::Tags,
            "platform" => Self::Platform,
            "status" => Self::Status,
            "language" => Self::Language,
            "occurred_at" | "occurredAt" => Self::OccurredAt,
            "expected_version" | "expectedVersion" => Self::ExpectedVersion,
            "idempotency_key" | "idempotencyKey" => Self::Idempotency,
            "long_text" | "longText" => Self::LongText,
            "item_id" | "itemId" => Self::ItemId,
            _ => return None,
        })
    }
}

/// A piece of a row's text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LineChunk {
    pub(super) text: Option<String>,
    pub(super) vector: Option<Vec<f32>>,
}

/// A row as it was read: types are right, rules are not checked yet.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) entity_type: Option<String>,
    pub(super) entity_id: Option<String>,
    pub(super) source_field: Option<String>,
    pub(super) model_id: Option<String>,
    pub(super) chunks: Option<Vec<LineChunk>>,
    /// The flat form: one chunk.
    pub(super) chunk: LineChunk,
    pub(super) chunk_index: Option<i64>,
    pub(super) metadata: Map<String, Value>,
    pub(super) tags: Vec<String>,
    pub(super) platform: Option<String>,
    pub(super) status: Option<String>,
    pub(super) language: Option<String>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
    pub(super) expected_version: Option<i32>,
    pub(super) idempotency_key: Option<String>,
    pub(super) long_text: LongText,
    /// Names that no field has; what stands there is left out.
    pub(super) unknown: BTreeSet<String>,
}

impl Line {
    /// Whether its chunk stands in the row itself.
    pub(super) fn is_flat(&self) -> bool {
        self.chunks.is_none()
    }

    /// The draft that it asks for, by `model`.
    ///
    /// # Errors
    /// Names the field that breaks a rule, as a row writes it.
    pub(super) fn draft(self, model: &ModelId) -> Result<Draft, Invalid> {
        let flat = self.is_flat();
        self.checked(model).map_err(|error| as_written(error, flat))
    }

    fn checked(self, model: &ModelId) -> Result<Draft, Invalid> {
        if let Some(named) = self.model_id.filter(|named| !named.is_empty() && named != model.as_str()) {
            let reason = format!("is {named:?} and this import writes {model}; import the row with --model {named}");
            return Err(Invalid::new("model_id", reason));
        }
        let entity_type =
            self.entity_type.ok_or_else(|| Invalid::new("entity_type", "is missing; give one, such as post"))?;
        let entity_id = self.entity_id.ok_or_else(|| Invalid::new("entity_id", "is missing; give a UUID"))?;
        let source_field = match self.source_field.as_deref() {
            None | Some("") => SourceField::default(),
            Some(name) => name.parse()?,
        };
        if let Some(version) = self.expected_version.filter(|version| *version < 0) {
            let reason = format!("is {version}; 0 stands for none, versions begin at 1");
            return Err(Invalid::new("expected_version", reason));
        }
        let draft = Draft {
            entity: EntityRef::parse(&entity_type, &entity_id)?,
            source_field,
            model: Some(model.clone()),
            chunks: chunks(self.chunks, self.chunk, self.chunk_index)?,
            attributes: Attributes::new(
                self.metadata,
                self.tags,
                self.platform.unwrap_or_default(),
                self.status.unwrap_or_default(),
                self.language.filter(|code| !code.is_empty()),
                self.occurred_at,
            )?,
            expected_version: self.expected_version,
            idempotency_key: self.idempotency_key.filter(|key| !key.is_empty()),
            long_text: self.long_text,
        };
        draft.check()
    }
}

fn chunks(listed: Option<Vec<LineChunk>>, flat: LineChunk, index: Option<i64>) -> Result<Vec<ChunkDraft>, Invalid> {
    let listed = match listed {
        Some(_) if flat != LineChunk::default() => {
            return Err(Invalid::new(
                "chunks",
                "stands beside a text or vector of the row itself; give one of the two",
            ));
        }
        Some(listed) => listed,
        None => {
            // A second row of the same text would replace the first one as its next version.
            if let Some(index) = index.filter(|index| *index != 0) {
                let reason = format!(
                    "is {index}; a row with a text of its own is its only chunk, so give all chunks in `chunks`"
                );
                return Err(Invalid::new("chunk_index", reason));
            }
            vec![flat]
        }
    };
    let made = listed.into_iter().enumerate().map(|(at, chunk)| {
        let vector = chunk.vector.map(Vector::new).transpose();
        let vector = vector.map_err(|error| error.inside(&format!("chunks[{at}]")))?;
        Ok(ChunkDraft { text: chunk.text.unwrap_or_default(), vector })
    });
    made.collect()
}

/// The same error with the field's name as the row has it: rules know a draft's names only.
pub(super) fn as_written(mut error: Invalid, flat: bool) -> Invalid {
    let written = match error.field.as_str() {
        "entity.type" => "entity_type",
        "entity.id" => "entity_id",
        "chunks[0].text" if flat => "text",
        "chunks[0].vector" if flat => "vector",
        _ => return error,
    };
    error.field = written.to_owned();
    error
}

/// A time as text: RFC 3339, also with a space for its `T`.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text).or_else(|_| text.parse::<DateTime<FixedOffset>>());
    parsed.map(|time| time.to_utc()).map_err(|_| format!("{text:?} is no time; write it as 2026-05-01T12:00:00Z"))
}

/// A vector as pgvector writes it: `[0.1,0.2]`.
pub(super) fn vector(text: &str) -> Result<Vec<f32>, String> {
    let refuse = || "is a text that is no vector; write it as a list of numbers, or as [0.1,0.2]".to_owned();
    let inner = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(refuse)?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    inner.split(',').map(|component| component.trim().parse().map_err(|_| refuse())).collect()
}

/// What to do with long texts, as in the message `Draft` or in one word.
pub(super) fn long_text(name: &str) -> Result<LongText, String> {
    match name {
        "" | "LONG_TEXT_UNSPECIFIED" | "LONG_TEXT_SPLIT" | "split" => Ok(LongText::Split),
        "LONG_TEXT_REFUSE" | "refuse" => Ok(LongText::Refuse),
        other => Err(format!("is {other:?}; split and refuse are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            entity_type: Some("post".to_owned()),
            entity_id: Some("018f2c1e-7c53-7cc0-8a4e-2f1c1f6f0d11".to_owned()),
            chunk: LineChunk { text: None, vector: Some(vec![1.0, 0.0]) },
            ..Line::default()
        }
    }

    fn draft(line: Line) -> Result<Draft, Invalid> {
        line.draft(&"words-64".parse().expect("an id"))
    }

    #[test]
    fn a_row_becomes_a_draft_of_the_imports_model() {
        let made = draft(line()).expect("valid");
        assert_eq!(made.model.expect("named").as_str(), "words-64");
        assert_eq!(made.source_field, SourceField::default());
        assert!(made.chunks[0].vector.is_some() && made.chunks[0].text.is_empty());
        let same = Line { model_id: Some("words-64".to_owned()), chunk_index: Some(0), ..line() };
        assert!(draft(same).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_by_the_rows_own_names() {
        let chunk = |text: Option<&str>, vector: Option<Vec<f32>>| LineChunk { text: text.map(str::to_owned), vector };
        for (line, field, reason) in [
            (Line { entity_type: None, ..line() }, "entity_type", "missing"),
            (Line { entity_type: Some("Post!".to_owned()), ..line() }, "entity_type", "no name"),
            (Line { entity_id: Some("42".to_owned()), ..line() }, "entity_id", "not a UUID"),
            (Line { entity_id: None, ..line() }, "entity_id", "missing"),
            (Line { source_field: Some("A B".to_owned()), ..line() }, "source_field", "no name"),
            (Line { model_id: Some("other".to_owned()), ..line() }, "model_id", "--model other"),
            (Line { chunk: chunk(None, None), ..line() }, "text", "is empty"),
            (Line { chunk: chunk(None, Some(vec![0.0])), ..line() }, "vector", "no usable length"),
            (Line { chunk_index: Some(3), ..line() }, "chunk_index", "is 3"),
            (Line { chunks: Some(Vec::new()), ..line() }, "chunks", "beside"),
            (
                Line {
                    chunks: Some(vec![chunk(Some("a"), None), chunk(None, None)]),
                    chunk: chunk(None, None),
                    ..line()
                },
                "chunks[1].text",
                "is empty",
            ),
            (Line { tags: vec![String::new()], ..line() }, "tags", "empty tag"),
            (Line { expected_version: Some(-1), ..line() }, "expected_version", "-1"),
        ] {
            let error = draft(line).expect_err(field);
            assert_eq!(error.field, field, "{error}");
            assert!(error.reason.contains(reason), "{error}");
        }
    }

    #[test]
    fn texts_of_other_programs_are_understood() {
        assert_eq!(time("2026-05-01T12:00:00Z"), time("2026-05-01 14:00:00+02:00"));
        assert!(time("yesterday").is_err());
        assert_eq!(vector("[0.5, -1]"), Ok(vec![0.5, -1.0]));
        assert_eq!(vector("[]"), Ok(vec![]));
        assert!(vector("0.5").is_err() && vector("[a]").is_err());
        assert_eq!(long_text("LONG_TEXT_REFUSE"), Ok(LongText::Refuse));
        assert!(long_text("cut").is_err());
    }
}
