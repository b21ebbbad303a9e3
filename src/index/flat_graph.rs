//! The graph of a sealed segment: built once, laid out flat, then only searched.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::admission::Admission;
use super::builder::{self, Plan};
use super::codes::{Codes, Scale};
use super::cosine::cosine;
use super::error::IndexError;
use super::exact::RowCodes;
use super::graph::{Effort, Graph, Scored, best, first_look};
use super::heir::Heir;
use super::hnsw;
use super::kernels::prefetch;
use super::layers::{Layer, Layers};
use super::links::reach_all;
use super::nodes::Nodes;
use super::scorer::{FullScorer, Scorer};
use super::settings::{Builder, Settings};
use super::threads;
use super::vectors::{Vectors, VectorsView};
use super::walk::{Candidate, Pool, Scratch, Wanted, descend, walk, walk_for};

/// Candidates weighed in the layers above the lowest. The paper takes 1; a few more find a way where the best one is at a
/// dead end.
const UPPER_EF: usize = 4;
/// Where this share of the rows is admitted, as where few are dead, a walk may pass by what is wanted: what is not is dropped
/// from what it found, unless that is much of it.
const NEARLY_ALL: f64 = 0.9;

thread_local! {
    /// What the searches of a thread work with.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A graph over the rows of unit vectors. Rows with equal vectors share a node. Nodes are numbered so that
/// those near each other lie together.
pub(super) struct FlatGraph {
    vectors: Arc<Vectors>,
    nodes: Nodes,
    layers: Layers,
    /// The nodes' vectors for a first look; without them, walks look at the vectors.
    codes: Option<Codes>,
    /// How many nodes came, one graph going on from the other, since one was built from nothing.
    since: usize,
}

impl FlatGraph {
    /// Builds the graph of `vectors` (of unit length, fewer than 2³¹). CPU heavy; on as many threads
    /// as the settings say.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub(super) fn build(vectors: Arc<Vectors>, settings: &Settings) -> Result<Self, IndexError> {
        threads::build(settings, || Self::build_here(vectors, settings, None))
    }

    /// The same, going on from `older` where enough is left of it: `rows` says where each of its rows is among the new
    /// ones, `None` for those that are gone.
    ///
    /// # Errors
    /// As [`FlatGraph::build`].
    pub(super) fn grown(
        vectors: Arc<Vectors>,
        settings: &Settings,
        older: &Self,
        rows: &[Option<u32>],
    ) -> Result<Self, IndexError> {
        threads::build(settings, || Self::build_here(vectors, settings, Some((older, rows))))
    }

    fn build_here(vectors: Arc<Vectors>, settings: &Settings, older: Option<(&Self, &[Option<u32>])>) -> Self {
        let view = vectors.view();
        let nodes =
            older.and_then(|(older, rows)| older.nodes_going_on(rows, view)).unwrap_or_else(|| Nodes::new(view));
        let m = settings.m.clamp(2, 256);
        let plan = Plan { m, ef: settings.ef_construction.max(m), upper_ef: UPPER_EF };
        let vector = |node: u32| view.row(nodes.first_row(node));
        let all = 0..nodes.len() as u32;
        let (start, order, levels) = match settings.builder {
            Builder::HnswRs => {
                let (layers, order) = hnsw::build(&all.clone().map(vector).collect::<Vec<_>>(), m, plan.ef);
                (Start::Built(layers), order, Vec::new())
            }
            Builder::Own => {
                let heir = older.and_then(|(older, rows)| {
                    Heir::of(&older.layers, older.since, older.places(rows, &nodes), nodes.len(), m)
                });
                start(heir, nodes.len(), m, |left, right| cosine(vector(left), vector(right)))
            }
        };
        let nodes = nodes.reordered(&order);
        let vector = |node: u32| view.row(nodes.first_row(node));
        let coded = || Codes::new(view.dimensions(), all.clone().map(vector));
        let codes = match (&start, older) {
            // Going on from a graph takes it for granted that codes do still what they did then.
            (Start::Older(heir), Some((older, _))) => {
                let codes = older.codes.as_ref().filter(|_| settings.compressed);
                codes.map(|codes| codes.going_on(nodes.len(), |node| heir.was(node), vector).unwrap_or_else(coded))
            }
            _ => settings.compressed.then(coded).filter(|codes| tell_apart(codes, view, &nodes)),
        };
        let since = match &start {
            Start::Older(heir) => heir.since(),
            Start::Nothing | Start::Built(_) => 0,
        };
        let layers = match &codes {
            Some(codes) => finish(start, &levels, &plan, &|node| codes.scorer(codes.code(node))),
            None => finish(start, &levels, &plan, &|node| FullScorer::new(view, &nodes, vector(node))),
        };
        let order = layers.breadth_first();
        let codes = codes.map(|codes| codes.reordered(&order));
        Self { nodes: nodes.reordered(&order), layers: layers.reordered(&order), codes, vectors, since }
    }

    /// Whether it went on from an older one, rather than being built from nothing.
    pub(super) fn is_grown(&self) -> bool {
        self.since > 0
    }

    /// The nodes of rows that go on from its own, as [`FlatGraph::grown`] has them. Vectors that are equal have equal codes,
    /// so that those of older rows need not be looked at; `None` where it has no codes.
    fn nodes_going_on(&self, rows: &[Option<u32>], vectors: VectorsView<'_>) -> Option<Nodes> {
        let codes = self.codes.as_ref()?;
        let mut was = vec![None; vectors.len()];
        (0..).zip(rows).for_each(|(row, place)| _ = place.map(|place| was[place as usize] = Some(row)));
        let mut code = Vec::new();
        Some(Nodes::by_hash(vectors, |row| match was[row as usize] {
            Some(was) => codes.hash_of(self.nodes.of_row(was)),
            None => codes.hash_of_vector(vectors.row(row), &mut code),
        }))
    }

    /// Where its nodes are among other nodes, by where its rows are among theirs.
    fn places(&self, rows: &[Option<u32>], nodes: &Nodes) -> Vec<Option<u32>> {
        let row_left = |node: u32| self.nodes.rows_of(node).iter().find_map(|row| rows[*row as usize]);
        (0..self.nodes.len() as u32).map(|node| row_left(node).map(|row| nodes.of_row(row))).collect()
    }

    /// The codes of the rows' vectors, by node, where there are some.
    pub(super) fn codes(&self) -> Option<RowCodes<'_>> {
        self.codes.as_ref().map(|codes| RowCodes { codes, nodes: Some(&self.nodes) })
    }

    /// Takes the same vectors from another place.
    pub(super) fn set_vectors(&mut self, vectors: Arc<Vectors>) {
        self.vectors = vectors;
    }

    /// The bytes it takes beside the vectors.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.bytes() + self.layers.bytes() + self.codes.as_ref().map_or(0, Codes::bytes)
    }

    /// Examines itself: every one of `rows` rows is in one node, links lead to nodes, and to all of them.
    pub(super) fn check(&self, rows: usize) -> Result<(), String> {
        self.nodes.check(rows)?;
        if self.layers.len() != self.nodes.len() {
            return Err(format!("{} nodes but links of {}", self.nodes.len(), self.layers.len()));
        }
        self.layers.check()
    }

    /// Of each list the `k` best rows that are admitted, as [`Graph::search`] finds them, all on one walk: a number of
    /// results and what is admitted makes a list. `None` where the walk gave up.
    pub(super) fn search_lists(
        &self,
        query: &[f32],
        lists: &[(usize, &Admission<'_>)],
        effort: Effort,
    ) -> Option<Vec<Vec<Scored>>> {
        SCRATCH.with_borrow_mut(|scratch| match &self.codes {
            Some(codes) => {
                let mut code = std::mem::take(&mut scratch.code);
                Codes::encode_query(query, &mut code);
                let found = self.candidates(&codes.scorer(&code), lists, effort, scratch);
                scratch.code = code;
                let rescored = |((k, admission), candidates): (&(usize, &Admission<'_>), &Vec<Candidate>)| {
                    self.rescored(query, *k, admission, candidates)
                };
                Some(lists.iter().zip(&found?).map(rescored).collect())
            }
            None => {
                let scorer = FullScorer::new(self.vectors.view(), &self.nodes, query);
                let found = self.candidates(&scorer, lists, effort, scratch)?;
                let rows = |((k, admission), candidates): (&(usize, &Admission<'_>), &Vec<Candidate>)| {
                    let score = |candidate: &Candidate| FullScorer::cosine_of(candidate.score());
                    best(candidates.iter().flat_map(|found| self.rows(found.node(), admission, score(found))), *k)
                };
                Some(lists.iter().zip(&found).map(rows).collect())
            }
        })
    }

    /// The admitted rows of a node, which all have its score.
    fn rows(&self, node: u32, admission: &Admission<'_>, score: f32) -> impl Iterator<Item = Scored> {
        let rows = self.nodes.rows_of(node).iter().filter(|row| admission.admits(**row));
        rows.map(move |row| (*row, score))
    }

    /// The candidates for the best rows of each list, by `scorer`; `None` where the walk gave up.
    ///
    /// Walks until `ef` candidates are found that are admitted: then no nearer node was left out, so that a filter costs no
    /// recall, whatever it has to do with the query.
    fn candidates<S: Scorer>(
        &self,
        scorer: &S,
        lists: &[(usize, &Admission<'_>)],
        effort: Effort,
        scratch: &mut Scratch,
    ) -> Option<Vec<Vec<Candidate>>> {
        let enough = |k: usize| first_look(k).min(self.nodes.len());
        descend(scorer, &self.layers, self.layers.len(), 0, UPPER_EF, scratch);
        let admits =
            |admission: &Admission<'_>, node: u32| self.nodes.rows_of(node).iter().any(|row| admission.admits(*row));
        if let [(k, admission)] = lists
            && admission.share() >= NEARLY_ALL
        {
            let ef = effort.ef.max(*k);
            walk(scorer, self.layers.base(), (ef as f64 / admission.share()).ceil() as usize, scratch);
            let found = scratch.pool.best().iter();
            let found = found.filter(|found| admission.is_all() || admits(admission, found.node()));
            if admission.is_all() || found.clone().count() as f64 >= NEARLY_ALL * ef as f64 {
                return Some(vec![found.take(enough(*k)).copied().collect()]);
            }
        }
        let admits: Vec<_> = lists.iter().map(|(_, admission)| move |node: u32| admits(admission, node)).collect();
        let mut wanted: Vec<Wanted<'_>> = lists
            .iter()
            .zip(&admits)
            .map(|((k, admission), admits)| Wanted {
                admits,
                share: admission.share(),
                found: Pool::holding(enough(*k).max(effort.ef)),
            })
            .collect();
        walk_for(scorer, self.layers.base(), effort, &mut wanted, scratch).then(|| {
            let best = |(list, (k, _)): (&Wanted<'_>, &(usize, &Admission<'_>))| {
                list.found.best().iter().take(enough(*k)).copied().collect()
            };
            wanted.iter().zip(lists).map(best).collect()
        })
    }

    /// The `k` best admitted rows of the candidates, by their vectors as they are.
    fn rescored(&self, query: &[f32], k: usize, admission: &Admission<'_>, candidates: &[Candidate]) -> Vec<Scored> {
        const AHEAD: usize = 3;
        let view = self.vectors.view();
        // Where vectors lie is looked up for all at once: nothing waits for it then.
        let placed: Vec<(u32, &[f32])> = candidates
            .iter()
            .map(|candidate| (candidate.node(), view.row(self.nodes.first_row(candidate.node()))))
            .collect();
        placed.iter().take(AHEAD).for_each(|(_, vector)| prefetch(vector));
        let scored = placed.iter().enumerate().flat_map(|(at, (node, vector))| {
            if let Some((_, ahead)) = placed.get(at + AHEAD) {
                prefetch(ahead);
            }
            self.rows(*node, admission, cosine(query, vector))
        });
        best(scored, k)
    }
}

/// What of a graph is not in its vectors, by how much of it there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    nodes: usize,
    /// The most links a node may have, and the nodes, of each layer from the lowest.
    layers: Vec<(usize, usize)>,
    /// Whether walks look at codes.
    coded: bool,
    /// How many nodes came since one was built from nothing.
    #[serde(default)]
    since: usize,
}

impl Shape {
    /// Whether walks look at codes.
    pub(super) fn is_coded(&self) -> bool {
        self.coded
    }
}

impl FlatGraph {
    /// How much there is of what [`FlatGraph::each_number`] gives.
    pub(super) fn shape(&self) -> Shape {
        let layers = self.layers.0.iter().map(|layer| (layer.degree(), layer.len())).collect();
        Shape { nodes: self.nodes.len(), layers, coded: self.codes.is_some(), since: self.since }
    }

    /// All numbers that, with the vectors, make the graph, in their order.
    pub(super) fn each_number<E>(&self, mut give: impl FnMut(&[u32]) -> Result<(), E>) -> Result<(), E> {
        self.nodes.each_number(&mut give)?;
        self.layers.0.iter().try_for_each(|layer| layer.each_number(&mut give))?;
        self.codes.as_ref().map_or(Ok(()), |codes| give(&codes.scale().to_bits()))
    }

    /// The graph of vectors whose numbers `read` gives, so many at once, as they were written. Codes are made again.
    ///
    /// # Errors
    /// What `read` fails with.
    pub(super) fn read<E>(
        vectors: Arc<Vectors>,
        shape: &Shape,
        mut read: impl FnMut(usize) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        let view = vectors.view();
        let nodes = Nodes::read(view.len(), shape.nodes, &mut read)?;
        let layers = shape.layers.iter().map(|(degree, nodes)| Layer::read(*nodes, *degree, &mut read));
        let layers = Layers(layers.collect::<Result<_, E>>()?);
        let codes = match shape.coded {
            true => {
                let scale = Scale::from_bits(read(2)?.try_into().unwrap_or_default());
                let vector = |node: u32| view.row(nodes.first_row(node));
                Some(Codes::scaled(view.dimensions(), (0..nodes.len() as u32).map(vector), scale))
            }
            false => None,
        };
        Ok(Self { vectors, nodes, layers, codes, since: shape.since })
    }
}

impl Graph for FlatGraph {
    fn search(&self, query: &[f32], k: usize, effort: Effort, admission: &Admission<'_>) -> Vec<Scored> {
        if k == 0 || admission.is_empty() {
            return Vec::new();
        }
        let lists = self.search_lists(query, &[(k, admission)], effort);
        lists.and_then(|lists| lists.into_iter().next()).unwrap_or_default()
    }
}

/// Whether codes tell near vectors from far ones: for a sample of nodes, whether the nearest by their vectors are among
/// those that a first look by codes would keep. They are not where vectors lie closer together than the codes' step, as
/// in few dimensions or in tight clusters.
fn tell_apart(codes: &Codes, vectors: VectorsView<'_>, nodes: &Nodes) -> bool {
    const SAMPLE: usize = 32;
    const NEAREST: usize = 10;
    const ENOUGH: f64 = 0.98;
    let missed = |node: u32| {
        let full = FullScorer::new(vectors, nodes, vectors.row(nodes.first_row(node)));
        let nearest = nearest(&full, nodes.len(), NEAREST);
        let by_codes = nearest_by_codes(codes, node, nodes.len());
        let missed = nearest.best().iter().filter(|near| !by_codes.contains(&near.node())).count();
        (missed, nearest.best().len())
    };
    let sample: Vec<u32> = (0..nodes.len() as u32).step_by(nodes.len().div_ceil(SAMPLE).max(1)).collect();
    let (missed, all) = sample
        .par_iter()
        .map(|node| missed(*node))
        .reduce(|| (0, 0), |left, right| (left.0 + right.0, left.1 + right.1));
    (missed as f64) <= (1.0 - ENOUGH) * all as f64
}

fn nearest_by_codes(codes: &Codes, node: u32, nodes: usize) -> HashSet<u32> {
    let pool = nearest(&codes.scorer(codes.code(node)), nodes, first_look(10));
    pool.best().iter().map(|near| near.node()).collect()
}

/// The `most` nearest of all nodes.
fn nearest<S: Scorer>(scorer: &S, nodes: usize, most: usize) -> Pool {
    let mut pool = Pool::holding(most);
    for node in 0..nodes as u32 {
        pool.offer(Candidate::new(scorer.score(node), node));
    }
    pool
}

/// What of a graph there is before it is built.
enum Start<'a> {
    Nothing,
    /// What is left of an older one.
    Older(Heir<'a>),
    /// All of it, by hnsw_rs.
    Built(Layers),
}

/// Where a build of our own starts, the order in which it takes the nodes, and the highest layers of the nodes in that
/// order. `alike` compares two nodes.
fn start(
    heir: Option<Heir<'_>>,
    nodes: usize,
    m: usize,
    alike: impl Fn(u32, u32) -> f32,
) -> (Start<'_>, Vec<u32>, Vec<u8>) {
    let mut levels = builder::levels(nodes, m);
    match &heir {
        Some(heir) => heir.level(&mut levels, alike),
        None => {
            let highest = levels.iter().copied().max().unwrap_or_default();
            builder::far_apart(nodes, alike).into_iter().for_each(|far| levels[far as usize] = highest);
        }
    }
    let order = builder::insertion_order(&levels, |node| heir.as_ref().is_none_or(|heir| heir.is_fresh(node)));
    let descending = order.iter().map(|node| levels[*node as usize]).collect();
    let start = heir.map_or(Start::Nothing, |heir| Start::Older(heir.reordered(&order)));
    (start, order, descending)
}

/// The layers, with every node linked.
fn finish<S: Scorer>(start: Start<'_>, levels: &[u8], plan: &Plan, scorer_of: &(impl Fn(u32) -> S + Sync)) -> Layers {
    let mut layers = match start {
        Start::Nothing => builder::build(levels, plan, scorer_of),
        Start::Older(heir) => heir.build(levels, plan, scorer_of),
        Start::Built(layers) => layers,
    };
    layers.lower();
    reach_all(&mut layers, plan.upper_ef, scorer_of);
    layers
}
