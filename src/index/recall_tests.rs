//! What the graph finds of what an exact scan finds, with filters and with dead rows.

use std::sync::Arc;
use std::time::Instant;

use super::samples::{entity, entry_at, field, mixture, partition, vector};
use super::segment::{Segment, UnitRow, unit_rows};
use super::snapshot::Part;
use super::view::{Found, PartitionView};
use super::{Builder, Built, IndexReader, IndexWriter, Settings, open};
use crate::domain::{ChunkHit, Delta, Entry, Filter, Revision, ServedBy, Vector};

const ROWS: usize = 20_000;
const CENTRES: usize = 40;
const DIMENSIONS: usize = 48;
const K: usize = 10;
const ENOUGH: f64 = 0.95;

/// Which share of the rows has the tag "1/…": one of so many.
const SHARES: [usize; 6] = [1, 2, 10, 100, 1_000, 10_000];

/// Chunks of a mixture, every eighth vector a copy of another, each with the tag of its centre and tags that one in so
/// many has.
fn entries() -> Vec<Entry> {
    let vectors = mixture(ROWS, CENTRES, DIMENSIONS, 1);
    let entry = |at: usize| {
        let copied = if at.is_multiple_of(8) { at / 64 } else { at };
        let shares =
            SHARES.into_iter().filter(|share| (at / 7).is_multiple_of(*share)).map(|share| format!("1/{share}"));
        let tags = shares.chain([centre(copied)]).collect();
        Entry { tags, vector: vectors[copied].clone(), ..entry_at(at as u64, DIMENSIONS) }
    };
    (0..ROWS).map(entry).collect()
}

/// The tag of the centre of a row, or of a query.
fn centre(at: usize) -> String {
    format!("centre {}", at % CENTRES)
}

fn tagged(tags: impl IntoIterator<Item = String>) -> Filter {
    Filter { tags_any: tags.into_iter().collect(), ..Filter::default() }
}

/// What is admitted to a query, by its number.
type FilterOf = Box<dyn Fn(usize) -> Filter>;

/// What is admitted to queries: shares of the rows that have nothing to do with it, only rows near it, all
/// but those near it, only rows far from it, and shares of the near and of the far ones.
fn filters() -> Vec<(String, FilterOf)> {
    let mut filters: Vec<(String, FilterOf)> = vec![
        ("all".to_owned(), Box::new(|_| Filter::default())),
        ("near".to_owned(), Box::new(|query| tagged([centre(query)]))),
        ("all but near".to_owned(), Box::new(|query| tagged((1..CENTRES).map(|off| centre(query + off))))),
        ("far".to_owned(), Box::new(|query| tagged([centre(query + CENTRES / 2)]))),
    ];
    for share in SHARES {
        let some = move || tagged([format!("1/{share}")]);
        filters.push((format!("1/{share}"), Box::new(move |_| some())));
        let near = move |query| Filter { tags_all: vec![centre(query)], ..some() };
        filters.push((format!("1/{share} of near"), Box::new(near)));
        let far = move |query| Filter { tags_all: vec![centre(query + CENTRES / 2)], ..some() };
        filters.push((format!("1/{share} of far"), Box::new(far)));
    }
    filters
}

/// The mean recall of `search` by `view` against a scan, over queries of the same mixture, and how many were for the
/// graph.
fn mean_recall(
    view: &PartitionView,
    filter: &dyn Fn(usize) -> Filter,
    search: impl Fn(&PartitionView, &Vector, &Filter) -> Found,
) -> (f64, usize) {
    let exact = view.with_settings(Settings { rows_a_candidate: usize::MAX, ..Settings::default() });
    let queries = mixture(CENTRES, CENTRES, DIMENSIONS, 2);
    let (mut by_graph, mut sum) = (0, 0.0);
    for (at, query) in queries.iter().enumerate() {
        let filter = filter(at);
        let (found, truth) = (search(view, query, &filter), search(&exact, query, &filter));
        assert_eq!(truth.served_by, ServedBy::MirrorExact);
        assert_eq!(found.hits.len(), truth.hits.len(), "always min(k, matches), by {filter:?}");
        by_graph += usize::from(found.served_by == ServedBy::MirrorHnsw);
        sum += recall(&found, &truth);
    }
    (sum / queries.len() as f64, by_graph)
}

/// The share of the hits of `exact` that `found` has.
fn recall(found: &Found, exact: &Found) -> f64 {
    if exact.hits.is_empty() {
        return 1.0;
    }
    let hits = exact.hits.iter().filter(|hit| found.hits.iter().any(|other| other.id == hit.id)).count();
    hits as f64 / exact.hits.len() as f64
}

fn require_recall(view: &PartitionView, what: &str) {
    let limits = ["post", "chat", "hashtag"].map(|name| (name.parse().expect("a good name"), 4));
    for (name, filter) in filters() {
        let (chunks, graph) =
            mean_recall(view, &filter, |view, query, filter| view.search(query, K, filter).expect("fits"));
        let (entities, _) =
            mean_recall(view, &filter, |view, query, filter| view.search_entities(query, K, filter).expect("fits"));
        let (by_type, _) = mean_recall(view, &filter, |view, query, filter| {
            view.search_entities_by_type(query, &limits, filter).expect("fits")
        });
        println!("{what}, {name}: {chunks:.4}, of entities {entities:.4}, by type {by_type:.4}, by graph: {graph}");
        let enough = [chunks, entities, by_type].iter().all(|recall| *recall >= ENOUGH);
        assert!(enough, "{what}, {name}: {chunks}, of entities {entities}, by type {by_type}");
        assert!(graph == CENTRES || name != "all", "an unfiltered search of {ROWS} rows is for the graph");
    }
}

/// A partition of the entries, to read and to write.
fn published(settings: Settings) -> (IndexWriter, IndexReader) {
    let (mut writer, reader) = open(settings);
    let built = Built::build(reader.settings(), &partition(1), DIMENSIONS, entries(), Revision(1)).expect("good rows");
    writer.publish(built, Instant::now());
    (writer, reader)
}

/// The planner would scan where few rows are admitted; the graph alone keeps its recall as well.
fn only_graph(view: &PartitionView, settings: Settings) -> PartitionView {
    view.with_settings(Settings { rows_a_candidate: 0, ..settings })
}

#[test]
fn the_graph_finds_what_a_scan_finds() {
    let settings = Settings { ef_construction: 80, build_threads: 1, ..Settings::default() };
    let (mut writer, reader) = published(settings);
    let (key, now) = (partition(1), Instant::now());
    let view = reader.partition(&key, now).expect("loaded");
    assert_eq!(view.check(), Ok(()));
    require_recall(&view, "fresh");
    require_recall(&only_graph(&view, settings), "graph wherever possible");

    // Two thirds of the rows die: whole centres' worth and scattered ones.
    let doomed = (0..ROWS as u64 / 4).filter(|number| number % 3 != 0);
    let deltas = doomed.flat_map(|number| {
        [0, 1].map(|part| Delta { entity: entity(number), source_field: field(part), entries: vec![] })
    });
    writer.apply(&key, deltas.collect(), Revision(2), now).expect("in order");
    let view = reader.partition(&key, now).expect("loaded");
    assert_eq!(view.check(), Ok(()));
    require_recall(&only_graph(&view, settings), "two thirds dead");
}

#[test]
fn so_do_graphs_of_other_kinds() {
    let settings = Settings { ef_construction: 80, ..Settings::default() };
    let kinds = [Settings { compressed: false, ..settings }, Settings { builder: Builder::HnswRs, ..settings }];
    for settings in kinds {
        let (_writer, reader) = published(settings);
        let view = reader.partition(&partition(1), Instant::now()).expect("loaded");
        assert_eq!(view.check(), Ok(()));
        require_recall(&only_graph(&view, settings), &format!("{settings:?}"));
    }
}

#[test]
fn a_partition_in_parts_is_searched_as_well() {
    const OLD: usize = 18_000;
    const FRESH: usize = 250;
    let settings = Settings {
        ef_construction: 80,
        exact_below: FRESH,
        tail_limit: FRESH,
        build_threads: 1,
        ..Settings::default()
    };
    let entries = entries();
    let (mut writer, reader) = in_parts(settings, &entries[..OLD], &entries[OLD..OLD + FRESH]);
    let (key, now) = (partition(1), Instant::now());
    writer.apply(&key, deltas(&entries[OLD + FRESH..]), Revision(3), now).expect("in order");
    let view = reader.partition(&key, now).expect("loaded");
    assert_eq!((view.check(), view.len()), (Ok(()), ROWS));
    assert_eq!(reader.status()[0].tail, ROWS - OLD - FRESH);
    require_recall(&view, "in parts");
    require_recall(&only_graph(&view, settings), "in parts, graph wherever possible");
}

#[test]
fn a_small_part_that_has_all_the_best_is_searched_as_if_it_were_alone() {
    const OLD: u64 = 17_000;
    const FRESH: u64 = 250;
    let settings = Settings {
        ef_construction: 40,
        ef_search: 16,
        rows_a_candidate: 0,
        exact_below: FRESH as usize,
        tail_limit: FRESH as usize,
        build_threads: 1,
        ..Settings::default()
    };
    // All that is old lies to one side, what is fresh and what is asked for to the other.
    let aside = |seed: u64, by: f32| {
        let mut components = vector(seed, DIMENSIONS).into_inner();
        components[0] = by;
        Vector::new(components).expect("finite and not zero")
    };
    let entry = |place: u64| {
        let by = if place < OLD { -3.0 } else { 3.0 };
        Entry { vector: aside(place, by), ..entry_at(place, DIMENSIONS) }
    };
    let entries: Vec<Entry> = (0..OLD + FRESH).map(entry).collect();
    let (old, fresh) = entries.split_at(OLD as usize);
    let (_writer, reader) = in_parts(settings, old, fresh);
    let (mut alone, reader_alone) = open(settings);
    let key = partition(1);
    alone.publish(
        Built::build(&settings, &key, DIMENSIONS, fresh.to_vec(), Revision(1)).expect("good rows"),
        Instant::now(),
    );
    let [view, view_alone] = [reader, reader_alone].map(|reader| reader.glance(&key).expect("loaded"));
    for seed in 0..50 {
        let search =
            |view: &PartitionView| view.search(&aside(1_000_000 + seed, 3.0), K, &Filter::default()).expect("fits");
        assert_eq!(search(&view), search(&view_alone));
    }
}

/// Vectors of so many dimensions are told from others by their sketches in the tail.
#[test]
fn a_search_by_the_graph_finds_all_that_is_in_the_tail() {
    const DIMENSIONS: usize = 300;
    const OLD: usize = 4_200;
    const FRESH: usize = 1_500;
    let settings = Settings { ef_construction: 40, rows_a_candidate: 0, build_threads: 1, ..Settings::default() };
    let vectors = mixture(OLD + FRESH + 200, CENTRES, DIMENSIONS, 3);
    let entry = |at: usize| Entry { vector: vectors[at].clone(), ..entry_at(at as u64, DIMENSIONS) };
    let entries: Vec<Entry> = (0..OLD + FRESH).map(entry).collect();
    let (key, now) = (partition(1), Instant::now());
    let (mut writer, reader) = open(settings);
    let (old, fresh) = entries.split_at(OLD);
    writer.publish(Built::build(&settings, &key, DIMENSIONS, old.to_vec(), Revision(1)).expect("good rows"), now);
    for (revision, fresh) in (2..).zip(fresh.chunks(100)) {
        writer.apply(&key, deltas(fresh), Revision(revision), now).expect("in order");
    }
    assert!(reader.shared.get(&key).expect("loaded").snapshot().parts[1].segment.sketched(0).is_some());
    let view = reader.partition(&key, now).expect("loaded");
    let exact = view.with_settings(Settings { rows_a_candidate: usize::MAX, ..settings });
    let mut wanted = 0;
    for query in &vectors[OLD + FRESH..] {
        let [found, exact] = [&view, &exact].map(|view| view.search(query, K, &Filter::default()).expect("fits"));
        assert_eq!((found.served_by, exact.served_by), (ServedBy::MirrorHnsw, ServedBy::MirrorExact));
        let in_tail = |hit: &&ChunkHit| fresh.iter().any(|entry| entry.id == hit.id);
        wanted += exact.hits.iter().filter(in_tail).count();
        assert!(exact.hits.iter().filter(in_tail).all(|hit| found.hits.contains(hit)));
    }
    assert!(wanted > 300, "{wanted} of the best are in the tail");
}

/// Where what comes is like what is there, and where it is far from all of that: centre after centre.
#[test]
fn a_graph_that_goes_on_from_older_ones_finds_what_one_built_from_nothing_does() {
    let vectors = mixture(ROWS, CENTRES, DIMENSIONS, 1);
    let of_centre = ROWS / CENTRES;
    require_as_good_a_graph(&|at| vectors[at].clone(), 0.01);
    require_as_good_a_graph(&|at| vectors[at % of_centre * CENTRES + at / of_centre].clone(), 0.02);
}

/// Twelve times more rows come, and some of those that are there die.
fn require_as_good_a_graph(vector: &dyn Fn(usize) -> Vector, most_less: f64) {
    const OLD: usize = 8_000;
    const ROUND: usize = 1_000;
    const QUERIES: usize = 1_000;
    let settings = Settings { ef_construction: 80, ef_search: 32, build_threads: 1, ..Settings::default() };
    let entries: Vec<Entry> =
        (0..ROWS).map(|at| Entry { vector: vector(at), ..entry_at(at as u64, DIMENSIONS) }).collect();
    let unit_rows = |entries| unit_rows(DIMENSIONS, entries).expect("of this width");
    let sealed = |rows: Vec<UnitRow<'_>>| Segment::sealed(&settings, DIMENSIONS, rows).expect("good rows");
    let mut grown = Part::new(Arc::new(sealed(unit_rows(entries[..OLD].to_vec()))));
    for (round, fresh) in (0..).zip(entries[OLD..].chunks(ROUND)) {
        let there = (OLD + round as usize * ROUND) as u64 / 4;
        for number in (0..there).filter(|number| number % 18 == round) {
            [0, 1].iter().for_each(|part| grown.kill(&entity(number), &field(*part)));
        }
        let fresh = unit_rows(fresh.to_vec());
        let segment = Segment::grown(&settings, DIMENSIONS, &grown.segment, &grown.dead, fresh).expect("good rows");
        assert_eq!(segment.check(), Ok(()));
        grown = Part::new(Arc::new(segment));
    }
    let from_nothing = Part::new(Arc::new(sealed(grown.live_unit_rows().collect())));
    let [grown, from_nothing] = [grown, from_nothing].map(|part| {
        let (mut writer, reader) = open(settings);
        let built = Built {
            segment: part.segment,
            ..Built::build(&settings, &partition(1), DIMENSIONS, vec![], Revision(1)).expect("none")
        };
        writer.publish(built, Instant::now());
        reader.glance(&partition(1)).expect("loaded")
    });
    assert_eq!(grown.digest(), from_nothing.digest());
    let exact = grown.with_settings(Settings { rows_a_candidate: usize::MAX, ..settings });
    let queries = mixture(QUERIES, CENTRES, DIMENSIONS, 2);
    let mean = |view: &PartitionView| {
        let found = |view: &PartitionView, query| view.search(query, K, &Filter::default()).expect("fits");
        queries.iter().map(|query| recall(&found(view, query), &found(&exact, query))).sum::<f64>() / QUERIES as f64
    };
    let (grown, from_nothing) = (mean(&grown), mean(&from_nothing));
    println!("{grown}, from nothing {from_nothing}");
    assert!(grown >= ENOUGH && grown >= from_nothing - most_less, "{grown}, from nothing {from_nothing}");
}

/// A partition of a segment and a smaller one that came later.
fn in_parts(settings: Settings, old: &[Entry], fresh: &[Entry]) -> (IndexWriter, IndexReader) {
    let (mut writer, reader) = open(settings);
    let (key, now) = (partition(1), Instant::now());
    let dimensions = old[0].vector.dimensions();
    let built = Built::build(&settings, &key, dimensions, old.to_vec(), Revision(1)).expect("good rows");
    writer.publish(built, now);
    writer.apply(&key, deltas(fresh), Revision(2), now).expect("in order");
    let part = writer.rebuild_due(&key, now).expect("due").run().expect("good rows");
    assert!(!part.is_whole());
    writer.install(part, now);
    (writer, reader)
}

/// What writes the chunks of each text, of which there are two.
fn deltas(entries: &[Entry]) -> Vec<Delta> {
    let delta = |chunks: &[Entry]| Delta {
        entity: chunks[0].entity.clone(),
        source_field: chunks[0].source_field.clone(),
        entries: chunks.to_vec(),
    };
    entries.chunks(2).map(delta).collect()
}
