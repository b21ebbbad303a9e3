//! The committed files that are written from the schema are those of the present schema.

use std::path::PathBuf;
use std::process::Command;

use kindred::catalog::{self, Catalog};

use crate::postgres;

const TYPES: &str = "types/enhanced-database.ts";
const DIAGRAM: &str = "docs/erd.dot";
const PICTURE: &str = "docs/erd.svg";

const HOW: &str = "KINDRED_BLESS=1 cargo test --test kindred deliverables (needs Graphviz' dot)";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn committed(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

async fn migrated() -> Catalog {
    catalog::read(&postgres::database().await.owner).await.unwrap()
}

/// Compares a committed file with what the schema says; with `KINDRED_BLESS=1` writes it anew.
fn compare(name: &str, expected: &str) {
    if std::env::var_os("KINDRED_BLESS").is_some() {
        std::fs::write(path(name), expected).unwrap();
        return;
    }
    let found = committed(name);
    let line = expected.lines().zip(found.lines()).take_while(|(expected, found)| expected == found).count();
    assert!(
        found == expected,
        "{name} is not what the schema says, from line {}: {:?} should be {:?}. Write it anew: {HOW}",
        line + 1,
        found.lines().nth(line).unwrap_or_default(),
        expected.lines().nth(line).unwrap_or_default(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_are_those_of_the_schema() {
    compare(TYPES, &catalog::typescript(&migrated().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_diagram_is_that_of_the_schema() {
    let schema = migrated().await;
    compare(DIAGRAM, &catalog::diagram(&schema));
    if std::env::var_os("KINDRED_BLESS").is_some() {
        let drawn = Command::new("dot").arg("-Tsvg").arg(path(DIAGRAM)).arg("-o").arg(path(PICTURE)).status();
        assert!(drawn.expect("Graphviz' dot is installed").success());
    }
    // Drawing needs Graphviz, so the picture is only asked for the tables.
    let picture = committed(PICTURE);
    for table in &schema.tables {
        let title = format!("<title>{}</title>", table.name);
        assert!(picture.contains(&title), "{PICTURE} does not show {}. Draw it anew: {HOW}", table.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_knows_what_types_are_made_of() {
    let urls = postgres::empty_database().await;
    let mut owner = postgres::connect(&urls.owner).await;
    let schema = "
        CREATE DOMAIN short AS text;
        CREATE TABLE parents (a uuid, b uuid, PRIMARY KEY (b, a));
        CREATE TABLE children (
            a uuid NOT NULL, b uuid NOT NULL, at date NOT NULL, tags text[] NOT NULL DEFAULT '{}', label short,
            kind varchar(9) CHECK (kind IN ('one', 'two')), count int8 CHECK (count IN (1, 2)), embedding vector(3),
            serial int4 GENERATED ALWAYS AS IDENTITY, twice int8 GENERATED ALWAYS AS (count * 2) STORED,
            CONSTRAINT children_parent_fkey FOREIGN KEY (b, a) REFERENCES parents (b, a), UNIQUE (a, b, at)
        ) PARTITION BY RANGE (at);
        CREATE TABLE children_default PARTITION OF children DEFAULT;
        CREATE TABLE twins (a uuid, b uuid, UNIQUE (a, b),
            CONSTRAINT twins_parent_fkey FOREIGN KEY (b, a) REFERENCES parents (b, a));
        CREATE VIEW readable AS SELECT count(*) AS number FROM parents;
        CREATE VIEW writable AS SELECT a FROM twins;
        CREATE FUNCTION archive_old_metrics() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION get_metrics_aggregated(a uuid, b short, c text[] DEFAULT '{}')
            RETURNS TABLE (x numeric, y short) LANGUAGE sql AS 'SELECT 1.0, ''''';
        CREATE FUNCTION internal() RETURNS void LANGUAGE sql AS '';";
    sqlx::raw_sql(schema).execute(&mut owner).await.unwrap();
    let text = catalog::typescript(&catalog::read(&urls.owner).await.unwrap());
    for part in [
        r#"
      children: {
        Row: {
          a: string
          at: string
          b: string
          count: number | null
          embedding: string | null
          kind: "one" | "two" | null
          label: string | null
          serial: number
          tags: string[]
          twice: number | null
        }
        Insert: {
          a: string
          at: string
          b: string
          count?: number | null
          embedding?: string | null
          kind?: "one" | "two" | null
          label?: string | null
          serial?: never
          tags?: string[]
          twice?: never
        }
"#,
        r#"
            foreignKeyName: "children_parent_fkey"
            columns: ["b", "a"]
            isOneToOne: false
            referencedRelation: "parents"
            referencedColumns: ["b", "a"]
"#,
        r#"
            foreignKeyName: "twins_parent_fkey"
            columns: ["b", "a"]
            isOneToOne: true
"#,
        r#"
    Views: {
      readable: {
        Row: {
          number: number | null
        }
        Relationships: []
      }
      writable: {
        Row: {
          a: string | null
        }
        Insert: {
          a?: string | null
        }
        Update: {
          a?: string | null
        }
        Relationships: []
      }
    }
    Functions: {
      archive_old_metrics: {
        Args: never
        Returns: number
      }
      get_metrics_aggregated: {
        Args: {
          a: string
          b: string
          c?: string[]
        }
        Returns: {
          x: number
          y: string
        }[]
      }
    }
"#,
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    for absent in ["children_default", "_sqlx_migrations", "internal"] {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
}
