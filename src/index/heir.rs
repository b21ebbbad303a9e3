//! Going on from an older graph: what is left of it keeps its links, so that only new nodes look for theirs.

use rayon::prelude::*;

use super::builder::{self, Plan};
use super::layers::{Layer, Layers, MOST_ENTRIES};
use super::links::at_most;
use super::scorer::Scorer;
use super::threads::giving_way;

/// So much of the highest layer must be left: what it led to is hard to find without it.
const LEFT_OF_HIGHEST: f64 = 0.75;
/// The highest layer has at most so many nodes, of which as many as [`MOST_ENTRIES`] may have come by lot.
const MOST_GROWN: usize = MOST_ENTRIES + MOST_ENTRIES / 2;
/// A graph is built from nothing when so many times as many nodes have come as it has.
const MOST_CAME: usize = 4;
/// So many nodes, at most, are asked how far they are from those of the highest layer.
const SAMPLE: usize = 1_024;
/// Farther than all but one in so many of the older nodes is far.
const FAR: usize = 100;
/// So many far nodes, at most, go up to the highest layer.
const MOST_FAR: usize = 64;

/// An older graph and where its nodes are in the new one.
pub(super) struct Heir<'a> {
    older: &'a Layers,
    /// By its nodes; `None` where one is gone.
    places: Vec<Option<u32>>,
    /// By the new nodes: which of the older graph's it was.
    was: Vec<Option<u32>>,
    /// How many nodes will have come since a graph was built from nothing.
    since: usize,
}

impl<'a> Heir<'a> {
    /// `None` where so much is new or gone, or has come and gone `since` the older one's oldest ancestor was built from
    /// nothing, or so many nodes are in the highest layer, that a graph built from nothing is the better one.
    pub(super) fn of(
        older: &'a Layers,
        since: usize,
        places: Vec<Option<u32>>,
        nodes: usize,
        m: usize,
    ) -> Option<Self> {
        let left_of = |places: &[Option<u32>]| places.iter().flatten().count();
        let (left, highest) = (left_of(&places), older.0.last()?.len());
        let since = since + nodes - left;
        let left_of_highest = left_of(&places[..highest]);
        let much = 2 * left >= nodes && 2 * left >= older.len();
        let led_to = left_of_highest > 0 && left_of_highest as f64 >= LEFT_OF_HIGHEST * highest as f64;
        let few_entries = highest <= MOST_GROWN;
        let goes_on = much && since <= MOST_CAME * nodes && led_to && few_entries && older.base().degree() == 2 * m;
        goes_on.then(|| Self::placed(older, since, places, nodes))
    }

    fn placed(older: &'a Layers, since: usize, places: Vec<Option<u32>>, nodes: usize) -> Self {
        let mut was = vec![None; nodes];
        (0..).zip(&places).for_each(|(node, place)| _ = place.map(|place| was[place as usize] = Some(node)));
        Self { older, places, was, since }
    }

    /// How many nodes, gone ones too, will have come since a graph was built from nothing.
    pub(super) fn since(&self) -> usize {
        self.since
    }

    /// Which node of the older graph a node of the new one was.
    pub(super) fn was(&self, node: u32) -> Option<u32> {
        self.was[node as usize]
    }

    /// Whether a node of the new graph was not in the older one.
    pub(super) fn is_fresh(&self, node: u32) -> bool {
        self.was(node).is_none()
    }

    fn fresh(&self) -> Vec<u32> {
        (0..self.was.len() as u32).filter(|node| self.is_fresh(*node)).collect()
    }

    /// Gives nodes that were in the older graph the highest layer that they had, and brings new ones down to the highest
    /// of all, or up to it where they are far from all that are in it; below it, where that has no more room. `alike`
    /// compares two nodes.
    pub(super) fn level(&self, levels: &mut [u8], alike: impl Fn(u32, u32) -> f32) {
        let highest = (self.older.0.len() - 1) as u8;
        let left = self.left_of_highest();
        let mut entries = left.len();
        for (level, was) in levels.iter_mut().zip(&self.was) {
            *level = match was {
                Some(was) => self.older.level_of(*was) as u8,
                None if *level < highest => *level,
                None if entries < MOST_ENTRIES => {
                    entries += 1;
                    highest
                }
                None => highest.saturating_sub(1),
            };
        }
        // Half of the room, so that there is some for what is far next time.
        let room = MOST_GROWN.saturating_sub(entries) / 2;
        self.far(&left, room.min(MOST_FAR), alike).into_iter().for_each(|far| levels[far as usize] = highest);
    }

    /// What is left of the highest layer.
    fn left_of_highest(&self) -> Vec<u32> {
        self.places[..self.older.0.last().map_or(0, Layer::len)].iter().flatten().copied().collect()
    }

    /// New nodes, at most so many, that are farther from the `entries`, and from each other, than nearly all older ones are.
    fn far(&self, entries: &[u32], most: usize, alike: impl Fn(u32, u32) -> f32) -> Vec<u32> {
        let nearest = |node: &u32| entries.iter().map(|entry| alike(*node, *entry)).fold(f32::NEG_INFINITY, f32::max);
        let older: Vec<u32> = self.places.iter().flatten().copied().collect();
        let mut known: Vec<f32> = giving_way(sample(&older)).map(nearest).collect();
        known.sort_unstable_by(f32::total_cmp);
        let bound = known.get(known.len() / FAR).copied().unwrap_or(f32::INFINITY);
        let fresh = self.fresh();
        let left = giving_way(sample(&fresh)).map(|node| (nearest(node), *node)).collect();
        builder::farthest_first(left, most, bound, alike)
    }

    /// The same with the new nodes renumbered: the n-th is what `order[n]` was.
    pub(super) fn reordered(self, order: &[u32]) -> Self {
        let mut numbers = vec![0; order.len()];
        (0..).zip(order).for_each(|(number, node)| numbers[*node as usize] = number);
        let places = self.places.into_iter().map(|place| place.map(|place| numbers[place as usize])).collect();
        Self::placed(self.older, self.since, places, order.len())
    }

    /// The graph of nodes whose highest layers are `levels`, descending.
    pub(super) fn build<S: Scorer>(
        &self,
        levels: &[u8],
        plan: &Plan,
        scorer_of: &(impl Fn(u32) -> S + Sync),
    ) -> Layers {
        let mut layers = Layers::new(levels, plan.m);
        let mut back = Vec::new();
        for (at, (layer, older)) in layers.0.iter_mut().zip(&self.older.0).enumerate() {
            let left: Vec<(u32, u32)> =
                (0..older.len() as u32).filter_map(|was| Some((was, self.places[was as usize]?))).collect();
            let links = |(was, node): &(u32, u32)| self.links(older, *was, *node, scorer_of);
            let links: Vec<Vec<u32>> =
                left.par_chunks(64).flat_map_iter(|some| giving_way(some.iter()).map(links)).collect();
            for ((was, node), links) in giving_way(left.iter().zip(&links)) {
                layer.set(*node, links);
                back.extend(self.instead_of_gone(older, *was, links).map(|link| (at, link, *node)));
            }
        }
        // Each node that is gone was where those that it led to were found from: links in its stead lead both ways, like
        // those of a new node. Else what was found by way of many that are gone is hardly found any more.
        let one_way = |(at, node, other): &(usize, u32, u32)| layers.0[*at].links_of(*node).all(|link| link != *other);
        let back = giving_way(back.into_iter()).filter(one_way).collect();
        builder::link_back(&mut layers, back, scorer_of);
        builder::insert(&mut layers, &self.fresh(), levels, plan, scorer_of);
        layers
    }

    /// Which of its `links` a node did not have in the older graph.
    fn instead_of_gone(&self, older: &Layer, was: u32, links: &[u32]) -> impl Iterator<Item = u32> {
        let had = move |link: u32| older.links_of(was).any(|had| self.places[had as usize] == Some(link));
        links.iter().copied().filter(move |link| !had(*link))
    }

    /// The links that a node keeps; for each neighbour that is gone it has that one's to choose from (algorithm 4 of
    /// FreshDiskANN, Singh et al., arXiv:2105.09613).
    fn links<S: Scorer>(&self, older: &Layer, was: u32, node: u32, scorer_of: &impl Fn(u32) -> S) -> Vec<u32> {
        let place = |was: u32| self.places[was as usize];
        let gone = older.links_of(was).filter(|link| place(*link).is_none());
        let candidates = older.links_of(was).chain(gone.flat_map(|gone| older.links_of(gone)));
        let mut links: Vec<u32> = candidates.filter_map(place).filter(|link| *link != node).collect();
        links.sort_unstable();
        links.dedup();
        at_most(links, older.degree(), node, scorer_of)
    }
}

/// Some of the nodes, evenly spread.
fn sample(nodes: &[u32]) -> impl Iterator<Item = &u32> {
    nodes.iter().step_by(nodes.len().div_ceil(SAMPLE).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_built_from_nothing_when_four_times_as_many_nodes_have_come_as_it_has() {
        const M: usize = 4;
        let levels: Vec<u8> = (0..400).map(|node| u8::from(node < 40)).collect();
        let older = Layers::new(&levels, M);
        let goes_on = |since, gone: usize, nodes| {
            let places = (0..400).map(|node| (node as usize >= gone).then_some(node)).collect();
            Heir::of(&older, since, places, nodes, M).map(|heir| heir.since())
        };
        for (since, gone, nodes, will_have_come) in [
            (0, 0, 450, Some(50)),
            (1_750, 0, 450, Some(1_800)),
            (1_751, 0, 450, None),
            (300, 10, 400, Some(310)),
            (1_591, 10, 400, None),
            (0, 11, 400, None),
            (0, 0, 801, None),
        ] {
            assert_eq!(goes_on(since, gone, nodes), will_have_come, "{since} came, {gone} of 400 went, {nodes} nodes");
        }
    }

    /// Else what led to one that is gone leads to what that one led to, but not the other way round, and what lies about
    /// hubs is no longer found when all of them are gone.
    #[test]
    fn links_in_the_stead_of_one_that_is_gone_lead_both_ways() {
        const M: usize = 2;
        let mut layer = Layer::new(4, 2 * M);
        for (node, links) in [(0, &[1]), (1, &[2]), (2, &[3]), (3, &[2])] {
            layer.set(node, links);
        }
        let older = Layers(vec![layer]);
        let heir = Heir::placed(&older, 0, vec![Some(0), None, Some(1), Some(2)], 3);
        let plan = Plan { m: M, ef: 4, upper_ef: 1 };
        let layers = heir.build(&[0; 3], &plan, &|_| Alike);
        let links = |node| layers.base().links_of(node).collect::<Vec<_>>();
        assert_eq!([links(0), links(1), links(2)], [vec![1], vec![2, 0], vec![1]]);
    }

    /// Any two nodes are as like as any other two.
    struct Alike;

    impl Scorer for Alike {
        const AHEAD: usize = 1;

        fn score(&self, _node: u32) -> i32 {
            0
        }

        fn prefetch(&self, _node: u32) {}
    }

    /// Else one that grows would be built from nothing, which takes many times as long, once its highest layer is full.
    #[test]
    fn the_highest_layer_keeps_room_however_often_a_graph_grows() {
        const M: usize = 4;
        let (mut levels, mut nodes) = (vec![1; 300], 4_000);
        levels.resize(nodes, 0);
        let mut entries_then: Vec<usize> = Vec::new();
        for _ in 0..20 {
            let older = Layers::new(&levels, M);
            let places = (0..nodes as u32).map(Some).collect();
            nodes += 100;
            let heir = Heir::of(&older, 0, places, nodes, M).expect("it has room");
            levels.resize(nodes, 0);
            levels[nodes - 100..nodes - 70].fill(3);
            // What comes is farther off each time.
            heir.level(&mut levels, |left, right| -(left.max(right) as f32));
            let entries = levels.iter().filter(|level| **level == 1).count();
            assert!(entries <= MOST_GROWN && levels.iter().all(|level| *level <= 1), "{entries} entries");
            entries_then.push(entries);
            // Nodes are in the order of their layers.
            levels.sort_unstable_by(|left, right| right.cmp(left));
        }
        assert_eq!(entries_then[..8], [384, 432, 456, 468, 474, 477, 478, 479]);
    }
}
