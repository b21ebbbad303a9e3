//! A schema as an entity-relationship diagram, in Graphviz' DOT.

use std::collections::BTreeSet;

use super::{Catalog, ForeignKey, Table};

/// Tables drawn together.
struct Group {
    title: &'static str,
    color: &'static str,
    /// What its tables' names begin with; the longest beginning of all groups decides.
    beginnings: &'static [&'static str],
}

/// From top to bottom in two lanes, first the left one. The last group takes the tables that no beginning fits.
const GROUPS: [Group; 6] = [
    Group {
        title: "Organizations and people",
        color: "#e8f0fe",
        beginnings: &["organization", "social_account", "user"],
    },
    Group {
        title: "Posts and content",
        color: "#e6f4ea",
        beginnings: &["calendar", "content", "hashtag", "instagram", "interaction", "media", "post", "template"],
    },
    Group {
        title: "Metrics",
        color: "#fef7e0",
        beginnings: &["analytics", "hashtag_analytics", "metric", "post_analytics", "post_insight", "time_series"],
    },
    Group { title: "Embeddings", color: "#f3e8fd", beginnings: &["embedding", "organization_model"] },
    Group { title: "Context and AI", color: "#fce8e6", beginnings: &["ai_", "chat", "prompt"] },
    Group { title: "Service", color: "#f1f3f4", beginnings: &["embedding_change", "organization_revision"] },
];

/// Groups in the left lane.
const LEFT: usize = 3;

/// Tables without edges that stand beside each other.
const ABREAST: usize = 2;

const HEAD: &str = r##"// Written by `kindred migrate diagram` from the schema; change the schema, not this file.
digraph kindred {
  graph [rankdir=LR, newrank=true, nodesep=0.2, ranksep=0.8, pad=0.3, fontname="Helvetica", fontsize=12];
  node [shape=plain, fontname="Helvetica", fontsize=11];
  edge [color="#5f6368", dir=both, arrowtail=tee];
  labelloc=b; labeljust=l;
  label="PK: part of the primary key; FK: part of a foreign key. \
A bar stands at the one, a crow's foot at the many.\l\
Every table with organization_id belongs to an organization; \
edges for it alone are drawn only within the group of organizations.\l";
"##;

/// The schema as one directed graph, read from left to right: from what is referred to, to what refers to it.
pub fn diagram(catalog: &Catalog) -> String {
    let drawing = Drawing { tables: &catalog.tables };
    let mut text = HEAD.to_owned();
    // Graphviz fills a lane from below.
    for place in (0..GROUPS.len()).rev() {
        text.push_str(&drawing.cluster(place));
    }
    text.push_str(&drawing.placement());
    for table in drawing.tables {
        for foreign_key in drawing.edges(table) {
            text.push_str(&edge(table, foreign_key));
        }
    }
    text.push_str("}\n");
    text
}

struct Drawing<'a> {
    tables: &'a [Table],
}

impl<'a> Drawing<'a> {
    /// The foreign keys of a table that are drawn.
    fn edges(&self, table: &'a Table) -> impl Iterator<Item = &'a ForeignKey> {
        table.foreign_keys.iter().filter(|key| {
            let other = &key.referenced_table;
            let organization_alone = key.columns == ["organization_id"] && group(other) != group(&table.name);
            !organization_alone && self.tables.iter().any(|table| table.name == *other)
        })
    }

    fn members(&self, place: usize) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |table| group(&table.name) == place)
    }

    fn cluster(&self, place: usize) -> String {
        let Group { title, color, .. } = &GROUPS[place];
        let records: String = self.members(place).map(record).collect();
        if records.is_empty() {
            return String::new();
        }
        format!(
            "  subgraph cluster_{place} {{\n    \
             label=\"{title}\"; labelloc=t; style=\"rounded,filled\"; color=\"{color}\"; margin=14; fontsize=14;\n\
             {records}  }}\n"
        )
    }

    /// Edges that nobody sees: they set tables without edges abreast, and the right lane beside the left one.
    fn placement(&self) -> String {
        let targets: BTreeSet<&str> = self
            .tables
            .iter()
            .flat_map(|table| self.edges(table).filter(|key| key.referenced_table != table.name))
            .map(|key| key.referenced_table.as_str())
            .collect();
        let refers = |table: &'a Table| self.edges(table).any(|key| key.referenced_table != table.name);
        let mut text = String::new();
        let mut anchors = [None; LEFT];
        for place in 0..GROUPS.len() {
            let (linked, alone): (Vec<&Table>, Vec<&Table>) =
                self.members(place).partition(|table| refers(table) || targets.contains(table.name.as_str()));
            let rows = alone.chunks(ABREAST);
            for row in rows.clone().filter(|row| row.len() > 1) {
                let names: Vec<String> = row.iter().map(|table| quoted(&table.name)).collect();
                text.push_str(&format!("  {} [style=invis];\n", names.join(" -> ")));
            }
            let mut first =
                rows.filter_map(|row| row.first().copied()).chain(linked.into_iter().filter(|t| !refers(t)));
            if place < LEFT {
                anchors[place] = first.next();
            } else if let Some(anchor) = anchors[place - LEFT] {
                for table in first {
                    let (from, to) = (quoted(&anchor.name), quoted(&table.name));
                    text.push_str(&format!("  {from} -> {to} [style=invis, minlen={ABREAST}, weight=0];\n"));
                }
            }
        }
        text
    }
}

/// The group of a table.
fn group(name: &str) -> usize {
    let fitting =
        |group: &Group| group.beginnings.iter().filter(|start| name.starts_with(**start)).map(|s| s.len()).max();
    let fits = GROUPS.iter().enumerate().filter_map(|(place, group)| Some((fitting(group)?, place)));
    fits.max().map_or(GROUPS.len() - 1, |(_, place)| place)
}

/// A table's name, its key columns with their types, and how many more columns it has.
fn record(table: &Table) -> String {
    let is_foreign = |name: &String| table.foreign_keys.iter().any(|key| key.columns.contains(name));
    let others = table.columns.iter().map(|column| &column.name);
    let others = others.filter(|name| is_foreign(name) && !table.primary_key.contains(name));
    let shown: Vec<&String> = table.primary_key.iter().chain(others).collect();
    let mut rows = String::new();
    for name in &shown {
        let column = table.columns.iter().find(|column| column.name == **name);
        let data_type = column.map_or_else(String::new, |column| escaped(&column.data_type.to_string()));
        let mark = match (table.primary_key.contains(name), is_foreign(name)) {
            (true, true) => "PK FK",
            (true, false) => "PK",
            _ => "FK",
        };
        let name = escaped(name);
        rows.push_str(&format!(
            "        <TR><TD PORT=\"{name}\" ALIGN=\"LEFT\"><B>{mark}</B></TD><TD ALIGN=\"LEFT\">{name}</TD>\
             <TD ALIGN=\"LEFT\"><FONT COLOR=\"#5f6368\">{data_type}</FONT></TD></TR>\n"
        ));
    }
    let more = table.columns.len().saturating_sub(shown.len());
    if more > 0 {
        rows.push_str(&format!(
            "        <TR><TD></TD><TD COLSPAN=\"2\" ALIGN=\"LEFT\">\
             <FONT COLOR=\"#5f6368\">and {more} more</FONT></TD></TR>\n"
        ));
    }
    format!(
        "    {} [label=<<TABLE BORDER=\"1\" CELLBORDER=\"0\" CELLSPACING=\"0\" CELLPADDING=\"3\" BGCOLOR=\"white\">\n\
         {:8}<TR><TD COLSPAN=\"3\" BGCOLOR=\"#dadce0\"><B>{}</B></TD></TR>\n\
         {rows}      </TABLE>>];\n",
        quoted(&table.name),
        "",
        escaped(&table.name),
    )
}

fn edge(table: &Table, key: &ForeignKey) -> String {
    // The organization stands first in every key; the last column is the one that differs.
    let port = key.columns.last().map_or("", String::as_str);
    let (from, to, port) = (quoted(&key.referenced_table), quoted(&table.name), quoted(port));
    let head = if key.one_to_one { "tee" } else { "crow" };
    format!("  {from}:e -> {to}:{port}:w [arrowhead={head}];\n")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{foreign_key, posts_and_media, table};
    use super::*;

    #[test]
    fn a_table_shows_its_keys_and_counts_the_rest() {
        let text = diagram(&posts_and_media());
        for part in [
            "<B>media</B>",
            "<TD PORT=\"organization_id\" ALIGN=\"LEFT\"><B>PK FK</B></TD>",
            "<B>PK</B></TD><TD ALIGN=\"LEFT\">id</TD><TD ALIGN=\"LEFT\"><FONT COLOR=\"#5f6368\">uuid</FONT></TD>",
            "<TD PORT=\"post_id\" ALIGN=\"LEFT\"><B>FK</B></TD>",
            "and 1 more",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(!text.contains("title"), "a column of no key is not shown:\n{text}");
    }

    #[test]
    fn edges_are_foreign_keys_but_not_every_one_to_the_organization() {
        let mut catalog = posts_and_media();
        let mut members = table("organization_members");
        members.foreign_keys = vec![foreign_key("m_org_fkey", &["organization_id"], "organizations")];
        let mut strangers = table("strangers");
        strangers.foreign_keys = vec![foreign_key("s_fkey", &["organization_id", "id"], "elsewhere")];
        catalog.tables.extend([members, strangers]);
        let text = diagram(&catalog);
        let edges: Vec<&str> =
            text.lines().filter(|line| line.contains(" -> ") && !line.contains("invis")).map(str::trim).collect();
        assert_eq!(
            edges,
            [
                "\"posts\":e -> \"media\":\"post_id\":w [arrowhead=tee];",
                "\"organizations\":e -> \"organization_members\":\"organization_id\":w [arrowhead=crow];",
            ]
        );
    }

    #[test]
    fn tables_find_their_group_by_the_longest_beginning() {
        for (name, title) in [
            ("organizations", "Organizations and people"),
            ("organization_models", "Embeddings"),
            ("organization_revisions", "Service"),
            ("posts_core", "Posts and content"),
            ("post_insights", "Metrics"),
            ("embeddings", "Embeddings"),
            ("embedding_changes", "Service"),
            ("ai_prompts", "Context and AI"),
            ("duty_leases", "Service"),
        ] {
            assert_eq!(GROUPS[group(name)].title, title, "{name}");
        }
    }

    #[test]
    fn tables_without_edges_stand_abreast_and_the_right_lane_beside_the_left() {
        let tables = ["ai_a", "ai_b", "ai_c", "posts"].map(table).to_vec();
        let text = diagram(&Catalog { tables, ..Catalog::default() });
        let unseen: Vec<&str> = text.lines().filter(|line| line.contains("invis")).map(str::trim).collect();
        assert_eq!(
            unseen,
            [
                "\"ai_a\" -> \"ai_b\" [style=invis];",
                "\"posts\" -> \"ai_a\" [style=invis, minlen=2, weight=0];",
                "\"posts\" -> \"ai_c\" [style=invis, minlen=2, weight=0];",
            ]
        );
    }

    #[test]
    fn names_are_escaped() {
        let text = diagram(&Catalog { tables: vec![table("a\"<b>")], ..Catalog::default() });
        assert!(text.contains("\"a\\\"<b>\" [label="), "{text}");
        assert!(text.contains("<B>a&quot;&lt;b&gt;</B>"), "{text}");
    }
}
