//! What a schema holds, read from Postgres' own catalog.

use std::fmt;

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};

use super::CatalogError;
use super::literals::literals;

/// What a schema holds; tables, views, functions, columns and foreign keys are ordered by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// All tables but partitions and those of sqlx and of extensions.
    pub tables: Vec<Table>,
    /// All views, materialized ones too.
    pub views: Vec<View>,
    /// The functions that the application calls.
    pub functions: Vec<Function>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The primary key's columns, in the key's order; none without a primary key.
    pub primary_key: Vec<String>,
    /// References to tables of the same schema.
    pub foreign_keys: Vec<ForeignKey>,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Whether it can be inserted into and updated, by itself or by a trigger.
    pub writable: bool,
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be null; Postgres says so of every column of a view.
    pub nullable: bool,
    /// Whether an INSERT may leave it out.
    pub has_default: bool,
    /// Whether only Postgres writes it.
    pub generated: bool,
    /// The texts that a CHECK constraint admits; empty where there is no such constraint.
    pub literals: Vec<String>,
}

/// A type, by the name that `pg_type` has for it: `int4`, `timestamptz`, `vector`. A domain is its base type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataType {
    /// The type, or the type of an array's elements.
    pub name: String,
    /// Whether it is an array.
    pub array: bool,
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.array { "[]" } else { "" })
    }
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The referencing columns, in the constraint's order.
    pub columns: Vec<String>,
    /// The table referred to.
    pub referenced_table: String,
    /// Its columns, each beside one of `columns`.
    pub referenced_columns: Vec<String>,
    /// Whether the referencing columns are a primary or unique key.
    pub one_to_one: bool,
}

/// A function that the application calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its arguments, in the signature's order.
    pub arguments: Vec<Argument>,
    /// Its result.
    pub returns: Returns,
}

/// A named argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether a call may leave it out.
    pub has_default: bool,
}

/// A function's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// One value; a set of plain values is an array.
    Value(DataType),
    /// A set of rows with these columns, in the signature's order.
    Rows(Vec<(String, DataType)>),
}

/// Functions whose names and signatures are a promise to the application; others are the schema's own affair.
const CALLABLE: [&str; 6] = [
    "archive_old_metrics",
    "finalize_migration_cleanup",
    "find_similar_content",
    "get_metrics_aggregated",
    "user_has_org_permission",
    "verify_migration_integrity",
];

const COLUMNS: &str = "
    SELECT c.relname::text AS relation, c.relkind IN ('v', 'm') AS is_view,
           (pg_relation_is_updatable(c.oid, true) & 12) = 12 AS writable,
           a.attname::text AS name, coalesce(e.typname, t.typname)::text AS data_type, e.oid IS NOT NULL AS is_array,
           NOT a.attnotnull AS nullable, a.atthasdef OR a.attidentity = 'd' AS has_default,
           a.attgenerated <> '' OR a.attidentity = 'a' AS generated
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type d ON d.oid = a.atttypid
    JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
      AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND classid = 'pg_class'::regclass AND deptype = 'e')
    ORDER BY c.relname, a.attname";

// A partition's constraints have their parent's as theirs.
const CONSTRAINTS: &str = "
    SELECT t.relname::text AS relation, k.conname::text AS name, k.contype::text AS kind,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number ORDER BY n.place) AS columns,
           r.relname::text AS referenced_table,
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number
                 ORDER BY n.place) AS referenced_columns,
           EXISTS (SELECT FROM pg_constraint u WHERE u.conrelid = k.conrelid AND u.contype IN ('p', 'u')
                   AND u.conkey <@ k.conkey AND u.conkey @> k.conkey) AS one_to_one,
           pg_get_expr(k.conbin, k.conrelid) AS expression
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    LEFT JOIN pg_class r ON r.oid = k.confrelid
    WHERE t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
      AND k.conparentid = 0
      AND (k.contype = 'p' OR (k.contype = 'f' AND r.relnamespace = t.relnamespace)
           OR (k.contype = 'c' AND k.convalidated AND cardinality(k.conkey) = 1))
    ORDER BY t.relname, k.conname";

// A function's result stands before its arguments, in place 1.
const PARAMETERS: &str = "
    SELECT p.oid::int8 AS function, p.proname::text AS function_name, p.proretset AS returns_set,
           p.pronargdefaults::int4 AS defaults, n.place = 1 AS is_result,
           coalesce(p.proargnames[n.place - 1], '') AS name,
           coalesce(p.proargmodes[n.place - 1]::text, 'i') AS mode,
           coalesce(e.typname, t.typname)::text AS data_type, e.oid IS NOT NULL AS is_array
    FROM pg_proc p
    CROSS JOIN unnest(p.prorettype || coalesce(p.proallargtypes, p.proargtypes::oid[]))
        WITH ORDINALITY AS n(type, place)
    JOIN pg_type d ON d.oid = n.type
    JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
      AND p.proname = ANY ($1)
    ORDER BY p.proname, p.oid, n.place";

/// Reads the catalog of the current schema, with any role that may log in.
pub async fn read(url: &str) -> Result<Catalog, CatalogError> {
    let mut connection = PgConnection::connect(url).await?;
    let mut catalog = Catalog::default();
    for row in sqlx::query(COLUMNS).fetch_all(&mut connection).await? {
        add_column(&mut catalog, &row)?;
    }
    for row in sqlx::query(CONSTRAINTS).fetch_all(&mut connection).await? {
        let name: String = row.try_get("relation")?;
        if let Some(table) = catalog.tables.iter_mut().find(|table| table.name == name) {
            add_constraint(table, &row)?;
        }
    }
    let parameters = sqlx::query(PARAMETERS).bind(&CALLABLE[..]).fetch_all(&mut connection).await?;
    connection.close().await?;
    for rows in parameters.chunk_by(|a, b| a.try_get::<i64, _>("function").ok() == b.try_get("function").ok()) {
        catalog.functions.push(function(rows)?);
    }
    Ok(catalog)
}

/// Adds a column to its table or view, which is made with its first column.
fn add_column(catalog: &mut Catalog, row: &PgRow) -> Result<(), sqlx::Error> {
    let relation: String = row.try_get("relation")?;
    let column = Column {
        name: row.try_get("name")?,
        data_type: data_type(row)?,
        nullable: row.try_get("nullable")?,
        has_default: row.try_get("has_default")?,
        generated: row.try_get("generated")?,
        literals: Vec::new(),
    };
    if row.try_get("is_view")? {
        match catalog.views.last_mut().filter(|view| view.name == relation) {
            Some(view) => view.columns.push(column),
            None => {
                let writable = row.try_get("writable")?;
                catalog.views.push(View { name: relation, columns: vec![column], writable });
            }
        }
    } else {
        match catalog.tables.last_mut().filter(|table| table.name == relation) {
            Some(table) => table.columns.push(column),
            None => {
                let (primary_key, foreign_keys) = (Vec::new(), Vec::new());
                catalog.tables.push(Table { name: relation, columns: vec![column], primary_key, foreign_keys });
            }
        }
    }
    Ok(())
}

fn add_constraint(table: &mut Table, row: &PgRow) -> Result<(), sqlx::Error> {
    let columns: Vec<String> = row.try_get("columns")?;
    match row.try_get::<&str, _>("kind")? {
        "p" => table.primary_key = columns,
        "f" => table.foreign_keys.push(ForeignKey {
            name: row.try_get("name")?,
            columns,
            referenced_table: row.try_get("referenced_table")?,
            referenced_columns: row.try_get("referenced_columns")?,
            one_to_one: row.try_get("one_to_one")?,
        }),
        _ => {
            let is_text = |column: &Column| {
                !column.data_type.array && matches!(column.data_type.name.as_str(), "text" | "varchar" | "bpchar")
            };
            for column in table.columns.iter_mut().filter(|column| columns.contains(&column.name) && is_text(column)) {
                let admitted = literals(&column.name, row.try_get("expression")?);
                if column.literals.is_empty() {
                    column.literals = admitted;
                }
            }
        }
    }
    Ok(())
}

/// A function from its result and its parameters.
fn function(rows: &[PgRow]) -> Result<Function, sqlx::Error> {
    let (mut name, mut defaults, mut returns_set) = (String::new(), 0, false);
    let mut value = DataType { name: "void".to_owned(), array: false };
    let (mut arguments, mut columns) = (Vec::new(), Vec::new());
    for row in rows {
        if row.try_get("is_result")? {
            name = row.try_get("function_name")?;
            defaults = usize::try_from(row.try_get::<i32, _>("defaults")?).unwrap_or_default();
            returns_set = row.try_get("returns_set")?;
            value = data_type(row)?;
            continue;
        }
        let (mode, name, data_type) = (row.try_get::<&str, _>("mode")?, row.try_get("name")?, data_type(row)?);
        match mode {
            "t" | "o" => columns.push((name, data_type)),
            _ => arguments.push(Argument { name, data_type, has_default: false }),
        }
    }
    // Defaults belong to the last arguments.
    for argument in arguments.iter_mut().rev().take(defaults) {
        argument.has_default = true;
    }
    value.array |= returns_set;
    let returns = if returns_set && !columns.is_empty() { Returns::Rows(columns) } else { Returns::Value(value) };
    Ok(Function { name, arguments, returns })
}

fn data_type(row: &PgRow) -> Result<DataType, sqlx::Error> {
    Ok(DataType { name: row.try_get("data_type")?, array: row.try_get("is_array")? })
}
