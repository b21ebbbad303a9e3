//! Builds a graph (algorithm 1 of the HNSW paper) in batches.
//!
//! The nodes of a batch look for their neighbours side by side in the graph as it was before the batch, and are linked
//! afterwards, each node's links by one thread. So nothing is locked, and the graph is the same whatever the number of
//! threads.

use rayon::prelude::*;

use super::layers::Layers;
use super::links::{at_most, select};
use super::scorer::Scorer;
use super::scrambled::scrambled;
use super::threads::{give_way, giving_way};
use super::walk::{Scratch, descend, walk};

/// A batch is a so small part of the nodes that were linked before it: its nodes do not see each other. Those of an older
/// graph do not count, since what comes may be far from all of them.
const BATCH_SHARE: usize = 32;
const LARGEST_BATCH: usize = 4_096;

/// The neighbours that a new node found: the layer, and the nodes.
type Found = Vec<(usize, Vec<u32>)>;

/// What it takes to build a graph.
pub(super) struct Plan {
    /// Neighbours a node has, at most, on each layer, and twice as many in the lowest.
    pub(super) m: usize,
    /// Candidates weighed for them.
    pub(super) ef: usize,
    /// Candidates weighed in layers above the node's own.
    pub(super) upper_ef: usize,
}

/// The highest layer of each of `nodes` nodes, by a random draw that is always the same.
pub(super) fn levels(nodes: usize, m: usize) -> Vec<u8> {
    const MOST: f64 = 15.0;
    let scale = 1.0 / (m.max(2) as f64).ln();
    let level = |node: u64| {
        let share = (scrambled(node) >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - share).ln() * scale).min(MOST) as u8
    };
    (0..nodes as u64).map(level).collect()
}

/// Nodes that are far apart. Where there are clusters, even well separated ones, each has one of them soon. `alike` compares
/// two nodes.
pub(super) fn far_apart(nodes: usize, alike: impl Fn(u32, u32) -> f32) -> Vec<u32> {
    const SAMPLE: usize = 4_096;
    const FAR: usize = 64;
    let step = nodes.div_ceil(SAMPLE).max(1);
    let sample = (0..nodes as u32).step_by(step).map(|node| (f32::NEG_INFINITY, node)).collect();
    farthest_first(sample, FAR.min(nodes / FAR), f32::INFINITY, alike)
}

/// Again and again the node that is least like all that were chosen so far, while it is less like them than `bound`, `most`
/// at most (Gonzalez, 1985). `left` are those to choose from, each with its likeness to the nearest of what was chosen
/// before; `alike` compares two nodes.
pub(super) fn farthest_first(
    mut left: Vec<(f32, u32)>,
    most: usize,
    bound: f32,
    alike: impl Fn(u32, u32) -> f32,
) -> Vec<u32> {
    let mut far = Vec::new();
    while far.len() < most
        && let Some((likeness, next)) = left.iter().copied().min_by(|left, right| left.0.total_cmp(&right.0))
        && likeness < bound
    {
        far.push(next);
        left.retain(|(_, node)| *node != next);
        left.iter_mut().for_each(|(nearest, node)| *nearest = nearest.max(alike(*node, next)));
    }
    far
}

/// The order in which nodes are put into the graph, the highest layers first, among equals those that are in it already,
/// else in an order that has nothing to do with that of the rows.
pub(super) fn insertion_order(levels: &[u8], fresh: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..levels.len() as u32).collect();
    order.sort_unstable_by_key(|node| {
        let level = std::cmp::Reverse(levels[*node as usize]);
        (level, fresh(*node), scrambled(u64::from(*node) ^ (1 << 40)), *node)
    });
    order
}

/// Builds the graph of nodes whose highest layers are `levels`, descending. `scorer_of` scores by likeness to a node.
/// Runs on the threads of the rayon pool it is called in.
pub(super) fn build<S: Scorer>(levels: &[u8], plan: &Plan, scorer_of: &(impl Fn(u32) -> S + Sync)) -> Layers {
    let mut layers = Layers::new(levels, plan.m);
    let rest: Vec<u32> = (1..levels.len() as u32).collect();
    insert(&mut layers, &rest, levels, plan, scorer_of);
    layers
}

/// Puts the nodes `fresh`, in ascending order, into a graph that has links for all others, of which at least one is before
/// them in the highest layer, and none behind one of them.
pub(super) fn insert<S: Scorer>(
    layers: &mut Layers,
    mut fresh: &[u32],
    levels: &[u8],
    plan: &Plan,
    scorer_of: &(impl Fn(u32) -> S + Sync),
) {
    let all = fresh.len();
    while let Some(first) = fresh.first() {
        let linked = 1 + all - fresh.len();
        let batch = (linked / BATCH_SHARE).clamp(1, LARGEST_BATCH).min(fresh.len());
        let (nodes, rest) = fresh.split_at(batch);
        let find = |scratch: &mut Scratch, node: &u32| {
            let level = usize::from(levels[*node as usize]);
            let found = neighbours(layers, *first as usize, level, plan, &scorer_of(*node), scorer_of, scratch);
            give_way();
            found
        };
        let found: Vec<Found> = nodes.par_iter().with_min_len(4).map_init(Scratch::default, find).collect();
        link(layers, nodes.iter().copied().zip(found), scorer_of);
        fresh = rest;
    }
}

/// The neighbours of a node that is not in the graph yet; `linked` nodes of the highest layer are.
fn neighbours<S: Scorer>(
    layers: &Layers,
    linked: usize,
    level: usize,
    plan: &Plan,
    scorer: &S,
    scorer_of: &impl Fn(u32) -> S,
    scratch: &mut Scratch,
) -> Found {
    let mut found = Vec::with_capacity(level + 1);
    descend(scorer, layers, linked, level, plan.upper_ef, scratch);
    for at in (0..=level).rev() {
        walk(scorer, &layers.0[at], plan.ef, scratch);
        give_way();
        found.push((at, select(scratch.pool.best(), layers.0[at].degree(), scorer_of)));
    }
    found
}

/// Gives new nodes their links, and links back to them.
fn link<S: Scorer>(
    layers: &mut Layers,
    found: impl Iterator<Item = (u32, Found)>,
    scorer_of: &(impl Fn(u32) -> S + Sync),
) {
    let mut back: Vec<(usize, u32, u32)> = Vec::new();
    for (node, found) in found {
        for (at, links) in found {
            layers.0[at].set(node, &links);
            back.extend(links.iter().map(|neighbour| (at, *neighbour, node)));
        }
    }
    link_back(layers, back, scorer_of);
}

/// Gives nodes links to others that link to them and to which they do not link yet: a layer, the node, and the other.
pub(super) fn link_back<S: Scorer>(
    layers: &mut Layers,
    mut back: Vec<(usize, u32, u32)>,
    scorer_of: &(impl Fn(u32) -> S + Sync),
) {
    back.sort_unstable();
    let targets: Vec<&[(usize, u32, u32)]> =
        back.chunk_by(|left, right| (left.0, left.1) == (right.0, right.1)).collect();
    let with_links_back = |target: &&[(usize, u32, u32)]| with_links_back(layers, target, scorer_of);
    let relinked: Vec<Vec<u32>> =
        targets.par_chunks(32).flat_map_iter(|some| giving_way(some.iter()).map(with_links_back)).collect();
    for (target, links) in targets.iter().zip(relinked) {
        layers.0[target[0].0].set(target[0].1, &links);
    }
}

/// The links of a node with those back to others; a selection of them where they are more than may be.
fn with_links_back<S: Scorer>(layers: &Layers, back: &[(usize, u32, u32)], scorer_of: &impl Fn(u32) -> S) -> Vec<u32> {
    let (layer, node) = (&layers.0[back[0].0], back[0].1);
    let links = layer.links_of(node).chain(back.iter().map(|(_, _, other)| *other)).collect();
    at_most(links, layer.degree(), node, scorer_of)
}
