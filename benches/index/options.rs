//! What is measured.

use std::path::PathBuf;

use kindred::index::Builder;

use crate::data::Wanted;
use crate::kindred_index::Kind;

/// Sets of more components than this are measured without an uncompressed index of ours: 100,000 vectors of 384 dimensions.
const LARGE: usize = 40_000_000;
/// Sets of more vectors than this are measured without hnsw_rs, which would build for an hour.
const LARGEST: usize = 200_000;

/// The arguments.
pub(crate) struct Options {
    pub(crate) sets: Vec<Set>,
    pub(crate) threads: usize,
    pub(crate) picture: Option<PathBuf>,
}

/// Vectors, and what is measured on them.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) filters: bool,
    pub(crate) growth: bool,
    /// How many times each row is replaced.
    pub(crate) churn: usize,
    pub(crate) hnsw_rs: bool,
    pub(crate) hnswlib: bool,
}

const DEFAULT: Kind = Kind { builder: Builder::Own, compressed: true, vectors_on_disk: true };

impl Options {
    /// Panics where it does not know an argument.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut own = Set {
            name: "as asked for".to_owned(),
            wanted: Wanted::new(50_000),
            kinds: vec![DEFAULT],
            filters: false,
            growth: false,
            churn: 0,
            hnsw_rs: false,
            hnswlib: false,
        };
        let (mut suite, mut full) = (true, false);
        let (mut threads, mut picture) = (1, None);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            if own.wanted.take(&name, &mut value) {
                suite &= name == "--texts";
                continue;
            }
            match name.as_str() {
                "--full" => full = true,
                "--threads" => threads = value().parse().unwrap(),
                "--picture" => picture = Some(value().into()),
                "--builder" => {
                    own.kinds[0].builder = match value().as_str() {
                        "own" => Builder::Own,
                        "hnsw_rs" => Builder::HnswRs,
                        other => panic!("no builder is called {other}"),
                    }
                }
                "--uncompressed" => own.kinds[0].compressed = false,
                "--in-memory" => own.kinds[0].vectors_on_disk = false,
                "--filters" => own.filters = true,
                "--growth" => own.growth = true,
                "--churn" => own.churn = value().parse().unwrap(),
                "--hnsw-rs" => own.hnsw_rs = true,
                "--hnswlib" => own.hnswlib = true,
                // What cargo gives to every bench.
                "--bench" => {}
                other => panic!("{other} is no argument of this bench"),
            }
        }
        let sets = if suite { self::suite(&own.wanted, full) } else { vec![own] };
        Self { sets, threads, picture }
    }
}

/// Real vectors where there are texts, and mixed ones of growing number.
fn suite(wanted: &Wanted, full: bool) -> Vec<Set> {
    let set = |name: &str, wanted: Wanted| {
        let rows = wanted.mixed.unwrap_or(wanted.rows);
        let large = rows * wanted.dimensions > LARGE;
        let uncompressed = Kind { compressed: false, ..DEFAULT };
        Set {
            name: name.to_owned(),
            filters: wanted.mixed.is_none() && !large,
            growth: false,
            churn: 0,
            kinds: if large { vec![DEFAULT] } else { vec![DEFAULT, uncompressed] },
            hnsw_rs: rows <= LARGEST,
            hnswlib: true,
            wanted,
        }
    };
    let mixed = |rows: usize| Wanted { mixed: Some(rows), rows: 50_000, ..wanted.clone() };
    let first = if wanted.texts.is_some() { "texts" } else { "clusters of 50,000" };
    let mut sets = vec![
        set(first, Wanted { queries: 1_000, ..wanted.clone() }),
        set("10,000 mixed", mixed(10_000)),
        set("100,000 mixed", mixed(100_000)),
    ];
    if full {
        let wide = Wanted { rows: 100_000, dimensions: 1_536, texts: None, ..wanted.clone() };
        sets.push(set("100,000 clusters of 1,536 dimensions", wide));
        sets.push(set("200,000 mixed", mixed(200_000)));
        sets.push(set("1,000,000 mixed", mixed(1_000_000)));
    }
    sets
}
