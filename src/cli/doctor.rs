//! `kindred doctor`.

use std::fmt::{self, Display};

use chrono::Utc;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::output;
use super::prepare::{Failure, prepared};
use crate::domain::ModelId;
use crate::runtime::{Checkup, Config, Settings, Which};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Examine partitions of this organization alone, by its slug
    #[arg(long)]
    organization: Option<String>,
    /// Examine partitions of this model alone
    #[arg(long)]
    model: Option<ModelId>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = prepared(&self.settings)?;
        let checkup = Checkup::open(&config).await?;
        let examined = self.examine(&checkup, &config).await;
        checkup.close().await;
        match examined? {
            0 => Ok(()),
            wrong => Err(format!("{wrong} findings are wrong; each line says what to do").into()),
        }
    }

    /// Tells everything as it is found; answers how many findings are wrong.
    async fn examine(self, checkup: &Checkup, config: &Config) -> Result<usize, Failure> {
        let which = Which { organization: self.organization, model: self.model };
        let mut told = Told { json: self.json, wrong: 0, partitions: 0 };
        let (findings, partitions) = checkup.database(&which, Utc::now()).await?;
        for finding in &findings {
            told.wrong += usize::from(finding.wrong);
            told.line("finding", finding);
        }
        if !partitions.is_empty() {
            let examiner = checkup.examiner(config).await?;
            for partition in &partitions {
                let report = examiner.examine(partition).await;
                told.partitions += 1;
                told.wrong += report.findings.iter().filter(|finding| finding.wrong).count();
                told.line("partition", &report);
            }
        }
        told.end();
        Ok(told.wrong)
    }
}

/// What was told so far, and in which form.
struct Told {
    json: bool,
    wrong: usize,
    partitions: usize,
}

impl Told {
    fn line(&self, kind: &str, found: &(impl Serialize + Display)) {
        if self.json {
            output::line(json!({ kind: found }));
        } else {
            output::line(found);
        }
    }

    fn end(&self) {
        self.line("summary", &Summary { partitions: self.partitions, wrong: self.wrong });
    }
}

#[derive(Serialize)]
struct Summary {
    partitions: usize,
    wrong: usize,
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions were examined, {} findings are wrong", self.partitions, self.wrong)
    }
}
