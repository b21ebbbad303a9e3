//! What the graph finds of what an exact scan finds, with filters and with dead rows.

use std::time::Instant;

use super::samples::{entity, entry_at, field, mixture, partition};
use super::view::{Found, PartitionView};
use super::{Built, Settings, open};
use crate::domain::{Delta, Entry};
use crate::domain::{Filter, Revision, ServedBy, Vector};

const ROWS: usize = 20_000;
const CENTRES: usize = 40;
const DIMENSIONS: usize = 48;
const K: usize = 10;
const ENOUGH: f64 = 0.95;

/// Chunks of a mixture, every eighth vector a copy of another, each with tags that one in so many have.
fn entries() -> Vec<Entry> {
    let vectors = mixture(ROWS, CENTRES, DIMENSIONS, 1);
    let entry = |at: usize| {
        let mut tags: Vec<String> = [2, 10, 100, 1_000]
            .into_iter()
            .filter(|every| (at / 7).is_multiple_of(*every))
            .map(|every| format!("1/{every}"))
            .collect();
        tags.push(format!("every second centre: {}", (at % CENTRES).is_multiple_of(2)));
        let copied = if at.is_multiple_of(8) { at / 64 } else { at };
        Entry { tags, vector: vectors[copied].clone(), ..entry_at(at as u64, DIMENSIONS) }
    };
    (0..ROWS).map(entry).collect()
}

fn tagged(tag: &str) -> Filter {
    Filter { tags_all: vec![tag.to_owned()], ..Filter::default() }
}

/// The mean recall of `search` by `view` against a scan, over queries of the same mixture.
fn mean_recall(
    view: &PartitionView,
    filter: &Filter,
    search: impl Fn(&PartitionView, &Vector) -> Found,
) -> (f64, bool) {
    let exact = view.with_settings(Settings { exact_filter_below: usize::MAX, ..Settings::default() });
    let queries = mixture(CENTRES, CENTRES, DIMENSIONS, 2);
    let mut by_graph = false;
    let mut sum = 0.0;
    for query in &queries {
        let (found, truth) = (search(view, query), search(&exact, query));
        assert_eq!(truth.served_by, ServedBy::MirrorExact);
        assert_eq!(found.hits.len(), truth.hits.len(), "always min(k, matches), by {filter:?}");
        by_graph |= found.served_by == ServedBy::MirrorHnsw;
        sum += recall(&found, &truth);
    }
    (sum / queries.len() as f64, by_graph)
}

/// The share of the hits of `exact` that `found` has.
fn recall(found: &Found, exact: &Found) -> f64 {
    let hits = exact.hits.iter().filter(|hit| found.hits.iter().any(|other| other.id == hit.id)).count();
    hits as f64 / exact.hits.len().max(1) as f64
}

fn require_recall(view: &PartitionView, what: &str) {
    let filters = ["1/2", "1/10", "1/100", "1/1000", "every second centre: true"].map(tagged);
    for filter in [Filter::default()].iter().chain(&filters) {
        let (chunks, by_graph) = mean_recall(view, filter, |view, query| view.search(query, K, filter).expect("fits"));
        let (entities, _) =
            mean_recall(view, filter, |view, query| view.search_entities(query, K, filter).expect("fits"));
        println!("{what}, {:?}: recall {chunks:.4}, of entities {entities:.4}, graph: {by_graph}", filter.tags_all);
        assert!(chunks >= ENOUGH && entities >= ENOUGH, "{what}, {filter:?}: {chunks}, of entities {entities}");
        assert!(by_graph || !filter.is_empty(), "an unfiltered search of {ROWS} rows is for the graph");
    }
}

#[test]
fn the_graph_finds_what_a_scan_finds() {
    let (mut writer, reader) = open(Settings { ef_construction: 80, ..Settings::default() });
    let key = partition(1);
    let now = Instant::now();
    let built = Built::build(reader.settings(), &key, DIMENSIONS, entries(), Revision(1)).expect("good rows");
    writer.publish(built, now);
    let view = reader.partition(&key, now).expect("loaded");
    assert_eq!(view.check(), Ok(()));
    require_recall(&view, "fresh");
    // The planner would scan where few rows are admitted; the graph alone keeps its recall as well.
    let only_graph = view.with_settings(Settings { exact_filter_below: 0, ..Settings::default() });
    require_recall(&only_graph, "graph wherever possible");

    // Two thirds of the rows die: whole centres' worth and scattered ones.
    let doomed = (0..ROWS as u64 / 4).filter(|number| number % 3 != 0);
    let deltas = doomed.flat_map(|number| {
        [0, 1].map(|part| Delta { entity: entity(number), source_field: field(part), entries: vec![] })
    });
    writer.apply(&key, deltas.collect(), Revision(2), now).expect("in order");
    let view = reader.partition(&key, now).expect("loaded");
    assert_eq!(view.check(), Ok(()));
    require_recall(&view.with_settings(Settings { exact_filter_below: 0, ..Settings::default() }), "two thirds dead");
}
