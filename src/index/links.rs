//! Which links a node gets.

use super::layers::{Layer, Layers};
use super::scorer::Scorer;
use super::walk::{Candidate, Scratch, descend, walk};

/// How many nodes near one that nothing leads to are weighed as the one that will.
const NEAR: usize = 64;

/// The neighbours of a node among `candidates`, in descending order, at most `most` (algorithm 4 of the HNSW paper): one
/// that is nearer to a neighbour already chosen than to the node is left out, so that neighbours lie in all directions.
pub(super) fn select<S: Scorer>(candidates: &[Candidate], most: usize, scorer_of: &impl Fn(u32) -> S) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(most);
    for candidate in candidates {
        if chosen.len() == most {
            break;
        }
        let scorer = scorer_of(candidate.node());
        if chosen.iter().all(|other| scorer.score(*other) < candidate.score()) {
            chosen.push(candidate.node());
        }
    }
    chosen
}

/// The links of a node, of which it may have `most`; a selection of them where they are more.
pub(super) fn at_most<S: Scorer>(links: Vec<u32>, most: usize, node: u32, scorer_of: &impl Fn(u32) -> S) -> Vec<u32> {
    if links.len() <= most {
        return links;
    }
    let scorer = scorer_of(node);
    let mut candidates: Vec<Candidate> = links.iter().map(|link| Candidate::new(scorer.score(*link), *link)).collect();
    candidates.sort_unstable_by(|left, right| right.cmp(left));
    select(&candidates, most, scorer_of)
}

/// Links nodes that nothing leads to, so that in every layer every node is reached from node 0. Says how many.
///
/// A node near by gets one more link or, where its links are as many as may be, one of them makes a detour by way of the
/// node. So nothing that was reached is lost.
pub(super) fn reach_all<S: Scorer>(layers: &mut Layers, upper_ef: usize, scorer_of: &impl Fn(u32) -> S) -> usize {
    let mut scratch = Scratch::default();
    let mut linked = 0;
    for at in layers.searched().rev() {
        let mut reached = layers.0[at].reached();
        for node in 0..layers.0[at].len() as u32 {
            if reached[node as usize] {
                continue;
            }
            let scorer = scorer_of(node);
            descend(&scorer, layers, layers.len(), at, upper_ef, &mut scratch);
            walk(&scorer, &layers.0[at], NEAR, &mut scratch);
            let layer = &mut layers.0[at];
            let near = || scratch.pool.best().iter().map(|near| near.node()).filter(|near| reached[*near as usize]);
            let roomy = near().find(|near| layer.links_of(*near).count() < layer.degree());
            lead(layer, roomy.or_else(|| near().next()).unwrap_or(0), node);
            layer.spread(node, &mut reached);
            linked += 1;
        }
    }
    linked
}

/// Links `from` to `node`.
fn lead(layer: &mut Layer, from: u32, node: u32) {
    let mut links: Vec<u32> = layer.links_of(from).collect();
    if links.len() == layer.degree()
        && let Some(detoured) = links.pop()
    {
        let mut on: Vec<u32> = layer.links_of(node).filter(|link| *link != detoured).collect();
        // What this drops was not reached through this node, or will be linked in its turn.
        on.truncate(layer.degree() - 1);
        on.push(detoured);
        layer.set(node, &on);
    }
    links.push(node);
    layer.set(from, &links);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places on a line; the nearest has the greatest score.
    struct Line(i32);

    impl Scorer for Line {
        const AHEAD: usize = 1;

        fn score(&self, node: u32) -> i32 {
            -(node as i32 - self.0).abs()
        }

        fn prefetch(&self, _node: u32) {}
    }

    #[test]
    fn neighbours_lie_on_all_sides() {
        let candidates = [11, 9, 12, 8, 2].map(|node| Candidate::new(Line(10).score(node), node));
        assert_eq!(select(&candidates, 3, &|node| Line(node as i32)), [11, 9]);
        assert_eq!(select(&candidates, 1, &|node| Line(node as i32)), [11]);
    }

    #[test]
    fn every_node_is_reached_whatever_the_links_were() {
        for degree in [1, 2, 3] {
            let mut layers = Layers(vec![Layer::new(40, degree)]);
            // Rings of five, to which nothing leads but from their own nodes.
            for node in 0..40 {
                let ring = node / 5 * 5;
                let links = [1, 2, 3].map(|step| ring + (node - ring + step) % 5);
                layers.0[0].set(node, &links);
            }
            assert!(layers.check().is_err());
            assert!(reach_all(&mut layers, 1, &|node| Line(node as i32)) >= 7);
            assert_eq!(layers.check(), Ok(()), "{degree} links a node");
            assert_eq!(reach_all(&mut layers, 1, &|node| Line(node as i32)), 0);
        }
    }
}
