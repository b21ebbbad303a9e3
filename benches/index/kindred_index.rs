//! Kindred's index, by its public interface.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use kindred::domain::{
    Delta, EmbeddingId, EntityRef, Entry, Filter, OrganizationId, Revision, ServedBy, SourceField, Vector,
};
use kindred::index::{Builder, Built, Found, IndexReader, PartitionKey, PartitionView, Settings, open};
use uuid::Uuid;

use crate::data::Data;
use crate::measure::{Answers, Curve, Index, K, Point, print_search, process_cpu_seconds, recall, timed};

/// How it is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) builder: Builder,
    pub(crate) compressed: bool,
    pub(crate) vectors_on_disk: bool,
}

/// A partition of one entity a vector.
pub(crate) struct KindredIndex {
    view: PartitionView,
    settings: Settings,
    curve: Curve,
    rows: HashMap<EmbeddingId, usize>,
    _reader: IndexReader,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.builder {
            Builder::Own => "kindred",
            Builder::HnswRs => "kindred by hnsw_rs",
        })?;
        if !self.compressed {
            f.write_str(", f32")?;
        }
        if !self.vectors_on_disk {
            f.write_str(", in memory")?;
        }
        Ok(())
    }
}

impl Kind {
    fn settings(self, threads: usize) -> Settings {
        Settings {
            build_threads: threads,
            builder: self.builder,
            compressed: self.compressed,
            exact_below: 1,
            ..Settings::default()
        }
    }

    fn put_vectors(self, built: &mut Built) {
        if self.vectors_on_disk {
            built.move_vectors_to_disk(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        }
    }
}

impl KindredIndex {
    /// Builds it and says what that took.
    pub(crate) fn build(data: &Data, kind: Kind, threads: usize) -> Self {
        let settings = kind.settings(threads);
        let (mut writer, reader) = open(settings);
        let key = key();
        let entries = entries(&data.rows, 0);
        let rows = entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let begun = process_cpu_seconds();
        let mut built = Built::build(&settings, &key, data.dimensions, entries, Revision(1)).unwrap();
        kind.put_vectors(&mut built);
        let seconds = process_cpu_seconds() - begun;
        let now = Instant::now();
        writer.publish(built, now);
        let raw = (data.rows.len() * data.dimensions * size_of::<f32>()) as f64;
        let curve = Curve::built(&kind.to_string(), seconds, Some(reader.status()[0].bytes as f64 / raw));
        Self { view: reader.partition(&key, now).unwrap(), settings, curve, rows, _reader: reader }
    }

    /// Says what rebuilds take that the last of the rows come with, so many at once, as they do where others write.
    pub(crate) fn grow(data: &Data, kind: Kind, threads: usize) {
        let settings = kind.settings(threads);
        let (old, fresh) = data.rows.split_at(data.rows.len() - GROWTHS * settings.tail_limit);
        let (mut writer, reader) = open(settings);
        let (key, now) = (key(), Instant::now());
        let mut built = Built::build(&settings, &key, data.dimensions, entries(old, 0), Revision(1)).unwrap();
        kind.put_vectors(&mut built);
        drop(writer.publish(built, now));
        let mut all_seconds = 0.0;
        for (round, fresh) in fresh.chunks(settings.tail_limit).enumerate() {
            let coming = entries(fresh, old.len() + round * settings.tail_limit);
            let delta = |entry: Entry| Delta {
                entity: entry.entity.clone(),
                source_field: entry.source_field.clone(),
                entries: vec![entry],
            };
            let deltas = coming.into_iter().map(delta).collect();
            writer.apply(&key, deltas, Revision(2 + round as i64), now).unwrap();
            let rebuild = writer.rebuild_due(&key, now).unwrap();
            let begun = process_cpu_seconds();
            let mut built = rebuild.run().unwrap();
            kind.put_vectors(&mut built);
            let seconds = process_cpu_seconds() - begun;
            all_seconds += seconds;
            println!("{kind}: {} rows, {} of them new: {seconds:.3} CPU s", built.rows(), settings.tail_limit);
            drop(writer.install(built, now));
        }
        let rows = entries(&data.rows, 0).iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let curve = Curve::built(&format!("{kind}, grown"), all_seconds, None);
        let view = reader.partition(&key, now).unwrap();
        let mut grown = Self { view, settings, curve, rows, _reader: reader };
        let truth = grown.truth(&data.queries);
        for ef in [16, 32, 64, 128, 256] {
            print_search(&format!("{kind}, grown"), grown.round(ef, data, &truth));
        }
    }

    /// The vectors that were found, by their number.
    fn numbers(&self, found: &Found) -> Vec<usize> {
        found.hits.iter().map(|hit| self.rows[&hit.id]).collect()
    }

    /// The true answers, by a scan.
    pub(crate) fn truth(&self, queries: &[Vec<f32>]) -> Answers {
        self.filtered_truth(queries, &Filter::default())
    }

    fn filtered_truth(&self, queries: &[Vec<f32>], filter: &Filter) -> Answers {
        let exact = self.view.with_settings(Settings { rows_a_candidate: usize::MAX, ..self.settings });
        queries.iter().map(|query| self.numbers(&exact.search(&vector(query), K, filter).unwrap())).collect()
    }

    /// Recall and time by how much a filter admits, which are rows at random.
    pub(crate) fn filters(&self, data: &Data) {
        let queries: Vec<Vector> = data.queries.iter().map(|query| vector(query)).collect();
        for share in SHARES {
            let filter = Filter { tags_all: vec![tag(share)], ..Filter::default() };
            let truth = self.filtered_truth(&data.queries, &filter);
            let round = |_| timed(queries.len(), |at| self.view.search(&queries[at], K, &filter).unwrap());
            let (found, times) =
                (0..3).map(round).min_by(|(_, one), (_, other)| one.cpu.total_cmp(&other.cpu)).unwrap();
            let by_graph = found.iter().filter(|found| found.served_by == ServedBy::MirrorHnsw).count();
            let graph = by_graph as f64 / queries.len() as f64;
            let recall = recall(&found.iter().map(|found| self.numbers(found)).collect(), &truth);
            let point = Point { ef: self.settings.ef_search, recall, times };
            print_search(&format!("1 of {share} admitted, graph {graph:.2}"), point);
        }
    }
}

impl Index for KindredIndex {
    fn built(&self) -> Curve {
        self.curve.clone()
    }

    fn round(&mut self, ef: usize, data: &Data, truth: &Answers) -> Point {
        let queries: Vec<Vector> = data.queries.iter().map(|query| vector(query)).collect();
        let view = self.view.with_settings(Settings { ef_search: ef, rows_a_candidate: 0, ..self.settings });
        let (found, times) = timed(queries.len(), |at| view.search(&queries[at], K, &Filter::default()).unwrap());
        let recall = recall(&found.iter().map(|found| self.numbers(found)).collect(), truth);
        Point { ef, recall, times }
    }
}

/// So many rebuilds are measured one after the other.
const GROWTHS: usize = 4;

fn key() -> PartitionKey {
    PartitionKey { organization: OrganizationId(Uuid::nil()), model: "bench".parse().unwrap() }
}

/// Vectors as entries, numbered from `first`.
fn entries(vectors: &[Vec<f32>], first: usize) -> Vec<Entry> {
    (first..).zip(vectors).map(|(at, vector)| entry(at, vector)).collect()
}

/// A tag is on one of so many rows.
const SHARES: [usize; 9] = [1, 2, 5, 10, 20, 50, 100, 1_000, 10_000];

fn tag(share: usize) -> String {
    format!("1/{share}")
}

fn entry(at: usize, components: &[f32]) -> Entry {
    // Entities are in no order that has to do with their vectors'.
    let id = Uuid::from_u128((at as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    Entry {
        id: EmbeddingId(id),
        entity: EntityRef { entity_type: "post".parse().unwrap(), id },
        source_field: SourceField::default(),
        version: 1,
        chunk_index: 0,
        tags: SHARES.into_iter().filter(|share| at.is_multiple_of(*share)).map(tag).collect(),
        platform: String::new(),
        status: String::new(),
        occurred_at: None,
        vector: vector(components),
    }
}

fn vector(components: &[f32]) -> Vector {
    Vector::new(components.to_vec()).unwrap()
}
