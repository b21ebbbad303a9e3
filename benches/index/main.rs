//! Measures the index against its peers: recall, CPU time of a query on one thread, CPU time of a build, memory.
//!
//! ```sh
//! cargo bench --bench index -- [--rows N] [--dimensions D] [--queries N] [--vectors FILE] [--mixed N] [--threads N]
//!     [--builder own|hnsw_rs] [--uncompressed] [--filters] [--hnsw-rs] [--hnswlib]
//! ```
//!
//! Vectors are seeded clusters, or those of a FILE of little-endian f32, the last of which are the queries. `--mixed N`
//! takes N vectors mixed from them with noise instead, which are harder to search. `--hnsw-rs` and `--hnswlib` measure
//! those peers in the same run. CPU times are the system's own, so that a busy machine shows less; the least of several
//! rounds counts.
#![allow(clippy::unwrap_used)]

mod data;
mod kindred_index;
mod measure;
mod options;
mod peers;

fn main() {
    let options = options::Options::from_arguments(std::env::args().skip(1));
    let data = data::Data::new(&options.wanted);
    let (rows, queries, by) = (data.rows.len(), data.queries.len(), kindred::index::instructions());
    println!("{rows} vectors of {} dimensions, {queries} queries, by {by}", data.dimensions);
    let index = kindred_index::Index::build(&data, &options);
    let truth = index.truth(&data.queries);
    index.sweep(&data, &truth);
    if options.filters {
        index.filters(&data);
    }
    if options.hnsw_rs {
        peers::hnsw_rs(&data, &truth, options.threads);
    }
    if options.hnswlib {
        peers::hnswlib(&data, &truth, options.threads);
    }
}
