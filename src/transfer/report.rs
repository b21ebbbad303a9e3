//! What an import says of itself, while it runs and at its end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::{Counts, FileFormat};

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub format: FileFormat,
    /// Its rows, also those of runs before that were broken off.
    pub counts: Counts,
    /// How many of them earlier runs had written.
    pub earlier_rows: u64,
    /// How long this run took.
    pub took: Duration,
    /// Where refused rows are told, if there are any.
    pub rejects: Option<PathBuf>,
    /// Names that no field has; what stood there was left out.
    pub unknown: BTreeSet<String>,
}

/// What became of the model's HNSW index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexFate {
    /// It was there; maintenance brings the new rows into it.
    Kept,
    /// It was built after the last row.
    Built(Duration),
    /// It is missing, since the import was stopped: the next run or maintenance builds it.
    Left,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The files that were read, in order; the last one up to where the import was stopped.
    pub files: Vec<FileReport>,
    /// What became of the model's index.
    pub index: IndexFate,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

impl Report {
    /// The rows of all files.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.files.iter().for_each(|file| counts += file.counts);
        counts
    }
}

/// Where an import stands, for somebody who watches.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Standing {
    /// Nothing was read yet.
    #[default]
    Beginning,
    /// Rows of a file are being written.
    Writing {
        /// The file.
        path: PathBuf,
        /// How far its rows are durable, out of `length`: bytes of JSON lines, rows of Parquet.
        position: u64,
        /// The end of the file.
        length: u64,
        /// Its rows so far.
        counts: Counts,
    },
    /// The index is being built over everything.
    Building,
}
