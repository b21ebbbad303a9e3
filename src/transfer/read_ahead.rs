//! What a thread that reads a file hands to the one that writes it.

use tokio::sync::mpsc;

use super::line::{Line, as_written};
use crate::domain::{Draft, Invalid, ModelId};

/// A portion ends at so many rows, or so many bytes of drafts.
const PORTION_ROWS: usize = 256;
const PORTION_BYTES: usize = 4 << 20;
/// Portions that wait to be written; beside them one is being made.
const PORTIONS: usize = 4;
/// What a draft takes beside its texts and vectors.
const DRAFT_BYTES: usize = 512;

/// A row of a file as a draft, or why it is none.
#[derive(Debug)]
pub(super) struct Row {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// Where the next row begins, in bytes; 0 where the file is found again by rows alone.
    pub(super) end: u64,
    /// About how much memory it takes.
    pub(super) bytes: usize,
    /// Whether its chunk stands in the row itself.
    pub(super) flat: bool,
    /// What is to be written.
    pub(super) draft: Result<Draft, Invalid>,
}

impl Row {
    /// The row of a line that could be read, or could not.
    pub(super) fn new(number: u64, end: u64, line: Result<Line, Invalid>, model: &ModelId) -> Self {
        let flat = line.as_ref().is_ok_and(Line::is_flat);
        let draft = line.and_then(|line| line.draft(model)).map_err(|error| as_written(error, flat));
        let bytes = DRAFT_BYTES + draft.as_ref().map_or(0, draft_bytes);
        Self { number, end, bytes, flat, draft }
    }
}

fn draft_bytes(draft: &Draft) -> usize {
    let chunks = draft.chunks.iter();
    chunks.map(|chunk| chunk.text.len() + chunk.vector.as_ref().map_or(0, |vector| 4 * vector.dimensions())).sum()
}

/// The reading end of a bounded queue of portions.
pub(super) type Portions = mpsc::Receiver<Vec<Row>>;

/// The writing end, for a thread that may block.
#[derive(Debug)]
pub(super) struct ReadAhead {
    sender: mpsc::Sender<Vec<Row>>,
    rows: Vec<Row>,
    bytes: usize,
}

impl ReadAhead {
    /// Both ends.
    pub(super) fn channel() -> (Self, Portions) {
        let (sender, receiver) = mpsc::channel(PORTIONS);
        (Self { sender, rows: Vec::new(), bytes: 0 }, receiver)
    }

    /// Adds a row, and waits where enough of them wait already; false where nobody wants more.
    #[must_use]
    pub(super) fn push(&mut self, row: Row) -> bool {
        self.bytes += row.bytes;
        self.rows.push(row);
        if self.rows.len() < PORTION_ROWS && self.bytes < PORTION_BYTES {
            return true;
        }
        self.flush()
    }

    /// Hands over what there is.
    pub(super) fn flush(&mut self) -> bool {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        rows.is_empty() || self.sender.blocking_send(rows).is_ok()
    }
}
