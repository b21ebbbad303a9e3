//! How one part is searched: by its graph, or exactly.

use std::collections::HashSet;

use roaring::RoaringBitmap;

use super::graph::{Graph, Scored};
use super::segment::Segment;
use super::settings::Settings;
use crate::domain::ServedBy;

/// Where a graph would have to return more than one of so many rows, a scan is as fast.
const FEW: usize = 10;
/// How many chunks are fetched for each entity that is wanted, and how much more when that was not enough.
const FETCH: usize = 2;
const FETCH_MORE: usize = 4;

/// min(k, rows admitted) rows, best first, and who found them.
pub(super) fn chunks(
    segment: &Segment,
    query: &[f32],
    k: usize,
    admitted: &RoaringBitmap,
    settings: &Settings,
) -> (Vec<Scored>, ServedBy) {
    match by_graph(segment, query, k, admitted, settings) {
        Some(found) => (found, ServedBy::MirrorHnsw),
        None => (segment.exact().search(query, k, k, admitted), ServedBy::MirrorExact),
    }
}

/// The best row of each entity: min(k, entities admitted) rows, best first, and who found them.
///
/// Entities rank as their best chunks do, so the first k entities among the best chunks are the answer; where those
/// chunks are of fewer entities, more are fetched, until a scan is cheaper.
pub(super) fn entities(
    segment: &Segment,
    query: &[f32],
    k: usize,
    admitted: &RoaringBitmap,
    settings: &Settings,
) -> (Vec<Scored>, ServedBy) {
    let mut fetch = k.saturating_mul(FETCH);
    while let Some(found) = by_graph(segment, query, fetch, admitted, settings) {
        let mut seen = HashSet::new();
        let mut firsts = found;
        firsts.retain(|(row, _)| seen.insert(&segment.row(*row).entity));
        firsts.truncate(k);
        if firsts.len() == k {
            return (firsts, ServedBy::MirrorHnsw);
        }
        fetch = fetch.saturating_mul(FETCH_MORE);
    }
    let same_entity = |left: u32, right: u32| segment.row(left).entity == segment.row(right).entity;
    (segment.exact().search_groups(query, k, admitted, same_entity), ServedBy::MirrorExact)
}

/// `None` where a scan is better, or the graph found fewer than `k`.
fn by_graph(
    segment: &Segment,
    query: &[f32],
    k: usize,
    admitted: &RoaringBitmap,
    settings: &Settings,
) -> Option<Vec<Scored>> {
    let graph = segment.graph()?;
    let ef = graph_ef(segment.len(), admitted.len() as usize, k, settings)?;
    let found = graph.search(query, k, ef, admitted);
    (found.len() == k).then_some(found)
}

/// How many candidates a graph of `rows` rows should weigh, so that as many of them are admitted as without a filter;
/// `None` where a scan of the admitted ones is faster.
///
/// A scan takes as long as there are rows admitted; a graph search as long as it weighs candidates: more for a larger k,
/// and as many times more as the filter leaves rows out.
fn graph_ef(rows: usize, admitted: usize, k: usize, settings: &Settings) -> Option<usize> {
    let wanted = settings.ef_search.max(k).max(1);
    let ef = (wanted as f64 * rows as f64 / admitted as f64).ceil();
    let scan_below = settings.exact_filter_below as f64 * ef / settings.ef_search.max(1) as f64;
    let few = (admitted as f64) < scan_below || admitted < k.saturating_mul(FEW);
    if admitted == 0 || few { None } else { Some(ef as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_for_many_rows_and_few_results() {
        let settings = Settings::default();
        for (rows, admitted, k, ef) in [
            (10_000, 10_000, 10, Some(64)),
            (20_000, 10_000, 10, Some(128)),
            (20_000, 9_999, 10, None),
            (1_000_000, 100_000, 10, Some(640)),
            (1_000_000, 50_000, 10, None),
            (1_000_000, 1_000_000, 1_000, Some(1_000)),
            (50_000, 50_000, 1_000, None),
            (10_000, 0, 10, None),
        ] {
            assert_eq!(graph_ef(rows, admitted, k, &settings), ef, "{rows} rows, {admitted} admitted, k = {k}");
        }
        let anything = Settings { exact_filter_below: 0, ..settings };
        assert_eq!(graph_ef(1_000, 100, 10, &anything), Some(640));
        assert_eq!(graph_ef(1_000, 99, 10, &anything), None, "nearly all of them are wanted");
        assert_eq!(graph_ef(1_000, 1_000, usize::MAX, &anything), None);
    }
}
