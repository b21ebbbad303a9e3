//! The links of a graph: hierarchical navigable small worlds (Malkov and Yashunin, arXiv:1603.09320) in flat arrays.

use super::blocks::{Line, NONE};
use super::kernels::prefetch;
use super::pages::vec_in_large_pages;
use super::threads::{give_way_at, giving_way};

/// The highest layer has no more nodes, if there is a choice.
pub(super) const MOST_ENTRIES: usize = 320;

/// The links of one layer, over the nodes 0 to n - 1. Every node has as much room as the next, so that its links lie
/// where its number says.
pub(super) struct Layer {
    lines: Vec<Line>,
    /// Lines a node.
    width: usize,
    /// The most links a node may have.
    degree: usize,
}

impl Layer {
    /// A layer of `nodes` nodes without links.
    pub(super) fn new(nodes: usize, degree: usize) -> Self {
        let width = degree.div_ceil(Line::LINKS);
        let mut lines = vec_in_large_pages(nodes * width);
        lines.resize(nodes * width, Line::EMPTY);
        Self { lines, width, degree }
    }

    /// Gives all that it is made of.
    pub(super) fn each_number<E>(&self, give: &mut impl FnMut(&[u32]) -> Result<(), E>) -> Result<(), E> {
        self.lines.iter().try_for_each(|line| give(&line.0))
    }

    /// What [`Layer::each_number`] gave of so many nodes.
    pub(super) fn read<E>(
        nodes: usize,
        degree: usize,
        read: &mut impl FnMut(usize) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        let width = degree.div_ceil(Line::LINKS);
        let numbers = read(nodes.saturating_mul(width).saturating_mul(Line::LINKS))?;
        let mut lines = vec_in_large_pages(nodes * width);
        lines.extend(numbers.as_chunks().0.iter().copied().map(Line));
        Ok(Self { lines, width, degree })
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.lines.len() / self.width
    }

    /// The most links a node may have.
    pub(super) fn degree(&self) -> usize {
        self.degree
    }

    /// The lines with a node's links: those before the first [`NONE`].
    #[inline(always)]
    pub(super) fn lines_of(&self, node: u32) -> &[Line] {
        let from = node as usize * self.width;
        &self.lines[from..from + self.width]
    }

    /// The nodes that a node links to.
    pub(super) fn links_of(&self, node: u32) -> impl Iterator<Item = u32> {
        self.lines_of(node).iter().flat_map(|line| line.0).take_while(|link| *link != NONE)
    }

    /// Announces that a node's links will be read.
    #[inline(always)]
    pub(super) fn prefetch(&self, node: u32) {
        prefetch(self.lines_of(node));
    }

    /// Gives a node other links, of which there may be no more than the degree.
    pub(super) fn set(&mut self, node: u32, links: &[u32]) {
        let from = node as usize * self.width;
        let mut links = links[..links.len().min(self.degree)].iter().copied();
        for line in &mut self.lines[from..from + self.width] {
            line.0.fill_with(|| links.next().unwrap_or(NONE));
        }
    }

    /// Which nodes are reached from node 0.
    pub(super) fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        if !reached.is_empty() {
            self.spread(0, &mut reached);
        }
        reached
    }

    /// Marks a node and all that are reached from it through nodes that are not marked yet.
    pub(super) fn spread(&self, from: u32, reached: &mut [bool]) {
        let mut open = vec![from];
        reached[from as usize] = true;
        for turn in 0.. {
            let Some(node) = open.pop() else { break };
            give_way_at(turn);
            for link in self.links_of(node) {
                if !std::mem::replace(&mut reached[link as usize], true) {
                    open.push(link);
                }
            }
        }
    }

    /// The bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// The same links between renumbered nodes: the n-th is what `order[n]` was, and what was n is `places[n]` now.
    fn reordered(&self, order: &[u32], places: &[u32]) -> Self {
        let mut layer = Self::new(self.len(), self.degree);
        for (node, was) in giving_way((0..).zip(&order[..self.len()])) {
            let links: Vec<u32> = self.links_of(*was).map(|link| places[link as usize]).collect();
            layer.set(node, &links);
        }
        layer
    }
}

/// The layers of a graph, the lowest, which has every node, first. A node's number tells how high it goes: each layer has
/// the nodes from 0 up to its length, so that node 0 is in all of them.
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    /// Layers without links, for nodes numbered in descending order of their highest layer, `levels`, from 0.
    pub(super) fn new(levels: &[u8], m: usize) -> Self {
        let highest = levels.first().copied().unwrap_or_default();
        let layer = |level: u8| {
            let nodes = levels.partition_point(|of_node| *of_node >= level);
            Layer::new(nodes, if level == 0 { 2 * m } else { m })
        };
        Self((0..=highest).map(layer).collect())
    }

    /// The lowest layer.
    pub(super) fn base(&self) -> &Layer {
        &self.0[0]
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.base().len()
    }

    /// An order in which nodes that are near each other come near each other: breadth first from node 0, those of higher
    /// layers before those of lower ones. Nodes that links do not lead to come last.
    pub(super) fn breadth_first(&self) -> Vec<u32> {
        let mut order: Vec<u32> = Vec::with_capacity(self.len());
        let mut seen = vec![false; self.len()];
        for root in 0..self.len() as u32 {
            let mut next = order.len();
            if !std::mem::replace(&mut seen[root as usize], true) {
                order.push(root);
            }
            while let Some(node) = order.get(next).copied() {
                next += 1;
                give_way_at(next);
                order.extend(
                    self.base().links_of(node).filter(|link| !std::mem::replace(&mut seen[*link as usize], true)),
                );
            }
        }
        order.sort_by_key(|node| std::cmp::Reverse(self.level_of(*node)));
        order
    }

    /// The highest layer that a node is in.
    pub(super) fn level_of(&self, node: u32) -> usize {
        self.0.partition_point(|layer| layer.len() > node as usize) - 1
    }

    /// The same graph with its nodes renumbered: the n-th is what `order[n]` was. Nodes must stay in their layers.
    pub(super) fn reordered(&self, order: &[u32]) -> Self {
        let mut places = vec![0; order.len()];
        (0..).zip(order).for_each(|(place, was)| places[*was as usize] = place);
        Self(self.0.iter().map(|layer| layer.reordered(order, &places)).collect())
    }

    /// The bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Layer::bytes).sum()
    }

    /// Examines itself: links lead to other nodes of their layer, each once, and every node is reached from node 0 in the
    /// layers that are [`Layers::searched`].
    pub(super) fn check(&self) -> Result<(), String> {
        for (at, layer) in self.0.iter().enumerate() {
            for node in 0..layer.len() as u32 {
                let mut links: Vec<u32> = layer.links_of(node).collect();
                links.sort_unstable();
                let apart = links.is_sorted_by(|left, right| left < right) && !links.contains(&node);
                if !apart || links.last().is_some_and(|last| *last as usize >= layer.len()) {
                    return Err(format!("node {node} of layer {at} of {} has links {links:?}", layer.len()));
                }
            }
        }
        for layer in self.searched() {
            let reached = self.0[layer].reached().iter().filter(|reached| **reached).count();
            if reached != self.0[layer].len() {
                return Err(format!("{reached} of {} nodes of layer {layer} are reached", self.0[layer].len()));
            }
        }
        Ok(())
    }

    /// The layers that are walked by their links: all but the highest one, whose nodes are all looked at, unless it is the
    /// only one.
    pub(super) fn searched(&self) -> std::ops::Range<usize> {
        0..(self.0.len() - 1).max(1)
    }

    /// Drops the highest layers as long as the highest one left has so few nodes that all of them can be looked at.
    pub(super) fn lower(&mut self) {
        while self.0.len() > 1 && self.0[self.0.len() - 2].len() <= MOST_ENTRIES {
            self.0.pop();
        }
    }
}
