//! The rows that were refused, told in a file beside theirs.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::progress::beside;
use crate::domain::Invalid;

/// The end of the name of a file of refusals.
const ENDING: &str = ".rejected.jsonl";

/// Whether a file tells, by its name, what an import refused: it is none to import.
pub fn is_refusals(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}

/// What is to be told of refused rows: a JSON object each, with file, row, field and reason.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    of: String,
    row_name: &'static str,
    path: PathBuf,
    /// What was told already.
    bytes: u64,
    /// What is told with the next [`Rejects::write`].
    waiting: Vec<u8>,
}

impl Rejects {
    /// Those of a file whose first `bytes` bytes are told already. Whatever stands behind them is told anew.
    pub(super) fn of(file: &Path, row_name: &'static str, bytes: u64) -> Self {
        let of = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { of, row_name, path: beside(file, ENDING), bytes, waiting: Vec::new() }
    }

    /// Where they are told.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one.
    pub(super) fn add(&mut self, row: u64, error: &Invalid) {
        let mut told = Map::new();
        told.insert("file".to_owned(), json!(self.of));
        told.insert(self.row_name.to_owned(), json!(row));
        told.insert("field".to_owned(), json!(error.field));
        told.insert("reason".to_owned(), json!(error.reason));
        self.waiting.extend_from_slice(Value::Object(told).to_string().as_bytes());
        self.waiting.push(b'\n');
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes what waits, behind what was told already; gives the length of the whole. A file of an earlier import without
    /// refusals in this one is removed.
    pub(super) fn write(&mut self) -> io::Result<u64> {
        if self.bytes == 0 && self.waiting.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(0),
            };
        }
        if !self.waiting.is_empty() {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
            let kept = self.bytes.min(file.metadata()?.len());
            file.set_len(kept)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(&self.waiting)?;
            self.bytes = kept + self.waiting.len() as u64;
            self.waiting.clear();
        }
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_once_also_after_an_interruption() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("posts.jsonl");
        let told = || fs::read_to_string(folder.path().join("posts.jsonl.rejected.jsonl"));
        let error = Invalid::new("vector", "is missing");
        let mut first = Rejects::of(&file, "line", 0);
        first.add(3, &error);
        let kept = first.write().expect("written");
        first.add(5, &error);
        first.write().expect("written");
        assert_eq!(told().expect("told").lines().count(), 2);
        // The second one was told, but its progress was not kept.
        let mut second = Rejects::of(&file, "line", kept);
        second.add(5, &error);
        second.write().expect("written");
        let all = told().expect("told");
        let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[1], json!({ "file": "posts.jsonl", "line": 5, "field": "vector", "reason": "is missing" }));
        assert_eq!(lines.len(), 2);
        Rejects::of(&file, "line", 0).write().expect("removed");
        assert!(told().is_err());
    }
}
