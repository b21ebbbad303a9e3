//! `kindred archive`.

use chrono::Utc;
use clap::{Args, Subcommand};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::output;
use super::prepare::{Failure, prepared};
use crate::archive::{Archives, MonthPlace, MonthlyTable, StoreUrl, Target};
use crate::domain::Month;
use crate::runtime::{Config, Databases, Settings, StartError};

#[derive(Debug, Args)]
pub(super) struct Archive {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List months, in the database and in the object store: rows, bytes, where they lie
    List {
        #[command(flatten)]
        from: Source,
        #[command(flatten)]
        settings: Settings,
    },
    /// Move whole months out of a live table; each is read back and compared before it is dropped
    Run {
        #[command(flatten)]
        run: Leaving,
        #[command(flatten)]
        settings: Settings,
    },
    /// Bring a month back from the object store, with all its parts; safe to run again. It then stays in the database until
    /// `run --restored`
    Restore {
        /// The month, such as 2023-05
        month: Month,
        /// time_series_metrics or ai_context_logs
        #[arg(long, default_value_t = MonthlyTable::Metrics)]
        table: MonthlyTable,
        #[command(flatten)]
        from: Source,
        #[command(flatten)]
        settings: Settings,
    },
    /// Read everything in the object store, and compare it with its manifests and with what this database has archived
    Verify {
        #[command(flatten)]
        from: Source,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// The object store: file:///directory or s3://bucket/prefix [default: that of --archive-to]
    #[arg(long)]
    from: Option<StoreUrl>,
}

#[derive(Debug, Args)]
struct Leaving {
    /// time_series_metrics or ai_context_logs
    #[arg(long, default_value_t = MonthlyTable::Metrics)]
    table: MonthlyTable,
    /// table, file:///directory or s3://bucket/prefix [default: that of --archive-to]
    #[arg(long)]
    to: Option<Target>,
    /// Months that ended at least so many months ago; 0 takes every month that is over [default: that of
    /// --archive-after-months or --context-logs-months]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_200))]
    older_than_months: Option<u32>,
    /// Also months that were restored; they are written anew, and replace what they were restored from
    #[arg(long)]
    restored: bool,
    /// Only tell which months would leave
    #[arg(long)]
    dry_run: bool,
}

impl Archive {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = match &self.command {
            Command::List { settings, .. }
            | Command::Run { settings, .. }
            | Command::Restore { settings, .. }
            | Command::Verify { settings, .. } => settings,
        };
        let config = prepared(settings)?;
        let databases = Databases::open(&config, &TaskTracker::new()).await?;
        let done = match &databases.owner {
            Some(owner) => self.command.on(&Archives::new(owner.clone()), &config).await,
            None => Err(StartError::NoOwner.into()),
        };
        databases.close().await;
        done
    }
}

impl Command {
    async fn on(self, archives: &Archives, config: &Config) -> Result<(), Failure> {
        match self {
            Self::List { from, .. } => list(archives, from.store(config).ok()).await,
            Self::Run { run, .. } if run.dry_run => run.tell(archives, config).await,
            Self::Run { run, .. } => run.act(archives, config).await,
            Self::Restore { month, table, from, .. } => {
                let archiver = archives.at(&from.store(config)?)?;
                let restored = archives.alone(Uuid::now_v7(), archiver.restore(table, month, Utc::now())).await??;
                output::line(format_args!(
                    "{table} of {month}: {} rows restored from {} parts, {} were there already",
                    restored.inserted, restored.parts, restored.present
                ));
                Ok(())
            }
            Self::Verify { from, .. } => verify(archives, &from.store(config)?).await,
        }
    }
}

impl Source {
    fn store(&self, config: &Config) -> Result<StoreUrl, Failure> {
        match (&self.from, &config.archive.target) {
            (Some(url), _) | (None, Target::Store(url)) => Ok(url.clone()),
            (None, Target::Table) => {
                Err("no object store is named: give --from, or set KINDRED_ARCHIVE_TO to its address".into())
            }
        }
    }
}

impl Leaving {
    fn target<'a>(&'a self, config: &'a Config) -> &'a Target {
        self.to.as_ref().unwrap_or(&config.archive.target)
    }

    fn before(&self, config: &Config) -> Result<Month, Failure> {
        let configured = match self.table {
            MonthlyTable::Metrics => Some(config.archive.metrics_after_months),
            MonthlyTable::ContextLogs => config.archive.context_logs_after_months,
        };
        let months = self.older_than_months.or(configured);
        let months =
            months.ok_or("context logs are kept for ever: say --older-than-months, or KINDRED_CONTEXT_LOGS_MONTHS")?;
        Ok(Month::before(Utc::now(), months)?)
    }

    async fn tell(&self, archives: &Archives, config: &Config) -> Result<(), Failure> {
        let before = self.before(config)?;
        let rows = archives.leaving(self.table, before, self.restored).await?;
        for (month, rows) in &rows {
            output::line(format_args!("{} {month} {rows:>12} rows", self.table));
        }
        let (months, rows) = (rows.len(), rows.values().sum::<i64>());
        output::line(format_args!("{months} months before {before} would go to {}: {rows} rows", self.target(config)));
        Ok(())
    }

    async fn act(&self, archives: &Archives, config: &Config) -> Result<(), Failure> {
        let (before, target) = (self.before(config)?, self.target(config));
        let work = archives.archive((self.table, before), target, self.restored, Utc::now());
        let outcome = archives.alone(Uuid::now_v7(), work).await??;
        for month in &outcome.months {
            output::line(format_args!(
                "{} {} {:>12} rows {:>12} bytes",
                self.table, month.month, month.rows, month.bytes
            ));
        }
        output::line(format_args!("{} rows of {} before {before} went to {target}", outcome.rows, self.table));
        if outcome.stayed.is_empty() {
            return Ok(());
        }
        Err(format!("{} months stayed; run it again", outcome.stayed.len()).into())
    }
}

async fn list(archives: &Archives, store: Option<StoreUrl>) -> Result<(), Failure> {
    for table in MonthlyTable::ALL {
        for found in archives.months(table).await? {
            let place = match found.place {
                MonthPlace::Partition => "live",
                MonthPlace::Default => "live, default partition",
                MonthPlace::ArchiveTable => "time_series_metrics_archive",
            };
            output::line(format_args!(
                "{table:19} {} {:>12} rows {:>14} bytes  {place}",
                found.month, found.rows, found.bytes
            ));
        }
    }
    let Some(url) = store else { return Ok(()) };
    for stored in archives.at(&url)?.stored().await? {
        let (part, manifest) = (&stored.part, &stored.manifest);
        output::line(format_args!(
            "{:19} {} {:>12} rows {:>14} bytes  {url}/{}",
            part.table,
            part.month,
            manifest.rows,
            manifest.bytes,
            part.file()
        ));
    }
    Ok(())
}

async fn verify(archives: &Archives, url: &StoreUrl) -> Result<(), Failure> {
    let found = archives.at(url)?.verify().await?;
    for stray in &found.strays {
        output::line(format_args!("belongs to no part: {stray}"));
    }
    for fault in &found.faults {
        output::line(fault);
    }
    output::line(format_args!("{} parts with {} rows are sound in {url}", found.sound, found.rows));
    if found.faults.is_empty() { Ok(()) } else { Err(format!("{} faults were found", found.faults.len()).into()) }
}
