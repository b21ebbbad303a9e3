//! One file, from where an earlier run ended to its end.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::line::as_written;
use super::progress::{Place, Progress};
use super::read_ahead::{Portions, ReadAhead, Row};
use super::rejects::Rejects;
use super::{FileFormat, FileReport, ImportError, Standing};
use crate::domain::{Classify, Invalid, Kind, ModelId, Outcome};
use crate::ingest::{IngestError, Ingestor, Pending};
use crate::tenancy::Caller;

/// How often it is kept how far the file has come.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Refusals that wait to be told, in bytes.
const REJECTS_BYTES: usize = 1 << 20;

/// How much may be on its way to the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// What every file of an import shares.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    pub(super) ingestor: &'a Ingestor,
    pub(super) caller: &'a Caller,
    pub(super) model: &'a ModelId,
    pub(super) limits: Limits,
    pub(super) standing: &'a watch::Sender<Standing>,
    pub(super) stop: &'a CancellationToken,
}

/// A row on its way.
struct Waiting {
    place: Place,
    bytes: usize,
    flat: bool,
    answer: Answer,
}

enum Answer {
    Pending(Pending),
    Refused(Invalid),
    Failed(IngestError),
}

/// A file that is being imported.
pub(super) struct FileRun<'a> {
    door: Door<'a>,
    path: PathBuf,
    format: FileFormat,
    length: u64,
    progress: Progress,
    rejects: Rejects,
    /// In the order of the file, so that all before the first of them is done.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    kept_at: Instant,
}

impl<'a> FileRun<'a> {
    /// Opens a file, and finds out how far it was imported.
    pub(super) async fn open(door: Door<'a>, path: PathBuf) -> Result<Self, ImportError> {
        let format = FileFormat::of(&path)?;
        let (organization, model, looked_at) = (door.caller.organization, door.model.clone(), path.clone());
        let (length, progress) = blocking(&path, move || {
            let progress = Progress::of(&looked_at, organization, &model);
            let progress = progress.map_err(|cause| failed(&looked_at, "be read", cause))?;
            Ok((format.length(&looked_at)?, progress))
        })
        .await?;
        let rejects = Rejects::of(&path, format.row_name(), progress.rejects_bytes);
        Ok(Self {
            door,
            path,
            format,
            length,
            progress,
            rejects,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            kept_at: Instant::now(),
        })
    }

    /// Writes what is missing of the file; to its end, unless the import is stopped.
    pub(super) async fn run(mut self) -> Result<FileReport, ImportError> {
        let (started, earlier_rows) = (Instant::now(), self.progress.counts.rows());
        let mut unknown = BTreeSet::new();
        if !self.progress.done {
            // Now, so that a folder that cannot be written is told before an hour's work.
            self.keep().await?;
            unknown = self.read_and_write().await?;
        }
        let refused = self.progress.counts.refused > 0;
        Ok(FileReport {
            counts: self.progress.counts,
            earlier_rows,
            took: started.elapsed(),
            rejects: refused.then(|| self.rejects.path().to_owned()),
            unknown,
            path: self.path,
            format: self.format,
        })
    }

    async fn read_and_write(&mut self) -> Result<BTreeSet<String>, ImportError> {
        let (ahead, portions) = ReadAhead::channel();
        let (format, path, from, model) =
            (self.format, self.path.clone(), self.progress.place, self.door.model.clone());
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || format.read(&path, from, &model, ahead));
        let written = self.write(portions).await;
        // Whatever became of it: what is acknowledged need not be read again.
        let kept = self.keep().await;
        written?;
        kept?;
        let lost = || ImportError::Lost { path: self.path.clone() };
        let unknown = reading.join_next().await.ok_or_else(lost)?.map_err(|_| lost())??;
        if !self.door.stop.is_cancelled() {
            self.progress.done = true;
            self.keep().await?;
        }
        Ok(unknown)
    }

    /// Writes rows as they come, and waits for the acknowledgements of all.
    async fn write(&mut self, mut portions: Portions) -> Result<(), ImportError> {
        loop {
            let portion = tokio::select! {
                biased;
                () = self.door.stop.cancelled() => None,
                portion = portions.recv() => portion,
            };
            let Some(portion) = portion else { break };
            for row in portion {
                while self.is_full() {
                    self.acknowledge().await?;
                }
                self.submit(row).await;
            }
            self.tell();
        }
        while !self.waiting.is_empty() {
            self.acknowledge().await?;
        }
        self.tell();
        Ok(())
    }

    fn is_full(&self) -> bool {
        let limits = self.door.limits;
        self.waiting.len() >= limits.rows || self.waiting_bytes >= limits.bytes
    }

    async fn submit(&mut self, row: Row) {
        let answer = match row.draft {
            Ok(draft) => match self.door.ingestor.submit(self.door.caller, draft).await {
                Ok(pending) => Answer::Pending(pending),
                Err(error) => Answer::Failed(error),
            },
            Err(invalid) => Answer::Refused(invalid),
        };
        let place = Place { rows: row.number, offset: row.end };
        self.waiting.push_back(Waiting { place, bytes: row.bytes, flat: row.flat, answer });
        self.waiting_bytes += row.bytes;
    }

    /// Waits for what became of the oldest row on its way.
    ///
    /// # Errors
    /// Where it was not written for a reason that is not its own: then all before it is done.
    async fn acknowledge(&mut self) -> Result<(), ImportError> {
        let Some(Waiting { place, bytes, flat, answer }) = self.waiting.pop_front() else { return Ok(()) };
        self.waiting_bytes -= bytes;
        let outcome = match answer {
            Answer::Pending(pending) => pending.outcome().await,
            Answer::Failed(error) => Err(error),
            Answer::Refused(invalid) => Err(invalid.into()),
        };
        let counts = &mut self.progress.counts;
        let refused = match outcome {
            Ok(Outcome::Created { .. }) => {
                counts.created += 1;
                None
            }
            Ok(Outcome::NewVersion { .. }) => {
                counts.new_versions += 1;
                None
            }
            Ok(Outcome::Unchanged { .. }) => {
                counts.unchanged += 1;
                None
            }
            Ok(Outcome::Conflict { reason, .. }) => Some(Invalid::new("expected_version", reason)),
            Err(cause) => match refusal(&cause) {
                Some(invalid) => Some(invalid),
                None => return Err(ImportError::Row { path: self.path.clone(), row: place.rows, cause }),
            },
        };
        if let Some(invalid) = refused {
            counts.refused += 1;
            self.rejects.add(place.rows, &as_written(invalid, flat));
        }
        self.progress.place = place;
        if self.kept_at.elapsed() >= KEEP_EVERY || self.rejects.waiting() >= REJECTS_BYTES {
            self.keep().await?;
        }
        Ok(())
    }

    /// Keeps how far the file has come: the refusals first, since what is kept says how long they are.
    async fn keep(&mut self) -> Result<(), ImportError> {
        let (path, mut progress, mut rejects) =
            (self.path.clone(), self.progress.clone(), std::mem::take(&mut self.rejects));
        let written = blocking(&self.path, move || {
            let told = rejects.write();
            progress.rejects_bytes = told.map_err(|cause| failed(rejects.path(), "be written", cause))?;
            let saved = progress.save(&path);
            saved.map_err(|cause| failed(&path, "have its progress kept beside it", cause))?;
            Ok((progress, rejects))
        });
        (self.progress, self.rejects) = written.await?;
        self.kept_at = Instant::now();
        Ok(())
    }

    fn tell(&self) {
        self.door.standing.send_replace(Standing::Writing {
            path: self.path.clone(),
            position: self.format.position(self.progress.place),
            length: self.length,
            counts: self.progress.counts,
        });
    }
}

/// What is wrong with the row itself; `None` where the trouble is not the row's, and the next one would have it too.
fn refusal(error: &IngestError) -> Option<Invalid> {
    match error {
        IngestError::Invalid(invalid) => Some(invalid.clone()),
        IngestError::NoEmbedder { .. } => Some(Invalid::new("vector", format!("is missing: {error}"))),
        IngestError::Embed(_) if error.kind() == Kind::Invalid => Some(Invalid::new("text", error.to_string())),
        _ => None,
    }
}

fn failed(path: &std::path::Path, action: &'static str, cause: std::io::Error) -> ImportError {
    ImportError::File { path: path.to_owned(), action, cause }
}

/// Runs what waits for the disk on a thread for that.
async fn blocking<T: Send + 'static>(
    path: &std::path::Path,
    work: impl FnOnce() -> Result<T, ImportError> + Send + 'static,
) -> Result<T, ImportError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ImportError::Lost { path: path.to_owned() }))
}
