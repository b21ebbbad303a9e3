//! What a child says: forwarded to our log at a bounded rate, and its last lines kept for errors.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How many lines an error shows.
const KEPT_LINES: usize = 12;
/// Longer lines are cut: a statement may have half a megabyte.
const MAX_LINE_BYTES: usize = 2_000;
/// At most so many lines are forwarded in each window.
const LINES_PER_WINDOW: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// The last lines of a child.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines as one text.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Reads until the other side closes; keeps the last lines and, where `forward` is set, hands lines to our log.
pub(super) async fn follow(mut from: impl AsyncRead + Unpin, tail: Tail, forward: bool) {
    let mut splitter = Splitter::default();
    let mut gate = Gate::default();
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for line in splitter.push(&buffer[..read]) {
            if forward && let Some(dropped) = gate.admit(Instant::now()) {
                if dropped > 0 {
                    tracing::warn!(target: "kindred::postgres", dropped, "Postgres wrote more than is logged");
                }
                forward_line(&line);
            }
            tail.push(line);
        }
    }
    if let Some(line) = splitter.rest() {
        tail.push(line);
    }
}

/// Errors of statements are told to whoever sent them, so they are worth no more than a debug line here.
fn forward_line(line: &str) {
    match severity(line) {
        "PANIC" => tracing::error!(target: "kindred::postgres", "{line}"),
        "FATAL" | "WARNING" => tracing::warn!(target: "kindred::postgres", "{line}"),
        _ => tracing::debug!(target: "kindred::postgres", "{line}"),
    }
}

fn severity(line: &str) -> &str {
    line.split_once(':').map_or("", |(severity, _)| severity)
}

/// Cuts a stream of bytes into lines of bounded length.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                lines.extend(self.rest());
            } else if self.line.len() < MAX_LINE_BYTES {
                self.line.push(byte);
            }
        }
        lines
    }

    /// What has come of the line that is not ended; an empty one is none.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
    }
}

/// Lets a bounded number of lines through in each window of time.
#[derive(Default)]
struct Gate {
    since: Option<Instant>,
    passed: u32,
    dropped: u64,
}

impl Gate {
    /// Whether a line may pass; with it, how many were dropped in the window before.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let mut report = 0;
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            report = self.dropped;
            *self = Self { since: Some(now), passed: 0, dropped: 0 };
        }
        if self.passed == LINES_PER_WINDOW {
            self.dropped += 1;
            return None;
        }
        self.passed += 1;
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_cut() {
        let mut text: String = (0..50).map(|n| format!("LOG:  line {n}\n")).collect();
        text.push_str(&"x".repeat(MAX_LINE_BYTES * 5));
        let tail = Tail::default();
        follow(text.as_bytes(), tail.clone(), true).await;
        let kept = tail.text();
        assert_eq!(kept.lines().count(), KEPT_LINES);
        assert!(kept.starts_with("LOG:  line 39\n"), "{kept}");
        assert_eq!(kept.lines().last().map(str::len), Some(MAX_LINE_BYTES));
    }

    #[test]
    fn a_flood_is_held_back_and_counted() {
        let mut gate = Gate::default();
        let start = Instant::now();
        let passed = (0..250).filter(|_| gate.admit(start).is_some()).count();
        assert_eq!(passed, LINES_PER_WINDOW as usize);
        assert_eq!(gate.admit(start + WINDOW), Some(150));
        assert_eq!(gate.admit(start + WINDOW), Some(0));
    }

    #[test]
    fn severities_are_read() {
        assert_eq!(severity("FATAL:  no"), "FATAL");
        assert_eq!(severity("a line without"), "");
    }
}
