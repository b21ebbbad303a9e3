//! What an operator may set.

use std::time::Duration;

/// Who builds graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Builder {
    /// The room's own, many times as fast as hnsw_rs.
    #[default]
    Own,
    /// hnsw_rs.
    HnswRs,
}

/// Sizes and limits of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A sealed segment of fewer rows has no graph and is scanned exactly. Default 4,096.
    pub exact_below: usize,
    /// So many rows in the tail, and it is sealed; so many dead ones, if they are half as many as live, and all is
    /// built anew.
    /// At least 1; default 4,096.
    pub tail_limit: usize,
    /// A partition that has not changed for so long becomes one segment. Default 30 s.
    pub compact_after: Duration,
    /// Neighbours a graph node keeps per layer (twice as many in the lowest). 2 to 256; default 16.
    pub m: usize,
    /// Candidates weighed when a node is put into the graph. Default 200.
    pub ef_construction: usize,
    /// Who builds graphs. Default the room's own.
    pub builder: Builder,
    /// Threads that one build runs on; 0, the default, is half as many as the machine has cores.
    pub build_threads: usize,
    /// Whether graphs are walked, and rows scanned, by codes of one byte a component, a quarter of the vectors in addition
    /// to them; what is found is scored by the vectors as they are. Default true.
    pub compressed: bool,
    /// The fewest candidates weighed when the graph is searched. Default 128.
    pub ef_search: usize,
    /// Bytes all partitions together may take before the least used ones leave. Default 1 GiB.
    pub memory_budget_bytes: u64,
    /// How many rows are scanned in the time in which a search of the graph weighs one candidate. A filter that admits
    /// fewer than that for all its candidates is answered by scanning just those; where it admits only a share of the rows,
    /// so that the graph takes longer, the limit grows with that. Default 20, as measured for 384 dimensions; 0 takes the
    /// graph wherever there is one.
    pub rows_a_candidate: usize,
}

impl Settings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        exact_below: 4_096,
        tail_limit: 4_096,
        compact_after: Duration::from_secs(30),
        m: 16,
        ef_construction: 200,
        builder: Builder::Own,
        build_threads: 0,
        compressed: true,
        ef_search: 128,
        memory_budget_bytes: 1 << 30,
        rows_a_candidate: 20,
    };

    /// The same with this share of the candidates of searches, at least one.
    pub(super) fn with_effort(self, share: f64) -> Self {
        Self { ef_search: (self.ef_search as f64 * share).ceil() as usize, ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
