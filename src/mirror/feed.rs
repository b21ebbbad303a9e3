//! The task that keeps the index equal to the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::loading::{Followed, MirrorError, Source, follow, load};
use super::snapshots::Snapshots;
use crate::domain::{OrganizationId, Revision};
use crate::index::{Built, Gone, IndexReader, IndexWriter, PartitionKey, Request, in_background};
use crate::store::{Bell, BellListener, Database};

/// How the feed is followed.
#[derive(Debug, Clone, Copy)]
pub struct MirrorSettings {
    /// Between polls of the revisions, give or take a quarter.
    pub interval: Duration,
    /// How many partitions may be loaded or rebuilt at once.
    pub builds: usize,
    /// How long a partition that failed to load is left alone.
    pub pause_after_failure: Duration,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), builds: 2, pause_after_failure: Duration::from_secs(5) }
    }
}

/// Longer than a search looks at what was shown when it began.
const LOOKED_AT: Duration = Duration::from_millis(200);
/// So many partitions wait to be loaded at most.
const MOST_WANTED: usize = 1_024;

/// The mirror: owns the index's writer.
pub struct Mirror {
    database: Database,
    writer: IndexWriter,
    reader: IndexReader,
    settings: MirrorSettings,
    snapshots: Option<Arc<Snapshots>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    builds: JoinSet<(PartitionKey, Work, Result<Built, MirrorError>)>,
    /// Partitions that wait for a build or are being built.
    wanted: BTreeSet<PartitionKey>,
    building: BTreeSet<PartitionKey>,
    /// Partitions that failed to load, and until when they are left alone.
    paused: BTreeMap<PartitionKey, Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Load(Source),
    Rebuild,
}

impl Mirror {
    /// A mirror that has loaded nothing yet.
    pub fn new(
        database: Database,
        index: (IndexWriter, IndexReader),
        settings: MirrorSettings,
        snapshots: Option<Arc<Snapshots>>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (writer, reader) = index;
        Self {
            database,
            writer,
            reader,
            settings,
            snapshots,
            tasks,
            stop,
            builds: JoinSet::new(),
            wanted: BTreeSet::new(),
            building: BTreeSet::new(),
            paused: BTreeMap::new(),
        }
    }

    /// Follows until told to stop.
    pub async fn run(mut self) {
        let (heard, mut rings) = mpsc::channel(1_024);
        self.tasks.spawn(listen(self.database.clone(), heard, self.stop.clone()));
        let bell = BellTower::start(Bell::new(self.database.clone()), &self.tasks, self.stop.clone());
        self.want_what_was_kept().await;
        let mut last_poll = Instant::now();
        loop {
            let quarter = self.settings.interval / 4;
            let jitter = quarter.mul_f64(rand::rng().random_range(0.0..2.0));
            let next_poll = last_poll + self.settings.interval - quarter + jitter;
            tokio::select! {
                () = self.stop.cancelled() => break,
                request = self.writer.next_request() => match request {
                    Request::Committed(organization) => {
                        bell.ring(organization);
                        self.take_commits(organization).await;
                    }
                    Request::Ring(organization) => self.catch_up(Some(organization)).await,
                    Request::Load(key) => self.want_if_admitted(key),
                    Request::Reload(key) => self.reload(key),
                },
                ring = rings.recv() => match ring {
                    Some(Some(organization)) => self.catch_up(Some(organization)).await,
                    _ => self.catch_up(None).await,
                },
                Some(done) = self.builds.join_next(), if !self.builds.is_empty() => match done {
                    Ok((key, work, built)) => self.built(key, work, built).await,
                    Err(error) => tracing::error!(%error, "a build of the mirror ended without a result"),
                },
                () = tokio::time::sleep_until(next_poll.into()) => {
                    last_poll = Instant::now();
                    self.catch_up(None).await;
                    self.measure();
                }
            }
            self.start_loads();
        }
        self.builds.shutdown().await;
    }

    /// Loads what the last run had in memory, before somebody waits for it.
    async fn want_what_was_kept(&mut self) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        let budget = self.reader.settings().memory_budget_bytes;
        if let Ok(kept) = self.tasks.spawn_blocking(move || snapshots.kept(budget)).await {
            kept.into_iter().for_each(|key| self.want(key));
        }
        self.start_loads();
    }

    /// Loads what was asked for where it may; until then Postgres answers for it.
    fn want_if_admitted(&mut self, key: PartitionKey) {
        if self.building.contains(&key) || self.writer.admits(&key) {
            self.want(key);
        } else {
            metrics::counter!("kindred_mirror_refusals_total").increment(1);
        }
    }

    fn want(&mut self, key: PartitionKey) {
        let paused = self.paused.get(&key).is_some_and(|until| *until > Instant::now());
        // Past the bound it is passed over: the next search asks for it again.
        let room = self.wanted.len() < MOST_WANTED;
        if room && !self.writer.is_loaded(&key) && !paused && !self.building.contains(&key) {
            self.wanted.insert(key);
        }
    }

    /// Takes out the partition that was asked for most often.
    fn most_wanted(&mut self) -> Option<PartitionKey> {
        let most = self.wanted.iter().max_by_key(|key| self.writer.asked_for(key))?.clone();
        self.wanted.take(&most)
    }

    fn start_loads(&mut self) {
        while self.builds.len() < self.settings.builds
            && let Some(key) = self.most_wanted()
        {
            self.building.insert(key.clone());
            let loading = load(
                self.database.clone(),
                self.reader.clone(),
                key.clone(),
                self.snapshots.clone(),
                self.tasks.clone(),
            );
            self.builds.spawn(async move {
                match loading.await {
                    Ok((built, source)) => (key, Work::Load(source), Ok(built)),
                    Err(error) => (key, Work::Load(Source::Table), Err(error)),
                }
            });
        }
    }

    /// Starts the rebuilds that are due in one organization, or in all.
    fn start_rebuilds(&mut self, only: Option<OrganizationId>) {
        for (key, _) in self.writer.loaded(only) {
            if self.builds.len() >= self.settings.builds {
                break;
            }
            if self.building.contains(&key) {
                continue;
            }
            let Some(rebuild) = self.writer.rebuild_due(&key, Instant::now()) else { continue };
            self.building.insert(key.clone());
            let (tasks, snapshots) = (self.tasks.clone(), self.snapshots.clone());
            self.builds.spawn(async move {
                let building = tasks.spawn_blocking(move || {
                    let mut built = rebuild.run()?;
                    if let Some(snapshots) = snapshots {
                        in_background(|| snapshots.take_vectors(&mut built))?;
                    }
                    Ok(built)
                });
                let built = building.await.unwrap_or_else(|error| Err(MirrorError::from(error)));
                (key, Work::Rebuild, built)
            });
        }
    }

    async fn built(&mut self, key: PartitionKey, work: Work, built: Result<Built, MirrorError>) {
        self.building.remove(&key);
        match (work, built) {
            (Work::Load(source), Ok(built)) => {
                self.paused.remove(&key);
                if source == Source::Table && !built.lacks_graph(self.reader.settings()) {
                    self.keep(&built);
                }
                let replaced = self.writer.publish(built, Instant::now());
                metrics::counter!("kindred_mirror_loads_total").increment(1);
                let (evicted, left) = self.writer.evict_over_budget();
                for key in evicted {
                    metrics::counter!("kindred_mirror_evictions_total").increment(1);
                    tracing::info!(partition = %key, "a partition left memory to keep to the budget");
                }
                self.clear_away([replaced, left]);
                self.catch_up(Some(key.organization)).await;
            }
            (Work::Rebuild, Ok(built)) => {
                if built.is_whole() {
                    self.keep(&built);
                }
                let replaced = self.writer.install(built, Instant::now());
                self.clear_away([replaced]);
                metrics::counter!("kindred_mirror_rebuilds_total").increment(1);
                self.start_rebuilds(Some(key.organization));
            }
            (work, Err(error)) => {
                tracing::warn!(partition = %key, ?work, %error, "a partition could not be built");
                metrics::counter!("kindred_mirror_failures_total").increment(1);
                if work == Work::Rebuild {
                    self.writer.abandon_rebuild(&key);
                }
                self.paused.insert(key, Instant::now() + self.settings.pause_after_failure);
            }
        }
        self.paused.retain(|_, until| *until > Instant::now());
    }

    /// Writes a snapshot aside.
    fn keep(&self, built: &Built) {
        if let Some(snapshots) = self.snapshots.clone() {
            let (built, settings) = (built.clone(), *self.reader.settings());
            self.tasks.spawn_blocking(move || {
                if let Err(error) = in_background(|| snapshots.save(&settings, &built)) {
                    tracing::warn!(partition = %built.key(), %error, "the snapshot could not be written");
                }
            });
        }
    }

    /// Frees what is no longer shown where nobody waits for it: neither the feed nor a search that began before.
    fn clear_away(&self, gone: impl IntoIterator<Item = Gone>) {
        let gone: Vec<Gone> = gone.into_iter().filter(|gone| !gone.is_empty()).collect();
        if gone.is_empty() {
            return;
        }
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(LOOKED_AT).await;
            tasks.spawn_blocking(move || in_background(|| drop(gone)));
        });
    }

    /// Shows what this process has committed; where somebody else has, too, the log tells.
    async fn take_commits(&mut self, organization: OrganizationId) {
        // Blocks of the tail are copied together: other tasks need not wait for that.
        if tokio::task::block_in_place(|| self.writer.apply_commits(organization)) {
            metrics::counter!("kindred_mirror_own_commits_total").increment(1);
            self.start_rebuilds(Some(organization));
        } else {
            self.catch_up(Some(organization)).await;
        }
    }

    /// Brings the loaded partitions of one organization, or of all, to the present revision.
    async fn catch_up(&mut self, only: Option<OrganizationId>) {
        let loaded = self.writer.loaded(only);
        if loaded.is_empty() {
            return;
        }
        let mut organizations: Vec<OrganizationId> = loaded.iter().map(|(key, _)| key.organization).collect();
        organizations.sort_unstable();
        organizations.dedup();
        // Freshness counts from before the question, since the answer may be that old.
        let asked = Instant::now();
        let revisions = match self.database.revisions(&organizations).await {
            Ok(revisions) => revisions,
            Err(error) => {
                metrics::counter!("kindred_mirror_failures_total").increment(1);
                tracing::warn!(%error, "the revisions could not be read; the mirror is not confirmed");
                return;
            }
        };
        for (key, at) in loaded {
            match revisions.get(&key.organization) {
                Some(now) if *now == at => self.writer.confirm(&key, asked),
                Some(now) if *now > at => self.follow(&key, at).await,
                // The organization is gone, or the database is an older one than the mirror has seen.
                _ => self.reload(key),
            }
        }
        self.start_rebuilds(only);
    }

    async fn follow(&mut self, key: &PartitionKey, mut at: Revision) {
        loop {
            let asked = Instant::now();
            match follow(&self.database, key, at).await {
                Ok(Followed::Changes { deltas, upto, more }) => {
                    // Blocks of the tail are copied together: other tasks need not wait for that.
                    let applied = tokio::task::block_in_place(|| self.writer.apply(key, deltas, upto, asked));
                    if let Err(error) = applied {
                        tracing::error!(partition = %key, %error, "changes do not fit the mirror; it is loaded again");
                        return self.reload(key.clone());
                    }
                    if !more {
                        return;
                    }
                    at = upto;
                }
                Ok(Followed::TooOld) => return self.reload(key.clone()),
                Err(error) => {
                    metrics::counter!("kindred_mirror_failures_total").increment(1);
                    tracing::warn!(partition = %key, %error, "the change log could not be read");
                    return;
                }
            }
        }
    }

    fn reload(&mut self, key: PartitionKey) {
        let removed = self.writer.remove(&key);
        self.clear_away([removed]);
        metrics::counter!("kindred_mirror_reloads_total").increment(1);
        self.want(key);
    }

    fn measure(&self) {
        let (mut rows, mut bytes) = (0, 0);
        let mut stalest = Duration::ZERO;
        let status = self.reader.status();
        for partition in &status {
            rows += partition.rows;
            bytes += partition.bytes;
            stalest = stalest.max(partition.confirmed_at.map_or(Duration::ZERO, |at| at.elapsed()));
        }
        metrics::gauge!("kindred_mirror_partitions").set(status.len() as f64);
        metrics::gauge!("kindred_mirror_rows").set(rows as f64);
        metrics::gauge!("kindred_mirror_bytes").set(bytes as f64);
        metrics::gauge!("kindred_mirror_lag_seconds").set(stalest.as_secs_f64());
    }
}

/// Rings in the other replicas, so that the feed never waits for a NOTIFY.
struct BellTower {
    ropes: mpsc::Sender<OrganizationId>,
}

impl BellTower {
    fn start(bell: Bell, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (ropes, mut pulled) = mpsc::channel(1_024);
        tasks.spawn(async move {
            let mut organizations = Vec::new();
            loop {
                let received = tokio::select! {
                    () = stop.cancelled() => break,
                    received = pulled.recv_many(&mut organizations, 1_024) => received,
                };
                if received == 0 {
                    break;
                }
                organizations.sort_unstable();
                organizations.dedup();
                if let Err(error) = bell.ring(&organizations).await {
                    tracing::debug!(%error, "the bell did not ring; other replicas will see the change when they poll");
                }
                organizations.clear();
            }
        });
        Self { ropes }
    }

    /// A full bell is dropped: other replicas poll anyway.
    fn ring(&self, organization: OrganizationId) {
        let _ = self.ropes.try_send(organization);
    }
}

/// Hears other replicas' bells; connects again for ever, since only polling is the truth.
async fn listen(database: Database, heard: mpsc::Sender<Option<OrganizationId>>, stop: CancellationToken) {
    let listening = async {
        loop {
            match BellListener::connect(&database).await {
                Ok(mut listener) => {
                    while let Ok(organization) = listener.heard().await {
                        // A full channel means that the mirror has much to catch up with already.
                        let _ = heard.try_send(organization);
                    }
                }
                Err(error) => tracing::debug!(%error, "the bell cannot be heard; polling goes on"),
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listening => {}
    }
}
