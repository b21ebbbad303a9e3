//! `kindred import`.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::import_progress::Watcher;
use super::output;
use super::prepare::{Failure, prepared};
use crate::domain::ModelId;
use crate::runtime::{Application, Mode, Settings};
use crate::tenancy::Caller;
use crate::transfer::{self, FileReport, ImportSettings, IndexFate, Report, Standing};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files of embeddings: .jsonl with an object a line, or .parquet
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The organization's slug
    #[arg(long)]
    organization: String,
    /// The model that made the vectors [default: the organization's active one]
    #[arg(long)]
    model: Option<ModelId>,
    #[command(flatten)]
    settings: Settings,
}

impl Import {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = prepared(&self.settings)?;
        let application = Application::start(&config, Mode::Command).await?;
        let imported = self.import(&application).await;
        application.stop(config.drain).await;
        show(&imported?)
    }

    async fn import(self, application: &Application) -> Result<Report, Failure> {
        let organization = application.administrator()?.organization(&self.organization).await?;
        let importer = application.importer(ImportSettings::default())?;
        let (refusals, files) = self.files.into_iter().partition(|path| transfer::is_refusals(path));
        for path in refusals as Vec<PathBuf> {
            eprintln!("{} is left out: it tells what an earlier import refused", path.display());
        }
        let import = transfer::Import { caller: Caller::operator(organization.id), model: self.model, files };
        let (standing, watched) = watch::channel(Standing::default());
        let stop = CancellationToken::new();
        let running = importer.run(&import, &standing, &stop);
        tokio::pin!(running);
        let mut watcher = Watcher::new(watched);
        let mut interrupts = signal(SignalKind::interrupt())?;
        let report = loop {
            tokio::select! {
                report = &mut running => break report,
                () = watcher.show() => {}
                Some(()) = interrupts.recv() => {
                    if stop.is_cancelled() {
                        return Err("stopped at once; run the same command again to go on".into());
                    }
                    watcher.say("stopping: what is on its way is written still; Ctrl-C again to leave it");
                    stop.cancel();
                }
            }
        };
        Ok(report?)
    }
}

fn show(report: &Report) -> Result<(), Failure> {
    report.files.iter().for_each(show_file);
    match report.index {
        IndexFate::Kept => {}
        IndexFate::Built(took) => {
            output::line(format_args!("the model's HNSW index was built in {:.1} s", took.as_secs_f64()));
        }
        IndexFate::Left => output::line("the model's HNSW index is not built yet: the next run or a service does so"),
    }
    let refused = report.counts().refused;
    if report.stopped {
        return Err("stopped; run the same command again to go on".into());
    }
    match refused {
        0 => Ok(()),
        1 => Err("1 row was refused".into()),
        _ => Err(format!("{refused} rows were refused").into()),
    }
}

fn show_file(file: &FileReport) {
    let counts = file.counts;
    let rows = counts.rows() - file.earlier_rows;
    output::line(format_args!(
        "{}: {} {}s: {} created, {} new versions, {} unchanged, {} refused; {:.0} a second",
        file.path.display(),
        counts.rows(),
        file.format.row_name(),
        counts.created,
        counts.new_versions,
        counts.unchanged,
        counts.refused,
        rows as f64 / file.took.as_secs_f64().max(1e-3)
    ));
    if let Some(rejects) = &file.rejects {
        output::line(format_args!("  refused rows are told in {}", rejects.display()));
    }
    if !file.unknown.is_empty() {
        let names: Vec<&str> = file.unknown.iter().map(String::as_str).collect();
        output::line(format_args!("  left out, as no field has the name: {}", names.join(", ")));
    }
}
