//! Rows out of a Parquet file, one row group at a time.

use std::fs::File;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use uuid::Uuid;

use super::parquet_columns::schema;
use crate::store::{Column, Row, Value};

/// An open file of a part.
pub(super) struct PartReader {
    reader: SerializedFileReader<File>,
    columns: Vec<Column>,
}

impl PartReader {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it is not Parquet, or has other columns than those.
    pub(super) fn open(file: File, columns: &[Column]) -> Result<Self, ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let found = reader.metadata().file_metadata().schema();
        if *found != *schema(found.name(), columns)? {
            return Err(ParquetError::General("it has other columns than its manifest".to_owned()));
        }
        Ok(Self { reader, columns: columns.to_vec() })
    }

    /// How many row groups it has.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The rows of one.
    pub(super) fn group(&self, index: usize) -> Result<Vec<Row>, ParquetError> {
        let group = self.reader.get_row_group(index)?;
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut rows: Vec<Row> = vec![Vec::with_capacity(self.columns.len()); count];
        for (place, column) in self.columns.iter().enumerate() {
            let values = read_column(group.get_column_reader(place)?, column, count)?;
            for (row, value) in rows.iter_mut().zip(values) {
                row.push(value);
            }
        }
        Ok(rows)
    }
}

fn read_column(reader: ColumnReader, column: &Column, rows: usize) -> Result<Vec<Value>, ParquetError> {
    let nullable = column.nullable;
    match reader {
        ColumnReader::BoolColumnReader(reader) => read_values(reader, nullable, rows, |on| Ok(Value::Bool(on))),
        ColumnReader::Int32ColumnReader(reader) => {
            read_values(reader, nullable, rows, |number| Ok(Value::Int(number.into())))
        }
        ColumnReader::Int64ColumnReader(reader) => read_values(reader, nullable, rows, |number| Ok(Value::Int(number))),
        ColumnReader::ByteArrayColumnReader(reader) => {
            read_values(reader, nullable, rows, |bytes| Ok(Value::Text(bytes.as_utf8()?.to_owned())))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => read_values(reader, nullable, rows, |bytes| {
            Uuid::from_slice(bytes.data()).map(Value::Uuid).map_err(|error| ParquetError::General(error.to_string()))
        }),
        _ => Err(ParquetError::General(format!("{} is of a type that no column has", column.name))),
    }
}

fn read_values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    nullable: bool,
    rows: usize,
    value: impl Fn(T::T) -> Result<Value, ParquetError>,
) -> Result<Vec<Value>, ParquetError> {
    let (mut levels, mut present) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, ..) = reader.read_records(rows - read, Some(&mut levels), None, &mut present)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a column ends after {read} of {rows} rows")));
        }
        read += records;
    }
    let mut present = present.into_iter();
    let mut next = || present.next().map_or(Ok(Value::Null), &value);
    // Columns without nulls have no levels.
    (0..rows).map(|row| if nullable && levels.get(row) == Some(&0) { Ok(Value::Null) } else { next() }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::super::PartName;
    use super::super::parquet_writer::{Group, PartWriter};
    use super::*;
    use crate::store::{ColumnType, MonthlyTable};

    fn columns() -> Vec<Column> {
        [
            ("id", ColumnType::Uuid, false),
            ("text", ColumnType::Text, true),
            ("json", ColumnType::Jsonb, true),
            ("number", ColumnType::Numeric, true),
            ("at", ColumnType::Timestamptz, true),
            ("on", ColumnType::Boolean, true),
            ("small", ColumnType::Smallint, true),
            ("middle", ColumnType::Integer, false),
            ("big", ColumnType::Bigint, true),
        ]
        .map(|(name, column_type, nullable)| Column { name: name.to_owned(), column_type, nullable })
        .into()
    }

    fn of(column: &Column) -> BoxedStrategy<Value> {
        let value = match column.column_type {
            ColumnType::Uuid => any::<u128>().prop_map(|id| Value::Uuid(Uuid::from_u128(id))).boxed(),
            ColumnType::Text | ColumnType::Jsonb | ColumnType::Numeric => ".{0,20}".prop_map(Value::Text).boxed(),
            ColumnType::Timestamptz | ColumnType::Bigint => any::<i64>().prop_map(Value::Int).boxed(),
            ColumnType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
            ColumnType::Smallint => any::<i16>().prop_map(|number| Value::Int(number.into())).boxed(),
            ColumnType::Integer => any::<i32>().prop_map(|number| Value::Int(number.into())).boxed(),
        };
        if column.nullable { prop_oneof![1 => Just(Value::Null), 3 => value].boxed() } else { value }
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row: Vec<BoxedStrategy<Value>> = columns().iter().map(of).collect();
        prop::collection::vec(row, 0..40)
    }

    fn round_trip(groups: &[Vec<Row>], writes: &[Column], reads: &[Column]) -> Result<Vec<Vec<Row>>, ParquetError> {
        let month = "2023-05".parse().expect("a month");
        let mut writer = PartWriter::new(&PartName::new(MonthlyTable::Metrics, month, DateTime::UNIX_EPOCH), writes)?;
        let mut file = tempfile::tempfile().expect("a file");
        for rows in groups {
            let mut group = Group::default();
            rows.iter().for_each(|row| group.push(row.clone()));
            file.write_all(&writer.write(&group)?).expect("written");
        }
        file.write_all(&writer.finish()?).expect("written");
        file.rewind().expect("at its beginning");
        let reader = PartReader::open(file, reads)?;
        (0..reader.groups()).map(|index| reader.group(index)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_are_read_as_they_were_written(one in rows(), other in rows()) {
            let groups = vec![one, other];
            prop_assert_eq!(round_trip(&groups, &columns(), &columns()).expect("read"), groups);
        }
    }

    #[test]
    fn other_columns_are_refused() {
        let mut reads = columns();
        reads[1].nullable = false;
        let error = round_trip(&[Vec::new()], &columns(), &reads).expect_err("other columns").to_string();
        assert!(error.contains("other columns"), "{error}");
    }
}
