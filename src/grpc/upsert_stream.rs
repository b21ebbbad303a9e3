//! One stream of drafts: reads while it answers, and stops reading while its client does not read.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::convert;
use super::proto::{Draft, ItemOutcome, OutcomeKind, UpsertEmbeddingsRequest, UpsertEmbeddingsResponse};
use super::status::status_of;
use crate::domain::{Classify, Invalid, Kind, Outcome};
use crate::ingest::{IngestError, Ingestor};
use crate::tenancy::Caller;

/// The most drafts a message may hold.
const MAX_DRAFTS: usize = 1_000;
/// The most drafts of one stream that may be on their way.
const MAX_IN_FLIGHT: usize = 4_000;
/// The most acknowledgements in one message.
const MAX_OUTCOMES: usize = 1_000;
/// The longest an item id may be.
const MAX_ITEM_ID_BYTES: usize = 200;
/// How long an item may be on its way.
const ITEM_DEADLINE: Duration = Duration::from_secs(120);
/// How long a stream may be silent with nothing on its way.
const IDLE: Duration = Duration::from_secs(600);

/// What a client reads.
pub(super) type Outcomes = Pin<Box<dyn Stream<Item = Result<UpsertEmbeddingsResponse, Status>> + Send>>;

/// Serves one stream.
pub(super) struct UpsertStream {
    pub(super) ingestor: Ingestor,
    pub(super) caller: Caller,
    pub(super) stop: CancellationToken,
    pub(super) deadline: Instant,
}

/// Why reading ended.
enum End {
    /// The client has sent everything.
    Complete,
    /// The stream ends with this status once everything on its way is answered.
    Failed(Status),
}

type InFlight = FuturesUnordered<BoxFuture<'static, ItemOutcome>>;

impl UpsertStream {
    /// Runs until everything that was read is answered, or the client is gone. Drafts taken in are written in any case.
    pub(super) async fn run(
        self,
        mut drafts: Streaming<UpsertEmbeddingsRequest>,
        answers: mpsc::Sender<Result<UpsertEmbeddingsResponse, Status>>,
    ) {
        let mut in_flight = InFlight::new();
        let mut end = None;
        while end.is_none() || !in_flight.is_empty() {
            let reading = end.is_none() && in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                Some(first) = in_flight.next(), if !in_flight.is_empty() => {
                    let outcomes = with_ready(first, &mut in_flight);
                    if answers.send(Ok(UpsertEmbeddingsResponse { outcomes })).await.is_err() {
                        return;
                    }
                }
                message = drafts.message(), if reading => match message {
                    Ok(Some(message)) => end = self.take_in(message, &mut in_flight).await,
                    Ok(None) => end = Some(End::Complete),
                    Err(status) => end = Some(End::Failed(status)),
                },
                () = self.stop.cancelled(), if end.is_none() => {
                    end = Some(End::Failed(status_of(&IngestError::ShuttingDown)));
                }
                () = tokio::time::sleep_until(self.deadline.into()), if end.is_none() => {
                    let message = "the stream's deadline passed; what was acknowledged is kept, send the rest again";
                    end = Some(End::Failed(Status::deadline_exceeded(message)));
                }
                () = tokio::time::sleep(IDLE), if reading && in_flight.is_empty() => {
                    let message = format!("nothing was sent for {} s; open a new stream when there is more", IDLE.as_secs());
                    end = Some(End::Failed(Status::deadline_exceeded(message)));
                }
            }
        }
        if let Some(End::Failed(status)) = end {
            // A client that is gone needs no status.
            let _ = answers.send(Err(status)).await;
        }
    }

    async fn take_in(&self, message: UpsertEmbeddingsRequest, in_flight: &mut InFlight) -> Option<End> {
        let count = message.drafts.len();
        if count > MAX_DRAFTS {
            let error =
                Invalid::new("drafts", format!("has {count} drafts; at most {MAX_DRAFTS} a message are allowed"));
            return Some(End::Failed(status_of(&error)));
        }
        for draft in message.drafts {
            let answer = self.take_in_one(draft).await;
            in_flight.push(answer);
        }
        None
    }

    /// Waits while the organization's queue is full: that is the back-pressure.
    async fn take_in_one(&self, mut draft: Draft) -> BoxFuture<'static, ItemOutcome> {
        let item_id = std::mem::take(&mut draft.item_id);
        let submitted = match checked(&item_id).and_then(|()| convert::draft(draft)) {
            Ok(draft) => self.ingestor.submit(&self.caller, draft).await,
            Err(invalid) => Err(invalid.into()),
        };
        match submitted {
            Ok(pending) => Box::pin(async move {
                match tokio::time::timeout(ITEM_DEADLINE, pending.outcome()).await {
                    Ok(answer) => outcome_message(item_id, answer),
                    Err(_) => late(item_id),
                }
            }),
            Err(error) => Box::pin(std::future::ready(outcome_message(item_id, Err(error)))),
        }
    }
}

fn with_ready(first: ItemOutcome, in_flight: &mut InFlight) -> Vec<ItemOutcome> {
    let mut outcomes = vec![first];
    while outcomes.len() < MAX_OUTCOMES
        && let Some(Some(next)) = in_flight.next().now_or_never()
    {
        outcomes.push(next);
    }
    outcomes
}

fn checked(item_id: &str) -> Result<(), Invalid> {
    if item_id.len() <= MAX_ITEM_ID_BYTES {
        return Ok(());
    }
    Err(Invalid::new("item_id", format!("has {} bytes; at most {MAX_ITEM_ID_BYTES} are allowed", item_id.len())))
}

fn late(item_id: String) -> ItemOutcome {
    let reason = format!(
        "not decided within {} s; send it again: what was written already will be UNCHANGED",
        ITEM_DEADLINE.as_secs()
    );
    ItemOutcome { item_id, kind: OutcomeKind::Failed.into(), reason, retry_after_ms: 1_000, ..ItemOutcome::default() }
}

/// The acknowledgement of one item.
pub(super) fn outcome_message(item_id: String, answer: Result<Outcome, IngestError>) -> ItemOutcome {
    let mut message = ItemOutcome { item_id, ..ItemOutcome::default() };
    let (kind, version, revision) = match answer {
        Ok(Outcome::Created { version, revision }) => (OutcomeKind::Created, version, revision.0),
        Ok(Outcome::NewVersion { version, revision }) => (OutcomeKind::NewVersion, version, revision.0),
        Ok(Outcome::Unchanged { version, revision }) => (OutcomeKind::Unchanged, version, revision.0),
        Ok(Outcome::Conflict { version, reason }) => {
            message.reason = reason;
            (OutcomeKind::Conflict, version, 0)
        }
        Err(error) => {
            let status = status_of(&error);
            message.reason = status.message().to_owned();
            let for_good =
                matches!(error.kind(), Kind::Invalid | Kind::Denied | Kind::FailedPrecondition | Kind::NotFound);
            let retry_after = error.retry_after().unwrap_or(Duration::from_secs(1));
            message.retry_after_ms = if for_good { 0 } else { retry_after.as_millis() as i32 };
            (if for_good { OutcomeKind::Invalid } else { OutcomeKind::Failed }, 0, 0)
        }
    };
    message.kind = kind.into();
    message.version = version;
    message.revision = revision;
    message
}

/// The status of a conflict, where one draft is a call of its own.
pub(super) fn conflict_status(reason: &str) -> Status {
    Status::new(Code::Aborted, reason)
}
