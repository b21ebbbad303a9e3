//! Measures the index against its peers: recall, CPU time of a query on one thread, CPU time of a build, memory.
//!
//! ```sh
//! cargo bench --bench index -- [--texts FILE] [--full] [--threads N] [--picture FILE.svg]
//! cargo bench --bench index -- [--rows N] [--dimensions D] [--queries N] [--vectors FILE | --texts FILE] [--mixed N]
//!     [--threads N] [--builder own|hnsw_rs] [--uncompressed] [--in-memory] [--filters] [--hnsw-rs] [--hnswlib]
//! ```
//!
//! The first form measures a suite of sets with all peers in the same run, `--full` a larger one, and draws recall against
//! queries a second; the second form measures one set. Vectors are seeded clusters, those of a FILE of little-endian f32,
//! or of texts, one a line, that are embedded by the local model once; the last ones are the queries. `--mixed N` takes N
//! vectors mixed from them with noise instead, which are harder to search. CPU times are the system's own, so that a busy
//! machine shows less; the least of several rounds counts.
#![allow(clippy::unwrap_used)]

mod data;
mod kindred_index;
mod measure;
mod options;
mod peers;
mod picture;
mod report;

use kindred_index::Index;
use measure::Curve;
use options::{Options, Set};

fn main() {
    let options = Options::from_arguments(std::env::args().skip(1));
    let measured: Vec<(String, Vec<Curve>)> =
        options.sets.iter().map(|set| (set.name.clone(), measure(set, options.threads))).collect();
    report::print(&measured);
    if let Some(file) = &options.picture {
        std::fs::write(file, picture::draw(&measured)).unwrap();
    }
}

fn measure(set: &Set, threads: usize) -> Vec<Curve> {
    let data = data::Data::new(&set.wanted);
    let (rows, queries, by) = (data.rows.len(), data.queries.len(), kindred::index::instructions());
    println!("\n{}: {rows} vectors of {} dimensions, {queries} queries, by {by}", set.name, data.dimensions);
    let mut curves = Vec::new();
    let mut truth = Vec::new();
    for (at, kind) in set.kinds.iter().enumerate() {
        let index = Index::build(&data, *kind, threads);
        if at == 0 {
            truth = index.truth(&data.queries);
        }
        curves.push(index.sweep(&data, &truth));
        if at == 0 && set.filters {
            index.filters(&data);
        }
    }
    if set.hnsw_rs {
        curves.push(peers::hnsw_rs(&data, &truth, threads));
    }
    if set.hnswlib {
        curves.extend(peers::hnswlib(&data, &truth, threads));
    }
    curves
}
