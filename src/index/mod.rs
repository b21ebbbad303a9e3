//! Partitions, graphs and filters in memory. The room knows no SQL, and no clock but that of the CPU time its builders take,
//! and never learns who feeds it.
//!
//! A partition is what one organization has by one model. It is a sealed segment (with a graph where it is large), a
//! tail of small blocks that are scanned, and the rows of both that are dead. The only [`IndexWriter`] applies
//! changes in the order of revisions and swaps in a new immutable snapshot after each; every [`IndexReader`] takes the
//! snapshot of the moment as a [`PartitionView`] and is never in the writer's way. When tail and dead rows have grown,
//! a [`Rebuild`] makes a new sealed segment aside, and `install` swaps it in.
//!
//! A graph is built by `builder` or by hnsw_rs (`hnsw`), its missing links are added (`links`), and its nodes renumbered so
//! that neighbours lie together (`layers`). `flat_graph` searches it: `walk` goes by codes of one byte a component
//! (`codes`), and what it finds is scored by the vectors as they are. Where a graph
//! has found enough, the tail is looked through by one bit a component (`sketches`). `planner` decides between walk and
//! scan, from what a filter admits (`attributes`, `admission`).

mod admission;
mod attributes;
mod bits;
mod blocks;
mod builder;
mod built;
mod codes;
mod commits;
mod cosine;
mod digest;
mod entry;
mod error;
mod exact;
mod flat_graph;
mod graph;
mod heir;
mod hnsw;
mod kernels;
#[cfg(target_arch = "aarch64")]
mod kernels_arm;
#[cfg(target_arch = "x86_64")]
mod kernels_x86;
mod layers;
mod links;
mod nodes;
mod pages;
mod partition;
mod planner;
mod popularity;
mod reader;
mod requests;
mod saved;
mod schedule;
mod scorer;
mod scrambled;
mod segment;
mod settings;
mod shared;
mod sketches;
mod snapshot;
mod tail;
mod threads;
mod vectors;
mod view;
mod walk;
mod writer;

#[cfg(test)]
mod graph_contract;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod recall_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod shape_tests;

pub use built::{Built, Rebuild};
pub use commits::Commit;
pub use digest::Digest;
pub use entry::PartitionKey;
pub use error::IndexError;
pub use kernels::instructions;
pub use reader::{IndexReader, PartitionStatus};
pub use requests::Request;
pub use saved::UNFINISHED;
pub use settings::{Builder, Settings};
pub use threads::in_background;
pub use view::{Found, PartitionView};
pub use writer::{Gone, IndexWriter, open};
