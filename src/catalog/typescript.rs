//! A schema as TypeScript types, in the form that Supabase's clients expect.

use super::page::{Page, key, quoted};
use super::{Catalog, Column, DataType, ForeignKey, Function, Returns, Table, View};

const HEAD: &str = "\
// Written by `kindred migrate types` from the schema; change the schema, not this file.

export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

";

const HELPERS: &str = r#"
type Schema = Database["public"]
type Relations = Schema["Tables"] & Schema["Views"]

/** A row of a table or view, as it is read. */
export type Tables<Name extends keyof Relations> = Relations[Name]["Row"]

/** A row of a table, as it is inserted. */
export type TablesInsert<Name extends keyof Schema["Tables"]> =
  Schema["Tables"][Name]["Insert"]

/** A change to a row of a table. */
export type TablesUpdate<Name extends keyof Schema["Tables"]> =
  Schema["Tables"][Name]["Update"]
"#;

/// The schema as one TypeScript module.
pub fn typescript(catalog: &Catalog) -> String {
    let mut page = Page::new(HEAD);
    page.block("export type Database = {", "}", |page| {
        page.block("public: {", "}", |page| {
            page.entries("Tables", &catalog.tables, table);
            page.entries("Views", &catalog.views, view);
            page.entries("Functions", &catalog.functions, function);
            for name in ["Enums", "CompositeTypes"] {
                page.entries(name, &[], |_, _: &()| {});
            }
        });
    });
    page.finish(HELPERS)
}

fn table(page: &mut Page, table: &Table) {
    page.block(&format!("{}: {{", key(&table.name)), "}", |page| {
        page.block("Row: {", "}", |page| page.fields(&table.columns, |column| (false, alternatives(column))));
        page.block("Insert: {", "}", |page| {
            page.fields(&table.columns, |column| {
                let optional = column.nullable || column.has_default || column.generated;
                (optional, written(column))
            });
        });
        page.block("Update: {", "}", |page| page.fields(&table.columns, |column| (true, written(column))));
        relationships(page, &table.foreign_keys);
    });
}

fn view(page: &mut Page, view: &View) {
    page.block(&format!("{}: {{", key(&view.name)), "}", |page| {
        page.block("Row: {", "}", |page| page.fields(&view.columns, |column| (false, alternatives(column))));
        if view.writable {
            for block in ["Insert: {", "Update: {"] {
                page.block(block, "}", |page| page.fields(&view.columns, |column| (true, written(column))));
            }
        }
        relationships(page, &[]);
    });
}

fn relationships(page: &mut Page, foreign_keys: &[ForeignKey]) {
    if foreign_keys.is_empty() {
        page.line("Relationships: []");
        return;
    }
    page.block("Relationships: [", "]", |page| {
        for foreign_key in foreign_keys {
            page.block("{", "},", |page| {
                page.line(&format!("foreignKeyName: {}", quoted(&foreign_key.name)));
                page.line(&format!("columns: {}", tuple(&foreign_key.columns)));
                page.line(&format!("isOneToOne: {}", foreign_key.one_to_one));
                page.line(&format!("referencedRelation: {}", quoted(&foreign_key.referenced_table)));
                page.line(&format!("referencedColumns: {}", tuple(&foreign_key.referenced_columns)));
            });
        }
    });
}

fn function(page: &mut Page, function: &Function) {
    page.block(&format!("{}: {{", key(&function.name)), "}", |page| {
        if function.arguments.is_empty() {
            page.line("Args: never");
        } else {
            page.block("Args: {", "}", |page| {
                for argument in &function.arguments {
                    page.field(&argument.name, argument.has_default, &[plain(&argument.data_type)]);
                }
            });
        }
        match &function.returns {
            Returns::Value(data_type) => page.line(&format!("Returns: {}", plain(data_type))),
            Returns::Rows(columns) => page.block("Returns: {", "}[]", |page| {
                for (name, data_type) in columns {
                    page.field(name, false, &[plain(data_type)]);
                }
            }),
        }
    });
}

/// What a column may hold, each alternative by itself.
fn alternatives(column: &Column) -> Vec<String> {
    let mut types: Vec<String> = column.literals.iter().map(|literal| quoted(literal)).collect();
    if types.is_empty() {
        types.push(plain(&column.data_type));
    }
    if column.nullable {
        types.push("null".to_owned());
    }
    types
}

/// What may be written to a column: nothing to one that only Postgres writes.
fn written(column: &Column) -> Vec<String> {
    if column.generated { vec!["never".to_owned()] } else { alternatives(column) }
}

/// A type as PostgREST's JSON has it.
fn plain(data_type: &DataType) -> String {
    let element = match data_type.name.as_str() {
        "bool" => "boolean",
        "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" => "number",
        "bpchar" | "bytea" | "citext" | "date" | "halfvec" | "inet" | "interval" | "name" | "sparsevec" | "text"
        | "time" | "timestamp" | "timestamptz" | "timetz" | "tsvector" | "uuid" | "varchar" | "vector" => "string",
        "json" | "jsonb" => "Json",
        "void" => "undefined",
        _ => "unknown",
    };
    if data_type.array { format!("{element}[]") } else { element.to_owned() }
}

fn tuple(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{column, posts_and_media};
    use super::*;

    #[test]
    fn the_whole_form_is_the_one_of_supabase() {
        let text = typescript(&posts_and_media());
        for part in [
            r#"
export type Database = {
  public: {
    Tables: {
      media: {
        Row: {
          id: string
"#,
            r#"
        Relationships: [
          {
            foreignKeyName: "media_post_fkey"
            columns: ["organization_id", "post_id"]
            isOneToOne: true
            referencedRelation: "posts"
            referencedColumns: ["organization_id", "id"]
          },
        ]
"#,
            r#"
    Views: {
      posts_unified: {
        Row: {
          id: string | null
        }
        Relationships: []
      }
    }
    Functions: {
      archive: {
        Args: never
        Returns: number
      }
      similar: {
        Args: {
          input_id: string
          max_results?: number
        }
        Returns: {
          entity_id: string
          metadata: Json
        }[]
      }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}
"#,
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(typescript(&Catalog::default()).contains("Tables: {\n      [_ in never]: never\n    }\n"));
    }

    #[test]
    fn what_may_be_left_out_follows_from_nulls_and_defaults() {
        let of = |change: fn(&mut Column)| {
            let mut column = column("c", "text");
            change(&mut column);
            let (primary_key, foreign_keys) = (Vec::new(), Vec::new());
            let tables = vec![Table { name: "t".to_owned(), columns: vec![column], primary_key, foreign_keys }];
            let text = typescript(&Catalog { tables, ..Catalog::default() });
            let fields: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("          c"))
                .map(|line| line.trim().to_owned())
                .collect();
            fields.join("; ")
        };
        assert_eq!(of(|_| {}), "c: string; c: string; c?: string");
        assert_eq!(of(|column| column.nullable = true), "c: string | null; c?: string | null; c?: string | null");
        assert_eq!(of(|column| column.has_default = true), "c: string; c?: string; c?: string");
        assert_eq!(of(|column| column.generated = true), "c: string; c?: never; c?: never");
        assert_eq!(
            of(|column| column.literals = vec!["a".to_owned(), "\"".to_owned()]),
            r#"c: "a" | "\""; c: "a" | "\""; c?: "a" | "\"""#
        );
    }

    #[test]
    fn types_are_what_postgrest_sends() {
        for (name, array, expected) in [
            ("int8", false, "number"),
            ("numeric", false, "number"),
            ("vector", false, "string"),
            ("timestamptz", false, "string"),
            ("jsonb", false, "Json"),
            ("text", true, "string[]"),
            ("bool", false, "boolean"),
            ("void", false, "undefined"),
            ("my_enum", false, "unknown"),
        ] {
            assert_eq!(plain(&DataType { name: name.to_owned(), array }), expected, "{name}");
        }
    }
}
