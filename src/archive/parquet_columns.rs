//! How columns of Postgres stand in Parquet.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use crate::store::{Column, ColumnType};

/// The schema of a file.
///
/// A `numeric` is text, since Parquet's decimals have one scale for a column and no NaN: readers cast it.
pub(super) fn schema(table: &str, columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder(table).with_fields(fields).build()?))
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical, length) = match column.column_type {
        ColumnType::Uuid => (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        ColumnType::Text | ColumnType::Numeric => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String), -1),
        ColumnType::Jsonb => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json), -1),
        ColumnType::Timestamptz => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS)), -1),
        ColumnType::Boolean => (PhysicalType::BOOLEAN, None, -1),
        ColumnType::Smallint => (PhysicalType::INT32, Some(LogicalType::integer(16, true)), -1),
        ColumnType::Integer => (PhysicalType::INT32, Some(LogicalType::integer(32, true)), -1),
        ColumnType::Bigint => (PhysicalType::INT64, Some(LogicalType::integer(64, true)), -1),
    };
    let repetition = if column.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(&column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_length(length)
        .build()
}
