//! How far a file was imported, kept beside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use crate::domain::{ModelId, OrganizationId};

/// The form of the kept file; one of another form is not believed.
const FORMAT: u32 = 1;
/// What a file is told apart by, beside size and time.
const HEAD_BYTES: u64 = 64 * 1024;

/// A place between two rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// Rows before it; lines of JSON lines, blank ones too.
    pub(super) rows: u64,
    /// Bytes before it; 0 where rows are found by their number.
    pub(super) offset: u64,
}

/// Tells a file from others, and from itself after it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    bytes: u64,
    modified_us: u64,
    head: String,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Self {
            bytes: metadata.len(),
            modified_us: u64::try_from(modified.as_micros()).unwrap_or(u64::MAX),
            head: blake3::hash(&head).to_hex().to_string(),
        })
    }
}

/// How far a file was imported: everything before `place` is durable, or was refused and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    format: u32,
    organization: OrganizationId,
    model: ModelId,
    file: Identity,
    pub(super) place: Place,
    pub(super) counts: Counts,
    /// Bytes of the file of refusals that belong to rows before `place`.
    pub(super) rejects_bytes: u64,
    pub(super) done: bool,
}

impl Progress {
    /// What is kept of an import of `path`, or its beginning: where nothing is kept, or what is kept belongs to another
    /// organization, model or content, or cannot be read. Importing anew is harmless, since what is unchanged is not written.
    pub(super) fn of(path: &Path, organization: OrganizationId, model: &ModelId) -> io::Result<Self> {
        let begun = Self {
            format: FORMAT,
            organization,
            model: model.clone(),
            file: Identity::of(path)?,
            place: Place::default(),
            counts: Counts::default(),
            rejects_bytes: 0,
            done: false,
        };
        let kept = match fs::read(kept_at(path)) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(begun),
            Err(error) => return Err(error),
        };
        Ok(begun.or_further(&kept))
    }

    /// What is kept, where it is of the same import.
    fn or_further(self, kept: &[u8]) -> Self {
        match serde_json::from_slice::<Self>(kept) {
            Ok(kept)
                if (kept.format, kept.organization, &kept.model, &kept.file)
                    == (self.format, self.organization, &self.model, &self.file) =>
            {
                kept
            }
            _ => self,
        }
    }

    /// Keeps it: a reader finds the old one or the new one, whole.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let (kept, new) = (kept_at(path), beside(path, ".progress.new"));
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(new, kept)
    }

    /// Removes what is kept.
    pub(super) fn forget(path: &Path) -> io::Result<()> {
        match fs::remove_file(kept_at(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn kept_at(path: &Path) -> PathBuf {
    beside(path, ".progress")
}

/// The file whose name has `ending` after that of `path`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new("import")).to_owned();
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn organization(number: u128) -> OrganizationId {
        OrganizationId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn an_import_is_found_again_and_no_other_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posts.jsonl");
        fs::write(&path, "{}\n").expect("written");
        let model: ModelId = "words-64".parse().expect("an id");
        let begun = Progress::of(&path, organization(1), &model).expect("begun");
        assert_eq!(begun.place, Place::default());
        let further = Progress { place: Place { rows: 1, offset: 3 }, ..begun.clone() };
        further.save(&path).expect("saved");
        assert_eq!(Progress::of(&path, organization(1), &model).expect("found"), further);
        // Another organization, another model, another content, another form: from the beginning.
        assert_eq!(Progress::of(&path, organization(2), &model).expect("begun").place, Place::default());
        let other = "other".parse().expect("an id");
        assert_eq!(Progress::of(&path, organization(1), &other).expect("begun").place, Place::default());
        assert_eq!(begun.clone().or_further(b"{\"format\":1}"), begun);
        assert_eq!(begun.clone().or_further(b""), begun);
        fs::OpenOptions::new().append(true).open(&path).expect("opened").write_all(b"{}\n").expect("written");
        assert_eq!(Progress::of(&path, organization(1), &model).expect("begun").place, Place::default());
        Progress::forget(&path).expect("removed");
        Progress::forget(&path).expect("nothing to remove");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
    }
}
