//! A month that comes back: staged beside the live table, compared with it, merged into it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use uuid::Uuid;

use super::archive_parts::note_restored;
use super::error::ensure_rows;
use super::month_rows::PartFacts;
use super::monthly::{Column, Instant, Row, Value, quoted};
use super::{Database, MonthlyTable, StoreError};
use crate::domain::Month;

/// How many rows that stand in the way are named.
const NAMED_ROWS: i64 = 5;

/// A month that is being restored. Nothing is visible before [`MonthRestore::commit`].
pub struct MonthRestore {
    connection: PgConnection,
    table: MonthlyTable,
    month: Month,
    /// Each a list of columns that no two rows share.
    keys: Vec<Vec<String>>,
    /// Every column that was staged.
    columns: BTreeSet<String>,
}

/// How staged rows met the live ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Every staged row is in the live table.
    Done {
        /// Rows that were missing.
        inserted: u64,
        /// Rows that were there, with the same values.
        present: u64,
    },
    /// Live rows have the keys of staged ones and other values: the first of them, described.
    Conflict(Vec<String>),
}

impl Database {
    /// Begins to restore a month that has a partition. Needs the owner's rights, and the right to make temporary tables.
    pub async fn restore_month(&self, table: MonthlyTable, month: Month) -> Result<MonthRestore, StoreError> {
        let mut connection = self.unlimited().await?;
        // By the indexes, a staged row finds those of its key.
        let stage = format!(
            "BEGIN; CREATE TEMPORARY TABLE staged (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE incoming (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP"
        );
        sqlx::raw_sql(AssertSqlSafe(stage)).execute(&mut connection).await?;
        let keys = sqlx::query_scalar!(
            r#"SELECT array_agg(a.attname::text ORDER BY a.attnum) AS "columns!"
               FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
               WHERE i.indrelid = to_regclass($1) AND i.indisunique GROUP BY i.indexrelid"#,
            table.name()
        )
        .fetch_all(&mut connection)
        .await?;
        Ok(MonthRestore { connection, table, month, keys, columns: BTreeSet::new() })
    }
}

impl MonthRestore {
    /// Stages rows. One whose key was staged before replaces the earlier one.
    pub async fn stage(&mut self, columns: &[Column], rows: Vec<Row>) -> Result<(), StoreError> {
        self.columns.extend(columns.iter().map(|column| column.name.clone()));
        let meant = rows.len() as u64;
        let inserted = insert(&mut self.connection, columns, rows).await?;
        ensure_rows("stage", inserted, meant)?;
        for key in &self.keys {
            let replace = format!("DELETE FROM staged s USING incoming i WHERE {}", same(key, "s", "i"));
            sqlx::raw_sql(AssertSqlSafe(replace)).execute(&mut self.connection).await?;
        }
        let keep = "INSERT INTO staged SELECT * FROM incoming; TRUNCATE incoming";
        sqlx::raw_sql(keep).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Brings every staged row into the live table, which nobody else writes from here to the commit.
    pub async fn merge(&mut self) -> Result<Merge, StoreError> {
        let partition = self.table.partition(self.month);
        let lock = format!("ANALYZE staged; LOCK TABLE ONLY {partition} IN SHARE ROW EXCLUSIVE MODE");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut self.connection).await?;
        let conflicts = self.conflicts(&partition).await?;
        if !conflicts.is_empty() {
            return Ok(Merge::Conflict(conflicts));
        }
        let list = self.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let primary = ["organization_id".to_owned(), "id".to_owned(), self.table.moment().to_owned()];
        let insert = format!(
            "INSERT INTO {partition} ({list}) SELECT {list} FROM staged s
             WHERE NOT EXISTS (SELECT FROM ONLY {partition} l WHERE {})",
            same(&primary, "l", "s")
        );
        let inserted = sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut self.connection).await?.rows_affected();
        let compare = format!(
            "SELECT (SELECT count(*) FROM staged),
                    (SELECT count(*) FROM staged s JOIN ONLY {partition} l ON {} WHERE {} = {})",
            same(&primary, "l", "s"),
            self.values("l"),
            self.values("s")
        );
        let (staged, equal): (i64, i64) =
            sqlx::query_as(AssertSqlSafe(compare)).persistent(false).fetch_one(&mut self.connection).await?;
        ensure_rows("merge", equal.unsigned_abs(), staged.unsigned_abs())?;
        Ok(Merge::Done { inserted, present: staged.unsigned_abs() - inserted })
    }

    /// Notes that a part's rows are in the database again.
    pub async fn note_part(
        &mut self,
        part: &str,
        store: &str,
        facts: &PartFacts,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        note_restored(&mut self.connection, (self.table, self.month), (part, store), facts, at).await
    }

    /// Makes everything durable and visible.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }

    async fn conflicts(&mut self, partition: &str) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for key in &self.keys {
            let shown = key.iter().map(|name| format!("l.{}", quoted(name))).collect::<Vec<_>>().join(", ");
            let find = format!(
                "SELECT concat_ws(' ', {shown}) FROM staged s JOIN ONLY {partition} l ON {} WHERE {} <> {} LIMIT {NAMED_ROWS}",
                same(key, "l", "s"),
                self.values("l"),
                self.values("s")
            );
            let rows: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(find)).persistent(false).fetch_all(&mut self.connection).await?;
            found.extend(rows.into_iter().map(|row| format!("({}) = ({row})", key.join(" "))));
        }
        Ok(found)
    }

    /// A row's staged columns, to the last digit.
    fn values(&self, alias: &str) -> String {
        let each = self.columns.iter().map(|name| format!("{alias}.{}", quoted(name)));
        format!("ROW({})::text", each.collect::<Vec<_>>().join(", "))
    }
}

fn same(key: &[String], left: &str, right: &str) -> String {
    let each = key.iter().map(|name| format!("{left}.{0} = {right}.{0}", quoted(name)));
    each.collect::<Vec<_>>().join(" AND ")
}

/// Inserts rows into `incoming`, each column as one array; tells how many.
async fn insert(connection: &mut PgConnection, columns: &[Column], rows: Vec<Row>) -> Result<u64, StoreError> {
    let names = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
    let (mut arrays, mut casts) = (Vec::new(), Vec::new());
    for (index, column) in columns.iter().enumerate() {
        let (carried, cast) = column.column_type.carried();
        arrays.push(format!("${}::{carried}[]", index + 1));
        casts.push(format!("{}{cast}", quoted(&column.name)));
    }
    let statement = format!(
        "INSERT INTO incoming ({names}) SELECT {} FROM unnest({}) AS rows ({names})",
        casts.join(", "),
        arrays.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    let mut values: Vec<Vec<Value>> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in values.iter_mut().zip(row) {
            column.push(value);
        }
    }
    for (column, values) in columns.iter().zip(values) {
        query = bind(query, column, values);
    }
    Ok(query.execute(connection).await?.rows_affected())
}

type Insert<'q> = Query<'q, Postgres, PgArguments>;

fn bind<'q>(query: Insert<'q>, column: &Column, values: Vec<Value>) -> Insert<'q> {
    match column.column_type.carried().0 {
        "uuid" => query.bind(each(values, |value| if let Value::Uuid(id) = value { Some(id) } else { None::<Uuid> })),
        "boolean" => query.bind(each(values, |value| if let Value::Bool(on) = value { Some(on) } else { None })),
        "bigint" => query.bind(each(values, |value| if let Value::Int(number) = value { Some(number) } else { None })),
        "timestamptz" => {
            query.bind(each(values, |value| if let Value::Int(at) = value { Some(Instant(at)) } else { None }))
        }
        _ => query.bind(each(values, |value| if let Value::Text(text) = value { Some(text) } else { None })),
    }
}

fn each<T>(values: Vec<Value>, of: impl Fn(Value) -> Option<T>) -> Vec<Option<T>> {
    values.into_iter().map(of).collect()
}
