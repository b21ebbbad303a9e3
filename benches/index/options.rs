//! What is measured.

use std::path::PathBuf;

use kindred::index::Builder;

use crate::data::Wanted;

/// The arguments.
pub(crate) struct Options {
    pub(crate) rows: usize,
    pub(crate) dimensions: usize,
    pub(crate) queries: usize,
    pub(crate) vectors: Option<PathBuf>,
    pub(crate) mixed: Option<usize>,
    pub(crate) threads: usize,
    pub(crate) builder: Builder,
    pub(crate) compressed: bool,
    pub(crate) filters: bool,
    pub(crate) hnsw_rs: bool,
    pub(crate) hnswlib: bool,
}

impl Options {
    /// The vectors that are wanted.
    pub(crate) fn vectors(&self) -> Wanted {
        Wanted {
            rows: self.rows,
            dimensions: self.dimensions,
            queries: self.queries,
            vectors: self.vectors.clone(),
            mixed: self.mixed,
        }
    }

    /// Panics where it does not know an argument.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            rows: 50_000,
            dimensions: 384,
            queries: 500,
            vectors: None,
            mixed: None,
            threads: 1,
            builder: Builder::Own,
            compressed: true,
            filters: false,
            hnsw_rs: false,
            hnswlib: false,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            match name.as_str() {
                "--rows" => options.rows = value().parse().unwrap(),
                "--dimensions" => options.dimensions = value().parse().unwrap(),
                "--queries" => options.queries = value().parse().unwrap(),
                "--vectors" => options.vectors = Some(value().into()),
                "--mixed" => options.mixed = Some(value().parse().unwrap()),
                "--threads" => options.threads = value().parse().unwrap(),
                "--builder" => {
                    options.builder = match value().as_str() {
                        "own" => Builder::Own,
                        "hnsw_rs" => Builder::HnswRs,
                        other => panic!("no builder is called {other}"),
                    }
                }
                "--uncompressed" => options.compressed = false,
                "--filters" => options.filters = true,
                "--hnsw-rs" => options.hnsw_rs = true,
                "--hnswlib" => options.hnswlib = true,
                // What cargo gives to every bench.
                "--bench" => {}
                other => panic!("{other} is no argument of this bench"),
            }
        }
        options
    }
}
