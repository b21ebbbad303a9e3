//! What is measured.

use kindred::index::Builder;

use crate::data::Wanted;

/// The arguments.
pub(crate) struct Options {
    pub(crate) wanted: Wanted,
    pub(crate) threads: usize,
    pub(crate) builder: Builder,
    pub(crate) compressed: bool,
    pub(crate) vectors_on_disk: bool,
    pub(crate) filters: bool,
    pub(crate) hnsw_rs: bool,
    pub(crate) hnswlib: bool,
}

impl Options {
    /// Panics where it does not know an argument.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            wanted: Wanted::new(50_000),
            threads: 1,
            builder: Builder::Own,
            compressed: true,
            vectors_on_disk: true,
            filters: false,
            hnsw_rs: false,
            hnswlib: false,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            if options.wanted.take(&name, &mut value) {
                continue;
            }
            match name.as_str() {
                "--threads" => options.threads = value().parse().unwrap(),
                "--builder" => {
                    options.builder = match value().as_str() {
                        "own" => Builder::Own,
                        "hnsw_rs" => Builder::HnswRs,
                        other => panic!("no builder is called {other}"),
                    }
                }
                "--uncompressed" => options.compressed = false,
                "--in-memory" => options.vectors_on_disk = false,
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
