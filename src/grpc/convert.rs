//! Between messages and the domain's values.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use prost_types::value::Kind as JsonKind;
use prost_types::{ListValue, Struct, Timestamp, Value as ProtoValue};
use serde_json::{Map, Number, Value};

use super::proto;
use crate::domain::{
    Attributes, ChunkDraft, Draft, EntityRef, Filter, Invalid, LongText, ModelId, Revision, ServedBy, SourceField,
    TimeRange, Vector,
};
use crate::store::StoredContent;

/// The most values in one list of a filter.
const MAX_FILTER_VALUES: usize = 64;
/// The most levels of metadata.
const MAX_DEPTH: usize = 32;

pub(super) fn entity(message: Option<proto::EntityRef>) -> Result<EntityRef, Invalid> {
    let message = message.ok_or_else(|| Invalid::new("entity", "is missing; give a type and an id"))?;
    EntityRef::parse(&message.r#type, &message.id)
}

pub(super) fn entity_message(entity: &EntityRef) -> proto::EntityRef {
    proto::EntityRef { r#type: entity.entity_type.to_string(), id: entity.id.to_string() }
}

/// A value that may be left out as the empty text.
pub(super) fn optional<T: FromStr<Err = Invalid>>(text: &str) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// The same, where what is wrong is told of `field`.
pub(super) fn optional_in<T: FromStr<Err = Invalid>>(field: &str, text: &str) -> Result<Option<T>, Invalid> {
    optional(text).map_err(|error| Invalid { field: field.to_owned(), ..error })
}

pub(super) fn source_field(text: &str) -> Result<SourceField, Invalid> {
    Ok(optional(text)?.unwrap_or_default())
}

/// A count between 1 and `most`, or `default` where it is absent.
pub(super) fn limit(field: &str, given: Option<i32>, default: usize, most: usize) -> Result<usize, Invalid> {
    let Some(given) = given else { return Ok(default) };
    match usize::try_from(given) {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(Invalid::new(
            field,
            format!("is {given}; 1 to {most} are allowed, and {default} holds where it is absent"),
        )),
    }
}

pub(super) fn threshold(field: &str, given: Option<f32>) -> Result<Option<f32>, Invalid> {
    match given {
        Some(value) if !(-1.0..=1.0).contains(&value) => {
            Err(Invalid::new(field, format!("is {value}; a cosine similarity is between -1 and 1")))
        }
        other => Ok(other),
    }
}

pub(super) fn min_revision(given: i64) -> Result<Revision, Invalid> {
    if given < 0 {
        return Err(Invalid::new("min_revision", format!("is {given}; give a revision that a write returned, or 0")));
    }
    Ok(Revision(given))
}

pub(super) fn vector(message: proto::Vector) -> Result<Vector, Invalid> {
    Vector::new(message.values)
}

pub(super) fn vector_message(vector: &Vector) -> proto::Vector {
    proto::Vector { values: vector.as_slice().to_vec() }
}

pub(super) fn time(field: &str, message: Option<Timestamp>) -> Result<Option<DateTime<Utc>>, Invalid> {
    let Some(Timestamp { seconds, nanos }) = message else { return Ok(None) };
    // What google.protobuf.Timestamp allows: the years 1 to 9999.
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&seconds);
    let time = u32::try_from(nanos).ok().and_then(|nanos| DateTime::from_timestamp(seconds, nanos));
    match time.filter(|_| in_range) {
        Some(time) => Ok(Some(time)),
        None => Err(Invalid::new(field, format!("is {seconds} s {nanos} ns; give a time in the years 1 to 9999"))),
    }
}

pub(super) fn time_message(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}

pub(super) fn filter(message: Option<proto::Filter>) -> Result<Filter, Invalid> {
    let Some(message) = message else { return Ok(Filter::default()) };
    let parse = |error: Invalid| error.inside("filter");
    let bounded = |field: &str, values: Vec<String>| {
        if values.len() > MAX_FILTER_VALUES {
            let reason = format!("has {} values; at most {MAX_FILTER_VALUES} are allowed", values.len());
            return Err(Invalid::new(format!("filter.{field}"), reason));
        }
        Ok(values)
    };
    let entity_types = bounded("entity_types", message.entity_types)?;
    let source_fields = bounded("source_fields", message.source_fields)?;
    Filter {
        entity_types: entity_types.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(parse)?,
        source_fields: source_fields.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(parse)?,
        tags_any: bounded("tags_any", message.tags_any)?,
        tags_all: bounded("tags_all", message.tags_all)?,
        platforms: bounded("platforms", message.platforms)?,
        statuses: bounded("statuses", message.statuses)?,
        time: TimeRange {
            from: time("filter.occurred_from", message.occurred_from)?,
            until: time("filter.occurred_until", message.occurred_until)?,
        },
        not_entity: None,
    }
    .check()
}

pub(super) fn draft(message: proto::Draft) -> Result<Draft, Invalid> {
    let long_text = match message.long_text() {
        proto::LongText::Unspecified | proto::LongText::Split => LongText::Split,
        proto::LongText::Refuse => LongText::Refuse,
    };
    let chunks = message.chunks.into_iter().enumerate().map(|(at, chunk)| {
        let vector = chunk.vector.map(vector).transpose().map_err(|error| error.inside(&format!("chunks[{at}]")))?;
        Ok(ChunkDraft { text: chunk.text, vector })
    });
    let chunks = chunks.collect::<Result<Vec<_>, Invalid>>()?;
    if let Some(version) = message.expected_version.filter(|version| *version < 0) {
        return Err(Invalid::new("expected_version", format!("is {version}; 0 stands for none, versions begin at 1")));
    }
    Draft {
        entity: entity(message.entity)?,
        source_field: source_field(&message.source_field)?,
        model: optional::<ModelId>(&message.model_id)?,
        chunks,
        attributes: Attributes::new(
            json_object("metadata", message.metadata)?,
            message.tags,
            message.platform,
            message.status,
            Some(message.language).filter(|code| !code.is_empty()),
            time("occurred_at", message.occurred_at)?,
        )?,
        expected_version: message.expected_version,
        idempotency_key: Some(message.idempotency_key).filter(|key| !key.is_empty()),
        long_text,
    }
    .check()
}

pub(super) fn served_by(served_by: ServedBy) -> proto::ServedBy {
    match served_by {
        ServedBy::MirrorExact => proto::ServedBy::MirrorExact,
        ServedBy::MirrorHnsw => proto::ServedBy::MirrorHnsw,
        ServedBy::Postgres => proto::ServedBy::Postgres,
    }
}

pub(super) fn content_message(content: StoredContent) -> proto::ResultContent {
    let attributes = content.attributes;
    proto::ResultContent {
        text: content.content,
        metadata: Some(json_message(attributes.metadata)),
        tags: attributes.tags,
        platform: attributes.platform,
        status: attributes.status,
        occurred_at: attributes.occurred_at.map(time_message),
        language: content.language,
    }
}

/// A `google.protobuf.Struct` as a JSON object.
pub(super) fn json_object(field: &str, message: Option<Struct>) -> Result<Map<String, Value>, Invalid> {
    let fields = message.unwrap_or_default().fields;
    fields.into_iter().map(|(key, value)| Ok((key, json(field, value, MAX_DEPTH)?))).collect()
}

fn json(field: &str, value: ProtoValue, depth: usize) -> Result<Value, Invalid> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(Invalid::new(field, format!("is nested deeper than {MAX_DEPTH} levels")));
    };
    Ok(match value.kind {
        None | Some(JsonKind::NullValue(_)) => Value::Null,
        Some(JsonKind::BoolValue(bit)) => Value::Bool(bit),
        Some(JsonKind::StringValue(text)) => Value::String(text),
        Some(JsonKind::NumberValue(number)) => number_value(number)
            .ok_or_else(|| Invalid::new(field, format!("holds {number}, which JSON cannot express")))?,
        Some(JsonKind::ListValue(list)) => {
            let values = list.values.into_iter().map(|value| json(field, value, deeper));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(JsonKind::StructValue(inner)) => {
            let fields = inner.fields.into_iter().map(|(key, value)| Ok((key, json(field, value, deeper)?)));
            Value::Object(fields.collect::<Result<_, Invalid>>()?)
        }
    })
}

/// Protobuf knows doubles only: whole ones within 2^53 are told as integers, as JSON writers expect.
fn number_value(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Some(Value::Number(Number::from(number as i64)));
    }
    Number::from_f64(number).map(Value::Number)
}

/// A JSON object as a `google.protobuf.Struct`.
pub(super) fn json_message(map: Map<String, Value>) -> Struct {
    Struct { fields: map.into_iter().map(|(key, value)| (key, json_value(value))).collect() }
}

fn json_value(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => JsonKind::NullValue(0),
        Value::Bool(bit) => JsonKind::BoolValue(bit),
        Value::Number(number) => JsonKind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => JsonKind::StringValue(text),
        Value::Array(values) => JsonKind::ListValue(ListValue { values: values.into_iter().map(json_value).collect() }),
        Value::Object(map) => JsonKind::StructValue(json_message(map)),
    };
    ProtoValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_tell_what_is_allowed() {
        assert_eq!(limit("limit", None, 10, 1_000), Ok(10));
        assert_eq!(limit("limit", Some(1_000), 10, 1_000), Ok(1_000));
        for bad in [0, -1, 1_001, 1_000_000_000] {
            let error = limit("limit", Some(bad), 10, 1_000).expect_err("out of range");
            assert!(error.reason.contains(&bad.to_string()) && error.reason.contains("1 to 1000"), "{error}");
        }
    }

    #[test]
    fn json_survives_the_way_there_and_back() {
        let Value::Object(map) = serde_json::json!({"a": [1, 2.5, null, true], "b": {"c": "ü"}}) else {
            unreachable!()
        };
        assert_eq!(json_object("metadata", Some(json_message(map.clone()))), Ok(map));
        let mut deep = serde_json::json!(1);
        for _ in 0..40 {
            deep = Value::Array(vec![deep]);
        }
        let too_deep = json_message(Map::from_iter([("a".to_owned(), deep)]));
        assert!(json_object("metadata", Some(too_deep)).is_err());
        let nan = ProtoValue { kind: Some(JsonKind::NumberValue(f64::NAN)) };
        let nan = Struct { fields: [("a".to_owned(), nan)].into_iter().collect() };
        assert!(json_object("metadata", Some(nan)).is_err());
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(time("t", None), Ok(None));
        assert!(time("t", Some(Timestamp { seconds: i64::MAX, nanos: 0 })).is_err());
        assert!(time("t", Some(Timestamp { seconds: 0, nanos: -1 })).is_err());
        let now = DateTime::from_timestamp(1_700_000_000, 5).expect("in range");
        assert_eq!(time("t", Some(time_message(now))), Ok(Some(now)));
    }
}
