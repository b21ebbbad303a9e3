//! The writer's end of the index. There is one writer by construction: [`IndexWriter`] cannot be cloned.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::built::{Built, Rebuild};
use super::entry::PartitionKey;
use super::error::IndexError;
use super::partition::Partition;
use super::popularity::{Census, Known};
use super::reader::IndexReader;
use super::requests::Request;
use super::schedule::lock;
use super::settings::Settings;
use super::shared::{Partitions, Shared};
use super::snapshot::{Part, Snapshot};
use super::tail;
use crate::domain::{Delta, Entry};
use crate::domain::{EntityRef, ModelId, OrganizationId, Revision, SourceField};

/// Opens an empty index.
pub fn open(settings: Settings) -> (IndexWriter, IndexReader) {
    let shared = Arc::new(Shared::new(settings));
    let writer = IndexWriter { shared: shared.clone(), rebuilds: Mutex::default(), generations: 0, census: None };
    (writer, IndexReader { shared })
}

/// So many questions are answered by one census, though searches count on: looking at every partition for each would take
/// longer than loading one. What partitions take is always as the writer left it.
const CENSUS_HOLDS: usize = 64;

/// Changes partitions and shows the changes to readers.
pub struct IndexWriter {
    shared: Arc<Shared>,
    rebuilds: Mutex<Rebuilds>,
    generations: u64,
    census: Option<Census>,
}

/// What is no longer shown. To drop it is to free it, unless a reader still holds a view, which takes tens of milliseconds
/// where it is large: nothing that somebody waits for should.
#[derive(Default)]
pub struct Gone(Vec<Arc<Snapshot>>);

impl Gone {
    fn of(snapshots: impl IntoIterator<Item = Arc<Snapshot>>) -> Self {
        Self(snapshots.into_iter().collect())
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The rebuilds that are under way.
#[derive(Default)]
struct Rebuilds {
    tickets: u64,
    running: HashMap<PartitionKey, Running>,
}

/// A rebuild that is under way: since `base`, parts were only added behind its own and rows only died in them, so what
/// came since is the difference of two snapshots, and nothing else has to be remembered.
struct Running {
    ticket: u64,
    base: Arc<Snapshot>,
    from: usize,
}

impl IndexWriter {
    /// Makes a freshly loaded partition visible, or replaces one; a rebuild under way is given up then. One that is older
    /// than what is shown is dropped: a revision never goes back (`remove` first, where it must).
    pub fn publish(&mut self, built: Built, now: Instant) -> Gone {
        let shown = self.shared.get(&built.key);
        let before = shown.as_ref().map(|partition| partition.snapshot());
        if before.as_ref().is_some_and(|before| before.revision > built.revision) {
            return Gone::default();
        }
        self.abandon_rebuild(&built.key);
        let snapshot = Snapshot {
            generation: self.next_generation(),
            generation_since: now,
            revision: built.revision,
            confirmed_at: (!built.saved_before).then_some(now),
            changed_at: now,
            dimensions: built.dimensions,
            sealed: 1,
            parts: vec![Part::new(built.segment)],
        };
        match shown {
            Some(partition) => self.show(&partition, snapshot),
            None => {
                let known = self.shared.popularity().forget(&built.key);
                let partition = Partition::new(snapshot, known.uses, now);
                if let Some(census) = &mut self.census {
                    census.add(known.uses, partition.bytes());
                }
                self.shared.show(self.shared.partitions().insert(built.key, Arc::new(partition)));
            }
        }
        Gone::of(before)
    }

    /// Applies the changes up to `revision`, those that came first at the front, and then shows it: all of them or, where
    /// one is refused, none. Reading them also confirms freshness.
    ///
    /// # Errors
    /// Where the partition is not loaded, shows a later revision, or an entry does not fit.
    pub fn apply(
        &mut self,
        key: &PartitionKey,
        deltas: Vec<Delta>,
        revision: Revision,
        now: Instant,
    ) -> Result<(), IndexError> {
        let partition = self.shared.get(key).ok_or_else(|| IndexError::NotLoaded(key.clone()))?;
        let mut next = Snapshot::clone(&partition.snapshot());
        if revision < next.revision {
            return Err(IndexError::OutOfOrder { key: key.clone(), shown: next.revision, given: revision });
        }
        let coming = last_of_each(deltas)?;
        if !coming.is_empty() {
            next.changed_at = now;
        }
        for part in &mut next.parts {
            coming.keys().for_each(|(entity, source_field)| part.kill(entity, source_field));
        }
        let entries: Vec<Entry> = coming.into_values().flatten().collect();
        let fixed = self.rebuilds_mut().running.get(key).map_or(next.sealed, |running| running.base.parts.len());
        tail::push(&self.shared.settings, &mut next.parts, fixed, next.dimensions, entries)?;
        next.revision = revision;
        next.confirmed_at = next.confirmed_at.max(Some(now));
        self.show(&partition, next);
        Ok(())
    }

    /// Shows what this process itself has committed of an organization, in the partitions that it follows on. True where
    /// all of them then show the last of it, so that the feed need not be read.
    pub fn apply_commits(&mut self, organization: OrganizationId) -> bool {
        let mut commits = self.shared.commits.take(organization);
        let Some(newest) = commits.last().map(|commit| commit.revision) else { return false };
        let mut all = true;
        for (key, shown) in self.loaded(Some(organization)) {
            let (mut upto, mut newest_at, mut deltas) = (shown, None, Vec::new());
            for commit in commits.iter_mut().skip_while(|commit| commit.revision <= shown) {
                if commit.revision.0 != upto.0 + 1 {
                    break;
                }
                (upto, newest_at) = (commit.revision, Some(commit.newest_at));
                deltas.extend(commit.deltas.remove(&key.model).unwrap_or_default());
            }
            // What does not fit is read from the feed, which says what is wrong with it.
            let applied = newest_at.is_none_or(|now| self.apply(&key, deltas, upto, now).is_ok());
            all &= applied && upto >= newest;
        }
        all
    }

    /// Notes that the feed was read and had nothing newer. Does nothing where the partition is not loaded.
    pub fn confirm(&mut self, key: &PartitionKey, now: Instant) {
        if let Some(partition) = self.shared.get(key) {
            let mut next = Snapshot::clone(&partition.snapshot());
            next.confirmed_at = next.confirmed_at.max(Some(now));
            partition.show(next);
        }
    }

    /// A rebuild, where so many rows are in the tail or dead, or the partition was quiet for so long, that one is due and
    /// none is under way. It is under way from now on, until it is installed or abandoned.
    pub fn rebuild_due(&self, key: &PartitionKey, now: Instant) -> Option<Rebuild> {
        let base = self.shared.get(key)?.snapshot();
        let mut rebuilds = lock(&self.rebuilds);
        if rebuilds.running.contains_key(key) {
            return None;
        }
        let from = base.rebuild_from(&self.shared.settings, now)?;
        rebuilds.tickets += 1;
        let ticket = rebuilds.tickets;
        rebuilds.running.insert(key.clone(), Running { ticket, base: base.clone(), from });
        let settings = self.shared.settings;
        let in_haste = !base.is_quiet(&settings, now);
        Some(Rebuild { key: key.clone(), settings, base, from, in_haste, ticket })
    }

    /// Swaps a rebuilt generation in, with what came since. The revision stays the one that is shown. A rebuild that was
    /// given up meanwhile is dropped; something built but not rebuilt is published.
    pub fn install(&mut self, built: Built, now: Instant) -> Gone {
        let Some(ticket) = built.ticket else { return self.publish(built, now) };
        let Some(partition) = self.shared.get(&built.key) else { return Gone::default() };
        let running = &mut self.rebuilds_mut().running;
        if running.get(&built.key).is_none_or(|running| running.ticket != ticket) {
            return Gone::default();
        }
        let Some(Running { base, from, .. }) = running.remove(&built.key) else { return Gone::default() };
        let mut next = Snapshot::clone(&partition.snapshot());
        let fresh = next.parts.split_off(base.parts.len());
        let replaced = next.parts.split_off(from);
        next.parts.push(with_deaths_since(Part::new(built.segment), &base.parts[from..], &replaced));
        next.sealed = next.parts.len();
        next.parts.extend(fresh);
        next.generation = self.next_generation();
        next.generation_since = now;
        self.show(&partition, next);
        Gone::of([base])
    }

    /// Gives a rebuild up, so that another may become due. What it still builds will be dropped.
    pub fn abandon_rebuild(&mut self, key: &PartitionKey) {
        self.rebuilds_mut().running.remove(key);
    }

    /// Unloads a partition. Views that are held stay as they are; those who wait for a revision are told.
    pub fn remove(&mut self, key: &PartitionKey) -> Gone {
        self.remove_all(std::slice::from_ref(key))
    }

    fn remove_all(&mut self, keys: &[PartitionKey]) -> Gone {
        keys.iter().for_each(|key| self.abandon_rebuild(key));
        let mut left = Partitions::clone(&self.shared.partitions());
        let gone: Vec<_> = keys.iter().filter_map(|key| left.get(key).cloned()).collect();
        keys.iter().for_each(|key| _ = left.remove_mut(key));
        self.shared.show(left);
        for partition in &gone {
            if let Some(census) = &mut self.census {
                census.remove(partition.uses.get(), partition.bytes());
            }
            partition.leave();
        }
        Gone::of(gone.iter().map(|partition| partition.snapshot()))
    }

    /// Whether a partition that was asked for may be loaded: where there is room for it, or it was asked for more often
    /// than every one that would have to leave. So a look at one cold partition after another drives out none that is in
    /// use. One of unknown size is taken for an average one.
    pub fn admits(&mut self, key: &PartitionKey) -> bool {
        let mut popularity = self.shared.popularity();
        if popularity.grows_old(self.shared.partitions().size()) {
            self.shared.partitions().values().for_each(|partition| partition.uses.halve());
            self.census = None;
        }
        let known = popularity.of(key);
        drop(popularity);
        let budget = self.shared.settings.memory_budget_bytes;
        self.census().admits(known, budget)
    }

    /// The present census, or a new one where that has answered often.
    fn census(&mut self) -> &mut Census {
        self.census.take_if(|census| census.answers >= CENSUS_HOLDS);
        let census = self.census.get_or_insert_with(|| {
            let partitions = self.shared.partitions();
            Census::of(partitions.values().map(|partition| (partition.uses.get(), partition.bytes())))
        });
        census.answers += 1;
        census
    }

    /// Shows another snapshot of a partition.
    fn show(&mut self, partition: &Partition, snapshot: Snapshot) {
        let (uses, before) = (partition.uses.get(), partition.bytes());
        partition.show(snapshot);
        if let Some(census) = &mut self.census {
            census.remove(uses, before);
            census.add(uses, partition.bytes());
        }
    }

    /// How often a partition that is not loaded was asked for lately.
    pub fn asked_for(&self, key: &PartitionKey) -> u8 {
        self.shared.popularity().of(key).uses
    }

    /// Unloads partitions, the least used lately first and among them the least recently used, until the rest is within
    /// the memory budget; never the one that is used most. Answers which ones, and what they were.
    pub fn evict_over_budget(&mut self) -> (Vec<PartitionKey>, Gone) {
        let budget = self.shared.settings.memory_budget_bytes;
        let mut bytes = self.census().bytes();
        if bytes <= budget {
            return (Vec::new(), Gone::default());
        }
        let partitions = Partitions::clone(&self.shared.partitions());
        let by_use = |(key, partition): (_, &Arc<Partition>)| (partition.uses.get(), partition.used_at(), key);
        let mut by_use: Vec<(u8, Instant, &PartitionKey)> = partitions.iter().map(by_use).collect();
        by_use.sort_unstable();
        by_use.pop();
        let mut evicted = Vec::new();
        for (uses, _, key) in by_use {
            if bytes <= budget {
                break;
            }
            let freed = partitions[key].bytes();
            self.shared.popularity().remember(key.clone(), Known { uses, bytes: Some(freed) });
            bytes -= freed;
            evicted.push(key.clone());
        }
        let gone = self.remove_all(&evicted);
        (evicted, gone)
    }

    /// The partitions that are loaded, of one organization or of all, and the revisions they show, by key.
    pub fn loaded(&self, only: Option<OrganizationId>) -> Vec<(PartitionKey, Revision)> {
        let partitions = self.shared.partitions();
        let shows = |(key, partition): (&PartitionKey, &Arc<Partition>)| (key.clone(), partition.snapshot().revision);
        let Some(organization) = only else { return partitions.iter().map(shows).collect() };
        let from = PartitionKey { organization, model: ModelId::first() };
        partitions.range(from..).take_while(|(key, _)| key.organization == organization).map(shows).collect()
    }

    /// Whether a partition is loaded.
    pub fn is_loaded(&self, key: &PartitionKey) -> bool {
        self.shared.is_loaded(key)
    }

    /// What readers ask for next; waits until they ask for something. Loads of partitions that are there already are
    /// passed over. Nothing is lost where the caller stops waiting.
    pub async fn next_request(&mut self) -> Request {
        loop {
            match self.shared.requests.next().await {
                Request::Load(key) if self.shared.is_loaded(&key) => {}
                request => return request,
            }
        }
    }

    fn rebuilds_mut(&mut self) -> &mut Rebuilds {
        self.rebuilds.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }
}

/// For each text of an entity the entries of the last change to it, checked to belong there.
fn last_of_each(deltas: Vec<Delta>) -> Result<BTreeMap<(EntityRef, SourceField), Vec<Entry>>, IndexError> {
    let mut coming = BTreeMap::new();
    for Delta { entity, source_field, entries } in deltas {
        if let Some(entry) = entries.iter().find(|entry| entry.entity != entity || entry.source_field != source_field) {
            return Err(IndexError::Misplaced { id: entry.id });
        }
        coming.insert((entity, source_field), entries);
    }
    Ok(coming)
}

/// Marks dead in a rebuilt part what has died since it began. A row only dies when all that is at its (entity, source
/// field) does.
fn with_deaths_since(mut rebuilt: Part, then: &[Part], now: &[Part]) -> Part {
    for (then, now) in then.iter().zip(now) {
        debug_assert!(Arc::ptr_eq(&then.segment, &now.segment), "parts under a rebuild stay where they are");
        for row in &*now.dead - &*then.dead {
            let row = now.segment.row(row);
            rebuilt.kill(&row.entity, &row.source_field);
        }
    }
    rebuilt
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Filter, ServedBy};
    use crate::index::samples::{commit, entity, entry_at, field, partition, vector};

    const DIMENSIONS: usize = 4;

    fn built(settings: &Settings, organization: u128, rows: u64, revision: i64) -> Built {
        let entries = (0..rows).map(|place| entry_at(place, DIMENSIONS)).collect();
        Built::build(settings, &partition(organization), DIMENSIONS, entries, Revision(revision)).expect("good rows")
    }

    /// The change that puts what belongs to an entity's first source field there.
    fn put(number: u64) -> Delta {
        let entries = vec![entry_at(number * 4, DIMENSIONS), entry_at(number * 4 + 1, DIMENSIONS)];
        Delta { entity: entity(number), source_field: field(0), entries }
    }

    fn delete(number: u64) -> Delta {
        Delta { entries: vec![], ..put(number) }
    }

    #[test]
    fn what_follows_on_is_shown_without_the_feed() {
        let (mut writer, reader) = open(Settings::default());
        let now = Instant::now();
        let organization = partition(1).organization;
        let shows = |reader: &IndexReader| {
            let view = reader.glance(&partition(1)).expect("loaded");
            (view.revision(), view.digest())
        };
        reader.committed(commit(1, 8, 0..2, DIMENSIONS));
        assert!(!writer.apply_commits(organization), "nothing is kept of what is not loaded");
        writer.publish(built(&Settings::default(), 1, 40, 8), now);
        for revision in [10, 9] {
            reader.committed(commit(1, revision, revision as u64 * 2..100, DIMENSIONS));
        }
        reader.committed(commit(2, 9, 0..4, DIMENSIONS));
        assert!(writer.apply_commits(organization));
        assert!(!writer.apply_commits(organization), "once is enough");
        let followed = shows(&reader);
        assert_eq!(followed.0, Revision(10));

        // The same by the feed.
        writer.remove(&partition(1));
        writer.publish(built(&Settings::default(), 1, 40, 8), now);
        for revision in [9, 10] {
            let deltas = commit(1, revision, revision as u64 * 2..100, DIMENSIONS).deltas.remove(&partition(1).model);
            writer.apply(&partition(1), deltas.expect("of this model"), Revision(revision), now).expect("they fit");
        }
        assert_eq!(shows(&reader), followed);

        // A gap, what is known already, and what does not fit are left to the feed.
        reader.committed(commit(1, 12, 0..4, DIMENSIONS));
        assert!(!writer.apply_commits(organization));
        reader.committed(commit(1, 11, 0..4, DIMENSIONS + 1));
        assert!(!writer.apply_commits(organization));
        assert_eq!(shows(&reader), followed);
        reader.committed(commit(1, 10, 0..4, DIMENSIONS));
        assert!(writer.apply_commits(organization));
        assert_eq!(shows(&reader), followed);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let (mut writer, reader) = open(Settings::default());
        let (key, now) = (partition(1), Instant::now());
        assert!(matches!(writer.apply(&key, vec![], Revision(1), now), Err(IndexError::NotLoaded(_))));
        writer.publish(built(reader.settings(), 1, 8, 5), now);
        let wide = Delta { entries: vec![entry_at(0, DIMENSIONS + 1)], ..put(0) };
        assert!(matches!(writer.apply(&key, vec![delete(1), wide], Revision(6), now), Err(IndexError::Row { .. })));
        let twice = Delta { entries: vec![entry_at(0, DIMENSIONS); 2], ..put(0) };
        assert!(matches!(writer.apply(&key, vec![twice], Revision(6), now), Err(IndexError::Repeated { .. })));
        let elsewhere = Delta { entity: entity(9), ..put(0) };
        assert!(matches!(writer.apply(&key, vec![elsewhere], Revision(6), now), Err(IndexError::Misplaced { .. })));
        assert!(matches!(writer.apply(&key, vec![], Revision(4), now), Err(IndexError::OutOfOrder { .. })));
        writer.publish(built(reader.settings(), 1, 0, 4), now);
        let view = reader.partition(&key, now).expect("loaded");
        assert_eq!((view.len(), view.revision()), (8, Revision(5)));
        assert!(matches!(view.search(&vector(1, 5), 3, &Filter::default()), Err(IndexError::Query(_))));
    }

    #[test]
    fn ends_and_views_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<IndexWriter>();
        crosses::<IndexReader>();
        crosses::<crate::index::PartitionView>();
        crosses::<Rebuild>();
        crosses::<Built>();
    }

    #[test]
    fn views_stay_as_they_were_taken() {
        let (mut writer, reader) = open(Settings::default());
        let (key, now) = (partition(1), Instant::now());
        writer.publish(built(reader.settings(), 1, 8, 1), now);
        let before = reader.partition(&key, now).expect("loaded");
        writer.apply(&key, vec![delete(0), put(7)], Revision(2), now + Duration::from_secs(1)).expect("fits");
        writer.apply(&key, vec![delete(1)], Revision(3), now + Duration::from_secs(2)).expect("fits");
        let after = reader.partition(&key, now).expect("loaded");
        assert_eq!((before.revision(), before.len(), before.confirmed_at()), (Revision(1), 8, Some(now)));
        assert_eq!(
            (after.revision(), after.len(), after.confirmed_at()),
            (Revision(3), 6, Some(now + Duration::from_secs(2)))
        );
        assert_eq!((before.vectors_of(&entity(0)).len(), after.vectors_of(&entity(0)).len()), (4, 2));
        writer.remove(&key);
        assert!(reader.partition(&key, now).is_none());
        assert_eq!(after.search(&vector(1, DIMENSIONS), 9, &Filter::default()).expect("fits").hits.len(), 6);
    }

    #[test]
    fn a_rebuild_is_due_at_the_limit_and_keeps_what_came_meanwhile() {
        let (mut writer, reader) = open(Settings { tail_limit: 4, exact_below: 6, ..Settings::default() });
        let (key, now) = (partition(1), Instant::now());
        writer.publish(built(reader.settings(), 1, 4, 1), now);
        writer.apply(&key, vec![put(1)], Revision(2), now).expect("fits");
        assert!(writer.rebuild_due(&key, now).is_none());
        writer.apply(&key, vec![put(2)], Revision(3), now).expect("fits");
        let rebuild = writer.rebuild_due(&key, now).expect("four rows in the tail");
        assert!(writer.rebuild_due(&key, now).is_none(), "one is under way");
        // Meanwhile: one goes that the rebuild holds, one comes, and one comes and goes.
        writer.apply(&key, vec![delete(1), put(3)], Revision(4), now).expect("fits");
        writer.apply(&key, vec![put(4)], Revision(5), now).expect("fits");
        writer.apply(&key, vec![delete(4)], Revision(6), now).expect("fits");
        writer.install(rebuild.run().expect("good rows"), now);
        let status = reader.status().remove(0);
        assert_eq!((status.revision, status.generation, status.graph), (Revision(6), 2, true));
        assert_eq!((status.rows, status.tail), (8, 2));
        let view = reader.partition(&key, now).expect("loaded");
        assert_eq!(view.check(), Ok(()));
        let live = [0, 1, 2, 3, 4].map(|number| view.vectors_of(&entity(number)).len());
        assert_eq!(live, [4, 0, 2, 2, 0]);
    }

    #[test]
    fn a_partition_is_scanned_until_its_graph_is_built() {
        let (mut writer, reader) = open(Settings { exact_below: 300, rows_a_candidate: 0, ..Settings::default() });
        let (key, now) = (partition(1), Instant::now());
        let entries = (0..400).map(|place| entry_at(place, DIMENSIONS)).collect();
        let mut shown =
            Built::build_to_be_shown(reader.settings(), &key, DIMENSIONS, entries, Revision(1)).expect("good");
        assert!(shown.lacks_graph(reader.settings()));
        let in_memory = shown.segment.bytes();
        let folder = tempfile::tempdir().expect("a folder");
        shown.move_vectors_to_disk(folder.path()).expect("room for it");
        assert_eq!(in_memory - shown.segment.bytes(), 400 * DIMENSIONS as u64 * 4, "it is scanned by codes");
        writer.publish(shown, now);
        writer.apply(&key, vec![delete(1), put(200)], Revision(2), now).expect("fits");
        let answer = |wanted| {
            let view = reader.partition(&key, now).expect("loaded");
            assert_eq!(view.check(), Ok(()));
            let found = view.search(&vector(1, DIMENSIONS), 9, &Filter::default()).expect("fits");
            assert_eq!(found.served_by, wanted);
            (found.hits, view.digest())
        };
        let scanned = answer(ServedBy::MirrorExact);
        let rebuild = writer.rebuild_due(&key, now).expect("due at once");
        let built = rebuild.run().expect("good rows");
        assert!(built.is_whole() && !built.lacks_graph(reader.settings()));
        writer.install(built, now);
        assert!(writer.rebuild_due(&key, now).is_none());
        assert_eq!(answer(ServedBy::MirrorHnsw), scanned);
    }

    #[test]
    fn segments_grow_so_that_few_rows_are_built_again_and_a_quiet_partition_has_one() {
        let (mut writer, reader) = open(Settings { tail_limit: 4, ..Settings::default() });
        let (key, mut now) = (partition(1), Instant::now());
        writer.publish(built(reader.settings(), 1, 0, 1), now);
        let (mut rows_put, mut rows_copied, mut most_parts) = (0, 0, 0);
        for number in 0..512 {
            writer.apply(&key, vec![put(number)], Revision(number as i64 + 2), now).expect("fits");
            while let Some(rebuild) = writer.rebuild_due(&key, now) {
                let largest = rebuild.base.parts[rebuild.from..].iter().map(Part::live).max().expect("a tail");
                let built = rebuild.run().expect("good rows");
                rows_copied += largest;
                rows_put += built.rows() - largest;
                writer.install(built, now);
            }
            most_parts = most_parts.max(reader.shared.get(&key).expect("loaded").snapshot().parts.len());
        }
        // 1,024 rows: all of them every four rows would be 131,328. The largest part's graph is gone on from.
        assert!(rows_put < 4 * 1_024, "{rows_put} rows were put into graphs");
        assert!(rows_copied < 32 * 1_024, "{rows_copied} rows were taken over with their links");
        assert!(most_parts <= 8, "{most_parts} parts were to be searched");
        now += reader.settings().compact_after;
        writer.install(writer.rebuild_due(&key, now).expect("it is quiet").run().expect("good rows"), now);
        assert!(writer.rebuild_due(&key, now).is_none());
        let view = reader.partition(&key, now).expect("loaded");
        assert_eq!((view.len(), view.check()), (1_024, Ok(())));
        assert_eq!(reader.shared.get(&key).expect("loaded").snapshot().parts.len(), 1);
    }

    #[test]
    fn a_rebuild_that_was_given_up_is_dropped() {
        let (mut writer, reader) = open(Settings { tail_limit: 1, ..Settings::default() });
        let (key, now) = (partition(1), Instant::now());
        writer.publish(built(reader.settings(), 1, 4, 1), now);
        writer.apply(&key, vec![put(1)], Revision(2), now).expect("fits");
        let late = writer.rebuild_due(&key, now).expect("due").run().expect("good rows");
        writer.abandon_rebuild(&key);
        writer.apply(&key, vec![delete(1)], Revision(3), now).expect("fits");
        let second = writer.rebuild_due(&key, now).expect("due again").run().expect("good rows");
        writer.install(late, now);
        assert_eq!(reader.status()[0].generation, 1);
        writer.install(second, now);
        assert_eq!((reader.status()[0].generation, reader.status()[0].rows), (2, 4));
    }

    #[test]
    fn the_least_used_leave_first_and_the_most_used_never() {
        let one = built(&Settings::default(), 1, 40, 1).segment.bytes();
        let (mut writer, reader) = open(Settings { memory_budget_bytes: one * 5 / 2, ..Settings::default() });
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        for organization in [1, 2, 3, 4] {
            writer.publish(built(reader.settings(), organization, 40, 1), at(organization as u64));
        }
        reader.partition(&partition(1), at(10));
        assert_eq!(writer.evict_over_budget().0, [partition(2), partition(3)]);
        assert_eq!(writer.evict_over_budget().0, []);

        let (mut writer, reader) = open(Settings { memory_budget_bytes: 0, ..Settings::default() });
        writer.publish(built(reader.settings(), 1, 40, 1), now);
        assert_eq!(writer.evict_over_budget().0, []);
        reader.partition(&partition(1), now);
        writer.publish(built(reader.settings(), 2, 40, 1), at(1));
        assert_eq!(writer.evict_over_budget().0, [partition(2)]);
    }

    #[test]
    fn a_look_at_many_cold_partitions_drives_out_none_in_use_and_one_that_comes_into_use_gets_in() {
        let one = built(&Settings::default(), 1, 40, 1).segment.bytes();
        let (mut writer, reader) = open(Settings { memory_budget_bytes: one * 5 + one / 2, ..Settings::default() });
        let now = Instant::now();
        // As the mirror does: loads what is asked for and let in.
        let search = |writer: &mut IndexWriter, organization: u128| {
            let key = partition(organization);
            if reader.partition(&key, now).is_none() {
                reader.demand(&key);
                if writer.admits(&key) {
                    writer.publish(built(reader.settings(), organization, 40, 1), now);
                    writer.evict_over_budget();
                }
            }
        };
        let hot = 1..=5;
        let mut cold = 100;
        for _ in 0..1_000 {
            hot.clone().for_each(|organization| search(&mut writer, organization));
            for _ in 0..2 {
                search(&mut writer, cold);
                cold += 1;
            }
        }
        let loaded = |writer: &IndexWriter| writer.loaded(None).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(loaded(&writer), hot.map(partition).collect::<Vec<_>>());
        for _ in 0..200 {
            search(&mut writer, 9);
            search(&mut writer, 3);
        }
        let loaded = loaded(&writer);
        assert!(loaded.contains(&partition(9)) && loaded.contains(&partition(3)), "{loaded:?}");
        // One that is larger than all that is used less has no place here, however it is asked for.
        writer.publish(built(reader.settings(), 77, 400, 1), now);
        assert!(writer.evict_over_budget().0.contains(&partition(77)));
        reader.demand(&partition(77));
        assert!(!writer.admits(&partition(77)));
    }

    #[test]
    fn what_is_no_longer_shown_is_freed_by_whoever_lets_go_of_it() {
        let (mut writer, reader) = open(Settings { tail_limit: 4, ..Settings::default() });
        let (key, now) = (partition(1), Instant::now());
        assert!(writer.publish(built(reader.settings(), 1, 40, 1), now).is_empty());
        let shown = |writer: &IndexWriter| {
            Arc::downgrade(&writer.shared.get(&key).expect("loaded").snapshot().parts[0].segment)
        };
        let steps: [fn(&mut IndexWriter, &Settings) -> Gone; 3] = [
            |writer, settings| writer.publish(built(settings, 1, 40, 2), Instant::now()),
            |writer, _| {
                let now = Instant::now();
                writer.apply(&partition(1), vec![put(30), put(31)], Revision(3), now).expect("fits");
                let rebuilt = writer.rebuild_due(&partition(1), now).expect("due").run().expect("good rows");
                writer.install(rebuilt, now)
            },
            |writer, _| writer.remove(&partition(1)),
        ];
        for step in steps {
            let segment = shown(&writer);
            let gone = step(&mut writer, reader.settings());
            assert!(segment.upgrade().is_some() && !gone.is_empty());
            drop(gone);
            assert!(segment.upgrade().is_none());
        }
    }

    #[tokio::test]
    async fn waiting_ends_with_the_revision_or_the_partition() {
        let (mut writer, reader) = open(Settings::default());
        let (key, now) = (partition(1), Instant::now());
        assert!(!reader.published(&key, Revision(1)).await, "not loaded");
        writer.publish(built(reader.settings(), 1, 4, 1), now);
        assert!(reader.published(&key, Revision(1)).await);
        let (reached, ()) = tokio::join!(reader.published(&key, Revision(3)), async {
            writer.apply(&key, vec![delete(0)], Revision(2), now).expect("fits");
            tokio::task::yield_now().await;
            writer.apply(&key, vec![put(1)], Revision(3), now).expect("fits");
        });
        assert!(reached);
        assert_eq!(reader.partition(&key, now).expect("loaded").revision(), Revision(3));
        let (reached, ()) = tokio::join!(reader.published(&key, Revision(4)), async { drop(writer.remove(&key)) });
        assert!(!reached);
    }

    #[tokio::test]
    async fn loads_are_asked_for_once_and_only_where_missing() {
        let (mut writer, reader) = open(Settings::default());
        let (first, second) = (partition(1), partition(2));
        reader.demand(&first);
        reader.ring(first.organization);
        reader.demand(&first);
        reader.demand(&second);
        writer.publish(built(reader.settings(), 1, 4, 1), Instant::now());
        reader.demand(&first);
        assert_eq!(writer.next_request().await, Request::Ring(first.organization));
        assert_eq!(writer.next_request().await, Request::Load(second));
    }

    #[test]
    fn an_empty_partition_is_searched_like_any_other() {
        let (mut writer, reader) = open(Settings { exact_below: 0, ..Settings::default() });
        let (key, now) = (partition(1), Instant::now());
        writer.publish(built(reader.settings(), 1, 0, 0), now);
        let view = reader.partition(&key, now).expect("loaded");
        assert!(view.is_empty() && view.check().is_ok());
        let found = view.search_entities(&vector(1, DIMENSIONS), 3, &Filter::default()).expect("fits");
        assert_eq!((found.hits, found.served_by), (vec![], ServedBy::MirrorExact));
    }
}
