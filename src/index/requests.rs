//! What readers ask of the one who feeds the index.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::entry::PartitionKey;
use super::schedule::{lock, step};
use crate::domain::OrganizationId;

/// How many different requests may wait. Past it a new one is not taken: a load is asked for again by the next search,
/// and a bell only brings forward what polling finds.
const MOST_WAITING: usize = 65_536;

/// Something to do for whoever feeds the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// This process has committed something of the organization: apply it, or read the feed.
    Committed(OrganizationId),
    /// The organization's feed holds something new, or may: read it.
    Ring(OrganizationId),
    /// The partition was searched but is not in memory: load it.
    Load(PartitionKey),
    /// What is in memory was found to differ from the table: load it again.
    Reload(PartitionKey),
}

/// Requests in the order of their coming; one that waits already is not added again.
#[derive(Default)]
pub(super) struct Requests {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<Request>,
    members: HashSet<Request>,
}

impl Requests {
    pub(super) fn add(&self, request: Request) {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.members.len() >= MOST_WAITING || !waiting.members.insert(request.clone()) {
                return;
            }
            waiting.order.push_back(request);
        }
        step();
        self.bell.notify_one();
    }

    /// The next request; waits for one. Nothing is lost where the caller stops waiting.
    pub(super) async fn next(&self) -> Request {
        loop {
            if let Some(request) = self.take() {
                return request;
            }
            // A request added since is not missed: the bell remembers one ring.
            step();
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Option<Request> {
        let mut waiting = lock(&self.waiting);
        let request = waiting.order.pop_front()?;
        waiting.members.remove(&request);
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ring(organization: u128) -> Request {
        Request::Ring(OrganizationId(Uuid::from_u128(organization)))
    }

    #[tokio::test]
    async fn repeated_requests_coalesce_until_they_are_taken() {
        let requests = Requests::default();
        for organization in [1, 2, 1, 1, 2] {
            requests.add(ring(organization));
        }
        assert_eq!(requests.next().await, ring(1));
        requests.add(ring(1));
        assert_eq!(requests.next().await, ring(2));
        assert_eq!(requests.next().await, ring(1));
        assert_eq!(requests.take(), None);
    }

    #[tokio::test]
    async fn a_request_wakes_the_one_who_waits() {
        let requests = Requests::default();
        let (request, ()) = tokio::join!(requests.next(), async {
            tokio::task::yield_now().await;
            requests.add(ring(7));
        });
        assert_eq!(request, ring(7));
    }

    #[tokio::test]
    async fn giving_up_waiting_loses_nothing() {
        let requests = Requests::default();
        {
            let next = requests.next();
            tokio::pin!(next);
            assert!(futures::poll!(&mut next).is_pending());
            requests.add(ring(1));
        }
        assert_eq!(requests.next().await, ring(1));
    }

    #[test]
    fn waiting_requests_are_bounded() {
        let requests = Requests::default();
        for organization in 0..MOST_WAITING as u128 + 10 {
            requests.add(ring(organization));
        }
        assert_eq!(requests.waiting.lock().expect("not poisoned").order.len(), MOST_WAITING);
    }
}
