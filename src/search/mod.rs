//! What is alike? The planner sends a search to the mirror or to Postgres; the answer says which, and as of when.
//!
//! The room never learns who feeds the index: it reads a partition's snapshot, or demands that it be loaded and asks
//! Postgres meanwhile.

mod error;
mod planner;
mod query;
mod searcher;

pub use error::SearchError;
pub use query::{Answer, Hit, SearchQuery, SimilarQuery, Subject, Target};
pub use searcher::{SearchSettings, Searcher};
