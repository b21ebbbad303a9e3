//! The exact scan: recall 1, at the price of looking at every row that is admitted.

use super::admission::Admission;
use super::codes::{CodeScorer, Codes};
use super::cosine::cosine;
use super::graph::{Effort, Graph, Scored, best, better_first};
use super::kernels::prefetch;
use super::nodes::Nodes;
use super::scorer::Scorer;
use super::sketches::{Sketches, ToBeSketched};
use super::vectors::VectorsView;
use super::walk::{Candidate, Pool};

/// So many rows ahead are announced before they are scored: those that a filter admits lie here and there.
const AHEAD: usize = 2;
/// Where this share of rows that lie in their order is admitted, the processor sees by itself what comes next.
const DENSE: f64 = 0.5;
/// Of fewer rows there is no first look.
const FEW: usize = 64;

/// Scans unit vectors.
pub(super) struct Exact<'a> {
    pub(super) vectors: VectorsView<'a>,
    /// Codes of the rows' vectors, where there are some: they tell most of the rows that cannot be among the best.
    pub(super) codes: Option<RowCodes<'a>>,
    /// Sketches of the rows' vectors, where there are some.
    pub(super) sketches: Option<&'a Sketches>,
    pub(super) floor: Floor<'a>,
}

/// Rows that score less are passed over, which is cheaper than to find and to drop them.
#[derive(Clone, Copy)]
pub(super) struct Floor<'a> {
    pub(super) score: f32,
    /// The query, where rows may be passed over that are most likely, not surely, below.
    pub(super) sketched: Option<&'a ToBeSketched<'a>>,
}

impl Floor<'_> {
    /// Under it is no row.
    pub(super) const NONE: Self = Self { score: f32::NEG_INFINITY, sketched: None };

    /// Whether a row may be under it.
    fn is_some(&self) -> bool {
        self.score > Self::NONE.score
    }
}

/// The codes of rows: a row each, or where a graph has them, a node each.
#[derive(Clone, Copy)]
pub(super) struct RowCodes<'a> {
    pub(super) codes: &'a Codes,
    pub(super) nodes: Option<&'a Nodes>,
}

impl RowCodes<'_> {
    /// Where a row's code is.
    #[inline(always)]
    fn place(&self, row: u32) -> u32 {
        self.nodes.map_or(row, |nodes| nodes.of_row(row))
    }
}

impl Exact<'_> {
    /// The best row of each group of rows, the `k` best of those at or above the floor. Rows of a group lie together;
    /// `same_group` compares two.
    pub(super) fn search_groups(
        &self,
        query: &[f32],
        k: usize,
        admission: &Admission<'_>,
        same_group: impl Fn(u32, u32) -> bool,
    ) -> Vec<Scored> {
        match self.likely(admission) {
            Some(likely) => self.search_rows(query, k, likely.iter().copied(), likely.len(), same_group),
            None => self.search_rows(query, k, admission.iter(), admission.len(), same_group),
        }
    }

    /// The admitted rows that are at or above the floor as far as their sketches can tell.
    fn likely(&self, admission: &Admission<'_>) -> Option<Vec<u32>> {
        let (sketches, query) =
            self.sketches.zip(self.floor.sketched).filter(|_| self.floor.is_some() && admission.share() >= DENSE)?;
        let mut likely = sketches.reaching(query.sketched(), self.floor.score);
        likely.retain(|row| admission.admits(*row));
        Some(likely)
    }

    /// The same among so many of the rows, ascending.
    fn search_rows(
        &self,
        query: &[f32],
        k: usize,
        rows: impl Iterator<Item = u32> + Clone,
        len: usize,
        same_group: impl Fn(u32, u32) -> bool,
    ) -> Vec<Scored> {
        let above = |(_, score): &Scored| *score >= self.floor.score;
        match self.contenders(query, k, rows.clone(), len, &same_group) {
            Some(rows) => best(firsts(self.score(query, rows.iter().copied()), same_group).filter(above), k),
            None => best(firsts(self.score(query, rows), same_group).filter(above), k),
        }
    }

    fn score(&self, query: &[f32], rows: impl Iterator<Item = u32> + Clone) -> impl Iterator<Item = Scored> {
        let mut ahead = rows.clone().skip(AHEAD);
        rows.map(move |row| {
            if let Some(ahead) = ahead.next() {
                prefetch(self.vectors.row(ahead));
            }
            (row, cosine(query, self.vectors.row(row)))
        })
    }

    /// The rows of which, as far as their codes can tell, any may be the best of one of the `k` best groups, and at or above
    /// the floor. By codes a score is off by no more than is known, so that none is missed.
    fn contenders(
        &self,
        query: &[f32],
        k: usize,
        rows: impl Iterator<Item = u32> + Clone,
        len: usize,
        same_group: &impl Fn(u32, u32) -> bool,
    ) -> Option<Vec<u32>> {
        const AHEAD: usize = CodeScorer::AHEAD;
        let of_rows = self.codes.filter(|_| k > 0 && len >= FEW.max(k.saturating_mul(4)))?;
        let mut code = Vec::new();
        let step = Codes::encode_query(query, &mut code);
        let off = of_rows.codes.most_off(query, &code, step);
        let floor = of_rows.codes.score_of(self.floor.score, step).saturating_sub(off);
        let scorer = of_rows.codes.scorer(&code);
        let mut scored: Vec<(u32, i32)> = Vec::with_capacity(if self.floor.is_some() { 0 } else { len });
        let mut keep = |row: u32, score: i32| {
            if i64::from(score) >= floor {
                scored.push((row, score));
            }
        };
        if of_rows.nodes.is_none() && len as f64 >= DENSE * self.vectors.len() as f64 {
            rows.for_each(|row| keep(row, scorer.score(row)));
        } else {
            let mut ahead = rows.clone().skip(AHEAD);
            for row in rows {
                if let Some(ahead) = ahead.next() {
                    scorer.prefetch(of_rows.place(ahead));
                }
                keep(row, scorer.score(of_rows.place(row)));
            }
        }
        let mut groups = Pool::holding(k);
        for group in scored.chunk_by(|left, right| same_group(left.0, right.0)) {
            let best = group.iter().map(|(row, score)| Candidate::new(*score, *row)).max();
            best.map(|best| groups.offer(best));
        }
        let least = groups.best().get(k - 1).map_or(floor, |least| i64::from(least.score()) - 2 * off);
        Some(scored.into_iter().filter(|(_, score)| i64::from(*score) >= least).map(|(row, _)| row).collect())
    }
}

/// The best of each group of rows that lie together.
fn firsts(scored: impl Iterator<Item = Scored>, same_group: impl Fn(u32, u32) -> bool) -> impl Iterator<Item = Scored> {
    let mut scored = scored.peekable();
    std::iter::from_fn(move || {
        let mut first = scored.next()?;
        while let Some(other) = scored.next_if(|other| same_group(first.0, other.0)) {
            if better_first(&other, &first).is_lt() {
                first = other;
            }
        }
        Some(first)
    })
}

impl Graph for Exact<'_> {
    fn search(&self, query: &[f32], k: usize, _effort: Effort, admission: &Admission<'_>) -> Vec<Scored> {
        self.search_groups(query, k, admission, |_, _| false)
    }
}
