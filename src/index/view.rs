//! A partition as a reader sees it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::cosine::unit;
use super::digest::Digest;
use super::error::IndexError;
use super::exact::Floor;
use super::graph::Scored;
use super::planner;
use super::settings::Settings;
use super::sketches::ToBeSketched;
use super::snapshot::{Part, Snapshot};
use super::threads;
use crate::domain::{ChunkHit, EmbeddingId, EntityRef, EntityType, Filter, Revision, ServedBy, SourceField, Vector};

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// In the order of [`ChunkHit::better_first`].
    pub hits: Vec<ChunkHit>,
    /// [`ServedBy::MirrorHnsw`] if a graph had a part in it, else [`ServedBy::MirrorExact`].
    pub served_by: ServedBy,
}

/// One generation of a partition at one revision. It stays as it is for as long as it is held.
#[derive(Clone)]
pub struct PartitionView {
    snapshot: Arc<Snapshot>,
    settings: Settings,
}

impl PartitionView {
    pub(super) fn new(snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        Self { snapshot, settings }
    }

    /// The same snapshot, searched under other settings: `ef_search` and `rows_a_candidate`.
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self::new(self.snapshot.clone(), settings)
    }

    /// The revision it shows.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision
    }

    /// When the feed was last known to hold nothing newer; `None` for what was saved before and not followed yet.
    pub fn confirmed_at(&self) -> Option<Instant> {
        self.snapshot.confirmed_at
    }

    /// Width of its vectors.
    pub fn dimensions(&self) -> usize {
        self.snapshot.dimensions
    }

    /// How many chunks it holds.
    pub fn len(&self) -> usize {
        self.snapshot.live()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `k` chunks most like `query` among those that `filter` admits: always min(k, chunks admitted).
    ///
    /// # Errors
    /// [`IndexError::Query`] where the query is of another width.
    pub fn search(&self, query: &Vector, k: usize, filter: &Filter) -> Result<Found, IndexError> {
        let mut found = self.find(query, k, |part, query, floor, settings| {
            planner::chunks(&part.segment, query, (k, floor), &part.admission(filter), settings)
        })?;
        found.hits.truncate(k);
        Ok(found)
    }

    /// The best chunk of each of the `k` entities most like `query` among those that have a chunk that `filter` admits:
    /// always min(k, such entities).
    ///
    /// # Errors
    /// [`IndexError::Query`] where the query is of another width.
    pub fn search_entities(&self, query: &Vector, k: usize, filter: &Filter) -> Result<Found, IndexError> {
        let mut found = self.find(query, k, |part, query, floor, settings| {
            planner::entities(&part.segment, query, (k, floor), &part.admission(filter), settings)
        })?;
        if self.snapshot.parts.len() > 1 {
            // An entity may have chunks in several parts; its best one is among the best k of the part that holds it.
            let mut seen = HashSet::new();
            found.hits.retain(|hit| seen.insert(hit.entity.clone()));
        }
        found.hits.truncate(k);
        Ok(found)
    }

    /// [`PartitionView::search_entities`] for several entity types at once: of each type, given once, the best as many
    /// entities as it says. Types that `filter` excludes have none.
    ///
    /// # Errors
    /// [`IndexError::Query`] where the query is of another width.
    pub fn search_entities_by_type(
        &self,
        query: &Vector,
        limits: &[(EntityType, usize)],
        filter: &Filter,
    ) -> Result<Found, IndexError> {
        let limits: Vec<&(EntityType, usize)> =
            limits.iter().filter(|(of_type, _)| filter.admits_type(of_type)).collect();
        let filters: Vec<Filter> = limits
            .iter()
            .map(|(of_type, _)| Filter { entity_types: vec![of_type.clone()], ..filter.clone() })
            .collect();
        let query = self.direction(query)?;
        let mut found = gathered(self.snapshot.parts.iter().flat_map(|part| {
            let lists: Vec<_> =
                limits.iter().zip(&filters).map(|((_, k), filter)| (*k, part.admission(filter))).collect();
            let answers = planner::entities_of_lists(&part.segment, query.as_slice(), &lists, &self.settings);
            answers.into_iter().map(move |answer| (part, answer))
        }));
        let mut seen = HashSet::new();
        let mut left: HashMap<EntityType, usize> = limits.into_iter().cloned().collect();
        found.hits.retain(|hit| {
            let left = left.get_mut(&hit.entity.entity_type).filter(|left| **left > 0);
            left.is_some_and(|left| seen.insert(hit.entity.clone()) && std::mem::replace(left, *left - 1) > 0)
        });
        Ok(found)
    }

    /// The vectors of an entity, at unit length, by source field and chunk.
    pub fn vectors_of(&self, entity: &EntityRef) -> Vec<(SourceField, i32, Vector)> {
        let mut vectors = Vec::new();
        for part in &self.snapshot.parts {
            for row in part.segment.rows_of(entity).filter(|row| !part.dead.contains(*row)) {
                let of = part.segment.row(row);
                vectors.push((of.source_field.clone(), of.chunk_index, part.segment.owned_vector(row)));
            }
        }
        vectors.sort_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
        vectors
    }

    /// What it holds, to be compared with what the database holds. Reads every vector.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.snapshot.parts.iter().for_each(|part| part.add_to(&mut digest));
        digest
    }

    /// The same of each row by itself, to tell which ones differ.
    pub fn row_digests(&self) -> HashMap<EmbeddingId, Digest> {
        let entries = self.snapshot.parts.iter().flat_map(Part::live_entries);
        entries.map(|entry| (entry.id, Digest::from_iter([entry]))).collect()
    }

    /// Whether one of its segments has a graph.
    pub fn has_graph(&self) -> bool {
        self.snapshot.has_graph()
    }

    /// The share of the `k` nearest that searches find which begin at so many rows, evenly spread over the largest segment;
    /// `None` where it has no graph. Scans the partition once for each.
    pub fn sampled_recall(&self, samples: usize, k: usize) -> Option<f64> {
        let sealed =
            self.snapshot.parts.iter().max_by_key(|part| part.live()).filter(|part| part.segment.graph().is_some())?;
        let rows: Vec<u32> = sealed.live_rows().collect();
        let queries: Vec<Vector> = rows
            .iter()
            .step_by((rows.len() / samples.max(1)).max(1))
            .take(samples)
            .map(|row| sealed.segment.owned_vector(*row))
            .collect();
        let exact = self.with_settings(Settings { rows_a_candidate: usize::MAX, ..self.settings });
        let filter = Filter::default();
        let (mut found, mut wanted) = (0, 0);
        for query in &queries {
            threads::give_way();
            let truth = exact.search(query, k, &filter).ok()?.hits;
            // Among equal scores any is right.
            let last = truth.last().map_or(1.0, |hit| hit.score);
            let answer = self.search(query, k, &filter).ok()?.hits;
            found += answer.iter().filter(|hit| hit.score >= last).count().min(truth.len());
            wanted += truth.len();
        }
        (wanted > 0).then(|| found as f64 / wanted as f64)
    }

    /// [`PartitionView::digest`] and [`PartitionView::sampled_recall`], by a thread behind all others of the process.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn audited(&self, samples: usize, k: usize) -> Result<(Digest, Option<f64>), IndexError> {
        threads::in_background(|| (self.digest(), self.sampled_recall(samples, k)))
    }

    /// Examines the structure; slow, for tests and for `doctor`.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn check(&self) -> Result<(), String> {
        self.snapshot.check()
    }

    /// Searches every part for the `k` best and puts what they found in order.
    ///
    /// A part with a small share of the rows has, most likely, as small a share of the best, for which less effort does.
    /// One that turns out to have more of them is searched again. The largest comes first: of others a scan need not say
    /// what is worse than `k` results that are known.
    fn find(
        &self,
        query: &Vector,
        k: usize,
        search: impl Fn(&Part, &[f32], Floor<'_>, &Settings) -> Answer,
    ) -> Result<Found, IndexError> {
        let query = self.direction(query)?;
        let (parts, live) = (&self.snapshot.parts, self.len());
        let search = |part: &Part, floor: Floor<'_>, share: f64| {
            search(part, query.as_slice(), floor, &self.settings.with_effort(share))
        };
        let share = |part: &Part| share_of_effort(part.live(), live, self.settings.ef_search);
        let sketched = ToBeSketched::new(query.as_slice());
        let mut floor = Floor::NONE;
        let mut answers: Vec<Answer> = Vec::with_capacity(parts.len());
        for part in parts {
            // Where all is scanned the answer is exact; a graph's is likely to be right, and so may the others' be.
            if answers.iter().any(|(_, by)| *by == ServedBy::MirrorHnsw) {
                floor.sketched = Some(&sketched);
            }
            let answer = search(part, floor, share(part));
            floor.score = floor.score.max(score_of_last(&answer, k));
            answers.push(answer);
        }
        if parts.len() > 1 {
            let too_many = |part: &Part| ((2.0 * share(part)).max(MANY) * k as f64) as usize;
            let among_best = how_many_among_best(&answers, k);
            for (at, answer) in answers.iter_mut().enumerate() {
                if answer.1 == ServedBy::MirrorHnsw && among_best[at] > too_many(&parts[at]) {
                    *answer = search(&parts[at], floor, 1.0);
                }
            }
        }
        Ok(gathered(parts.iter().zip(answers)))
    }

    /// A query at unit length.
    fn direction(&self, query: &Vector) -> Result<Vector, IndexError> {
        query.require_dimensions(self.dimensions()).map_err(IndexError::Query)?;
        Ok(unit(query.clone()))
    }
}

/// The best rows of a part, and who found them.
type Answer = (Vec<Scored>, ServedBy);

/// The score of the k-th best that a part has.
fn score_of_last((rows, _): &Answer, k: usize) -> f32 {
    k.checked_sub(1).and_then(|last| rows.get(last)).map_or(Floor::NONE.score, |(_, score)| *score)
}

/// A part with more than this share of the best, and more than twice its share of the effort, is searched again: of rows
/// that are at random in one part or another hardly any search has as many.
const MANY: f64 = 0.3;
/// So many candidates, or a quarter of all that are to be weighed, are weighed in the smallest part.
const LEAST_EFFORT: f64 = 64.0;

/// The share of the effort for a whole partition by which a part of so many of its rows is searched at first: twice the
/// share of the rows, about as much of the best as it may have.
fn share_of_effort(rows: usize, of: usize, ef: usize) -> f64 {
    let least = (LEAST_EFFORT / ef.max(1) as f64).min(0.25);
    (2.0 * rows as f64 / of.max(1) as f64).clamp(least, 1.0)
}

/// How many of the `k` best rows each answer has.
fn how_many_among_best(answers: &[Answer], k: usize) -> Vec<usize> {
    let scores =
        |(at, (rows, _)): (usize, &Answer)| rows.iter().map(move |(_, score)| (*score, at)).collect::<Vec<_>>();
    let mut best: Vec<(f32, usize)> = answers.iter().enumerate().flat_map(scores).collect();
    best.sort_unstable_by(|left, right| right.0.total_cmp(&left.0));
    let mut among = vec![0; answers.len()];
    best.iter().take(k).for_each(|(_, at)| among[*at] += 1);
    among
}

/// What parts answered, in order.
fn gathered<'a>(answers: impl IntoIterator<Item = (&'a Part, Answer)>) -> Found {
    let mut found = Found { hits: Vec::new(), served_by: ServedBy::MirrorExact };
    for (part, (rows, served_by)) in answers {
        if served_by == ServedBy::MirrorHnsw {
            found.served_by = served_by;
        }
        found.hits.extend(rows.into_iter().map(|(row, score)| part.segment.row(row).hit(score)));
    }
    found.hits.sort_by(ChunkHit::better_first);
    found
}
