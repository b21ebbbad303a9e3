//! Gathering drafts of one organization, across streams and unary calls, into batches of distinct lines.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::batch::Item;

/// How large a batch may become, and how long it may wait for more.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// A text to embed weighs more than a ready vector: see [`Item::weight`].
    pub(super) weight: usize,
    /// How long the first draft waits for others.
    pub(super) linger: Duration,
    /// How long a queue may be silent before its task ends.
    pub(super) idle: Duration,
}

/// The receiving end of an organization's queue.
#[derive(Debug)]
pub(super) struct Gatherer {
    receiver: mpsc::Receiver<Item>,
    /// Drafts of a line that stands in the batch already: they wait for the next one, in order.
    postponed: VecDeque<Item>,
    limits: BatchLimits,
}

impl Gatherer {
    pub(super) fn new(receiver: mpsc::Receiver<Item>, limits: BatchLimits) -> Self {
        Self { receiver, postponed: VecDeque::new(), limits }
    }

    /// Takes nothing new from now on; what is queued still comes.
    pub(super) fn close(&mut self) {
        self.receiver.close();
    }

    /// The next batch; `None` where the queue is closed and empty, or was silent for too long.
    ///
    /// Cancel-safe up to the first draft: nothing has left the queue before.
    pub(super) async fn wait(&mut self) -> Option<Item> {
        if let Some(item) = self.postponed.pop_front() {
            return Some(item);
        }
        tokio::time::timeout(self.limits.idle, self.receiver.recv()).await.ok().flatten()
    }

    /// Fills the batch that `first` begins.
    pub(super) async fn fill(&mut self, first: Item) -> Vec<Item> {
        let deadline = Instant::now() + self.limits.linger;
        let mut batch = Batch::new(self.limits.weight);
        let mut postponed = VecDeque::new();
        batch.add(first, &mut postponed);
        while let Some(item) = self.postponed.pop_front() {
            batch.add(item, &mut postponed);
        }
        self.postponed = postponed;
        while !batch.is_full() && self.postponed.len() < self.limits.weight {
            match timeout_at(deadline, self.receiver.recv()).await {
                Ok(Some(item)) => batch.add(item, &mut self.postponed),
                Ok(None) | Err(_) => break,
            }
        }
        batch.items
    }
}

struct Batch {
    items: Vec<Item>,
    keys: HashSet<crate::domain::EmbeddingKey>,
    weight: usize,
    limit: usize,
}

impl Batch {
    fn new(limit: usize) -> Self {
        Self { items: Vec::new(), keys: HashSet::new(), weight: 0, limit }
    }

    fn is_full(&self) -> bool {
        self.weight >= self.limit
    }

    fn add(&mut self, item: Item, postponed: &mut VecDeque<Item>) {
        // Once a line waits, everything of that line waits behind it.
        let waits =
            self.is_full() || self.keys.contains(&item.key) || postponed.iter().any(|earlier| earlier.key == item.key);
        if waits {
            postponed.push_back(item);
            return;
        }
        self.weight += item.weight();
        self.keys.insert(item.key.clone());
        self.items.push(item);
    }
}
