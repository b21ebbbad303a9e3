//! Embeddings in bulk, from files: JSON lines or Parquet, through the same rules as every other draft.
//!
//! A thread reads rows ahead of the database ([`FileFormat`] names what it can read); each becomes a
//! [`crate::domain::Draft`] or a refusal that names its row and field. [`Importer`] gives drafts to a bulk door of
//! [`crate::ingest::Ingestor`], waits for their acknowledgements in the order of the file, and keeps beside it how far it
//! has come, so that it can go on there. While a model has no rows, its HNSW index is taken away and built once at the end.

mod counts;
mod error;
mod file_run;
mod format;
mod importer;
mod json_line;
mod jsonl;
mod line;
mod parquet_fields;
mod parquet_rows;
mod progress;
mod read_ahead;
mod rejects;
mod report;

pub use counts::Counts;
pub use error::ImportError;
pub use format::FileFormat;
pub use importer::{Import, ImportSettings, Importer};
pub use rejects::is_refusals;
pub use report::{FileReport, IndexFate, Report, Standing};
