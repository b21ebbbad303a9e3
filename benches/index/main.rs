//! Measures the index against its peers: recall, CPU time of a query on one thread, CPU time of a build, memory.
//!
//! ```sh
//! cargo bench --bench index -- [--texts FILE] [--full] [--threads N] [--picture FILE.svg]
//! cargo bench --bench index -- [--rows N] [--dimensions D] [--queries N] [--vectors FILE | --texts FILE] [--mixed N]
//!     [--threads N] [--builder own|hnsw_rs] [--uncompressed] [--in-memory] [--filters] [--growth]
//!     [--churn TIMES] [--hnsw-rs] [--hnswlib]
//! ```
//!
//! The first form measures a suite of sets with all peers in the same run, `--full` a larger one, and draws recall against
//! queries a second; the second form measures one set. Vectors are seeded clusters, those of a FILE of little-endian f32,
//! or of texts, one a line, that are embedded by the local model once; the last ones are the queries. `--mixed N` takes N
//! vectors mixed from them with noise instead, which are harder to search. `--growth` and `--churn TIMES` say what rebuilds
//! take with rows that come, and with rows that are replaced so many times each. CPU times are the system's own, so that a
//! busy machine shows less; indexes are searched in turn, and the least of several rounds counts.
#![allow(clippy::unwrap_used)]

mod data;
mod kindred_index;
mod measure;
mod options;
mod peers;
mod picture;
mod report;

use kindred_index::KindredIndex;
use measure::{Curve, Index};
use options::{Options, Set};
use peers::{HnswRs, Hnswlib};

fn main() {
    let options = Options::from_arguments(std::env::args().skip(1));
    let mut measured: Vec<(String, Vec<Curve>)> = Vec::new();
    for set in &options.sets {
        let curves = measure(set, options.threads);
        report::print(&set.name, &curves);
        measured.push((set.name.clone(), curves));
        // After each, so that one who stops waiting has what was measured.
        if let Some(file) = &options.picture {
            std::fs::write(file, picture::draw(&measured)).unwrap();
        }
    }
}

fn measure(set: &Set, threads: usize) -> Vec<Curve> {
    let data = data::Data::new(&set.wanted);
    let (rows, queries, by) = (data.rows.len(), data.queries.len(), kindred::index::instructions());
    println!("\n{}: {rows} vectors of {} dimensions, {queries} queries, by {by}", set.name, data.dimensions);
    if set.growth {
        KindredIndex::grow(&data, set.kinds[0], threads);
    }
    if set.churn > 0 {
        KindredIndex::churn(&data, set.kinds[0], threads, set.churn);
    }
    let first = KindredIndex::build(&data, set.kinds[0], threads);
    let truth = first.truth(&data.queries);
    if set.filters {
        first.filters(&data);
    }
    let mut indexes: Vec<Box<dyn Index + '_>> = vec![Box::new(first)];
    for kind in &set.kinds[1..] {
        indexes.push(Box::new(KindredIndex::build(&data, *kind, threads)));
    }
    if set.hnsw_rs {
        indexes.push(Box::new(HnswRs::build(&data, threads)));
    }
    if set.hnswlib
        && let Some(hnswlib) = Hnswlib::build(&data, &truth, threads)
    {
        indexes.push(Box::new(hnswlib));
    }
    measure::sweep(&mut indexes, &data, &truth)
}
