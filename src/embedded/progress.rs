//! How far a fetch has come, for somebody at a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// A bar where standard error is a terminal, else one plain line for each step.
    #[default]
    Shown,
    /// Nothing.
    Silent,
}

/// One bar, or its plain line.
pub(super) struct Meter(Option<ProgressBar>);

impl Meter {
    /// Begins a step of `total` bytes.
    pub(super) fn start(progress: Progress, step: &str, total: u64) -> Self {
        if progress == Progress::Silent {
            return Self(None);
        }
        if !std::io::stderr().is_terminal() {
            eprintln!("{step} ({:.1} MB)", total as f64 / 1e6);
            return Self(None);
        }
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes} of {total_bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        Self(Some(ProgressBar::new(total).with_style(style).with_message(step.to_owned())))
    }

    /// Tells how many bytes are done.
    pub(super) fn set(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// One line that is always worth a word, such as that somebody else is being waited for.
pub(super) fn say(progress: Progress, line: &str) {
    if progress == Progress::Shown {
        eprintln!("{line}");
    }
}
