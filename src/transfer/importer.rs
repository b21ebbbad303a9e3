//! Files in, versions out; and the model's index after them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::file_run::{Door, FileRun, Limits};
use super::progress::Progress;
use super::{FileFormat, ImportError, IndexFate, Report, Standing};
use crate::domain::{Model, ModelId};
use crate::ingest::Ingestor;
use crate::store::{Arrival, Database, ModelCatalog, StoreError};
use crate::tenancy::{Caller, Role};

/// Between two looks at whether a model's index is free.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How large the portions of an import are.
#[derive(Debug, Clone, Copy)]
pub struct ImportSettings {
    /// Ready vectors of one transaction; a text to embed counts as four and more. Three times as many may be on their way.
    pub batch_rows: usize,
    /// Bytes of texts and vectors on their way to the database.
    pub in_flight_bytes: usize,
    /// How long the lease of the model's index lasts without being renewed.
    pub index_lease: Duration,
}

impl Default for ImportSettings {
    /// 2,000 rows, 64 MiB, 30 s.
    fn default() -> Self {
        Self { batch_rows: 2_000, in_flight_bytes: 64 << 20, index_lease: Duration::from_secs(30) }
    }
}

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct Import {
    /// For which organization.
    pub caller: Caller,
    /// The vectors' model; the organization's active one where `None`.
    pub model: Option<ModelId>,
    /// The files, one after the other.
    pub files: Vec<PathBuf>,
}

/// Imports files.
pub struct Importer {
    owner: Database,
    catalog: ModelCatalog,
    ingestor: Ingestor,
    settings: ImportSettings,
    holder: Uuid,
}

/// One import at work.
#[derive(Clone, Copy)]
struct Job<'a> {
    import: &'a Import,
    model: &'a Arc<Model>,
    standing: &'a watch::Sender<Standing>,
    stop: &'a CancellationToken,
}

impl Importer {
    /// An importer that writes through `ingestor` and sees to indexes as `owner`.
    pub fn new(owner: Database, catalog: ModelCatalog, ingestor: Ingestor, settings: ImportSettings) -> Self {
        Self { owner, catalog, ingestor, settings, holder: Uuid::now_v7() }
    }

    /// Imports files, each from where an earlier run ended. Once `stop` is cancelled, what is on its way is written still.
    ///
    /// A model that has no index, or no rows, gets its index after the last row; a running service sees to no index that an
    /// import will build.
    ///
    /// # Errors
    /// Where something fails that is not a single row's fault. What was acknowledged stays, and a further run goes on there.
    pub async fn run(
        &self,
        import: &Import,
        standing: &watch::Sender<Standing>,
        stop: &CancellationToken,
    ) -> Result<Report, ImportError> {
        import.caller.require(Role::Editor)?;
        for file in &import.files {
            FileFormat::of(file)?;
        }
        let model = self.catalog.writable(import.caller.organization, import.model.as_ref()).await?;
        let job = Job { import, model: &model, standing, stop };
        // Somebody who makes an index of nothing has done so in a moment; one who died holds it a little longer.
        let deadline = Instant::now() + self.settings.index_lease * 3 / 2;
        while self.wants_bulk(&model.id).await? && Instant::now() < deadline && !stop.is_cancelled() {
            let bulk = self.bulk(job);
            let lease = self.settings.index_lease;
            match self.owner.alone_with_model_index(&model.id, self.holder, lease, bulk).await? {
                Some(done) => return done,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        self.write(job, Arrival::Unsettled).await
    }

    /// Whether the index is to be built after the rows: where there is none to keep, or nothing in it.
    async fn wants_bulk(&self, model: &ModelId) -> Result<bool, StoreError> {
        Ok(!self.owner.has_model_index(model).await? || !self.owner.has_current_rows(model).await?)
    }

    /// Writes everything while there is no index, and builds it once. A stopped import leaves it out, so that its next run
    /// goes on like this.
    async fn bulk(&self, job: Job<'_>) -> Result<Report, ImportError> {
        // The lease was waited for, and others write meanwhile.
        if !self.wants_bulk(&job.model.id).await? {
            return self.write(job, Arrival::Unsettled).await;
        }
        self.owner.drop_model_index(&job.model.id).await?;
        let written = self.write(job, Arrival::Settled).await;
        let built = match &written {
            Ok(report) if report.stopped => Ok(IndexFate::Left),
            // After a failure too: who knows when the next run is.
            _ => self.build_index(job).await,
        };
        match (written, built) {
            (Ok(report), Ok(index)) => Ok(Report { index, ..report }),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(error),
            (Err(error), Err(also)) => {
                tracing::warn!(error = %also, "the model's index was not built either; maintenance does so");
                Err(error)
            }
        }
    }

    async fn build_index(&self, job: Job<'_>) -> Result<IndexFate, StoreError> {
        job.standing.send_replace(Standing::Building);
        let started = Instant::now();
        let built = tokio::select! {
            built = self.owner.build_model_index(job.model) => built,
            () = job.stop.cancelled() => return Ok(IndexFate::Left),
        };
        built?;
        self.owner.refresh_statistics().await?;
        Ok(IndexFate::Built(started.elapsed()))
    }

    /// Writes the files' rows.
    async fn write(&self, job: Job<'_>, arrival: Arrival) -> Result<Report, ImportError> {
        let ingestor = self.ingestor.bulk(self.settings.batch_rows, arrival);
        let door = Door {
            ingestor: &ingestor,
            caller: &job.import.caller,
            model: &job.model.id,
            limits: Limits { rows: 3 * self.settings.batch_rows, bytes: self.settings.in_flight_bytes },
            standing: job.standing,
            stop: job.stop,
        };
        let mut files = Vec::with_capacity(job.import.files.len());
        for file in &job.import.files {
            if job.stop.is_cancelled() {
                break;
            }
            files.push(FileRun::open(door, file.clone()).await?.run().await?);
        }
        let stopped = job.stop.is_cancelled();
        if !stopped {
            // All of them together: a run that goes on would read the files before it once more.
            for path in &job.import.files {
                let forgotten = Progress::forget(path);
                forgotten.map_err(|cause| ImportError::File {
                    path: path.clone(),
                    action: "have its progress removed",
                    cause,
                })?;
            }
        }
        Ok(Report { files, index: IndexFate::Kept, stopped })
    }
}
