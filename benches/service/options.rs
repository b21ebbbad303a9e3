//! What was asked for.

use crate::data::Wanted;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) ef: usize,
    pub(crate) wanted: Wanted,
    /// Vectors a second that come in while searches run.
    pub(crate) writes: u64,
    /// How many milliseconds lie between those that come in together.
    pub(crate) writes_apart: u64,
    /// Whether they take the place of rows that are there.
    pub(crate) writes_replace: bool,
    /// Searches by this ef_search beside writes, and nothing else.
    pub(crate) beside_writes: usize,
    /// So many callers upsert one vector at a time, one number of them after the other, and nothing else.
    pub(crate) upserts: Vec<usize>,
    /// So many restarts, and nothing else.
    pub(crate) restarts: usize,
    /// So many organizations instead of one, which share the rows.
    pub(crate) tenants: usize,
    /// So many texts are embedded on the way in, and nothing else is measured.
    pub(crate) ingest_texts: usize,
    /// Whether the service computes the model that is brought along.
    pub(crate) local_model: bool,
    /// What the mirror may take.
    pub(crate) memory_mib: u64,
    /// Whether the service brings rows into pgvector's index.
    pub(crate) settles: bool,
    /// Which server to be, and what with.
    pub(crate) child: Option<String>,
    pub(crate) app_url: String,
    pub(crate) owner_url: String,
    pub(crate) data_dir: String,
}

impl Options {
    /// Reads the arguments; cargo's own `--bench` is passed over.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            seconds: 5,
            ef: 64,
            wanted: Wanted::new(20_000),
            writes: 1_000,
            writes_apart: 100,
            writes_replace: false,
            beside_writes: 0,
            upserts: Vec::new(),
            restarts: 0,
            tenants: 1,
            ingest_texts: 0,
            local_model: false,
            memory_mib: 4_096,
            settles: true,
            child: None,
            app_url: String::new(),
            owner_url: String::new(),
            data_dir: String::new(),
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(flag) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{flag} wants a value"));
            if options.wanted.take(&flag, || value.clone()) {
                continue;
            }
            let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{flag} wants a number, not {value}"));
            match flag.as_str() {
                "--seconds" => options.seconds = number() as u64,
                "--ef" => options.ef = number(),
                "--writes" => options.writes = number() as u64,
                "--writes-apart" => options.writes_apart = number() as u64,
                "--writes-replace" => options.writes_replace = value == "true",
                "--beside-writes" => options.beside_writes = number(),
                "--upserts" => options.upserts = value.split(',').map(|callers| callers.parse().unwrap()).collect(),
                "--restarts" => options.restarts = number(),
                "--tenants" => options.tenants = number(),
                "--ingest-texts" => options.ingest_texts = number(),
                "--local-model" => options.local_model = value == "true",
                "--memory-mib" => options.memory_mib = number() as u64,
                "--settles" => options.settles = value == "true",
                "--child" => options.child = Some(value),
                "--app-url" => options.app_url = value,
                "--owner-url" => options.owner_url = value,
                "--data-dir" => options.data_dir = value,
                _ => panic!("{flag} is not known"),
            }
        }
        options
    }
}
