//! Which rows a graph's nodes stand for: rows of equal vectors share one.

use std::hash::{DefaultHasher, Hasher};

use super::threads::giving_way;
use super::vectors::VectorsView;

/// The rows of each node.
#[derive(Debug, PartialEq)]
pub(super) struct Nodes {
    /// Rows, node after node.
    rows: Vec<u32>,
    /// Where a node's rows begin in `rows`, and at last where they end.
    starts: Vec<u32>,
    /// The node of each row.
    nodes: Vec<u32>,
}

impl Nodes {
    /// Gathers the rows of equal vectors, fewer than 2³² rows. Nodes are in the order of their first row.
    pub(super) fn new(vectors: VectorsView<'_>) -> Self {
        Self::by_hash(vectors, |row| hash(vectors.row(row)))
    }

    /// The same by hashes that are known and the same for rows of equal vectors, so that only vectors that share theirs are
    /// looked at.
    pub(super) fn by_hash(vectors: VectorsView<'_>, mut known: impl FnMut(u32) -> u64) -> Self {
        let vector = |row: u32| vectors.row(row);
        let mut hashed: Vec<(u64, u32)> = giving_way(0..vectors.len() as u32).map(|row| (known(row), row)).collect();
        hashed.sort_unstable();
        // What is known may be a hash of codes, which many vectors that lie close together can have in common.
        for alike in hashed.chunk_by_mut(|left, right| left.0 == right.0).filter(|alike| alike.len() > 1) {
            giving_way(alike.iter_mut()).for_each(|(hash, row)| *hash = self::hash(vector(*row)));
            alike.sort_unstable();
        }
        // The nodes of each hash: nearly always one.
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for alike in giving_way(hashed.chunk_by(|left, right| left.0 == right.0)) {
            let first = groups.len();
            for (_, row) in alike {
                match groups[first..].iter_mut().find(|group| vector(group[0]) == vector(*row)) {
                    Some(group) => group.push(*row),
                    None => groups.push(vec![*row]),
                }
            }
        }
        groups.sort_unstable_by_key(|group| group[0]);
        Self::from_groups(groups.iter().map(Vec::as_slice))
    }

    /// Gives all that it is made of.
    pub(super) fn each_number<E>(&self, give: &mut impl FnMut(&[u32]) -> Result<(), E>) -> Result<(), E> {
        give(&self.rows)?;
        give(&self.starts)?;
        give(&self.nodes)
    }

    /// What [`Nodes::each_number`] gave of so many nodes of so many rows.
    pub(super) fn read<E>(
        rows: usize,
        nodes: usize,
        read: &mut impl FnMut(usize) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        Ok(Self { rows: read(rows)?, starts: read(nodes.saturating_add(1))?, nodes: read(rows)? })
    }

    fn from_groups<'a>(groups: impl Iterator<Item = &'a [u32]>) -> Self {
        let (mut rows, mut starts) = (Vec::new(), vec![0]);
        for group in groups {
            rows.extend_from_slice(group);
            starts.push(rows.len() as u32);
        }
        let mut nodes = vec![0; rows.len()];
        for (node, range) in (0..).zip(starts.windows(2)) {
            rows[range[0] as usize..range[1] as usize].iter().for_each(|row: &u32| nodes[*row as usize] = node);
        }
        Self { rows, starts, nodes }
    }

    /// The same nodes in another order: the n-th is what `order[n]` was.
    pub(super) fn reordered(&self, order: &[u32]) -> Self {
        Self::from_groups(order.iter().map(|node| self.rows_of(*node)))
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A node's rows, at least one, ascending.
    pub(super) fn rows_of(&self, node: u32) -> &[u32] {
        if self.len() == self.rows.len() {
            // A row each, as nearly always: one look at memory less.
            return std::slice::from_ref(&self.rows[node as usize]);
        }
        &self.rows[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    /// The first row of a node.
    pub(super) fn first_row(&self, node: u32) -> u32 {
        self.rows_of(node)[0]
    }

    /// The node of a row.
    pub(super) fn of_row(&self, row: u32) -> u32 {
        self.nodes[row as usize]
    }

    /// The bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        [&self.rows, &self.starts, &self.nodes].into_iter().map(|numbers| size_of_val(numbers.as_slice())).sum()
    }

    /// Examines itself: every one of `rows` rows is in one node.
    pub(super) fn check(&self, rows: usize) -> Result<(), String> {
        let mut sorted = self.rows.clone();
        sorted.sort_unstable();
        if sorted.iter().copied().eq(0..rows as u32) && self.starts.is_sorted_by(|left, right| left < right) {
            return Ok(());
        }
        Err(format!("the nodes of the graph hold {} rows, not each of {rows} once", sorted.len()))
    }
}

/// The same for vectors that are equal; 0 and -0 are.
fn hash(vector: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Two at once: the hasher takes as long for four bytes as for eight.
    let bits = |component: &f32| u64::from((component + 0.0).to_bits());
    vector.chunks(2).for_each(|pair| hasher.write_u64(pair.iter().fold(0, |all, one| all << 32 | bits(one))));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;
    use crate::index::vectors::Vectors;

    #[test]
    fn rows_of_equal_vectors_share_a_node() {
        let matrix = arr2(&[[0.0_f32, 1.0], [1.0, 0.0], [-0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]);
        let vectors = Vectors::new(matrix);
        let nodes = Nodes::new(vectors.view());
        assert_eq!((nodes.rows.clone(), nodes.starts.clone()), (vec![0, 2, 1, 3, 4], vec![0, 2, 4, 5]));
        for known in [|row| u64::from(row % 2), |_| 7] {
            assert_eq!(Nodes::by_hash(vectors.view(), known), nodes);
        }
        let reordered = nodes.reordered(&[2, 0, 1]);
        assert_eq!((reordered.rows_of(0), reordered.rows_of(1)), (&[4][..], &[0, 2][..]));
        assert_eq!((reordered.first_row(2), reordered.of_row(3), reordered.check(5)), (1, 2, Ok(())));
        assert_eq!(Nodes::new(Vectors::new(Array2::zeros((0, 3))).view()).len(), 0);
    }
}
