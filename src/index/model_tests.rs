//! Random histories of partitions, compared after each step with a simple model of what they should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use uuid::Uuid;

use super::cosine::{cosine, unit};
use super::entry::PartitionKey;
use super::samples::{admits, entity, entry_at, field, filters, partition, vector};
use super::view::{Found, PartitionView};
use super::{Built, IndexReader, IndexWriter, Settings, open};
use crate::domain::{ChunkHit, EmbeddingId, EntityRef, Filter, Revision, ServedBy, SourceField};
use crate::domain::{Delta, Entry};

const DIMENSIONS: usize = 8;
const PARTITIONS: u128 = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Changes in the database: (entity, field) and how many chunks of which seed its new version has.
    Write(u128, Vec<(u64, u64, usize, u64)>),
    Load(u128),
    /// A load that read the database, and publishes only after what is written next.
    BeginLoad(u128),
    EndLoad(u128),
    BeginRebuild(u128),
    Install(u128),
    Abandon(u128),
    Remove(u128),
    Evict,
    Confirm(u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 0..PARTITIONS;
    let changes = proptest::collection::vec((0_u64..12, 0_u64..2, 0_usize..4, 0_u64..1_000), 1..6);
    let step = prop_oneof![
        8 => (which(), changes).prop_map(|(which, changes)| Step::Write(which, changes)),
        2 => which().prop_map(Step::Load),
        1 => which().prop_map(Step::BeginLoad),
        1 => which().prop_map(Step::EndLoad),
        3 => which().prop_map(Step::BeginRebuild),
        3 => which().prop_map(Step::Install),
        1 => which().prop_map(Step::Abandon),
        1 => which().prop_map(Step::Remove),
        1 => Just(Step::Evict),
        1 => which().prop_map(Step::Confirm),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the database holds of one partition.
#[derive(Default)]
struct Table {
    current: BTreeMap<(EntityRef, SourceField), Vec<Entry>>,
    revision: i64,
    loaded: bool,
    loading: Option<Built>,
    rebuilt: Option<Built>,
}

struct World {
    writer: IndexWriter,
    reader: IndexReader,
    tables: BTreeMap<u128, Table>,
    rows: u128,
    now: Instant,
}

impl World {
    fn new(settings: Settings) -> Self {
        let (writer, reader) = open(settings);
        let tables = (0..PARTITIONS).map(|which| (which, Table::default())).collect();
        Self { writer, reader, tables, rows: 0, now: Instant::now() }
    }

    fn built(&self, which: u128) -> Built {
        let table = &self.tables[&which];
        let entries = table.current.values().flatten().cloned().collect();
        // With its graph, or without it for a while.
        let build = if table.revision % 2 == 0 { Built::build } else { Built::build_to_be_shown };
        build(self.reader.settings(), &partition(which), DIMENSIONS, entries, Revision(table.revision))
            .expect("good rows")
    }

    fn delta(&mut self, (of, source, chunks, seed): (u64, u64, usize, u64)) -> Delta {
        let entries = (0..chunks).map(|chunk| {
            self.rows += 1;
            Entry {
                id: EmbeddingId(Uuid::from_u128(self.rows)),
                entity: entity(of),
                source_field: field(source),
                version: seed as i32,
                chunk_index: chunk as i32,
                // Few different vectors, so that scores tie.
                vector: vector(seed % 30 + chunk as u64, DIMENSIONS),
                ..entry_at(seed, DIMENSIONS)
            }
        });
        Delta { entries: entries.collect(), entity: entity(of), source_field: field(source) }
    }

    fn write(&mut self, which: u128, changes: Vec<(u64, u64, usize, u64)>) {
        let deltas: Vec<Delta> = changes.into_iter().map(|change| self.delta(change)).collect();
        let table = self.tables.get_mut(&which).expect("one of them");
        table.revision += 1;
        for delta in deltas.clone() {
            table.current.insert((delta.entity, delta.source_field), delta.entries);
        }
        let applied = self.writer.apply(&partition(which), deltas, Revision(table.revision), self.now);
        assert_eq!(applied.is_ok(), table.loaded);
    }

    fn take(&mut self, step: Step) {
        self.now += Duration::from_secs(1);
        let (now, key) = (self.now, |which| partition(which));
        match step {
            Step::Write(which, changes) => self.write(which, changes),
            Step::Load(which) => {
                let built = self.built(which);
                self.writer.publish(built, now);
                self.table(which).loaded = true;
            }
            Step::BeginLoad(which) => self.table(which).loading = Some(self.built(which)),
            Step::EndLoad(which) => {
                // It would show an older revision than the model's, where the partition was not loaded.
                let revision = self.table(which).revision;
                if let Some(built) = self.table(which).loading.take_if(|built| built.revision().0 == revision) {
                    self.writer.publish(built, now);
                    self.table(which).loaded = true;
                }
            }
            Step::BeginRebuild(which) => {
                if let Some(rebuild) = self.writer.rebuild_due(&key(which), now) {
                    assert!(self.writer.rebuild_due(&key(which), now).is_none(), "one is under way");
                    self.table(which).rebuilt = Some(rebuild.run().expect("good rows"));
                }
            }
            Step::Install(which) => {
                if let Some(built) = self.table(which).rebuilt.take() {
                    self.writer.install(built, now);
                }
            }
            Step::Abandon(which) => self.writer.abandon_rebuild(&key(which)),
            Step::Remove(which) => {
                self.writer.remove(&key(which));
                self.table(which).loaded = false;
            }
            Step::Evict => {
                let (evicted, _) = self.writer.evict_over_budget();
                assert!(!self.reader.status().is_empty() || self.tables.values().all(|table| !table.loaded));
                for table in (0..PARTITIONS).filter(|which| evicted.contains(&key(*which))) {
                    self.table(table).loaded = false;
                }
            }
            Step::Confirm(which) => self.writer.confirm(&key(which), now),
        }
    }

    fn table(&mut self, which: u128) -> &mut Table {
        self.tables.get_mut(&which).expect("one of them")
    }

    fn agrees(&self, query: u64, k: usize, filter: &Filter) -> Result<(), TestCaseError> {
        let loaded: Vec<(PartitionKey, Revision)> = self
            .tables
            .iter()
            .filter(|(_, table)| table.loaded)
            .map(|(which, table)| (partition(*which), Revision(table.revision)))
            .collect();
        prop_assert_eq!(self.writer.loaded(None), loaded);
        for (which, table) in &self.tables {
            let view = self.reader.partition(&partition(*which), self.now);
            prop_assert_eq!(view.is_some(), table.loaded);
            if let Some(view) = view {
                prop_assert_eq!(view.check(), Ok(()));
                prop_assert_eq!(view.len(), table.current.values().map(Vec::len).sum::<usize>());
                agrees_with_table(&view, table, query, k, filter)?;
            }
        }
        Ok(())
    }
}

/// Every search of the view finds what looking at every row of the table does.
fn agrees_with_table(
    view: &PartitionView,
    table: &Table,
    query: u64,
    k: usize,
    filter: &Filter,
) -> Result<(), TestCaseError> {
    let query = vector(query, DIMENSIONS);
    let rows = table.current.values().flatten().cloned().map(Entry::split);
    let mut all: Vec<ChunkHit> = rows
        .filter(|(row, _)| admits(filter, row))
        .map(|(row, vector)| row.hit(cosine(unit(query.clone()).as_slice(), unit(vector).as_slice())))
        .collect();
    all.sort_by(ChunkHit::better_first);
    let mut seen = BTreeSet::new();
    let firsts: Vec<ChunkHit> = all.iter().filter(|hit| seen.insert(&hit.entity)).cloned().collect();
    finds(&view.search(&query, k, filter).expect("right width"), &all, k)?;
    finds(&view.search_entities(&query, k, filter).expect("right width"), &firsts, k)?;

    let limits = [("post", k), ("hashtag", k / 2)].map(|(name, k)| (name.parse().expect("a good name"), k));
    let found = view.search_entities_by_type(&query, &limits, filter).expect("right width");
    prop_assert!(found.hits.is_sorted_by(|left, right| left.better_first(right).is_lt()));
    for (of_type, k) in limits {
        let of_that_type = |hits: &[ChunkHit]| {
            hits.iter().filter(|hit| hit.entity.entity_type == of_type).cloned().collect::<Vec<_>>()
        };
        finds(&Found { hits: of_that_type(&found.hits), ..found }, &of_that_type(&firsts), k)?;
    }

    for (entity, _) in table.current.keys() {
        let of_entity = table.current.iter().filter(|((other, _), _)| other == entity);
        let expected: Vec<_> = of_entity
            .flat_map(|((_, field), entries)| {
                entries.iter().map(|entry| (field.clone(), entry.chunk_index, unit(entry.vector.clone())))
            })
            .collect();
        prop_assert_eq!(view.vectors_of(entity), expected);
    }
    Ok(())
}

fn finds(found: &Found, all: &[ChunkHit], k: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.hits.len(), k.min(all.len()));
    prop_assert!(found.hits.is_sorted_by(|left, right| left.better_first(right).is_lt()));
    if found.served_by == ServedBy::MirrorExact {
        prop_assert_eq!(&found.hits[..], &all[..found.hits.len()]);
    } else {
        let ids: BTreeSet<_> = all.iter().map(|hit| (hit.id, hit.score.to_bits())).collect();
        prop_assert!(found.hits.iter().all(|hit| ids.contains(&(hit.id, hit.score.to_bits()))));
    }
    Ok(())
}

fn history(settings: Settings, steps: Vec<Step>, query: u64, k: usize, filter: &Filter) -> Result<(), TestCaseError> {
    let mut world = World::new(settings);
    for which in 0..PARTITIONS {
        world.take(Step::Load(which));
    }
    for step in steps {
        world.take(step);
        world.agrees(query, k, &Filter::default())?;
        world.agrees(query, k, filter)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn scanned_partitions_hold_what_the_table_holds(steps in steps(), query in 0_u64..1_000, k in 0_usize..30, filter in filters()) {
        let settings = Settings { tail_limit: 6, compact_after: Duration::from_secs(4), memory_budget_bytes: 20_000, ..Settings::default() };
        history(settings, steps, query, k, &filter)?;
    }

    #[test]
    fn partitions_with_graphs_hold_what_the_table_holds(steps in steps(), query in 0_u64..1_000, k in 0_usize..4, filter in filters()) {
        let settings = Settings { exact_below: 5, rows_a_candidate: 0, tail_limit: 6, compact_after: Duration::from_secs(4), memory_budget_bytes: 60_000, ..Settings::default() };
        history(settings, steps, query, k, &filter)?;
    }
}
