//! How far an import has come, for whoever waits.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::transfer::Standing;

/// Between two looks, at a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// Between two lines, elsewhere.
const LINE: Duration = Duration::from_secs(10);

/// A bar at a terminal, else a line now and then; on standard error.
pub(super) struct Watcher {
    watched: watch::Receiver<Standing>,
    bar: Option<ProgressBar>,
    next: Instant,
}

impl Watcher {
    /// Watches an import.
    pub(super) fn new(watched: watch::Receiver<Standing>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %, {eta} left; {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
            ProgressBar::new(0).with_style(style)
        });
        let next = Instant::now() + if bar.is_some() { REDRAW } else { LINE };
        Self { watched, bar, next }
    }

    /// Waits until it is time, then shows where the import stands.
    pub(super) async fn show(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + if self.bar.is_some() { REDRAW } else { LINE };
        let standing = self.watched.borrow().clone();
        match (standing, &self.bar) {
            (Standing::Beginning, _) => {}
            (Standing::Writing { path, position, length, counts }, Some(bar)) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if bar.prefix() != name {
                    bar.reset();
                }
                bar.set_prefix(name);
                bar.set_length(length);
                bar.set_position(position);
                bar.set_message(format!("{} rows, {} refused", counts.rows(), counts.refused));
            }
            (Standing::Writing { path, position, length, counts }, None) => {
                let percent = position * 100 / length.max(1);
                eprintln!("{}: {percent} %, {} rows, {} refused", path.display(), counts.rows(), counts.refused);
            }
            (Standing::Building, Some(bar)) => bar.set_message("building the model's HNSW index"),
            (Standing::Building, None) => eprintln!("building the model's HNSW index"),
        }
    }

    /// Says something beside the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
