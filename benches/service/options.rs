//! What was asked for.

use std::path::PathBuf;

use crate::data::Wanted;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) child: Option<String>,
    pub(crate) rows: usize,
    pub(crate) dimensions: usize,
    pub(crate) queries: usize,
    pub(crate) seconds: u64,
    pub(crate) ef: usize,
    pub(crate) vectors: Option<PathBuf>,
    pub(crate) mixed: Option<usize>,
    pub(crate) writes: u64,
}

impl Options {
    /// Reads the arguments; cargo's own `--bench` is passed over.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            child: None,
            rows: 20_000,
            dimensions: 384,
            queries: 500,
            seconds: 5,
            ef: 64,
            vectors: None,
            mixed: None,
            writes: 0,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(flag) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{flag} wants a value"));
            let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{flag} wants a number, not {value}"));
            match flag.as_str() {
                "--child" => options.child = Some(value),
                "--rows" => options.rows = number(),
                "--dimensions" => options.dimensions = number(),
                "--queries" => options.queries = number(),
                "--seconds" => options.seconds = number() as u64,
                "--ef" => options.ef = number(),
                "--vectors" => options.vectors = Some(value.into()),
                "--mixed" => options.mixed = Some(number()),
                "--writes" => options.writes = number() as u64,
                _ => panic!("{flag} is not known"),
            }
        }
        options
    }

    /// The vectors that are wanted.
    pub(crate) fn data(&self) -> Wanted {
        Wanted {
            rows: self.rows,
            dimensions: self.dimensions,
            queries: self.queries,
            vectors: self.vectors.clone(),
            mixed: self.mixed,
        }
    }
}
