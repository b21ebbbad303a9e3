//! What an examination tells: lines for people, values for machines.

use std::fmt;

use serde::Serialize;

use crate::domain::{ModelId, Revision};

/// Something that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether something is wrong; else it is only worth knowing.
    pub wrong: bool,
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// Something that is wrong.
    pub fn wrong(place: impl fmt::Display, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { wrong: true, place: place.to_string(), what: what.into(), remedy: remedy.into() }
    }

    /// Something that is worth knowing.
    pub fn note(place: impl fmt::Display, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { wrong: false, ..Self::wrong(place, what, remedy) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.wrong { "WRONG" } else { "note " };
        write!(f, "{weight}  {}: {}; {}", self.place, self.what, self.remedy)
    }
}

/// A partition in memory, made from one source and compared with the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loaded {
    /// The revision that its source is of.
    pub from_revision: Revision,
    /// The revision at which it was compared with the table: the change log was followed up to there.
    pub revision: Revision,
    /// Rows that can be found.
    pub rows: usize,
    /// Whether it has a graph; else it is scanned.
    pub graph: bool,
    /// The share of the ten nearest that the graph finds, sampled against exact scans.
    pub recall: Option<f64>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)?;
        match (self.graph, self.recall) {
            (true, Some(recall)) => write!(f, ", graph, recall@10 {recall:.3}"),
            (true, None) => f.write_str(", graph"),
            (false, _) => f.write_str(", scan"),
        }
    }
}

/// How a partition was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionReport {
    /// The organization's slug.
    pub organization: String,
    /// The model.
    pub model: ModelId,
    /// As it is made from the table; `None` where that was not possible, as a finding tells.
    pub table: Option<Loaded>,
    /// As it is made from its snapshot and the change log, where it has one that a service would use.
    pub snapshot: Option<Loaded>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
}

impl PartitionReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| finding.wrong)
    }
}

/// A line, and one for each finding.
impl fmt::Display for PartitionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_sound() { "sound" } else { "WRONG" };
        write!(f, "{verdict}  {}/{}", self.organization, self.model)?;
        match &self.table {
            Some(table) => write!(f, "  revision {}: {table}", table.revision)?,
            None => f.write_str("  not loaded from the table")?,
        }
        match &self.snapshot {
            Some(snapshot) => write!(
                f,
                "  snapshot of revision {}, followed to {}: {snapshot}",
                snapshot.from_revision, snapshot.revision
            ),
            None => f.write_str("  no snapshot"),
        }?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}
