//! Writing to standard output, where a closed pipe is the reader's choice and no failure.

use std::io::Write;

/// Writes a line.
pub(super) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
