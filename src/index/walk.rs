//! Walks through the layers of a graph (algorithm 2 of the HNSW paper), without an allocation for a candidate.

use std::collections::BinaryHeap;

use super::blocks::{Block, NONE};
use super::graph::Effort;
use super::layers::{Layer, Layers};
use super::scorer::Scorer;

/// A node and its score in one number, so that comparing candidates is comparing numbers: greater is nearer, ties go to
/// the lower node. The lowest bit says whether its links are still to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    const OPEN: u64 = 1;
    const SIGN: u32 = 1 << 31;
    /// Below every candidate.
    const WORST: Self = Self(0);

    /// `node` is below 2³¹ - 1.
    #[inline(always)]
    pub(super) fn new(score: i32, node: u32) -> Self {
        let score = u64::from(score as u32 ^ Self::SIGN) << 32;
        Self(score | u64::from(!node & (Self::SIGN - 1)) << 1 | Self::OPEN)
    }

    #[inline(always)]
    pub(super) fn node(self) -> u32 {
        !((self.0 >> 1) as u32) & (Self::SIGN - 1)
    }

    #[inline(always)]
    pub(super) fn score(self) -> i32 {
        ((self.0 >> 32) as u32 ^ Self::SIGN) as i32
    }
}

/// The best candidates so far, in descending order, a limited number.
#[derive(Default)]
pub(super) struct Pool {
    most: usize,
    best: Vec<Candidate>,
}

impl Pool {
    /// An empty one that holds `most`, at least one.
    pub(super) fn holding(most: usize) -> Self {
        Self { most: most.max(1), best: Vec::new() }
    }

    /// Empties it and lets it hold `most`, at least one.
    pub(super) fn restart(&mut self, most: usize) {
        self.most = most.max(1);
        self.best.clear();
    }

    /// Lets it hold another number, at least one, and opens every candidate again.
    fn reopen(&mut self, most: usize) {
        self.most = most.max(1);
        self.best.truncate(self.most);
        self.best.iter_mut().for_each(|candidate| candidate.0 |= Candidate::OPEN);
    }

    /// Takes a candidate in if it is among the best; says at which place.
    #[inline(always)]
    pub(super) fn offer(&mut self, candidate: Candidate) -> Option<usize> {
        if self.best.len() == self.most {
            if candidate <= self.best[self.most - 1] {
                return None;
            }
            self.best.pop();
        }
        let at = self.best.partition_point(|other| *other > candidate);
        self.best.insert(at, candidate);
        Some(at)
    }

    /// What a candidate must be better than to be taken in.
    #[inline(always)]
    fn bound(&self) -> Candidate {
        if self.best.len() == self.most { self.best[self.most - 1] } else { Candidate::WORST }
    }

    /// In descending order.
    pub(super) fn best(&self) -> &[Candidate] {
        &self.best
    }
}

/// Which nodes a walk has met. Forgetting them costs as much as they are, not as the graph is.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    met: Vec<u32>,
}

impl Seen {
    fn restart(&mut self, nodes: usize) {
        self.met.drain(..).for_each(|node| self.bits[node as usize / 64] = 0);
        if self.bits.len() < nodes.div_ceil(64) {
            self.bits.resize(nodes.div_ceil(64), 0);
        }
    }

    /// Whether it was not met before.
    #[inline(always)]
    fn meet(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.bits[node as usize / 64], 1 << (node % 64));
        let fresh = *word & bit == 0;
        if fresh {
            *word |= bit;
            self.met.push(node);
        }
        fresh
    }
}

/// What walks work with; used again and again, it grows to what the largest one needs.
#[derive(Default)]
pub(super) struct Scratch {
    seen: Seen,
    fresh: Vec<u32>,
    open: BinaryHeap<Candidate>,
    /// What the last walk found.
    pub(super) pool: Pool,
    /// Room for the code of a query.
    pub(super) code: Vec<Block>,
}

/// Walks from the nodes of the highest layer, of which the first `linked` are looked at, down to, but not through,
/// `layer`; leaves in the pool where to go on from.
pub(super) fn descend<S: Scorer>(
    scorer: &S,
    layers: &Layers,
    linked: usize,
    layer: usize,
    ef: usize,
    scratch: &mut Scratch,
) {
    let highest = layers.0.len() - 1;
    scratch.pool.restart(ef);
    for node in 0..layers.0[highest].len().min(linked) as u32 {
        scratch.pool.offer(Candidate::new(scorer.score(node), node));
    }
    for layer in layers.0[layer + 1..].iter().rev() {
        walk(scorer, layer, ef, scratch);
    }
}

/// Leaves in the pool the `ef` nearest nodes that are found from those in it along the links of a layer.
pub(super) fn walk<S: Scorer>(scorer: &S, layer: &Layer, ef: usize, scratch: &mut Scratch) {
    let Scratch { seen, fresh, pool, .. } = scratch;
    pool.reopen(ef);
    seen.restart(layer.len());
    pool.best.iter().for_each(|entry| _ = seen.meet(entry.node()));
    let mut at = 0;
    while let Some(candidate) = pool.best.get_mut(at) {
        if candidate.0 & Candidate::OPEN == 0 {
            at += 1;
            continue;
        }
        candidate.0 &= !Candidate::OPEN;
        meet_links(scorer, layer, candidate.node(), seen, fresh);
        if let Some(next) = pool.best.get(at + 1) {
            layer.prefetch(next.node());
        }
        at += 1;
        for (place, node) in fresh.iter().enumerate() {
            if let Some(ahead) = fresh.get(place + S::AHEAD) {
                scorer.prefetch(*ahead);
            }
            if let Some(taken) = pool.offer(Candidate::new(scorer.score(*node), *node)) {
                if taken <= at {
                    layer.prefetch(*node);
                }
                at = at.min(taken);
            }
        }
    }
}

/// What a walk looks for among all it meets.
pub(super) struct Wanted<'a> {
    /// Whether a node is wanted.
    pub(super) admits: &'a dyn Fn(u32) -> bool,
    /// Which share of all nodes is wanted, 0 to 1.
    pub(super) share: f64,
    /// The nearest wanted nodes, and how many of them end the search.
    pub(super) found: Pool,
}

impl Wanted<'_> {
    /// Looks for more where those nearest of all, in `pool`, are wanted much less often than others: what is wanted lies
    /// far off then, in many directions, and a walk finds its way there less surely.
    fn widen_if_far(&mut self, pool: &Pool) {
        const SELDOM: f64 = 0.25;
        const WIDER: usize = 4;
        let wanted = pool.best.iter().filter(|near| (self.admits)(near.node())).count();
        if (wanted as f64) < SELDOM * self.share * pool.best.len() as f64 {
            self.found.most *= WIDER;
        }
    }
}

/// Walks on from the pool along the links of a layer until the `ef` nearest nodes are found and, of each list that is
/// wanted, as many as its pool may hold. Says whether it could before it gave up.
pub(super) fn walk_for<S: Scorer>(
    scorer: &S,
    layer: &Layer,
    effort: Effort,
    lists: &mut [Wanted<'_>],
    scratch: &mut Scratch,
) -> bool {
    let Scratch { seen, fresh, open, pool, .. } = scratch;
    pool.reopen(effort.ef);
    seen.restart(layer.len());
    open.clear();
    for entry in &pool.best {
        seen.meet(entry.node());
        open.push(*entry);
        offer_wanted(lists, *entry);
    }
    let mut bound = lowest_bound(pool, lists);
    let mut near_known = false;
    while let Some(next) = open.pop() {
        if !near_known && next <= pool.bound() {
            near_known = true;
            lists.iter_mut().for_each(|list| list.widen_if_far(pool));
            bound = lowest_bound(pool, lists);
        }
        if next <= bound {
            break;
        }
        if seen.met.len() > effort.most {
            return false;
        }
        meet_links(scorer, layer, next.node(), seen, fresh);
        if let Some(next) = open.peek() {
            layer.prefetch(next.node());
        }
        for (place, node) in fresh.iter().enumerate() {
            if let Some(ahead) = fresh.get(place + S::AHEAD) {
                scorer.prefetch(*ahead);
            }
            let candidate = Candidate::new(scorer.score(*node), *node);
            if candidate > bound {
                open.push(candidate);
                pool.offer(candidate);
                offer_wanted(lists, candidate);
                bound = lowest_bound(pool, lists);
            }
        }
    }
    true
}

/// What a candidate must be better than to be of use.
fn lowest_bound(pool: &Pool, lists: &[Wanted<'_>]) -> Candidate {
    lists.iter().map(|list| list.found.bound()).fold(pool.bound(), Ord::min)
}

fn offer_wanted(lists: &mut [Wanted<'_>], candidate: Candidate) {
    for list in lists {
        if candidate > list.found.bound() && (list.admits)(candidate.node()) {
            list.found.offer(candidate);
        }
    }
}

/// Gathers those links of a node that lead to nodes not met before, and announces the first of them.
#[inline(always)]
fn meet_links<S: Scorer>(scorer: &S, layer: &Layer, node: u32, seen: &mut Seen, fresh: &mut Vec<u32>) {
    fresh.clear();
    'links: for line in layer.lines_of(node) {
        for link in line.0 {
            if link == NONE {
                break 'links;
            }
            if seen.meet(link) {
                if fresh.len() < S::AHEAD {
                    scorer.prefetch(link);
                }
                fresh.push(link);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_in_the_order_of_scores_then_of_nodes() {
        let ascending = [(i32::MIN, 0), (-1, 5), (0, 9), (0, 3), (7, (1 << 31) - 2), (7, 0), (i32::MAX, 1)];
        let candidates = ascending.map(|(score, node)| Candidate::new(score, node));
        assert!(candidates.is_sorted_by(|left, right| left < right));
        assert_eq!(candidates.map(|candidate| (candidate.score(), candidate.node())), ascending);
        assert!(Candidate::WORST < candidates[0]);
    }

    #[test]
    fn a_pool_keeps_the_best() {
        let mut pool = Pool::default();
        pool.restart(3);
        let places = [5, 9, 1, 7, 0].map(|score| pool.offer(Candidate::new(score, 1)));
        assert_eq!(places, [Some(0), Some(0), Some(2), Some(1), None]);
        assert_eq!(pool.best().iter().map(|best| best.score()).collect::<Vec<_>>(), [9, 7, 5]);
        assert_eq!(pool.bound().score(), 5);
    }

    #[test]
    fn what_was_met_is_forgotten_at_the_start() {
        let mut seen = Seen::default();
        seen.restart(100);
        assert!(seen.meet(70) && !seen.meet(70) && seen.meet(71));
        seen.restart(10);
        assert!(seen.bits.iter().all(|word| *word == 0) && seen.meet(7));
    }
}
