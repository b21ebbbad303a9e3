//! The bounded queue between callers and the threads that compute: queries overtake documents.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::domain::Purpose;

/// So many queries may overtake a waiting document before it has its turn: under a flood of queries documents go slow,
/// but they go.
const OVERTAKING: u32 = 16;

/// Tasks in two lanes, each bounded by the weight of what waits in it.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    bell: Condvar,
    capacity: usize,
}

struct State<T> {
    queries: Lane<T>,
    documents: Lane<T>,
    overtaken: u32,
    closed: bool,
}

struct Lane<T> {
    tasks: VecDeque<(usize, T)>,
    weight: usize,
}

impl<T> Lane<T> {
    fn new() -> Self {
        Self { tasks: VecDeque::new(), weight: 0 }
    }

    fn pop(&mut self) -> Option<T> {
        let (weight, task) = self.tasks.pop_front()?;
        self.weight -= weight;
        Some(task)
    }
}

/// Why tasks were not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The lane holds this weight already.
    Full(usize),
    /// Nobody will work on them any more.
    Closed,
}

impl<T> Queue<T> {
    /// An empty queue whose lanes refuse more once each holds `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { queries: Lane::new(), documents: Lane::new(), overtaken: 0, closed: false };
        Self { state: Mutex::new(state), bell: Condvar::new(), capacity }
    }

    /// Puts all of `tasks`, each with its weight, into the lane of `purpose`, or none.
    ///
    /// A lane below its capacity takes a whole call, however large, so that none is too large for ever; so a lane
    /// holds at most its capacity and one call more.
    pub(super) fn push(&self, purpose: Purpose, tasks: Vec<(usize, T)>) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let lane = match purpose {
            Purpose::Query => &mut state.queries,
            Purpose::Document => &mut state.documents,
        };
        if lane.weight >= self.capacity {
            return Err(Refused::Full(lane.weight));
        }
        lane.weight += tasks.iter().map(|(weight, _)| weight).sum::<usize>();
        lane.tasks.extend(tasks);
        drop(state);
        self.bell.notify_all();
        Ok(())
    }

    /// The next task, once there is one; `None` when the queue is closed. For threads that may block.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(task) = state.next() {
                return Some(task);
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops what waits and lets the threads go.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queries.tasks.clear();
        state.documents.tasks.clear();
        drop(state);
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn next(&mut self) -> Option<T> {
        let nobody_waits = self.documents.tasks.is_empty();
        if (nobody_waits || self.overtaken < OVERTAKING)
            && let Some(task) = self.queries.pop()
        {
            self.overtaken = if nobody_waits { 0 } else { self.overtaken + 1 };
            return Some(task);
        }
        self.overtaken = 0;
        self.documents.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue<u32>, purpose: Purpose, tasks: std::ops::Range<u32>) {
        queue.push(purpose, tasks.map(|task| (1, task)).collect()).expect("room");
    }

    fn drain(queue: &Queue<u32>) -> Vec<u32> {
        let mut state = queue.lock();
        std::iter::from_fn(|| state.next()).collect()
    }

    #[test]
    fn queries_overtake_documents_but_do_not_starve_them() {
        let queue = Queue::new(100);
        push(&queue, Purpose::Document, 0..3);
        push(&queue, Purpose::Query, 100..140);
        let order = drain(&queue);
        assert_eq!(order[..16], (100..116).collect::<Vec<_>>());
        assert_eq!(order[16..18], [0, 116]);
        assert_eq!(order.len(), 43);
        let documents: Vec<_> = order.into_iter().filter(|task| *task < 100).collect();
        assert_eq!(documents, [0, 1, 2]);
    }

    #[test]
    fn lanes_are_bounded_apart() {
        let queue = Queue::new(4);
        push(&queue, Purpose::Document, 0..7);
        assert_eq!(queue.push(Purpose::Document, vec![(1, 9)]), Err(Refused::Full(7)));
        push(&queue, Purpose::Query, 0..1);
        assert_eq!(drain(&queue).len(), 8);
        push(&queue, Purpose::Document, 0..1);
    }

    #[test]
    fn closing_lets_everybody_go() {
        let queue = Queue::new(4);
        push(&queue, Purpose::Document, 0..1);
        std::thread::scope(|scope| {
            assert_eq!(queue.pop(), Some(0));
            let waiting = scope.spawn(|| queue.pop());
            queue.close();
            assert_eq!(waiting.join().expect("no panic"), None);
        });
        assert_eq!(queue.push(Purpose::Query, vec![(1, 1)]), Err(Refused::Closed));
    }
}
