//! Rows of a Parquet file, from any row on.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;

use super::line::Key;
use super::parquet_fields::Columns;
use super::progress::Place;
use super::read_ahead::{ReadAhead, Row};
use crate::domain::ModelId;

/// Reads rows after `from` until the file ends or nobody wants more; gives the columns that no field has, which are not
/// read.
///
/// # Errors
/// Where the file is not Parquet, lacks a column, or is damaged.
pub(super) fn read(
    file: File,
    from: Place,
    model: &ModelId,
    ahead: &mut ReadAhead,
) -> Result<BTreeSet<String>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let (known, unknown): (Vec<_>, Vec<_>) =
        schema.get_fields().iter().cloned().partition(|column| Key::named(column.name()).is_some());
    require(&known, &unknown)?;
    let columns = Columns::of(&known);
    let wanted = Type::group_type_builder(schema.name()).with_fields(known).build()?;
    let mut before = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
        let read_already = from.rows.saturating_sub(before).min(rows);
        if read_already < rows {
            let iterator = group.get_row_iter(Some(wanted.clone()))?;
            for (number, row) in (before + 1..).zip(iterator).skip(usize::try_from(read_already).unwrap_or(usize::MAX))
            {
                let damaged = |error| ParquetError::General(format!("row {number} cannot be read: {error}"));
                let line = columns.line(row.map_err(damaged)?);
                if !ahead.push(Row::new(number, 0, line, model)) {
                    return Ok(BTreeSet::new());
                }
            }
        }
        before += rows;
    }
    ahead.flush();
    Ok(unknown.iter().map(|column| column.name().to_owned()).collect())
}

/// How many rows a file says it has.
pub(super) fn count(file: File) -> Result<u64, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn require(known: &[Arc<Type>], unknown: &[Arc<Type>]) -> Result<(), ParquetError> {
    let has = |field| known.iter().any(|column| Key::named(column.name()) == Some(field));
    let missing = if !has(Key::EntityType) && !has(Key::Entity) {
        "entity_type"
    } else if !has(Key::EntityId) && !has(Key::Entity) {
        "entity_id"
    } else if ![Key::Text, Key::Vector, Key::Chunks].into_iter().any(has) {
        "vector or text"
    } else {
        return Ok(());
    };
    let names: Vec<&str> = known.iter().chain(unknown).map(|column| column.name()).collect();
    let reason = format!("it has no column {missing}; rename one of its columns: {}", names.join(", "));
    Err(ParquetError::General(reason))
}
