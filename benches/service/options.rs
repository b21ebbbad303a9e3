//! What was asked for.

use crate::data::Wanted;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) child: Option<String>,
    pub(crate) seconds: u64,
    pub(crate) ef: usize,
    pub(crate) wanted: Wanted,
    pub(crate) writes: u64,
}

impl Options {
    /// Reads the arguments; cargo's own `--bench` is passed over.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { child: None, seconds: 5, ef: 64, wanted: Wanted::new(20_000), writes: 0 };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(flag) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{flag} wants a value"));
            if options.wanted.take(&flag, || value.clone()) {
                continue;
            }
            let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{flag} wants a number, not {value}"));
            match flag.as_str() {
                "--child" => options.child = Some(value),
                "--seconds" => options.seconds = number() as u64,
                "--ef" => options.ef = number(),
                "--writes" => options.writes = number() as u64,
                _ => panic!("{flag} is not known"),
            }
        }
        options
    }
}
