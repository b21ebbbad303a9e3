//! What a caller asks to be embedded and kept.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{EntityRef, Invalid, ModelId, SourceField, Vector};

/// The most chunks one draft may hold, counted after splitting.
pub const MAX_CHUNKS: usize = 512;
/// The most bytes all texts of a draft may have together.
pub const MAX_TEXT_BYTES: usize = 512 * 1024;
/// The most tags a draft may have.
pub const MAX_TAGS: usize = 64;
/// The most bytes of metadata, written as JSON.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_LABEL_BYTES: usize = 100;

/// What to do with a text that has more tokens than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LongText {
    /// Make several chunks of it, at sentence boundaries where possible.
    #[default]
    Split,
    /// Refuse the draft.
    Refuse,
}

/// One piece of a draft: a text to embed, a ready vector, or a vector with the text it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkDraft {
    /// The text; empty only where a vector is given.
    pub text: String,
    /// The vector, where the caller has it.
    pub vector: Option<Vector>,
}

/// What is kept beside the vectors and can be filtered by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes {
    /// A JSON object.
    pub metadata: serde_json::Map<String, Value>,
    /// Sorted, without repetition.
    pub tags: Vec<String>,
    /// `instagram`, …; empty where it has none.
    pub platform: String,
    /// `draft`, `published`, …; empty where it has none.
    pub status: String,
    /// ISO 639-1 code; detected from the text where the caller gives none.
    pub language: Option<String>,
    /// When the thing happened.
    pub occurred_at: Option<DateTime<Utc>>,
}

impl Attributes {
    /// Checks and orders what a caller gave.
    ///
    /// # Errors
    /// Names the field that is too long, too many or empty.
    pub fn new(
        metadata: serde_json::Map<String, Value>,
        mut tags: Vec<String>,
        platform: String,
        status: String,
        language: Option<String>,
        occurred_at: Option<DateTime<Utc>>,
    ) -> Result<Self, Invalid> {
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > MAX_TAGS {
            return Err(Invalid::new("tags", format!("has {} tags; at most {MAX_TAGS} are allowed", tags.len())));
        }
        for (field, value) in tags.iter().map(|tag| ("tags", tag)).chain([("platform", &platform), ("status", &status)])
        {
            label(field, value)?;
        }
        if tags.iter().any(String::is_empty) {
            return Err(Invalid::new("tags", "holds an empty tag; leave it out"));
        }
        if let Some(code) = &language
            && !(code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase()))
        {
            return Err(Invalid::new(
                "language",
                format!("{code:?} is no ISO 639-1 code; give two letters such as de"),
            ));
        }
        let metadata = Value::Object(metadata);
        let bytes = metadata.to_string().len();
        if bytes > MAX_METADATA_BYTES {
            return Err(Invalid::new(
                "metadata",
                format!("has {bytes} bytes as JSON; at most {MAX_METADATA_BYTES} are allowed"),
            ));
        }
        if has_nul(&metadata) {
            return Err(Invalid::new(
                "metadata",
                "holds the character U+0000, which JSON in Postgres cannot keep; remove it",
            ));
        }
        let Value::Object(metadata) = metadata else { unreachable!("it was made an object four lines up") };
        Ok(Self { metadata, tags, platform, status, language, occurred_at })
    }

    /// A digest that is equal exactly where all attributes are. Times count to the microsecond, as Postgres keeps them.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("kindred attributes v1");
        digest_object(&mut hasher, &self.metadata);
        hasher.update(&(self.tags.len() as u64).to_le_bytes());
        let language = self.language.as_deref().unwrap_or_default();
        for text in self.tags.iter().map(String::as_str).chain([self.platform.as_str(), self.status.as_str(), language])
        {
            digest_text(&mut hasher, text);
        }
        let micros = self.occurred_at.map_or(i64::MIN, |at| at.timestamp_micros());
        hasher.update(&micros.to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// A draft whose every field has been checked, except against the model, which `ingest` knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What it is of.
    pub entity: EntityRef,
    /// Which of the entity's texts.
    pub source_field: SourceField,
    /// Which model; the organization's active one where `None`.
    pub model: Option<ModelId>,
    /// At least one chunk.
    pub chunks: Vec<ChunkDraft>,
    /// What is kept beside the vectors.
    pub attributes: Attributes,
    /// The current version the caller believes in: 0 for none. Another one is a conflict.
    pub expected_version: Option<i32>,
    /// A repeated request with the same key is answered like the first.
    pub idempotency_key: Option<String>,
    /// What to do with texts that are too long for the model.
    pub long_text: LongText,
}

impl Draft {
    /// Refuses a draft without content, with empty or oversized texts, or that mixes ready vectors with texts to embed.
    pub fn check(self) -> Result<Self, Invalid> {
        if self.chunks.is_empty() || self.chunks.len() > MAX_CHUNKS {
            return Err(Invalid::new("chunks", format!("has {} chunks; give 1 to {MAX_CHUNKS}", self.chunks.len())));
        }
        for (at, chunk) in self.chunks.iter().enumerate() {
            let refuse = |reason: &str| Err(Invalid::new(format!("chunks[{at}].text"), reason));
            if chunk.vector.is_none() && chunk.text.trim().is_empty() {
                return refuse("is empty; give a text to embed, or a ready vector");
            }
            if chunk.text.contains('\0') {
                return refuse("holds the character U+0000, which Postgres cannot keep; remove it");
            }
        }
        let ready = self.chunks.iter().filter(|chunk| chunk.vector.is_some()).count();
        if ready != 0 && ready != self.chunks.len() {
            return Err(Invalid::new(
                "chunks",
                format!("{ready} of {} chunks carry a vector; give one for every chunk or for none", self.chunks.len()),
            ));
        }
        let bytes: usize = self.chunks.iter().map(|chunk| chunk.text.len()).sum();
        if bytes > MAX_TEXT_BYTES {
            return Err(Invalid::new(
                "chunks",
                format!(
                    "hold {bytes} bytes of text; at most {MAX_TEXT_BYTES} are allowed in one draft; split it over several source fields"
                ),
            ));
        }
        if let Some(key) = &self.idempotency_key
            && (key.is_empty() || key.len() > MAX_LABEL_BYTES)
        {
            return Err(Invalid::new(
                "idempotency_key",
                format!("has {} bytes; 1 to {MAX_LABEL_BYTES} are allowed", key.len()),
            ));
        }
        Ok(self)
    }

    /// Whether the caller gave the vectors.
    pub fn has_vectors(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.vector.is_some())
    }

    /// A digest that is equal exactly where texts and given vectors are.
    pub fn content_digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("kindred content v1");
        for chunk in &self.chunks {
            digest_text(&mut hasher, &chunk.text);
            let components = chunk.vector.as_ref().map(Vector::as_slice).unwrap_or_default();
            hasher.update(&(components.len() as u64).to_le_bytes());
            // All at once, but as little-endian everywhere.
            match cfg!(target_endian = "big") {
                true => components.iter().for_each(|component| _ = hasher.update(&component.to_le_bytes())),
                false => _ = hasher.update(bytemuck::cast_slice(components)),
            }
        }
        *hasher.finalize().as_bytes()
    }
}

fn label(field: &str, value: &str) -> Result<(), Invalid> {
    if value.len() > MAX_LABEL_BYTES || value.contains('\0') {
        return Err(Invalid::new(
            field,
            format!("has {} bytes; at most {MAX_LABEL_BYTES}, without U+0000, are allowed", value.len()),
        ));
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn digest_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Keys in order, so that the digest does not depend on how a map is kept.
fn digest_object(hasher: &mut blake3::Hasher, map: &serde_json::Map<String, Value>) {
    let mut keys: Vec<_> = map.keys().collect();
    keys.sort_unstable();
    hasher.update(&(keys.len() as u64).to_le_bytes());
    for key in keys {
        digest_text(hasher, key);
        digest_json(hasher, &map[key]);
    }
}

fn digest_json(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(bit) => hasher.update(if *bit { b"t" } else { b"f" }),
        Value::Number(number) => {
            hasher.update(b"#");
            digest_text(hasher, &number.to_string());
            hasher
        }
        Value::String(text) => {
            hasher.update(b"s");
            digest_text(hasher, text);
            hasher
        }
        Value::Array(items) => {
            hasher.update(b"a");
            hasher.update(&(items.len() as u64).to_le_bytes());
            for item in items {
                digest_json(hasher, item);
            }
            hasher
        }
        Value::Object(map) => {
            hasher.update(b"o");
            digest_object(hasher, map);
            hasher
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(chunks: Vec<ChunkDraft>) -> Draft {
        Draft {
            entity: EntityRef::parse("post", "018f2c1e-7c53-7cc0-8a4e-2f1c1f6f0d11").expect("valid"),
            source_field: SourceField::default(),
            model: None,
            chunks,
            attributes: Attributes::default(),
            expected_version: None,
            idempotency_key: None,
            long_text: LongText::Split,
        }
    }

    fn text(text: &str) -> ChunkDraft {
        ChunkDraft { text: text.to_owned(), vector: None }
    }

    fn ready(components: Vec<f32>) -> ChunkDraft {
        ChunkDraft { text: String::new(), vector: Some(Vector::new(components).expect("valid")) }
    }

    #[test]
    fn drafts_without_usable_content_are_refused() {
        for (chunks, field) in [
            (vec![], "chunks"),
            (vec![text("ok"), text("  \n")], "chunks[1].text"),
            (vec![text("nul \0")], "chunks[0].text"),
            (vec![text("ok"), ready(vec![1.0])], "chunks"),
            (vec![text(&"x".repeat(MAX_TEXT_BYTES + 1))], "chunks"),
            (vec![text("x"); MAX_CHUNKS + 1], "chunks"),
        ] {
            assert_eq!(draft(chunks).check().expect_err(field).field, field);
        }
        assert!(draft(vec![text("ok")]).check().is_ok());
        assert!(draft(vec![ready(vec![1.0, 0.0])]).check().is_ok());
    }

    #[test]
    fn attributes_are_checked() {
        let make = |tags: Vec<String>, platform: &str, language: Option<&str>| {
            Attributes::new(
                Default::default(),
                tags,
                platform.to_owned(),
                String::new(),
                language.map(str::to_owned),
                None,
            )
        };
        assert_eq!(make(vec!["b".into(), "a".into(), "b".into()], "", None).expect("fine").tags, ["a", "b"]);
        assert_eq!(make((0..65).map(|n| n.to_string()).collect(), "", None).expect_err("many").field, "tags");
        assert_eq!(make(vec![String::new()], "", None).expect_err("empty").field, "tags");
        assert_eq!(make(vec![], &"x".repeat(101), None).expect_err("long").field, "platform");
        assert_eq!(make(vec![], "", Some("german")).expect_err("code").field, "language");
        let big = serde_json::Map::from_iter([("k".to_owned(), Value::String("x".repeat(MAX_METADATA_BYTES)))]);
        let error = Attributes::new(big, vec![], String::new(), String::new(), None, None).expect_err("big");
        assert_eq!(error.field, "metadata");
    }

    #[test]
    fn digests_tell_contents_apart() {
        let digests = [
            draft(vec![text("ab"), text("c")]).content_digest(),
            draft(vec![text("a"), text("bc")]).content_digest(),
            draft(vec![text("abc")]).content_digest(),
            draft(vec![ready(vec![1.0])]).content_digest(),
            draft(vec![ready(vec![2.0])]).content_digest(),
        ];
        for (at, one) in digests.iter().enumerate() {
            assert!(digests[at + 1..].iter().all(|other| other != one));
        }
        let json = |text: &str| {
            let metadata = serde_json::from_str(text).expect("an object");
            Attributes { metadata, ..Attributes::default() }.digest()
        };
        assert_eq!(json(r#"{"a":1,"b":[{"c":null}]}"#), json(r#"{"b":[{"c":null}],"a":1}"#));
        assert_ne!(json(r#"{"a":"1"}"#), json(r#"{"a":1}"#));
        assert_ne!(json(r#"{"a":[[],1]}"#), json(r#"{"a":[[1]]}"#));
    }
}
