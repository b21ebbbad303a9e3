//! The graph: hierarchical navigable small worlds (Malkov and Yashunin, arXiv:1603.09320), built by hnsw_rs and searched
//! here.
//!
//! The only file that names hnsw_rs. What that crate does not stand is kept from it: dot products above 1, early points
//! that miss each other in parallel, equal vectors that crowd all others out of a node's neighbours, and settings out of
//! range. It is not used to search, because it takes a single step in each upper layer: among well separated clusters
//! such a search begins in a wrong one and finds nothing of the right one.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;
use ndarray::{Array2, ArrayView2};
use roaring::RoaringBitmap;

use super::cosine::{cosine, dot};
use super::graph::{Graph, Scored, best};
use super::settings::Settings;

const MAX_LAYERS: usize = 16;
/// So many nodes are inserted one by one before the rest come in parallel: among the first ones, those that meet no
/// entry point yet would stay without a neighbour for ever.
const SERIAL_NODES: usize = 1_000;
/// Candidates weighed in the layers above the lowest. The paper takes 1; a few more find a way where the best one is at a
/// dead end.
const UPPER_EF: usize = 8;

/// 1 - cosine of unit vectors; rounding never makes it negative, which hnsw_rs asserts.
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, left: &[f32], right: &[f32]) -> f32 {
        (1.0 - dot(left, right)).max(0.0)
    }
}

/// A graph over the rows of a matrix of unit vectors. Rows with equal vectors share a node.
pub(super) struct HnswGraph {
    matrix: Arc<Array2<f32>>,
    /// Rows, node after node.
    rows: Vec<u32>,
    /// Where a node's rows begin in `rows`, and at last where they end.
    starts: Vec<u32>,
    /// From the lowest layer, which links all nodes, up.
    layers: Vec<Layer>,
    /// The nodes of the highest layer.
    top: Vec<u32>,
}

/// The links of one layer: those of node n are `links[starts[n]..starts[n + 1]]`.
struct Layer {
    starts: Vec<usize>,
    links: Vec<u32>,
}

/// A node and its cosine similarity to the query; greater is nearer, ties go to the lower node.
#[derive(Clone, Copy, PartialEq)]
struct Near {
    score: f32,
    node: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl HnswGraph {
    /// Builds the graph of `matrix` (rows × dimensions, unit vectors, fewer than 2³² rows). CPU heavy; uses the threads
    /// of rayon's pool.
    pub(super) fn build(matrix: Arc<Array2<f32>>, settings: &Settings) -> Self {
        let (rows, starts) = nodes_of(matrix.nrows() as u32, |row| row_of(matrix.view(), row));
        let nodes = starts.len() - 1;
        let m = settings.m.clamp(2, 256);
        let hnsw = Hnsw::new(m, nodes.max(1), MAX_LAYERS, settings.ef_construction.max(m), UnitCosine);
        let data: Vec<(&[f32], usize)> =
            (0..nodes).map(|node| (row_of(matrix.view(), rows[starts[node] as usize]), node)).collect();
        let (serial, parallel) = data.split_at(nodes.min(SERIAL_NODES));
        serial.iter().for_each(|point| hnsw.insert_slice(*point));
        // Even an empty batch would wait for rayon's pool, behind the builds of others.
        if !parallel.is_empty() {
            hnsw.parallel_insert_slice(&parallel.to_vec());
        }
        drop(data);
        let (layers, top) = if nodes == 0 { Default::default() } else { layers_of(&hnsw, nodes) };
        Self { matrix, rows, starts, layers, top }
    }

    /// The bytes it takes beside the matrix.
    pub(super) fn bytes(&self) -> usize {
        let layer = |layer: &Layer| size_of_val(layer.starts.as_slice()) + size_of_val(layer.links.as_slice());
        let nodes = (self.rows.len() + self.starts.len() + self.top.len()) * size_of::<u32>();
        nodes + self.layers.iter().map(layer).sum::<usize>()
    }

    /// Examines itself: every one of `rows` rows is in one node, and links lead to nodes.
    pub(super) fn check(&self, rows: usize) -> Result<(), String> {
        let mut sorted = self.rows.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rows as u32) {
            return Err(format!("the nodes of the graph hold {} rows, not each of {rows} once", sorted.len()));
        }
        let nodes = self.starts.len() - 1;
        for layer in &self.layers {
            let ends = layer.starts.len() == nodes + 1 && layer.starts.is_sorted();
            if !ends || layer.links.iter().chain(&self.top).any(|node| *node as usize >= nodes) {
                return Err(format!("a layer of the graph has links beyond its {nodes} nodes"));
            }
        }
        if self.top.is_empty() == (nodes == 0) { Ok(()) } else { Err(format!("{nodes} nodes, entries {:?}", self.top)) }
    }

    fn rows_of(&self, node: u32) -> &[u32] {
        &self.rows[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    fn near(&self, query: &[f32], node: u32) -> Near {
        let row = self.rows[self.starts[node as usize] as usize];
        Near { score: cosine(query, row_of(self.matrix.view(), row)), node }
    }

    /// The `ef` nodes nearest to the query that are found from `entries` along the links of a layer (algorithm 2 of the
    /// paper).
    fn search_layer(&self, query: &[f32], entries: Vec<Near>, ef: usize, layer: &Layer) -> Vec<Near> {
        let mut seen = vec![false; self.starts.len() - 1];
        entries.iter().for_each(|entry| seen[entry.node as usize] = true);
        let mut nearest: BinaryHeap<Reverse<Near>> = entries.iter().copied().map(Reverse).collect();
        let mut open = BinaryHeap::from(entries);
        while let Some(next) = open.pop() {
            if nearest.len() >= ef && nearest.peek().is_some_and(|worst| next < worst.0) {
                break;
            }
            for node in layer.links_of(next.node) {
                if std::mem::replace(&mut seen[*node as usize], true) {
                    continue;
                }
                let near = self.near(query, *node);
                if nearest.len() < ef || nearest.peek().is_some_and(|worst| near > worst.0) {
                    open.push(near);
                    nearest.push(Reverse(near));
                    if nearest.len() > ef {
                        nearest.pop();
                    }
                }
            }
        }
        nearest.into_iter().map(|near| near.0).collect()
    }
}

impl Graph for HnswGraph {
    /// Weighs the `ef` nearest nodes and keeps what is admitted. So a filter costs no recall, whatever it has to do with
    /// the query; it may leave fewer than `k` rows.
    fn search(&self, query: &[f32], k: usize, ef: usize, admit: &RoaringBitmap) -> Vec<Scored> {
        if k == 0 || admit.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Near> = self.top.iter().map(|node| self.near(query, *node)).collect();
        for (at, layer) in self.layers.iter().enumerate().rev() {
            found = self.search_layer(query, found, if at == 0 { ef.max(k) } else { UPPER_EF }, layer);
        }
        let scored = found.into_iter().flat_map(|near| {
            let rows = self.rows_of(near.node).iter().filter(|row| admit.contains(**row));
            rows.map(move |row| (*row, near.score))
        });
        best(scored.collect(), k)
    }
}

impl Layer {
    fn links_of(&self, node: u32) -> &[u32] {
        &self.links[self.starts[node as usize]..self.starts[node as usize + 1]]
    }
}

fn row_of(matrix: ArrayView2<'_, f32>, row: u32) -> &[f32] {
    let from = row as usize * matrix.ncols();
    &matrix.to_slice().expect("a segment's matrix is contiguous, row after row")[from..from + matrix.ncols()]
}

/// Reads the links of a graph of at least one node out of hnsw_rs: its layers, and the nodes of the highest.
fn layers_of(hnsw: &Hnsw<'_, f32, UnitCosine>, nodes: usize) -> (Vec<Layer>, Vec<u32>) {
    let points = hnsw.get_point_indexation();
    let highest = usize::from(points.get_max_level_observed());
    let mut neighbours = vec![Vec::new(); nodes];
    for point in points {
        neighbours[point.get_origin_id()] = point.get_neighborhood_id();
    }
    let layer = |at: usize| {
        let mut layer = Layer { starts: vec![0], links: Vec::new() };
        for lists in &neighbours {
            layer.links.extend(lists.get(at).into_iter().flatten().map(|neighbour| neighbour.d_id as u32));
            layer.starts.push(layer.links.len());
        }
        layer
    };
    let top = points.get_layer_iterator(highest).map(|point| point.get_origin_id() as u32);
    ((0..=highest).map(layer).collect(), top.collect())
}

/// Gathers rows of equal vectors: the rows, node after node in the order of their first row, and where each node begins.
fn nodes_of<'a>(rows: u32, vector: impl Fn(u32) -> &'a [f32]) -> (Vec<u32>, Vec<u32>) {
    let order = |left: &u32, right: &u32| {
        let pairs = vector(*left).iter().zip(vector(*right));
        pairs.map(|(left, right)| left.total_cmp(right)).find(|order| order.is_ne()).unwrap_or_else(|| left.cmp(right))
    };
    let mut sorted: Vec<u32> = (0..rows).collect();
    sorted.sort_unstable_by(order);
    let mut nodes: Vec<&[u32]> = sorted.chunk_by(|left, right| vector(*left) == vector(*right)).collect();
    nodes.sort_unstable_by_key(|node| node[0]);
    let mut starts = vec![0];
    starts.extend(nodes.iter().scan(0, |end, node| {
        *end += node.len() as u32;
        Some(*end)
    }));
    (nodes.concat(), starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_equal_vectors_share_a_node() {
        let vectors = [[0.0_f32, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.6, 0.8]];
        let (rows, starts) = nodes_of(5, |row| &vectors[row as usize]);
        assert_eq!((rows, starts), (vec![0, 2, 1, 3, 4], vec![0, 2, 4, 5]));
        assert_eq!(nodes_of(0, |_| &[]), (vec![], vec![0]));
    }

    #[test]
    fn distances_are_never_negative() {
        let long = [0.6_f32, 0.800_000_1];
        assert_eq!(UnitCosine.eval(&long, &long), 0.0);
        assert_eq!(UnitCosine.eval(&[1.0, 0.0], &[-1.0, 0.0]), 2.0);
    }
}
