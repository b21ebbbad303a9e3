//! How a migration tells what it found and did.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::line;
use crate::migrate::{CarryState, Check, Origin, Outcome, Plan, Progress, SchemaState, Verification};

/// The schema's steps.
pub(super) fn steps(state: &SchemaState) {
    for (number, name, applied) in &state.steps {
        line(format_args!("{number:02}  {}  {name}", if *applied { "applied" } else { "missing" }));
    }
}

/// What will happen to each legacy table.
pub(super) fn plan(plan: &Plan) {
    match plan.origin {
        Origin::Fresh => line("no legacy tables: kindred migrate up makes the schema, or brings it up to date"),
        Origin::UnderWay => line("a migration is under way: kindred migrate status shows how far it has come"),
        Origin::Finalized => line("the migration of the legacy database was finalized"),
        Origin::Legacy => {}
    }
    for table in &plan.tables {
        line(format_args!(
            "step {:02}  {:22} {:>12} rows {:>12}  {}",
            table.step,
            table.name,
            table.rows,
            size(table.bytes),
            table.action
        ));
    }
    if !plan.tables.is_empty() {
        line(format_args!("disk needed beside them: about {}", size(plan.bytes_needed)));
    }
    for obstacle in &plan.obstacles {
        line(format_args!("{}  {}", if obstacle.blocks { "BLOCKS" } else { "note  " }, obstacle.reason));
    }
}

fn size(bytes: i64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// How far a legacy database has come.
pub(super) fn carrying(state: &CarryState) {
    for step in 1..=4 {
        let phases: Vec<&str> =
            state.phases.iter().filter(|(of, _)| *of == step).map(|(_, phase)| phase.as_str()).collect();
        line(format_args!(
            "step {step:02}: {}",
            if phases.is_empty() { "not begun".to_owned() } else { phases.join(", ") }
        ));
    }
    for source in &state.sources {
        let end = if source.finished { "done" } else { "under way" };
        line(format_args!("  {:22} {:>10} of {:>10} rows  {end}", source.source, source.done, source.total));
    }
    line(format_args!("{} of {} organizations read the new side", state.switched.0, state.switched.1));
    for held in &state.quarantined {
        line(format_args!("quarantine: {} of {} ({}): {}", held.rows, held.source, held.part, held.reason));
    }
    if state.finalized {
        line("finalized");
    }
}

/// Comparisons, differing rows, and what stayed behind.
pub(super) fn verification(found: &Verification) {
    checks(&found.checks);
    for difference in &found.differences {
        line(format_args!("{}: {} {}", difference.check, difference.problem, difference.key));
    }
    for held in &found.quarantined {
        line(format_args!("quarantine: {} of {} ({}): {}", held.rows, held.source, held.part, held.reason));
    }
}

fn checks(checks: &[Check]) {
    for check in checks {
        line(format_args!(
            "{:6} {:45} {:>10} legacy {:>10} new {:>8} wrong",
            if check.passed { "ok" } else { "FAILED" },
            check.name,
            check.old_rows,
            check.new_rows,
            check.wrong
        ));
    }
}

/// Where a run ended, and what comes next.
pub(super) fn outcome(outcome: &Outcome) {
    match outcome {
        Outcome::Fresh => {}
        Outcome::Finalized => line("the migration of the legacy database was finalized before"),
        Outcome::InStep { waiting, checks: found } => {
            checks(found);
            line(format_args!(
                "both sides are in step; {waiting} organizations still read the legacy side: \
                 kindred migrate switch --all, then kindred migrate up again, cuts over"
            ));
        }
        Outcome::CutOver { checks: found } => {
            checks(found);
            line(
                "the new tables serve; kindred migrate finalize ends the migration, kindred migrate down --cut-over takes it back",
            );
        }
    }
}

/// One progress bar a legacy table, on a terminal; else a line a table.
#[derive(Default)]
pub(super) struct Bars {
    bar: Option<ProgressBar>,
    source: String,
}

impl Bars {
    pub(super) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Expanded => line("the new tables follow the legacy ones"),
            Progress::Verifying => {
                self.finish();
                line("comparing both sides");
            }
            Progress::CutOver { pause_ms } => line(format_args!("cut over; writers waited {pause_ms} ms at most")),
            Progress::Backfill { step, source, done, total } => {
                if *source != self.source {
                    self.finish();
                    self.source.clone_from(source);
                    if std::io::stderr().is_terminal() {
                        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len} rows, {eta} left")
                            .unwrap_or_else(|_| ProgressStyle::default_bar())
                            .progress_chars("=> ");
                        let message = format!("step {step:02} {source}");
                        self.bar = Some(ProgressBar::new(*total).with_style(style).with_message(message));
                    } else if *total > 0 {
                        eprintln!("step {step:02} {source}: {total} rows");
                    }
                }
                if let Some(bar) = &self.bar {
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
            }
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
