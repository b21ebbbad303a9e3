//! The swap under explored schedules: a mirror that loads, follows, rebuilds, evicts and reloads, while others commit, in
//! this process and elsewhere, and search. See `schedule` for what is explored and what is not.
//!
//! Each schedule is a whole small life of two partitions. Seeds are fixed, so every run explores the same schedules.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;
use shuttle::future::block_on;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::thread;

use super::samples::{entity, entry_at, field, partition, vector};
use super::schedule::explored;
use super::{
    Built, Commit, Digest, IndexReader, IndexWriter, PartitionKey, PartitionView, Rebuild, Request, Settings, open,
};
use crate::domain::{Delta, EmbeddingId, Entry, Filter, OrganizationId, Revision};

const DIMENSIONS: usize = 4;
const REVISIONS: usize = 5;
/// Rows that the first revision has.
const ROWS: u64 = 8;

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Everything is scanned: what is explored is the swap, not the graph.
fn settings() -> Settings {
    Settings { tail_limit: 2, compact_after: Duration::from_secs(3_600), build_threads: 1, ..Settings::default() }
}

/// A revision's change: new versions of one text of an entity, or its deletion.
fn delta(revision: usize) -> Delta {
    let place = (revision as u64 % 3) * 4;
    let renewed = |chunk: u64| Entry {
        id: EmbeddingId(uuid::Uuid::from_u128((revision as u128) << 32 | u128::from(chunk))),
        version: revision as i32 + 1,
        vector: vector(1_000 * revision as u64 + chunk, DIMENSIONS),
        ..entry_at(place + chunk, DIMENSIONS)
    };
    let entries = if revision == 4 { vec![] } else { vec![renewed(0), renewed(1)] };
    Delta { entity: entity(place / 4), source_field: field(place / 2), entries }
}

/// The rows of every revision from 0 on, and their digests.
fn history() -> &'static [(Vec<Entry>, Digest)] {
    static HISTORY: OnceLock<Vec<(Vec<Entry>, Digest)>> = OnceLock::new();
    HISTORY.get_or_init(|| {
        let mut rows: Vec<Entry> = (0..ROWS).map(|place| entry_at(place, DIMENSIONS)).collect();
        let mut history = vec![(rows.clone(), rows.iter().cloned().collect())];
        for revision in 1..=REVISIONS {
            let delta = delta(revision);
            rows.retain(|row| row.entity != delta.entity || row.source_field != delta.source_field);
            rows.extend(delta.entries);
            history.push((rows.clone(), rows.iter().cloned().collect()));
        }
        history
    })
}

fn built(key: &PartitionKey, revision: usize) -> Built {
    Built::build(&settings(), key, DIMENSIONS, history()[revision].0.clone(), Revision(revision as i64))
        .expect("good rows")
}

/// A view is of one revision, all of it and nothing else.
fn assert_whole(view: &PartitionView) {
    let (rows, digest) = &history()[view.revision().0 as usize];
    assert_eq!(view.digest(), *digest, "revision {}", view.revision());
    assert_eq!(view.len(), rows.len());
    let found = view.search(&vector(7, DIMENSIONS), 3, &Filter::default()).expect("right width").hits;
    assert_eq!(found.len(), 3.min(rows.len()));
    assert!(found.iter().all(|hit| rows.iter().any(|row| row.id == hit.id)));
}

/// What one reader has seen of a partition.
struct Reader {
    index: IndexReader,
    key: PartitionKey,
    seen: Revision,
}

impl Reader {
    fn new(index: &IndexReader, key: &PartitionKey) -> Self {
        Self { index: index.clone(), key: key.clone(), seen: Revision(0) }
    }

    /// Takes a view, where the partition is loaded.
    fn look(&mut self) -> Option<PartitionView> {
        let view = self.index.partition(&self.key, start())?;
        assert!(view.revision() >= self.seen, "{} after {}", view.revision(), self.seen);
        self.seen = view.revision();
        assert_whole(&view);
        Some(view)
    }

    /// Reads what was written at `revision`, where memory has it.
    fn look_at(&mut self, revision: Revision) {
        if block_on(self.index.published(&self.key, revision))
            && let Some(view) = self.look()
        {
            assert!(view.revision() >= revision, "{} was published, {} is shown", revision, view.revision());
        }
    }
}

/// What ends and begins beside the mirror.
enum Event {
    Loaded(Built),
    Rebuilt(Built),
    Ended,
}

/// The revisions that are committed, of each partition.
type Table = Arc<Mutex<[usize; 2]>>;

fn keys() -> [PartitionKey; 2] {
    [partition(1), partition(2)]
}

fn place(key: &PartitionKey) -> usize {
    usize::from(*key == partition(2))
}

/// The mirror, as the room `mirror` has it, but for the database.
struct Mirror {
    writer: IndexWriter,
    table: Table,
    events: mpsc::UnboundedSender<Event>,
    building: Vec<PartitionKey>,
}

impl Mirror {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>, mut others: usize) {
        while others > 0 {
            tokio::select! {
                biased;
                event = events.next() => match event.expect("it holds a sender") {
                    Event::Loaded(built) => {
                        let key = built.key().clone();
                        self.building.retain(|building| *building != key);
                        self.writer.publish(built, start());
                        self.writer.evict_over_budget();
                        self.catch_up(&key);
                    }
                    Event::Rebuilt(built) => {
                        self.building.retain(|building| building != built.key());
                        self.writer.install(built, start());
                    }
                    Event::Ended => others -= 1,
                },
                request = self.writer.next_request() => match request {
                    Request::Committed(organization) => {
                        if !self.writer.apply_commits(organization) {
                            self.read_feed(organization);
                        }
                    }
                    Request::Ring(organization) => self.read_feed(organization),
                    Request::Load(key) => {
                        if self.writer.admits(&key) {
                            self.load(key);
                        }
                    }
                    Request::Reload(key) => {
                        self.writer.remove(&key);
                        self.load(key);
                    }
                },
            }
            for (key, _) in self.writer.loaded(None) {
                if !self.building.contains(&key)
                    && let Some(rebuild) = self.writer.rebuild_due(&key, start())
                {
                    self.rebuild(rebuild);
                }
            }
        }
    }

    fn read_feed(&mut self, organization: OrganizationId) {
        let moved = keys().into_iter().filter(|key| key.organization == organization);
        moved.for_each(|key| self.catch_up(&key));
    }

    fn catch_up(&mut self, key: &PartitionKey) {
        let Some((_, shown)) = self.writer.loaded(None).into_iter().find(|(loaded, _)| loaded == key) else { return };
        let now = self.table.lock().expect("not poisoned")[place(key)];
        let deltas: Vec<Delta> = (shown.0 as usize + 1..=now).map(delta).collect();
        self.writer.apply(key, deltas, Revision(now as i64), start()).expect("it follows");
    }

    fn load(&mut self, key: PartitionKey) {
        if self.building.contains(&key) || self.writer.is_loaded(&key) {
            return;
        }
        self.building.push(key.clone());
        let (table, events) = (self.table.clone(), self.events.clone());
        thread::spawn(move || {
            let revision = table.lock().expect("not poisoned")[place(&key)];
            let _ = events.unbounded_send(Event::Loaded(built(&key, revision)));
        });
    }

    fn rebuild(&mut self, rebuild: Rebuild) {
        self.building.push(rebuild.key().clone());
        let events = self.events.clone();
        thread::spawn(move || {
            let _ = events.unbounded_send(Event::Rebuilt(rebuild.run().expect("good rows")));
        });
    }
}

/// Commits the next revision of a partition, and tells what it was.
fn commit(table: &Table, key: &PartitionKey) -> Commit {
    let revision = {
        let mut table = table.lock().expect("not poisoned");
        table[place(key)] += 1;
        table[place(key)]
    };
    let deltas = BTreeMap::from([(key.model.clone(), vec![delta(revision)])]);
    Commit { organization: key.organization, revision: Revision(revision as i64), deltas, newest_at: start() }
}

/// Two partitions, of which memory has room for one and a half; two write, one of them now and then from another process;
/// two read, one of them with distrust.
fn a_life() {
    let bytes = built(&partition(1), 0).segment.bytes();
    let (writer, index) = open(Settings { memory_budget_bytes: bytes * 3 / 2, ..settings() });
    let table: Table = Arc::default();
    let (events, heard) = mpsc::unbounded();
    let mirror = Mirror { writer, table: table.clone(), events: events.clone(), building: Vec::new() };
    let mut threads = vec![thread::spawn(move || block_on(mirror.run(heard, 4)))];
    for which in 0..2 {
        let (index, table, events) = (index.clone(), table.clone(), events.clone());
        threads.push(thread::spawn(move || {
            let mut readers = keys().map(|key| Reader::new(&index, &key));
            for at in 0..REVISIONS {
                let reader = &mut readers[(at + which) % 2];
                let commit = commit(&table, &reader.key);
                if which == 1 && at % 2 == 1 {
                    index.ring(commit.organization);
                } else {
                    let revision = commit.revision;
                    index.committed(commit);
                    reader.look_at(revision);
                }
            }
            let _ = events.unbounded_send(Event::Ended);
        }));
    }
    for which in 0..2 {
        let (index, table, events) = (index.clone(), table.clone(), events.clone());
        threads.push(thread::spawn(move || {
            let mut readers = keys().map(|key| Reader::new(&index, &key));
            for round in 0..4 {
                let reader = &mut readers[(round + which) % 2];
                match reader.look() {
                    None => reader.index.demand(&reader.key),
                    Some(view) => {
                        let committed = table.lock().expect("not poisoned")[place(&reader.key)];
                        reader.look_at(Revision(committed as i64));
                        assert_whole(&view);
                    }
                }
                if which == 1 && round == 2 {
                    index.distrust(&reader.key);
                }
            }
            let _ = events.unbounded_send(Event::Ended);
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("it held"));
}

#[test]
fn no_schedule_at_random_shows_anything_but_whole_revisions_in_their_order() {
    explored(RandomScheduler::new_from_seed(1, 2_000), a_life);
}

/// Schedules in which few switches at the worst places decide (Burckhardt et al., "A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs", 2010).
#[test]
fn no_schedule_of_a_few_bad_switches_does_either() {
    explored(PctScheduler::new_from_seed(2, 4, 2_000), a_life);
}

/// Every schedule there is of one who waits for the last of some revisions, and of a writer that shows them and then, as
/// the case may be, unloads the partition.
#[test]
fn not_one_schedule_of_all_leaves_a_waiting_reader_behind() {
    const MANY: usize = 50_000;
    for (revisions, unloads) in [(2, false), (1, true)] {
        let schedules = explored(DfsScheduler::new(Some(MANY), false), move || waited_for(revisions, unloads));
        assert!(schedules < MANY, "there are more");
    }
}

fn waited_for(revisions: usize, unloads: bool) {
    let (mut writer, index) = open(settings());
    let key = partition(1);
    let last = Revision(revisions as i64);
    writer.publish(built(&key, 0), start());
    let waiting = {
        let key = key.clone();
        thread::spawn(move || {
            let published = block_on(index.published(&key, last));
            assert!(published || unloads);
            if published && let Some(view) = index.glance(&key) {
                assert_eq!(view.revision(), last);
                assert_whole(&view);
            }
        })
    };
    for revision in 1..=revisions {
        writer.apply(&key, vec![delta(revision)], Revision(revision as i64), start()).expect("it follows");
    }
    if unloads {
        writer.remove(&key);
    }
    waiting.join().expect("it held");
}

/// Whatever was asked for is heard, and ends the waiting of the one who hears.
#[test]
fn no_schedule_loses_a_request() {
    explored(RandomScheduler::new_from_seed(3, 2_000), || {
        let (mut writer, index) = open(settings());
        let asking = [partition(1), partition(2)].map(|key| {
            let index = index.clone();
            thread::spawn(move || {
                index.demand(&key);
                index.ring(key.organization);
            })
        });
        for _ in 0..4 {
            block_on(writer.next_request());
        }
        asking.into_iter().for_each(|thread| thread.join().expect("it asked"));
    });
}
