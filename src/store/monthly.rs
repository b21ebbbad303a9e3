//! The tables that are partitioned by month, their columns, and the values of their rows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Row as _, Type};
use uuid::Uuid;

use super::{Database, StoreError};
use crate::domain::{Invalid, Month};

/// A table that is partitioned by month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MonthlyTable {
    /// `time_series_metrics`, by `recorded_at`.
    Metrics,
    /// `ai_context_logs`, by `created_at`.
    ContextLogs,
}

impl MonthlyTable {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Metrics, Self::ContextLogs];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "time_series_metrics",
            Self::ContextLogs => "ai_context_logs",
        }
    }

    /// The column whose month decides; with `organization_id` and `id` it is the primary key.
    pub(super) fn moment(self) -> &'static str {
        match self {
            Self::Metrics => "recorded_at",
            Self::ContextLogs => "created_at",
        }
    }

    /// The name of a month's partition, as `ensure_month_partition` gives it.
    pub(super) fn partition(self, month: Month) -> String {
        format!("{self}_{}", month.first_day().format("y%Ym%m"))
    }
}

impl fmt::Display for MonthlyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for MonthlyTable {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|table| table.name() == text).ok_or_else(|| {
            Invalid::new("table", format!("{text:?} is not time_series_metrics or ai_context_logs, which have months"))
        })
    }
}

/// A column's type, by its name in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ColumnType {
    Uuid,
    Text,
    Jsonb,
    Numeric,
    Timestamptz,
    Boolean,
    Smallint,
    Integer,
    Bigint,
}

impl ColumnType {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "uuid" => Self::Uuid,
            "text" => Self::Text,
            "jsonb" => Self::Jsonb,
            "numeric" => Self::Numeric,
            "timestamptz" => Self::Timestamptz,
            "bool" => Self::Boolean,
            "int2" => Self::Smallint,
            "int4" => Self::Integer,
            "int8" => Self::Bigint,
            _ => return None,
        })
    }

    /// The type in which its values travel, and what casts one back.
    pub(super) fn carried(self) -> (&'static str, &'static str) {
        match self {
            Self::Uuid => ("uuid", ""),
            Self::Text => ("text", ""),
            Self::Jsonb => ("text", "::jsonb"),
            Self::Numeric => ("text", "::numeric"),
            Self::Timestamptz => ("timestamptz", ""),
            Self::Boolean => ("boolean", ""),
            Self::Smallint => ("bigint", "::smallint"),
            Self::Integer => ("bigint", "::integer"),
            Self::Bigint => ("bigint", ""),
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a nullable column.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number; of a `timestamptz`, microseconds since 1970 in UTC, where the ends of the range are infinite.
    Int(i64),
    /// A UUID.
    Uuid(Uuid),
    /// Text, JSON as text, or a numeric with all its digits.
    Text(String),
}

/// A row: a value for each column, in the columns' order.
pub type Row = Vec<Value>;

impl Database {
    /// The columns of a table, in its order. Needs the owner's rights.
    ///
    /// # Errors
    /// [`StoreError::UnknownType`] where one has a type that cannot leave the database.
    pub async fn monthly_columns(&self, table: MonthlyTable) -> Result<Vec<Column>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT a.attname::text AS "name!", t.typname::text AS "type!", NOT a.attnotnull AS "nullable!"
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
               WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"#,
            table.name()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| match ColumnType::of(&row.r#type) {
                Some(column_type) => Ok(Column { name: row.name, column_type, nullable: row.nullable }),
                None => Err(StoreError::UnknownType { table: table.name(), column: row.name, found: row.r#type }),
            })
            .collect()
    }
}

/// A name as it may stand in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What [`read`] reads: the columns, each in the type in which its values travel.
pub(super) fn select_list(columns: &[Column]) -> String {
    let each = columns.iter().map(|column| format!("{}::{}", quoted(&column.name), column.column_type.carried().0));
    each.collect::<Vec<_>>().join(", ")
}

/// Reads a row of [`select_list`].
pub(super) fn read(row: &PgRow, columns: &[Column]) -> Result<Row, StoreError> {
    let value = |(index, column): (usize, &Column)| -> Result<Value, sqlx::Error> {
        Ok(match column.column_type.carried().0 {
            "uuid" => row.try_get::<Option<Uuid>, _>(index)?.map_or(Value::Null, Value::Uuid),
            "boolean" => row.try_get::<Option<bool>, _>(index)?.map_or(Value::Null, Value::Bool),
            "bigint" => row.try_get::<Option<i64>, _>(index)?.map_or(Value::Null, Value::Int),
            "timestamptz" => row.try_get::<Option<Instant>, _>(index)?.map_or(Value::Null, |at| Value::Int(at.0)),
            _ => row.try_get::<Option<String>, _>(index)?.map_or(Value::Null, Value::Text),
        })
    };
    Ok(columns.iter().enumerate().map(value).collect::<Result<Row, _>>()?)
}

/// A time as Postgres has it, also one that is infinite or of no calendar: microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) i64);

/// 2000-01-01, from which Postgres counts, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, sqlx::error::BoxDynError> {
        let since_2000 = <i64 as Decode<Postgres>>::decode(value)?;
        if since_2000 == i64::MAX || since_2000 == i64::MIN {
            return Ok(Self(since_2000));
        }
        let beyond = "a time after the year 294246 cannot leave the database";
        since_2000.checked_add(POSTGRES_EPOCH).map(Self).ok_or_else(|| beyond.into())
    }
}

impl sqlx::Encode<'_, Postgres> for Instant {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        let since_2000 = if self.0 == i64::MAX || self.0 == i64::MIN { self.0 } else { self.0 - POSTGRES_EPOCH };
        <i64 as sqlx::Encode<Postgres>>::encode_by_ref(&since_2000, buffer)
    }
}

impl sqlx::postgres::PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}
