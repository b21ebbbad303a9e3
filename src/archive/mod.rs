//! Whole months out of the database and back: Parquet files in an object store, each with a manifest beside it.
//!
//! # A month leaves, in steps
//!
//! 1. The database notes that a part is begun (`archive_parts`). Whatever happens below, the next run knows of it.
//! 2. One snapshot of the month is written to the store as a Parquet file.
//! 3. The file is read back from the store, and its rows are compared with those that were read, by count and checksum.
//! 4. The month is locked against writers, its rows are read once more, and compared too: a row that came meanwhile makes
//!    the attempt begin anew.
//! 5. The manifest is written. A file without one does not exist.
//! 6. One transaction drops the partition and notes that the part holds it.
//!
//! A run that ends anywhere before the last step leaves the month where it was; the next one removes what the store has of
//! the attempt, and begins anew. The row of step 1 decides between two runs that do not know of each other: the last step
//! holds it, removing declares it abandoned first.
//!
//! Rows that come late for a month that left lie in the default partition, and leave as a further part of their month.

mod archiver;
mod archives;
mod checksum;
mod error;
mod inventory;
mod manifest;
mod objects;
mod parquet_columns;
mod parquet_reader;
mod parquet_writer;
mod policy;
mod restore;
mod steps;
mod target;
mod upload;

pub use archiver::{Archived, Archiver};
pub use archives::{Archives, Outcome};
pub use checksum::RowSum;
pub use error::ArchiveError;
pub use inventory::{StoredPart, Verification};
pub use manifest::{Manifest, PartName};
pub use objects::ArchiveStore;
pub use policy::Policy;
pub use restore::Restored;
pub use target::{StoreUrl, Target};

pub use crate::store::{MonthPlace, MonthRows, MonthlyTable};
