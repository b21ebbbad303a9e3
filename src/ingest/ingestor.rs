//! The door through which drafts come in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::IngestError;
use super::batch::{BatchWriter, Item};
use super::gather::{BatchLimits, Gatherer};
use super::tasks::WriteTasks;
use crate::domain::{Draft, OrganizationId, Outcome};
use crate::embed::Embedders;
use crate::index::IndexReader;
use crate::store::{Arrival, Database, ModelCatalog};
use crate::tenancy::{Caller, Role};

/// The most batches, of all organizations, that are written and wait for the mirror.
const MAX_ANNOUNCING: usize = 16;

/// How long a batch of a bulk load waits until it is full.
const BULK_LINGER: Duration = Duration::from_millis(20);

/// How drafts are gathered and how long their parts may take.
#[derive(Debug, Clone, Copy)]
pub struct IngestSettings {
    /// The most drafts an organization may have waiting; further ones wait at the door.
    pub queue_items: usize,
    /// The most ready vectors in a batch; a text to embed counts as four and more, by its length.
    pub batch_weight: usize,
    /// How long the first draft of a batch waits for others.
    pub linger: Duration,
    /// How long embedding a group of texts may take.
    pub embed_timeout: Duration,
    /// How long an acknowledgement waits for this replica's mirror.
    pub mirror_patience: Duration,
    /// Whether new rows arrive outside their model's HNSW index, as usual, or in it.
    pub arrival: Arrival,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            queue_items: 4_000,
            batch_weight: 1_000,
            linger: Duration::from_millis(2),
            embed_timeout: Duration::from_secs(60),
            mirror_patience: Duration::from_secs(1),
            arrival: Arrival::Unsettled,
        }
    }
}

/// An acknowledgement that is on its way.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Outcome, IngestError>>);

impl Pending {
    /// Waits for it. Dropping it does not undo the draft.
    pub async fn outcome(self) -> Result<Outcome, IngestError> {
        self.0.await.unwrap_or(Err(IngestError::Lost))
    }
}

/// Takes drafts in. Cheap to clone.
#[derive(Clone)]
pub struct Ingestor(Arc<Inner>);

struct Inner {
    catalog: ModelCatalog,
    writer: BatchWriter,
    settings: IngestSettings,
    queues: Mutex<HashMap<OrganizationId, Queue>>,
    tasks: WriteTasks,
    stop: CancellationToken,
}

/// An organization's queue, and the turn of the task that empties it: a new queue's task waits until the old one's is
/// done, so that drafts of a line keep their order.
#[derive(Clone)]
struct Queue {
    sender: mpsc::Sender<Item>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Ingestor {
    /// An ingestor whose tasks belong to `tasks` and finish what is queued once `stop` is cancelled.
    pub fn new(
        database: Database,
        catalog: ModelCatalog,
        embedders: Embedders,
        index: IndexReader,
        settings: IngestSettings,
        tasks: WriteTasks,
        stop: CancellationToken,
    ) -> Self {
        let writer = BatchWriter {
            database,
            embedders,
            index,
            tasks: tasks.clone(),
            embed_timeout: settings.embed_timeout,
            mirror_patience: settings.mirror_patience,
            arrival: settings.arrival,
            announcing: Arc::new(Semaphore::new(MAX_ANNOUNCING)),
        };
        Self(Arc::new(Inner { catalog, writer, settings, queues: Mutex::default(), tasks, stop }))
    }

    /// A door of its own for one bulk load, to the same database and embedders: batches of `batch_rows` ready vectors, whose
    /// rows arrive as `arrival` says.
    #[must_use]
    pub fn bulk(&self, batch_rows: usize, arrival: Arrival) -> Self {
        let inner = &self.0;
        let settings = IngestSettings {
            queue_items: 2 * batch_rows,
            batch_weight: batch_rows,
            linger: BULK_LINGER,
            arrival,
            ..inner.settings
        };
        let writer = &inner.writer;
        Self::new(
            writer.database.clone(),
            inner.catalog.clone(),
            writer.embedders.clone(),
            writer.index.clone(),
            settings,
            inner.tasks.clone(),
            inner.stop.clone(),
        )
    }

    /// Where to run what gives drafts in.
    pub fn tasks(&self) -> &WriteTasks {
        &self.0.tasks
    }

    /// Takes one draft in and waits for its acknowledgement.
    pub async fn upsert(&self, caller: &Caller, draft: Draft) -> Result<Outcome, IngestError> {
        self.submit(caller, draft).await?.outcome().await
    }

    /// Takes one draft in: waits while the organization's queue is full, which is the back-pressure of streams.
    ///
    /// # Errors
    /// At once where the draft breaks a rule; what goes wrong later is told by [`Pending::outcome`].
    pub async fn submit(&self, caller: &Caller, draft: Draft) -> Result<Pending, IngestError> {
        caller.require(Role::Editor)?;
        let inner = &self.0;
        let model = inner.catalog.writable(caller.organization, draft.model.as_ref()).await?;
        for (at, chunk) in draft.chunks.iter().enumerate() {
            if let Some(vector) = &chunk.vector {
                vector.require_dimensions(model.dimensions).map_err(|error| error.inside(&format!("chunks[{at}]")))?;
            }
        }
        let (reply, answer) = oneshot::channel();
        let mut item = Item::new(draft, model, reply);
        loop {
            if inner.stop.is_cancelled() {
                return Err(IngestError::ShuttingDown);
            }
            // A queue whose task has just ended refuses: then there is a new one.
            match inner.queue(caller.organization).send(item).await {
                Ok(()) => return Ok(Pending(answer)),
                Err(refused) => item = refused.0,
            }
        }
    }
}

impl Inner {
    fn queue(self: &Arc<Self>, organization: OrganizationId) -> mpsc::Sender<Item> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = match queues.get(&organization) {
            Some(queue) if !queue.sender.is_closed() => return queue.sender.clone(),
            Some(ended) => Arc::clone(&ended.turn),
            None => Arc::default(),
        };
        let (sender, receiver) = mpsc::channel(self.settings.queue_items);
        queues.insert(organization, Queue { sender: sender.clone(), turn: Arc::clone(&turn) });
        metrics::gauge!("kindred_ingest_queues").set(queues.len() as f64);
        let limits = BatchLimits {
            weight: self.settings.batch_weight,
            linger: self.settings.linger,
            idle: Duration::from_secs(30),
        };
        let gatherer = Gatherer::new(receiver, limits);
        self.tasks.spawn(Arc::clone(self).serve(organization, gatherer, turn));
        sender
    }

    /// Writes an organization's batches, one after the other, until its queue is silent or the service stops.
    async fn serve(
        self: Arc<Self>,
        organization: OrganizationId,
        mut gatherer: Gatherer,
        turn: Arc<tokio::sync::Mutex<()>>,
    ) {
        let turn = turn.lock_owned().await;
        let mut closed = false;
        loop {
            let first = tokio::select! {
                first = gatherer.wait() => first,
                () = self.stop.cancelled(), if !closed => None,
            };
            match first {
                Some(first) => {
                    let batch = gatherer.fill(first).await;
                    self.writer.run(organization, batch).await;
                }
                None if closed => break,
                // Silence, or the end: what was sent before the closing still counts.
                None => {
                    closed = true;
                    gatherer.close();
                }
            }
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.get(&organization).is_some_and(|queue| queue.sender.is_closed()) {
            queues.remove(&organization);
        }
        drop(turn);
    }
}
