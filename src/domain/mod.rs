//! The values Kindred speaks of: ids, vectors, models, drafts, versions, changes, filters, hits and errors.
//!
//! Pure: no clock, disk, network or runtime; time is an argument. Everything here has been checked when it was made,
//! so that no room below has to check it again.

mod change;
mod draft;
mod entity;
mod entry;
mod error;
mod filter;
mod hit;
mod ids;
mod model;
mod month;
mod vector;
mod version;

pub use change::{Change, ChangeKind};
pub use draft::{Attributes, ChunkDraft, Draft, LongText, MAX_CHUNKS, MAX_METADATA_BYTES, MAX_TAGS, MAX_TEXT_BYTES};
pub use entity::{EmbeddingKey, EntityRef, EntityType, SourceField};
pub use entry::{Delta, Entry};
pub use error::{Classify, Invalid, Kind, Violation};
pub use filter::{Filter, TimeRange};
pub use hit::{ChunkHit, Provenance, ServedBy};
pub use ids::{ContextLogId, EmbeddingId, KeyId, ModelId, OrganizationId, Revision, UserId};
pub use model::{Model, Purpose};
pub use month::Month;
pub use vector::{MAX_DIMENSIONS, Vector};
pub use version::{Chunk, Outcome, Version, VersionInfo};
