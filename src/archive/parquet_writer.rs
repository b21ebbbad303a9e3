//! Rows into a Parquet file, one row group at a time.

use std::mem;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::PartName;
use super::parquet_columns::schema;
use crate::store::{Column, Row, Value};

/// A row group ends at this many rows, or at about this many bytes of values.
const GROUP_ROWS: usize = 50_000;
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Rows that will be one row group.
#[derive(Default)]
pub(super) struct Group {
    rows: Vec<Row>,
    bytes: usize,
}

impl Group {
    /// Adds a row.
    pub(super) fn push(&mut self, row: Row) {
        self.bytes +=
            row.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 16 }).sum::<usize>();
        self.rows.push(row);
    }

    /// Whether it should be written.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A file that is being written, into memory that is emptied after each row group.
pub(super) struct PartWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Column>,
}

impl PartWriter {
    /// Begins a file. Compressed with zstd; table, month and format stand in its metadata.
    pub(super) fn new(part: &PartName, columns: &[Column]) -> Result<Self, ParquetError> {
        let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("kindred ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(vec![
                entry("kindred.table", part.table.to_string()),
                entry("kindred.month", part.month.to_string()),
            ]))
            .build();
        let schema = schema(part.table.name(), columns)?;
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        Ok(Self { writer, columns: columns.to_vec() })
    }

    /// Writes a row group; gives the bytes that the file has grown by.
    pub(super) fn write(&mut self, group: &Group) -> Result<Vec<u8>, ParquetError> {
        let mut row_group = self.writer.next_row_group()?;
        for (index, column) in self.columns.iter().enumerate() {
            let missing = || ParquetError::General(format!("there is no column {}", column.name));
            let mut writer = row_group.next_column()?.ok_or_else(missing)?;
            write_column(writer.untyped(), column, index, &group.rows)?;
            writer.close()?;
        }
        row_group.close()?;
        written(&mut self.writer)
    }

    /// Ends the file; gives its last bytes.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        self.writer.finish()?;
        written(&mut self.writer)
    }
}

/// What was written since the last call.
fn written(writer: &mut SerializedFileWriter<Vec<u8>>) -> Result<Vec<u8>, ParquetError> {
    writer.flush()?;
    Ok(mem::take(writer.inner_mut()))
}

fn write_column(
    writer: &mut ColumnWriter<'_>,
    column: &Column,
    index: usize,
    rows: &[Row],
) -> Result<(), ParquetError> {
    // 1 where there is a value, 0 where there is none.
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row[index] != Value::Null)).collect();
    let levels = column.nullable.then_some(levels.as_slice());
    match writer {
        ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&present(rows, index, bool_of)?, levels, None),
        ColumnWriter::Int32ColumnWriter(writer) => writer.write_batch(&present(rows, index, int32_of)?, levels, None),
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&present(rows, index, int64_of)?, levels, None),
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            writer.write_batch(&present(rows, index, bytes_of)?, levels, None)
        }
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
            writer.write_batch(&present(rows, index, uuid_of)?, levels, None)
        }
        _ => return Err(ParquetError::General(format!("{} has no column of this kind", column.name))),
    }?;
    Ok(())
}

/// A column's values that are not null.
fn present<T>(rows: &[Row], index: usize, of: fn(&Value) -> Option<T>) -> Result<Vec<T>, ParquetError> {
    let values = rows.iter().map(|row| &row[index]).filter(|value| **value != Value::Null);
    let other = |value: &Value| ParquetError::General(format!("{value:?} is not of its column's type"));
    values.map(|value| of(value).ok_or_else(|| other(value))).collect()
}

fn bool_of(value: &Value) -> Option<bool> {
    if let Value::Bool(on) = value { Some(*on) } else { None }
}

fn int32_of(value: &Value) -> Option<i32> {
    if let Value::Int(number) = value { i32::try_from(*number).ok() } else { None }
}

fn int64_of(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

fn bytes_of(value: &Value) -> Option<ByteArray> {
    if let Value::Text(text) = value { Some(ByteArray::from(text.as_str())) } else { None }
}

fn uuid_of(value: &Value) -> Option<FixedLenByteArray> {
    if let Value::Uuid(id) = value { Some(FixedLenByteArray::from(id.as_bytes().to_vec())) } else { None }
}
