//! What an operator may set.

/// Sizes and limits of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A sealed segment of fewer rows has no graph and is scanned exactly. Default 10,000.
    pub exact_below: usize,
    /// So many rows in the tail or dead, and a rebuild is due. At least 1; default 4,096.
    pub tail_limit: usize,
    /// Neighbours a graph node keeps per layer (twice as many in the lowest). 2 to 256; default 16.
    pub m: usize,
    /// Candidates weighed when a node is put into the graph. Default 200.
    pub ef_construction: usize,
    /// The fewest candidates weighed when the graph is searched. Default 64.
    pub ef_search: usize,
    /// Bytes all partitions together may take before the least recently used ones leave. Default 1 GiB.
    pub memory_budget_bytes: u64,
    /// A filter that admits fewer rows is answered by scanning just those; where it admits only a share of the rows, so
    /// that a graph search takes longer, the limit is this divided by that share. Default 5,000.
    pub exact_filter_below: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exact_below: 10_000,
            tail_limit: 4_096,
            m: 16,
            ef_construction: 200,
            ef_search: 64,
            memory_budget_bytes: 1 << 30,
            exact_filter_below: 5_000,
        }
    }
}
