//! How one part is searched: by its graph, or exactly.

use std::collections::HashSet;

use super::admission::Admission;
use super::exact::Floor;
use super::graph::{Effort, Graph, Scored, first_look};
use super::segment::Segment;
use super::settings::Settings;
use crate::domain::ServedBy;

/// Where a graph would have to return more than one of so many rows, a scan is as fast.
const FEW: usize = 10;
/// So many nodes a walk looks at for each candidate that it weighs.
const NODES_A_CANDIDATE: f64 = 12.0;
/// A scan tries as hard as can be, whatever it is told.
const EXACT: Effort = Effort { ef: 0, most: 0 };
/// How many chunks are fetched for each entity that is wanted, where entities have several, and how much more when that was
/// not enough.
const FETCH: usize = 2;
const FETCH_MORE: usize = 4;

/// min(k, rows admitted) rows, best first, and who found them. A scan leaves out what scores less than `floor`.
pub(super) fn chunks(
    segment: &Segment,
    query: &[f32],
    (k, floor): (usize, Floor<'_>),
    admission: &Admission<'_>,
    settings: &Settings,
) -> (Vec<Scored>, ServedBy) {
    match by_graph(segment, query, k, admission, settings) {
        Some(found) => (found, ServedBy::MirrorHnsw),
        None => (segment.exact(floor).search(query, k, EXACT, admission), ServedBy::MirrorExact),
    }
}

/// The best row of each entity: min(k, entities admitted) rows, best first, and who found them. A scan leaves out what
/// scores less than `floor`.
///
/// Entities rank as their best chunks do, so the first k entities among the best chunks are the answer; where those
/// chunks are of fewer entities, more are fetched, until a scan is cheaper.
pub(super) fn entities(
    segment: &Segment,
    query: &[f32],
    (k, floor): (usize, Floor<'_>),
    admission: &Admission<'_>,
    settings: &Settings,
) -> (Vec<Scored>, ServedBy) {
    entities_from(segment, query, (k, floor), to_fetch(segment, k), admission, settings)
}

/// How many chunks are fetched at first for so many entities.
fn to_fetch(segment: &Segment, k: usize) -> usize {
    if segment.has_a_row_an_entity() { k } else { k.saturating_mul(FETCH) }
}

/// Of each list [`entities`]: a number of results and what is admitted makes a list. Those for which the graph is best are
/// found on one walk.
pub(super) fn entities_of_lists(
    segment: &Segment,
    query: &[f32],
    lists: &[(usize, Admission<'_>)],
    settings: &Settings,
) -> Vec<(Vec<Scored>, ServedBy)> {
    let effort = |(k, admission): &(usize, Admission<'_>)| {
        segment.graph()?;
        graph_effort(segment.len(), admission.len(), to_fetch(segment, *k), settings)
    };
    let efforts: Vec<Option<Effort>> = lists.iter().map(effort).collect();
    let walked: Vec<(usize, &Admission<'_>)> = lists
        .iter()
        .zip(&efforts)
        .filter_map(|((k, admission), effort)| effort.map(|_| (to_fetch(segment, *k), admission)))
        .collect();
    let together = efforts
        .iter()
        .flatten()
        .copied()
        .reduce(|one, other| Effort { ef: one.ef.max(other.ef), most: one.most.saturating_add(other.most) });
    let found = segment.graph().zip(together).and_then(|(graph, effort)| graph.search_lists(query, &walked, effort));
    let mut found = found.into_iter().flatten();
    let answer = |((k, admission), effort): (&(usize, Admission<'_>), &Option<Effort>)| {
        let firsts = effort.and_then(|_| found.next()).map(|rows| first_of_each(segment, rows, *k));
        match firsts {
            Some(firsts) if firsts.len() == *k => (firsts, ServedBy::MirrorHnsw),
            Some(_) => {
                let fetch = to_fetch(segment, *k).saturating_mul(FETCH_MORE);
                entities_from(segment, query, (*k, Floor::NONE), fetch, admission, settings)
            }
            None => entities(segment, query, (*k, Floor::NONE), admission, settings),
        }
    };
    lists.iter().zip(&efforts).map(answer).collect()
}

/// As [`entities`], with so many chunks fetched to begin with.
fn entities_from(
    segment: &Segment,
    query: &[f32],
    (k, floor): (usize, Floor<'_>),
    mut fetch: usize,
    admission: &Admission<'_>,
    settings: &Settings,
) -> (Vec<Scored>, ServedBy) {
    while let Some(found) = by_graph(segment, query, fetch, admission, settings) {
        let firsts = first_of_each(segment, found, k);
        if firsts.len() == k {
            return (firsts, ServedBy::MirrorHnsw);
        }
        fetch = fetch.saturating_mul(FETCH_MORE);
    }
    let exact = segment.exact(floor);
    let found = if segment.has_a_row_an_entity() {
        exact.search(query, k, EXACT, admission)
    } else {
        exact.search_groups(query, k, admission, |left, right| segment.row(left).entity == segment.row(right).entity)
    };
    (found, ServedBy::MirrorExact)
}

/// Of rows, best first, the best one of each entity, `k` at most.
fn first_of_each(segment: &Segment, mut rows: Vec<Scored>, k: usize) -> Vec<Scored> {
    if !segment.has_a_row_an_entity() {
        let mut seen = HashSet::new();
        rows.retain(|(row, _)| seen.insert(&segment.row(*row).entity));
    }
    rows.truncate(k);
    rows
}

/// `None` where a scan is better, or the graph found fewer than `k`.
fn by_graph(
    segment: &Segment,
    query: &[f32],
    k: usize,
    admission: &Admission<'_>,
    settings: &Settings,
) -> Option<Vec<Scored>> {
    let graph = segment.graph()?;
    let effort = graph_effort(segment.len(), admission.len(), k, settings)?;
    let found = graph.search(query, k, effort, admission);
    (found.len() == k).then_some(found)
}

/// How hard a graph of `rows` rows should try; `None` where a scan of the admitted ones is faster.
///
/// A scan takes as long as there are rows admitted; a walk as long as it weighs candidates: more for a larger k, and as
/// many more as the filter leaves rows out, if it has nothing to do with the query. Where the admitted rows turn out to be
/// farther than that, the walk gives up when a scan would have been done.
fn graph_effort(rows: usize, admitted: usize, k: usize, settings: &Settings) -> Option<Effort> {
    if admitted == 0 || admitted < k.saturating_mul(FEW) {
        return None;
    }
    let ef = settings.ef_search.max(1);
    let rows_a_candidate = settings.rows_a_candidate as f64;
    let most = (admitted as f64 * NODES_A_CANDIDATE / rows_a_candidate).ceil() as usize;
    let effort = Effort { ef, most };
    let share = admitted as f64 / rows as f64;
    let candidates = first_look(k).max(ef) as f64 / share;
    (admitted as f64 >= rows_a_candidate * candidates).then_some(effort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_for_many_rows_and_few_results() {
        let settings = Settings { ef_search: 64, rows_a_candidate: 10, ..Settings::default() };
        for (rows, admitted, k, most) in [
            (10_000, 10_000, 10, Some(12_000)),
            (20_000, 10_000, 10, Some(12_000)),
            (100_000, 8_000, 10, Some(9_600)),
            (100_000, 7_999, 10, None),
            (1_000_000, 30_000, 10, Some(36_000)),
            (1_000_000, 20_000, 10, None),
            (1_000_000, 1_000_000, 1_000, Some(1_200_000)),
            (9_000, 9_000, 1_000, None),
            (600, 600, 10, None),
            (10_000, 0, 10, None),
        ] {
            let effort = most.map(|most| Effort { ef: 64, most });
            assert_eq!(graph_effort(rows, admitted, k, &settings), effort, "{rows} rows, {admitted} admitted, k = {k}");
        }
        let anything = Settings { rows_a_candidate: 0, ..settings };
        assert_eq!(graph_effort(1_000, 100, 10, &anything), Some(Effort { ef: 64, most: usize::MAX }));
        assert_eq!(graph_effort(1_000, 99, 10, &anything), None, "nearly all of them are wanted");
        assert_eq!(graph_effort(1_000, 1_000, usize::MAX, &anything), None);
        let nothing = Settings { rows_a_candidate: usize::MAX, ..settings };
        assert_eq!(graph_effort(1_000_000, 1_000_000, 10, &nothing), None);
    }
}
