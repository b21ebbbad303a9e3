//! Values of Parquet as fields of a line.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::record::{Field as Value, List, Row};
use parquet::schema::types::Type;
use serde_json::Value as Json;
use uuid::Uuid;

use super::line::{Key, Line, LineChunk, long_text, time, vector};
use crate::domain::Invalid;

/// What must be known of a file's columns beside their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// Times of nanoseconds come as plain numbers.
    occurred_at_nanos: bool,
}

impl Columns {
    /// Of a file with these columns.
    pub(super) fn of(columns: &[Arc<Type>]) -> Self {
        let nanos = |column: &Arc<Type>| {
            let logical = column.get_basic_info().logical_type_ref();
            [true, false].iter().any(|utc| logical == Some(&LogicalType::timestamp(*utc, TimeUnit::NANOS)))
        };
        let time = columns.iter().find(|column| Key::named(column.name()) == Some(Key::OccurredAt));
        Self { occurred_at_nanos: time.is_some_and(nanos) }
    }

    /// A row of the file. A null is a field that is not there.
    ///
    /// # Errors
    /// Names the column whose value is of another type.
    pub(super) fn line(self, row: Row) -> Result<Line, Invalid> {
        let mut line = Line::default();
        for (name, value) in row.into_columns() {
            if let (Some(field), false) = (Key::named(&name), matches!(value, Value::Null)) {
                self.read(&mut line, field, value).map_err(|reason| Invalid::new(name, reason))?;
            }
        }
        Ok(line)
    }

    fn read(self, line: &mut Line, field: Key, value: Value) -> Result<(), String> {
        match field {
            Key::EntityType => line.entity_type = Some(text(value)?),
            Key::EntityId => line.entity_id = Some(id(value)?),
            Key::Entity => (line.entity_type, line.entity_id) = entity(value)?,
            Key::SourceField => line.source_field = Some(text(value)?),
            Key::ModelId => line.model_id = Some(text(value)?),
            Key::Chunks => line.chunks = Some(list(&value)?.elements().iter().map(chunk).collect::<Result<_, _>>()?),
            Key::Text => line.chunk.text = Some(text(value)?),
            Key::Vector => line.chunk.vector = Some(components(&value)?),
            Key::ChunkIndex => line.chunk_index = Some(integer(&value)?),
            Key::Metadata => line.metadata = metadata(value)?,
            Key::Tags => line.tags = list(&value)?.elements().iter().cloned().map(text).collect::<Result<_, _>>()?,
            Key::Platform => line.platform = Some(text(value)?),
            Key::Status => line.status = Some(text(value)?),
            Key::Language => line.language = Some(text(value)?),
            Key::OccurredAt => line.occurred_at = Some(self.moment(value)?),
            Key::ExpectedVersion => {
                let version = integer(&value)?;
                let out = |_| format!("is {version}; 0 stands for none, versions begin at 1");
                line.expected_version = Some(i32::try_from(version).map_err(out)?);
            }
            Key::Idempotency => line.idempotency_key = Some(text(value)?),
            Key::LongText => line.long_text = long_text(&text(value)?)?,
            Key::ItemId => {}
        }
        Ok(())
    }

    fn moment(self, value: Value) -> Result<DateTime<Utc>, String> {
        match value {
            Value::TimestampMillis(millis) => {
                DateTime::from_timestamp_millis(millis).ok_or_else(|| format!("is {millis} ms, which no calendar has"))
            }
            Value::TimestampMicros(micros) => {
                DateTime::from_timestamp_micros(micros).ok_or_else(|| format!("is {micros} µs, which no calendar has"))
            }
            Value::Long(nanos) if self.occurred_at_nanos => Ok(DateTime::from_timestamp_nanos(nanos)),
            value @ (Value::Str(_) | Value::Bytes(_)) => time(&text(value)?),
            other => Err(refused(&other, "a timestamp")),
        }
    }
}

fn refused(value: &Value, wanted: &str) -> String {
    format!("is {}; {wanted} is wanted", kind(value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Float16(_) | Value::Float(_) | Value::Double(_) | Value::Decimal(_) => "a number",
        Value::Str(_) => "a text",
        Value::Bytes(_) => "binary",
        Value::Date(_) | Value::TimeMillis(_) | Value::TimeMicros(_) => "a date or time of day",
        Value::TimestampMillis(_) | Value::TimestampMicros(_) => "a timestamp",
        Value::Group(_) => "a struct",
        Value::ListInternal(_) => "a list",
        Value::MapInternal(_) => "a map",
        _ => "an integer",
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(text),
        // Some writers do not mark their texts as such.
        Value::Bytes(bytes) => String::from_utf8(bytes.data().to_vec())
            .map_err(|_| "is binary that is no UTF-8; a text is wanted".to_owned()),
        other => Err(refused(&other, "a text")),
    }
}

fn id(value: Value) -> Result<String, String> {
    match &value {
        Value::Bytes(bytes) if bytes.len() == 16 => {
            Uuid::from_slice(bytes.data()).map(|id| id.to_string()).map_err(|error| error.to_string())
        }
        _ => text(value),
    }
}

fn entity(value: Value) -> Result<(Option<String>, Option<String>), String> {
    let Value::Group(row) = value else { return Err(refused(&value, "a struct of type and id")) };
    let (mut entity_type, mut entity_id) = (None, None);
    for (name, value) in row.into_columns() {
        match name.as_str() {
            "type" => entity_type = Some(text(value)?),
            "id" => entity_id = Some(id(value)?),
            _ => {}
        }
    }
    Ok((entity_type, entity_id))
}

fn list(value: &Value) -> Result<&List, String> {
    match value {
        Value::ListInternal(list) => Ok(list),
        other => Err(refused(other, "a list")),
    }
}

fn chunk(value: &Value) -> Result<LineChunk, String> {
    let Value::Group(row) = value else { return Err(refused(value, "a list of structs of text and vector")) };
    let mut chunk = LineChunk::default();
    for (name, value) in row.get_column_iter() {
        match (Key::named(name), value) {
            (_, Value::Null) => {}
            (Some(Key::Text), value) => chunk.text = Some(text(value.clone())?),
            (Some(Key::Vector), value) => chunk.vector = Some(components(value)?),
            _ => {}
        }
    }
    Ok(chunk)
}

fn components(value: &Value) -> Result<Vec<f32>, String> {
    let list = match value {
        Value::ListInternal(list) => list,
        Value::Str(text) => return vector(text),
        other => return Err(refused(other, "a list of floats")),
    };
    let component = |(at, value): (usize, &Value)| match value {
        Value::Float(component) => Ok(*component),
        Value::Double(component) => Ok(*component as f32),
        Value::Float16(component) => Ok(component.to_f32()),
        other => Err(format!("component {at} is {}; a float is wanted", kind(other))),
    };
    list.elements().iter().enumerate().map(component).collect()
}

fn integer(value: &Value) -> Result<i64, String> {
    Ok(match value {
        Value::Byte(number) => i64::from(*number),
        Value::Short(number) => i64::from(*number),
        Value::Int(number) => i64::from(*number),
        Value::Long(number) => *number,
        Value::UByte(number) => i64::from(*number),
        Value::UShort(number) => i64::from(*number),
        Value::UInt(number) => i64::from(*number),
        Value::ULong(number) => i64::try_from(*number).map_err(|_| format!("is {number}, which is too large"))?,
        other => return Err(refused(other, "an integer")),
    })
}

fn metadata(value: Value) -> Result<serde_json::Map<String, Json>, String> {
    match value {
        value @ (Value::Str(_) | Value::Bytes(_)) => {
            serde_json::from_str(&text(value)?).map_err(|error| format!("is a text that is no JSON object: {error}"))
        }
        Value::Group(row) => row.into_columns().into_iter().map(|(name, value)| Ok((name, json(value)?))).collect(),
        other => Err(refused(&other, "a struct, or a text that is a JSON object,")),
    }
}

fn json(value: Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(on) => Json::Bool(on),
        Value::Float(number) => Json::from(number),
        Value::Double(number) => Json::from(number),
        value @ (Value::Str(_) | Value::Bytes(_)) => Json::String(text(value)?),
        Value::Group(row) => Json::Object(metadata(Value::Group(row))?),
        Value::ListInternal(list) => Json::Array(list.elements().iter().cloned().map(json).collect::<Result<_, _>>()?),
        number => {
            integer(&number).map(Json::from).map_err(|_| format!("holds {}, which JSON has not", kind(&number)))?
        }
    })
}
