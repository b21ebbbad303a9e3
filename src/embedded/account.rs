//! The account Postgres runs under: ours, or another one where we are root, which it refuses.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PostgresError, running_as_root};

/// "nobody": it has no files of its own, and every machine knows it.
const NOBODY: u32 = 65_534;

/// An account other than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    gid: u32,
}

impl Account {
    /// Who runs the server on this data; `None` means we do. As root it is the owner of the data, so that a single
    /// start as root does not lock the user out, or [`NOBODY`].
    ///
    /// # Errors
    /// Where we are an ordinary user and the data is somebody else's.
    pub(super) fn for_data(data: &Path) -> Result<Option<Self>, PostgresError> {
        let owner = match fs::metadata(data) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(PostgresError::io("look at", data, &error)),
        };
        if !running_as_root() {
            let ours = rustix::process::geteuid().as_raw();
            return match owner {
                Some((owner, _)) if owner != ours => {
                    Err(PostgresError::WrongOwner { path: data.to_owned(), owner, ours })
                }
                _ => Ok(None),
            };
        }
        Ok(Some(match owner {
            Some((uid, gid)) if uid != 0 => Self { uid, gid },
            _ => Self { uid: NOBODY, gid: NOBODY },
        }))
    }

    /// Makes the command run under this account, without any further groups.
    pub(super) fn run(self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        // The standard library drops the supplementary groups when root sets a uid.
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives it a file or a folder.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Gives it a folder and all below, following no link.
    pub(super) fn own_all(self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_all(&entry?.path())?;
            }
        }
        self.own(path)
    }

    /// Refuses a path that this account cannot reach because a folder above is closed.
    pub(super) fn require_reach(self, path: &Path, setting: &'static str) -> Result<(), PostgresError> {
        match first_closed(path, self.uid) {
            Some(closed) => Err(PostgresError::Unreachable { path: path.to_owned(), closed, uid: self.uid, setting }),
            None => Ok(()),
        }
    }
}

/// The outermost folder on the way to `path`, itself included, that `uid` may not enter.
fn first_closed(path: &Path, uid: u32) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let mut folders: Vec<_> = path.ancestors().collect();
    folders.reverse();
    let closed = |folder: &&Path| {
        fs::metadata(folder).is_ok_and(|metadata| {
            metadata.is_dir() && metadata.permissions().mode() & 0o001 == 0 && metadata.uid() != uid
        })
    };
    folders.into_iter().find(closed).map(Path::to_owned)
}

/// Postgres refuses a data folder that others may read.
pub(super) fn close(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_folders_are_found_outermost_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("outer/inner"));
        fs::create_dir_all(&inner).expect("made");
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
        set(folder.path(), 0o711);
        set(&outer, 0o700);
        let stranger = fs::metadata(&outer).expect("there").uid().wrapping_add(7);
        let outer = fs::canonicalize(outer).expect("there");
        assert_eq!(first_closed(&inner, stranger), Some(outer.clone()));
        set(&outer, 0o711);
        set(&inner, 0o711);
        assert_eq!(first_closed(&inner, stranger), None);
    }
}
