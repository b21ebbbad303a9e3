//! Built partitions on the local disk, so that a restart need not read and build them again, and the vectors of those that
//! are in memory.
//!
//! A file a partition, written beside its place and then renamed; what is old, foreign or damaged is removed and made again
//! from the database. The folder and its files are open to their owner alone, and together no larger than the limit.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::domain::{Model, Revision};
use crate::index::{Built, IndexError, PartitionKey, Settings, UNFINISHED};

/// A partition of fewer rows is read from the database as fast.
const FEWEST_ROWS: usize = 1_000;
/// While a partition changes its snapshot is no older than this for long, but not written again sooner either: its change
/// log leads on from it, and the disk is the one that commits wait for.
const APART: Duration = Duration::from_secs(60);
const ENDING: &str = "snapshot";

/// The snapshots of one database.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    limit: u64,
    database: String,
    takes_vectors: bool,
}

impl Snapshots {
    /// Snapshots in `folder`, which is made where it is missing, of at most `limit` bytes together. `database` tells the
    /// database from every other. Vectors of loaded partitions lie there, too, if it `takes_vectors`.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(folder: PathBuf, limit: u64, database: String, takes_vectors: bool) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, limit, database, takes_vectors })
    }

    /// The snapshots that lie in `folder`, to be looked at only: nothing is made, kept or removed there.
    pub fn at(folder: PathBuf, database: String) -> Self {
        Self { folder, limit: 0, database, takes_vectors: false }
    }

    /// Whether something lies where a partition's snapshot would.
    pub(super) fn has(&self, key: &PartitionKey) -> bool {
        self.path(key).exists()
    }

    /// The snapshot of a partition, where there is one that the change log leads on from: of a revision from `oldest` to
    /// `newest`. Reads the disk, and removes what cannot be used.
    pub(super) fn load(
        &self,
        settings: &Settings,
        key: &PartitionKey,
        model: &Model,
        oldest: Revision,
        newest: Revision,
    ) -> Option<Built> {
        let outcome = match self.read(settings, key, model)? {
            Ok(built) if (oldest..=newest).contains(&built.revision()) => {
                metrics::counter!("kindred_mirror_snapshots_total", "outcome" => "loaded").increment(1);
                return Some(built);
            }
            Ok(built) => {
                format!("it is of revision {}, and the change log goes from {oldest} to {newest}", built.revision())
            }
            Err(error) => error.to_string(),
        };
        metrics::counter!("kindred_mirror_snapshots_total", "outcome" => "refused").increment(1);
        tracing::info!(partition = %key, "a snapshot is not used, the partition is read from the database: {outcome}");
        let _ = fs::remove_file(self.path(key));
        None
    }

    /// The snapshot of a partition as it lies there, where there is one. Reads the disk, and changes nothing.
    pub(super) fn read(
        &self,
        settings: &Settings,
        key: &PartitionKey,
        model: &Model,
    ) -> Option<Result<Built, IndexError>> {
        let path = self.path(key);
        path.exists().then(|| Built::load(&self.database, settings, key, model.dimensions, &path, self.takes_vectors))
    }

    /// Keeps a partition, if it is large, and where it changes still, if it was not kept a moment ago. Writes the disk. A
    /// failure costs nothing but the time that it would have saved.
    pub(super) fn save(&self, settings: &Settings, built: &Built) {
        let path = self.path(built.key());
        if built.rows() < FEWEST_ROWS || (built.is_grown() && is_recent(&path)) {
            return;
        }
        match built.save(&self.database, settings, &path) {
            Ok(()) => {
                metrics::counter!("kindred_mirror_snapshots_total", "outcome" => "saved").increment(1);
                self.prune(&path);
            }
            Err(error) => {
                metrics::counter!("kindred_mirror_snapshots_total", "outcome" => "failed").increment(1);
                tracing::warn!(partition = %built.key(), path = %path.display(), %error, "the snapshot could not be written");
            }
        }
    }

    /// Removes what was written longest ago, until the rest is within the limit, and what an ended process left half
    /// written.
    fn prune(&self, newest: &Path) {
        let files = self.files();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (written, size, path) in files {
            let half = path.extension().is_some_and(|ending| ending == UNFINISHED)
                && written.elapsed().is_ok_and(|age| age.as_secs() > 3_600);
            if half || (bytes > self.limit && path != newest) {
                let _ = fs::remove_file(&path);
                bytes -= size;
            }
        }
    }

    /// Moves a partition's vectors out of memory onto this disk, where it can do with looking at few of them. Writes the
    /// disk. Where that fails they stay in memory.
    pub(super) fn take_vectors(&self, built: &mut Built) {
        if self.takes_vectors
            && let Err(error) = built.move_vectors_to_disk(&self.folder)
        {
            metrics::counter!("kindred_mirror_failures_total").increment(1);
            let (partition, folder) = (built.key(), self.folder.display());
            tracing::warn!(%partition, %folder, %error, "vectors stay in memory: they could not be written to the disk");
        }
    }

    /// The partitions that have a snapshot, what was written last first, as many as fit into `bytes`.
    pub(super) fn kept(&self, bytes: u64) -> Vec<PartitionKey> {
        let newest_first = self.files().into_iter().rev();
        let snapshots = newest_first.filter_map(|(_, size, path)| Some((size, key_of(&path)?)));
        let mut taken = 0;
        let fits = |(size, key): (u64, PartitionKey)| {
            taken += size;
            (taken <= bytes).then_some(key)
        };
        snapshots.map_while(fits).collect()
    }

    /// When each file was written, its size, and its path; the oldest first.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let about = |entry: fs::DirEntry| {
            let about = entry.metadata().ok()?;
            Some((about.modified().ok()?, about.len(), entry.path()))
        };
        let mut files: Vec<_> = entries.filter_map(about).collect();
        files.sort();
        files
    }

    /// Where a partition's snapshot lies.
    pub(super) fn path(&self, key: &PartitionKey) -> PathBuf {
        self.folder.join(format!("{}-{}.{ENDING}", key.organization, key.model))
    }
}

/// Whether a file was written less than [`APART`] ago.
fn is_recent(path: &Path) -> bool {
    let written = path.metadata().and_then(|about| about.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age < APART))
}

/// The partition that a file is of, by its name: an id of 36 characters, a dash, and the model.
fn key_of(path: &Path) -> Option<PartitionKey> {
    let name = path.file_name()?.to_str()?.strip_suffix(&format!(".{ENDING}"))?;
    let (organization, model) = name.split_at_checked(36)?;
    Some(PartitionKey { organization: organization.parse().ok()?, model: model.strip_prefix('-')?.parse().ok()? })
}
