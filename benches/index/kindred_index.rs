//! Kindred's index, by its public interface.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use kindred::domain::{
    Delta, EmbeddingId, EntityRef, Entry, Filter, OrganizationId, Revision, ServedBy, SourceField, Vector,
};
use kindred::index::{Builder, Built, Found, IndexReader, IndexWriter, PartitionKey, PartitionView, Settings, open};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
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
        Writing::begin(&data.rows, kind, threads).1
    }

    /// Says what rebuilds take that the last of the rows come with, so many at once, as they do where others write.
    pub(crate) fn grow(data: &Data, kind: Kind, threads: usize) {
        let limit = kind.settings(threads).tail_limit;
        let (old, fresh) = data.rows.split_at(data.rows.len() - GROWTHS * limit);
        let (mut writing, mut grown) = Writing::begin(old, kind, threads);
        for (round, fresh) in fresh.chunks(limit).enumerate() {
            writing.write(&mut grown, entries(fresh, old.len() + round * limit), "new");
        }
        grown.search(data, &format!("{kind}, grown"), &[16, 32, 64, 128, 256]);
    }

    /// Says what rebuilds take that rows come with in place of others, and what searches find when all have been replaced,
    /// so many times, beside a graph of the same rows that is built from nothing. The two halves of the rows replace each
    /// other.
    pub(crate) fn churn(data: &Data, kind: Kind, threads: usize, times: usize) {
        const EFS: [usize; 2] = [64, 128];
        let limit = kind.settings(threads).tail_limit;
        let halves = data.rows.split_at(data.rows.len() / 2);
        let half_of = |time: usize| if time.is_multiple_of(2) { halves.0 } else { &halves.1[..halves.0.len()] };
        let (mut writing, mut churned) = Writing::begin(halves.0, kind, threads);
        churned.search(data, &format!("{kind}, from nothing"), &EFS);
        for time in 1..=times {
            let half = half_of(time);
            // In an order that has nothing to do with that of their vectors.
            let mut order: Vec<usize> = (0..half.len()).collect();
            order.shuffle(&mut StdRng::seed_from_u64(time as u64));
            for some in order.chunks(limit) {
                let replaced = |at: &usize| Entry {
                    version: time as i32 + 1,
                    id: EmbeddingId(Uuid::from_u64_pair(time as u64, *at as u64)),
                    ..entry(*at, &half[*at])
                };
                writing.write(&mut churned, some.iter().map(replaced).collect(), "replaced");
            }
            churned.search(data, &format!("{kind}, replaced {time} x"), &EFS);
        }
        let (_, mut anew) = Writing::begin(half_of(times), kind, threads);
        anew.search(data, &format!("{kind}, from nothing"), &EFS);
    }

    /// Prints what searches by these `ef` find and take.
    fn search(&mut self, data: &Data, name: &str, efs: &[usize]) {
        let truth = self.truth(&data.queries);
        for ef in efs {
            print_search(name, self.round(*ef, data, &truth));
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

/// Rows that come into an index, and rebuilds.
struct Writing {
    kind: Kind,
    writer: IndexWriter,
    reader: IndexReader,
    revision: Revision,
}

impl Writing {
    /// Into one of these rows, of which it says what its build took.
    fn begin(rows: &[Vec<f32>], kind: Kind, threads: usize) -> (Self, KindredIndex) {
        let settings = kind.settings(threads);
        let (mut writer, reader) = open(settings);
        let (key, dimensions, revision) = (key(), rows[0].len(), Revision(1));
        let raw = (rows.len() * dimensions * size_of::<f32>()) as f64;
        let entries = entries(rows, 0);
        let rows = entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let begun = process_cpu_seconds();
        let mut built = Built::build(&settings, &key, dimensions, entries, revision).unwrap();
        kind.put_vectors(&mut built);
        let seconds = process_cpu_seconds() - begun;
        let now = Instant::now();
        drop(writer.publish(built, now));
        let curve = Curve::built(&kind.to_string(), seconds, Some(reader.status()[0].bytes as f64 / raw));
        let view = reader.partition(&key, now).unwrap();
        let index = KindredIndex { view, settings, curve, rows, _reader: reader.clone() };
        (Self { kind, writer, reader, revision }, index)
    }

    /// Writes these at once, and says what the rebuild takes that is due then.
    fn write(&mut self, index: &mut KindredIndex, coming: Vec<Entry>, what: &str) {
        let (key, now, count) = (key(), Instant::now(), coming.len());
        self.revision = Revision(self.revision.0 + 1);
        for entry in &coming {
            let number = index.rows.len();
            index.rows.insert(entry.id, number);
        }
        let delta = |entry: Entry| Delta {
            entity: entry.entity.clone(),
            source_field: entry.source_field.clone(),
            entries: vec![entry],
        };
        self.writer.apply(&key, coming.into_iter().map(delta).collect(), self.revision, now).unwrap();
        if let Some(rebuild) = self.writer.rebuild_due(&key, now) {
            let begun = process_cpu_seconds();
            let mut built = rebuild.run().unwrap();
            self.kind.put_vectors(&mut built);
            let seconds = process_cpu_seconds() - begun;
            println!("{}: {} rows, {count} of them {what}: {seconds:.3} CPU s", self.kind, built.rows());
            drop(self.writer.install(built, now));
        }
        index.view = self.reader.partition(&key, now).unwrap();
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
