//! One line of JSON.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::line::{Key, Line, LineChunk, long_text, time, vector};
use crate::domain::Invalid;

/// Reads a line's object. Unknown names are noted and left out.
///
/// # Errors
/// Names the field whose value is of another type, or `line` where it is no object.
pub(super) fn parse(json: &[u8]) -> Result<Line, Invalid> {
    let at = RefCell::new(String::from("line"));
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = LineSeed { at: &at }.deserialize(&mut deserializer).and_then(|line| {
        deserializer.end()?;
        Ok(line)
    });
    parsed.map_err(|error| {
        // It is one line; the column is worth telling.
        let reason = error.to_string().replace(" at line 1 column ", " at column ");
        Invalid::new(at.into_inner(), reason)
    })
}

/// Knows which field is being read, which errors of serde do not.
struct LineSeed<'a> {
    at: &'a RefCell<String>,
}

impl<'de> DeserializeSeed<'de> for LineSeed<'_> {
    type Value = Line;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_> {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let mut line = Line::default();
        while let Some(name) = map.next_key::<String>()? {
            self.at.replace(name.clone());
            match Key::named(&name) {
                Some(field) => read(&mut line, field, &mut map)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    line.unknown.insert(name);
                }
            }
            self.at.replace(String::from("line"));
        }
        Ok(line)
    }
}

fn read<'de, A: MapAccess<'de>>(line: &mut Line, field: Key, map: &mut A) -> Result<(), A::Error> {
    match field {
        Key::EntityType => line.entity_type = map.next_value()?,
        Key::EntityId => line.entity_id = map.next_value()?,
        Key::Entity => {
            let entity: Entity = map.next_value()?;
            (line.entity_type, line.entity_id) = (entity.entity_type, entity.id);
        }
        Key::SourceField => line.source_field = map.next_value()?,
        Key::ModelId => line.model_id = map.next_value()?,
        Key::Chunks => {
            let chunks: Option<Vec<Chunk>> = map.next_value()?;
            let chunk = |chunk: Chunk| LineChunk { text: chunk.text, vector: chunk.vector.map(|vector| vector.0) };
            line.chunks = chunks.map(|chunks| chunks.into_iter().map(chunk).collect());
        }
        Key::Text => line.chunk.text = map.next_value()?,
        Key::Vector => line.chunk.vector = map.next_value::<Option<Components>>()?.map(|vector| vector.0),
        Key::ChunkIndex => line.chunk_index = map.next_value()?,
        Key::Metadata => line.metadata = map.next_value::<Option<Map<String, Value>>>()?.unwrap_or_default(),
        Key::Tags => line.tags = map.next_value::<Option<Vec<String>>>()?.unwrap_or_default(),
        Key::Platform => line.platform = map.next_value()?,
        Key::Status => line.status = map.next_value()?,
        Key::Language => line.language = map.next_value()?,
        Key::OccurredAt => {
            let text: Option<String> = map.next_value()?;
            line.occurred_at = text.as_deref().map(time).transpose().map_err(A::Error::custom)?;
        }
        Key::ExpectedVersion => line.expected_version = map.next_value()?,
        Key::Idempotency => line.idempotency_key = map.next_value()?,
        Key::LongText => {
            let name: Option<String> = map.next_value()?;
            line.long_text = long_text(&name.unwrap_or_default()).map_err(A::Error::custom)?;
        }
        Key::ItemId => drop(map.next_value::<IgnoredAny>()?),
    }
    Ok(())
}

#[derive(Deserialize)]
struct Entity {
    #[serde(rename = "type")]
    entity_type: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(alias = "content")]
    text: Option<String>,
    #[serde(alias = "embedding")]
    vector: Option<Components>,
}

/// A list of numbers, the same inside `{"values": …}`, or as pgvector writes it.
struct Components(Vec<f32>);

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ComponentsVisitor)
    }
}

struct ComponentsVisitor;

impl<'de> Visitor<'de> for ComponentsVisitor {
    type Value = Components;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Components, A::Error> {
        let mut components = Vec::with_capacity(384);
        while let Some(component) = seq.next_element()? {
            components.push(component);
        }
        components.shrink_to_fit();
        Ok(Components(components))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Components, A::Error> {
        let mut components = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "values" => components = Some(map.next_value::<Vec<f32>>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        components.map(Components).ok_or_else(|| A::Error::missing_field("values"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Components, E> {
        vector(text).map(Components).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_means_the_same() {
        let flat = parse(br#"{"entity_type":"post","entity_id":"x","text":"t","vector":[1,0.5],"tags":["a"]}"#);
        let flat = flat.expect("parsed");
        assert_eq!((flat.entity_type.as_deref(), flat.chunk.vector.as_deref()), (Some("post"), Some(&[1.0, 0.5][..])));
        let other = parse(
            br#"{"entity":{"type":"post","id":"x"},"content":"t","embedding":"[1, 0.5]","tags":["a"],"platform":null}"#,
        );
        assert_eq!(other.expect("parsed"), flat);
        let message = parse(
            br#"{"entity":{"type":"post","id":"x"},"chunks":[{"text":"t","vector":{"values":[1,0.5]}},{"text":"u"}],
                "occurredAt":"2026-05-01T12:00:00Z","longText":"LONG_TEXT_REFUSE","itemId":"7"}"#,
        );
        let message = message.expect("parsed");
        let chunks = message.chunks.expect("chunks");
        assert_eq!(chunks[0], flat.chunk);
        assert_eq!(chunks[1], LineChunk { text: Some("u".to_owned()), vector: None });
        assert!(message.occurred_at.is_some() && message.unknown.is_empty());
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        for (json, field, reason) in [
            ("{", "line", "EOF"),
            ("[]", "line", "a JSON object"),
            ("not json", "line", "expected"),
            (r#"{"a":1} {"b":2}"#, "line", "trailing"),
            (r#"{"vector":[1,"x"]}"#, "vector", "expected f32"),
            (r#"{"vector":"x"}"#, "vector", "list of numbers"),
            (r#"{"tags":"a"}"#, "tags", "expected a sequence"),
            (r#"{"metadata":[]}"#, "metadata", "expected a map"),
            (r#"{"occurred_at":"soon"}"#, "occurred_at", "2026-05-01"),
            (r#"{"entity_id":5}"#, "entity_id", "expected a string"),
            (r#"{"text":"\ud800"}"#, "text", "column"),
        ] {
            let error = parse(json.as_bytes()).expect_err(json);
            assert_eq!(error.field, field, "{error}");
            assert!(error.reason.contains(reason), "{error}");
        }
    }

    #[test]
    fn names_that_no_field_has_are_noted() {
        let line = parse(br#"{"entity_type":"post","likes":[1,{"a":2}],"tag":"x"}"#).expect("parsed");
        assert_eq!(line.unknown.into_iter().collect::<Vec<_>>(), ["likes", "tag"]);
    }
}
