//! What stands beside each file: without it, the file does not exist.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::domain::Month;
use crate::store::{Column, MonthlyTable, PartFacts};

/// The form of manifest and file that this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;

/// A part of a month: its file and its manifest lie side by side.
///
/// Written `time_series_metrics/month=2023-05/part-20261124T131501250417Z-9f3c1a2b`: readers of Parquet take `month=` for a column,
/// and later parts come after earlier ones. No two parts share a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartName {
    /// The table.
    pub table: MonthlyTable,
    /// The month.
    pub month: Month,
    stem: String,
}

impl PartName {
    /// A new name.
    pub fn new(table: MonthlyTable, month: Month, now: DateTime<Utc>) -> Self {
        let random: u32 = rand::rng().random();
        Self { table, month, stem: format!("part-{}-{random:08x}", now.format("%Y%m%dT%H%M%S%6fZ")) }
    }

    /// The folder of a month.
    pub fn folder(table: MonthlyTable, month: Month) -> String {
        format!("{table}/month={month}")
    }

    /// The Parquet file.
    pub fn file(&self) -> String {
        format!("{self}.parquet")
    }

    /// The manifest.
    pub fn manifest(&self) -> String {
        format!("{self}.json")
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Self::folder(self.table, self.month), self.stem)
    }
}

impl FromStr for PartName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (table, rest) = text.split_once('/').ok_or(())?;
        let (month, stem) = rest.strip_prefix("month=").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let plain =
            stem.starts_with("part-") && stem.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        let (table, month) = (table.parse().map_err(|_| ())?, month.parse().map_err(|_| ())?);
        if plain { Ok(Self { table, month, stem: stem.to_owned() }) } else { Err(()) }
    }
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this manifest and of its file.
    pub format_version: u32,
    /// The table.
    pub table: String,
    /// The month, of UTC.
    pub month: String,
    /// The file's name, beside the manifest.
    pub file: String,
    /// Rows.
    pub rows: u64,
    /// Over rows, as [`super::RowSum`] says.
    pub checksum: String,
    /// The file's length.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The columns, with their types in Postgres, in the order in which the checksum takes them.
    pub columns: Vec<Column>,
    /// When it was written.
    pub archived_at: DateTime<Utc>,
    /// The program that wrote it.
    pub written_by: String,
}

impl Manifest {
    /// The manifest of a part that was written now.
    pub fn new(part: &PartName, facts: &PartFacts, columns: &[Column], now: DateTime<Utc>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            table: part.table.to_string(),
            month: part.month.to_string(),
            file: format!("{}.parquet", part.stem),
            rows: facts.rows,
            checksum: facts.checksum.clone(),
            bytes: facts.bytes,
            sha256: facts.sha256.clone(),
            columns: columns.to_vec(),
            archived_at: now,
            written_by: concat!("kindred ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// What it says of its file.
    pub fn facts(&self) -> PartFacts {
        PartFacts { rows: self.rows, checksum: self.checksum.clone(), bytes: self.bytes, sha256: self.sha256.clone() }
    }

    /// As it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest holds text and numbers only")
    }

    /// Reads the manifest of a part.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] where it cannot be read, was written by a newer release, or speaks of something else.
    pub fn from_json(part: &PartName, json: &[u8]) -> Result<Self, ArchiveError> {
        let damaged = |reason: String| ArchiveError::Damaged { path: part.manifest(), reason };
        let manifest: Self = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if manifest.format_version > FORMAT_VERSION {
            return Err(damaged(format!(
                "it is of format {}, and this release reads up to {FORMAT_VERSION}: use a newer one",
                manifest.format_version
            )));
        }
        let own = Self { table: part.table.to_string(), month: part.month.to_string(), ..manifest.clone() };
        let file = format!("{}.parquet", part.stem);
        if own != manifest || manifest.file != file {
            return Err(damaged(format!("it speaks of {} of {} in {}", manifest.table, manifest.month, manifest.file)));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_sort_by_time() {
        let month: Month = "2023-05".parse().expect("a month");
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let earlier = PartName::new(MonthlyTable::Metrics, month, at("2026-01-09T00:00:00Z"));
        let later = PartName::new(MonthlyTable::Metrics, month, at("2026-01-10T00:00:00Z"));
        assert!(earlier < later);
        assert!(earlier.to_string().starts_with("time_series_metrics/month=2023-05/part-20260109T000000000000Z-"));
        assert_eq!(earlier.to_string().parse(), Ok(earlier));
        for bad in [
            "",
            "x",
            "time_series_metrics/2023-05/part-1",
            "posts/month=2023-05/part-1",
            "time_series_metrics/month=2023-05/../part-1",
            "time_series_metrics/month=2023-05/part-1#2",
        ] {
            assert_eq!(bad.parse::<PartName>(), Err(()), "{bad}");
        }
    }
}
