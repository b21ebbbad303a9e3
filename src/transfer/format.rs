//! The kinds of files that can be read.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::progress::Place;
use super::read_ahead::ReadAhead;
use super::{ImportError, jsonl, parquet_rows};
use crate::domain::ModelId;

/// The kind of a file, told by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A JSON object a line: `.jsonl`.
    JsonLines,
    /// `.parquet`.
    Parquet,
}

impl FileFormat {
    /// The kind of `path`.
    ///
    /// # Errors
    /// Where its name ends in neither way.
    pub fn of(path: &Path) -> Result<Self, ImportError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(ImportError::UnknownFormat { path: path.to_owned() }),
        }
    }

    /// What a row of it is called.
    pub fn row_name(self) -> &'static str {
        match self {
            Self::JsonLines => "line",
            Self::Parquet => "row",
        }
    }

    /// How long the file is, as [`Self::position`] counts: bytes of JSON lines, rows of Parquet.
    pub(super) fn length(self, path: &Path) -> Result<u64, ImportError> {
        let file = open(path)?;
        match self {
            Self::JsonLines => {
                let metadata = file.metadata();
                metadata.map(|metadata| metadata.len()).map_err(|cause| failed(path, "be read", cause))
            }
            Self::Parquet => parquet_rows::count(file).map_err(|error| damaged(path, &error)),
        }
    }

    /// How far a place is in the file.
    pub(super) fn position(self, place: Place) -> u64 {
        match self {
            Self::JsonLines => place.offset,
            Self::Parquet => place.rows,
        }
    }

    /// Reads the rows after `from` into `ahead`; gives names that no field has. Blocks.
    pub(super) fn read(
        self,
        path: &Path,
        from: Place,
        model: &ModelId,
        mut ahead: ReadAhead,
    ) -> Result<BTreeSet<String>, ImportError> {
        let file = open(path)?;
        match self {
            Self::JsonLines => {
                jsonl::read(file, from, model, &mut ahead).map_err(|cause| failed(path, "be read", cause))
            }
            Self::Parquet => parquet_rows::read(file, from, model, &mut ahead).map_err(|error| damaged(path, &error)),
        }
    }
}

fn open(path: &Path) -> Result<File, ImportError> {
    File::open(path).map_err(|cause| failed(path, "be opened", cause))
}

fn failed(path: &Path, action: &'static str, cause: std::io::Error) -> ImportError {
    ImportError::File { path: path.to_owned(), action, cause }
}

fn damaged(path: &Path, error: &parquet::errors::ParquetError) -> ImportError {
    ImportError::Damaged { path: path.to_owned(), reason: error.to_string() }
}
