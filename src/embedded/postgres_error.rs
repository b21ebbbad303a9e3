//! Why the embedded Postgres does not run, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Classify, Kind};

/// The embedded Postgres does not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PostgresError {
    /// As root: the other account that Postgres runs under cannot reach a folder.
    #[error(
        "{} is closed to other accounts, and Postgres refuses to run as root, so it runs as uid {uid} and must reach {}; \
         open the folder with `chmod o+x {}`, run Kindred as an ordinary user, or set {setting} to another place",
        .closed.display(), .path.display(), .closed.display()
    )]
    Unreachable {
        /// What has to be reached.
        path: PathBuf,
        /// The folder that is closed.
        closed: PathBuf,
        /// Who has to.
        uid: u32,
        /// The setting that names the place.
        setting: &'static str,
    },
    /// The data directory cannot be written.
    #[error("cannot write to the data directory {} ({reason}); make it writable or set KINDRED_DATA_DIR to one that is", .path.display())]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left for the data directory {}; free some or set KINDRED_DATA_DIR to another disk", .path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
    },
    /// The data belongs to somebody else.
    #[error(
        "the data directory {} belongs to uid {owner}, and this process runs as uid {ours}; run Kindred as that user, or \
         give the folder away with `chown -R {ours} {}`",
        .path.display(), .path.display()
    )]
    WrongOwner {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
    /// There is something in the folder, but no cluster.
    #[error("{} holds files but no Postgres cluster; move them away or set KINDRED_DATA_DIR to another folder", .path.display())]
    NotACluster {
        /// Where.
        path: PathBuf,
    },
    /// The cluster was made by another major version.
    #[error(
        "the data directory {} was made by Postgres {found} and this release brings Postgres {ours}; dump it with the \
         release that made it (`pg_dump`), move the folder away, start again and restore",
        .path.display()
    )]
    WrongVersion {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version of the binaries.
        ours: String,
    },
    /// The binaries do not run here.
    #[error(
        "the Postgres binaries in {} do not run on this machine ({reason}); they need glibc 2.28 or macOS 11; remove the \
         folder so that it is fetched again, or set DATABASE_URL to a Postgres with pgvector instead",
        .path.display()
    )]
    Binaries {
        /// Where.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Somebody else holds the data directory.
    #[error("another kindred uses this data directory (pid {pid}): {}; stop it, or set KINDRED_DATA_DIR to another folder", .path.display())]
    InUse {
        /// Where.
        path: PathBuf,
        /// Who, as far as is known.
        pid: String,
    },
    /// The cluster is there and its passwords are not.
    #[error(
        "the data directory {} has no usable {} beside it ({reason}), so nobody can log in; restore that file from a \
         backup, or move both away to start empty",
        .data.display(), .path.display()
    )]
    Credentials {
        /// The data.
        data: PathBuf,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The server refuses a password of ours.
    #[error(
        "the embedded Postgres refuses the password in {}; the file belongs to another data directory: restore the one \
         that was made together with this cluster",
        .path.display()
    )]
    PasswordRefused {
        /// The file.
        path: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb could not make a Postgres cluster in {}; it said:\n{said}", .path.display())]
    Init {
        /// Where.
        path: PathBuf,
        /// Its last lines.
        said: String,
    },
    /// Somebody else listens on the port.
    #[error(
        "port {port} of 127.0.0.1 is in use; stop what listens there, or set another port or none for the embedded Postgres"
    )]
    PortInUse {
        /// Which.
        port: u16,
    },
    /// The server ended instead of starting.
    #[error("the embedded Postgres ended while it was starting ({status}); it said:\n{said}")]
    Start {
        /// How it ended.
        status: String,
        /// Its last lines.
        said: String,
    },
    /// The server does not answer in time.
    #[error(
        "the embedded Postgres did not answer within {seconds} s of its start; after a crash it may need longer to read its \
         log again: raise the start timeout. It said:\n{said}"
    )]
    StartTimeout {
        /// The limit.
        seconds: u64,
        /// Its last lines.
        said: String,
    },
    /// A server from before still runs on this data.
    #[error(
        "a Postgres from an earlier run still uses this data directory (pid {pid}) and does not end; stop it with `kill -QUIT {pid}` and start again"
    )]
    Leftover {
        /// Its process.
        pid: u32,
    },
    /// It died too often.
    #[error("the embedded Postgres ended {times} times in a row and is not started again; last: {reason}")]
    GaveUp {
        /// How often.
        times: u32,
        /// Why, the last time.
        reason: String,
    },
    /// It does not stop.
    #[error("the embedded Postgres could not be stopped within {seconds} s")]
    Stop {
        /// The limit.
        seconds: u64,
    },
    /// A running server of another user.
    #[error("{} belongs to another user; run this command as the user that runs Kindred", .path.display())]
    OtherUser {
        /// The file that cannot be read.
        path: PathBuf,
    },
    /// A running Kindred whose Postgres does not answer.
    #[error(
        "kindred (pid {pid}) uses this data directory, but its Postgres does not answer ({reason}); try again, and look at its log"
    )]
    Silent {
        /// The other process.
        pid: u32,
        /// What happened.
        reason: String,
    },
    /// Another failure of the file system or of a process.
    #[error("cannot {doing} {}: {reason}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
}

impl PostgresError {
    /// Gives an error of the file system the message that names its fix.
    pub(super) fn io(doing: &'static str, path: &Path, source: &io::Error) -> Self {
        let (path, reason) = (path.to_owned(), source.to_string());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Unwritable { path, reason },
            _ => Self::Io { doing, path, reason },
        }
    }
}

impl Classify for PostgresError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } | Self::Init { .. } => Kind::Internal,
            Self::OtherUser { .. } => Kind::Denied,
            Self::Start { .. }
            | Self::StartTimeout { .. }
            | Self::GaveUp { .. }
            | Self::Stop { .. }
            | Self::Silent { .. }
            | Self::Leftover { .. } => Kind::Unavailable,
            _ => Kind::FailedPrecondition,
        }
    }
}
