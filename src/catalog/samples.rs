//! A small catalog for the room's tests.

use super::{Argument, Catalog, Column, DataType, ForeignKey, Function, Returns, Table, View};

pub(super) fn data_type(name: &str) -> DataType {
    DataType { name: name.to_owned(), array: false }
}

/// A column that must be given and is never null.
pub(super) fn column(name: &str, data_type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type(data_type_name),
        nullable: false,
        has_default: false,
        generated: false,
        literals: Vec::new(),
    }
}

/// A table of two key columns and a title, without foreign keys.
pub(super) fn table(name: &str) -> Table {
    let columns = vec![column("id", "uuid"), column("organization_id", "uuid"), column("title", "text")];
    let primary_key = vec!["organization_id".to_owned(), "id".to_owned()];
    Table { name: name.to_owned(), columns, primary_key, foreign_keys: Vec::new() }
}

/// A foreign key on two columns of which the first is the organization, or on the organization alone.
pub(super) fn foreign_key(name: &str, columns: &[&str], referenced_table: &str) -> ForeignKey {
    let referenced: &[&str] = if columns.len() == 1 { &["id"] } else { &["organization_id", "id"] };
    ForeignKey {
        name: name.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        referenced_table: referenced_table.to_owned(),
        referenced_columns: referenced.iter().map(|column| (*column).to_owned()).collect(),
        one_to_one: false,
    }
}

/// Organizations, posts, each post's one medium, a view and two functions.
pub(super) fn posts_and_media() -> Catalog {
    let mut organizations = table("organizations");
    organizations.columns.remove(1);
    organizations.primary_key.remove(0);
    let mut posts = table("posts");
    posts.foreign_keys = vec![foreign_key("posts_org_fkey", &["organization_id"], "organizations")];
    let mut media = table("media");
    media.columns.push(column("post_id", "uuid"));
    let post = foreign_key("media_post_fkey", &["organization_id", "post_id"], "posts");
    media.foreign_keys = vec![ForeignKey { one_to_one: true, ..post }];

    let id = Column { nullable: true, ..column("id", "uuid") };
    let view = View { name: "posts_unified".to_owned(), columns: vec![id], writable: false };
    let argument = |name: &str, data_type_name: &str, has_default| Argument {
        name: name.to_owned(),
        data_type: data_type(data_type_name),
        has_default,
    };
    let rows = [("entity_id", "uuid"), ("metadata", "jsonb")];
    let similar = Function {
        name: "similar".to_owned(),
        arguments: vec![argument("input_id", "uuid", false), argument("max_results", "int4", true)],
        returns: Returns::Rows(rows.map(|(name, kind)| (name.to_owned(), data_type(kind))).to_vec()),
    };
    let archive =
        Function { name: "archive".to_owned(), arguments: Vec::new(), returns: Returns::Value(data_type("int4")) };
    Catalog { tables: vec![media, organizations, posts], views: vec![view], functions: vec![archive, similar] }
}
