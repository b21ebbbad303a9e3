//! One batch of drafts of one organization, from decision to acknowledgement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use super::chunking::{Piece, cut, keep};
use super::plan::{Decision, Wish, decide};
use super::tasks::WriteTasks;
use super::{IngestError, VersionWrite, announce, commit_versions, write_versions};
use crate::domain::{
    Chunk, ChunkDraft, Draft, EmbeddingId, EmbeddingKey, Model, ModelId, OrganizationId, Outcome, Purpose, Vector,
};
use crate::embed::{EmbedError, Embedder, Embedders};
use crate::index::{Commit, IndexReader};
use crate::store::{Arrival, Database, Head, StoreError, TenantTransaction};

/// Texts given to an embedder at once.
const EMBED_GROUP: usize = 128;
/// So many bytes of text weigh as much as one ready vector.
const BYTES_A_WEIGHT: usize = 250;
/// How often a batch is decided again because other writers were faster.
const ATTEMPTS: usize = 4;

/// A draft on its way, with the place where its acknowledgement is awaited.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: EmbeddingKey,
    pub(super) model: Arc<Model>,
    pub(super) draft: Draft,
    wish: Wish,
    reply: oneshot::Sender<Result<Outcome, IngestError>>,
    /// Chunks with their vectors, once there are any.
    chunks: Option<Vec<Chunk>>,
}

impl Item {
    pub(super) fn new(draft: Draft, model: Arc<Model>, reply: oneshot::Sender<Result<Outcome, IngestError>>) -> Self {
        let key = EmbeddingKey {
            entity: draft.entity.clone(),
            source_field: draft.source_field.clone(),
            model: model.id.clone(),
        };
        let wish = Wish {
            content_hash: draft.content_digest(),
            attributes_hash: draft.attributes.digest(),
            expected_version: draft.expected_version,
        };
        Self { key, model, draft, wish, reply, chunks: None }
    }

    /// What it adds to a batch: embedding takes far longer than writing, and a long text longer than a short one.
    pub(super) fn weight(&self) -> usize {
        let chunks = self.draft.chunks.len();
        if self.draft.has_vectors() {
            return chunks;
        }
        let bytes: usize = self.draft.chunks.iter().map(|chunk| chunk.text.len()).sum();
        4 * chunks + bytes / BYTES_A_WEIGHT
    }

    fn answer(self, answer: Result<Outcome, IngestError>) {
        let outcome = match &answer {
            Ok(Outcome::Created { .. }) => "created",
            Ok(Outcome::NewVersion { .. }) => "new_version",
            Ok(Outcome::Unchanged { .. }) => "unchanged",
            Ok(Outcome::Conflict { .. }) => "conflict",
            Err(_) => "failed",
        };
        metrics::counter!("kindred_ingest_items_total", "outcome" => outcome).increment(1);
        // A caller that went away has no use for the answer; the write stands.
        let _ = self.reply.send(answer);
    }
}

/// What batches are written with. Cheap to clone.
#[derive(Clone)]
pub(super) struct BatchWriter {
    pub(super) database: Database,
    pub(super) embedders: Embedders,
    pub(super) index: IndexReader,
    pub(super) tasks: WriteTasks,
    pub(super) embed_timeout: Duration,
    pub(super) mirror_patience: Duration,
    pub(super) arrival: Arrival,
    /// Bounds the batches that are written and wait for the mirror.
    pub(super) announcing: Arc<Semaphore>,
}

impl BatchWriter {
    /// Takes a batch of distinct lines to its acknowledgements.
    ///
    /// 1. Drafts that bring vectors are written at once, since deciding inside the transaction costs them nothing.
    /// 2. The others are compared with the current versions; what is unchanged is answered.
    /// 3. What needs no embedding is written; what does is embedded, then written.
    pub(super) async fn run(&self, organization: OrganizationId, items: Vec<Item>) {
        metrics::histogram!("kindred_ingest_batch_items").record(items.len() as f64);
        let (ready, texts): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.draft.has_vectors());
        let ready = ready.into_iter().map(|item| self.with_own_vectors(item)).collect();
        self.write(organization, ready).await;

        let mut waiting = texts;
        for _ in 0..ATTEMPTS {
            if waiting.is_empty() {
                return;
            }
            let (reusing, changed) = match self.compare(organization, waiting).await {
                Some(parted) => parted,
                None => return,
            };
            let mut postponed = self.write(organization, reusing).await;
            let embedded = self.embed(changed).await;
            postponed.extend(self.write(organization, embedded).await);
            waiting = postponed;
        }
        for item in waiting {
            item.answer(Err(IngestError::Contended { attempts: ATTEMPTS }));
        }
    }

    fn with_own_vectors(&self, mut item: Item) -> Item {
        let embedder = self.embedders.get(&item.key.model);
        let pieces = keep(&item.draft, embedder.as_deref());
        let vectors = item.draft.chunks.iter().filter_map(|ChunkDraft { vector, .. }| vector.clone());
        let vectors = vectors.map(|vector| if item.model.normalized { vector.normalized() } else { vector });
        item.chunks = Some(chunks(pieces, vectors));
        item
    }

    /// Answers what needs no write; parts the rest into those that reuse vectors and those to be embedded.
    async fn compare(&self, organization: OrganizationId, items: Vec<Item>) -> Option<(Vec<Item>, Vec<Item>)> {
        let heads = match self.read_heads(organization, &items).await {
            Ok(heads) => heads,
            Err(error) => {
                fail_all(items, &error.into());
                return None;
            }
        };
        let (mut reusing, mut changed) = (Vec::new(), Vec::new());
        for item in items {
            match heads.decide(&item) {
                Decision::Answer(outcome) => item.answer(Ok(outcome)),
                Decision::Write { reuse: Some(_), .. } => reusing.push(item),
                Decision::Write { reuse: None, .. } if item.chunks.is_some() => reusing.push(item),
                Decision::Write { .. } => changed.push(item),
            }
        }
        Some((reusing, changed))
    }

    async fn read_heads(&self, organization: OrganizationId, items: &[Item]) -> Result<Heads, StoreError> {
        let mut transaction = self.database.tenant("ingest_compare", organization).await?;
        let heads = Heads::read(&mut transaction, items).await?;
        transaction.commit().await?;
        Ok(heads)
    }

    /// Cuts and embeds; answers what cannot be, gives back what can.
    async fn embed(&self, items: Vec<Item>) -> Vec<Item> {
        let mut by_model: BTreeMap<ModelId, Vec<Item>> = BTreeMap::new();
        for item in items {
            by_model.entry(item.key.model.clone()).or_default().push(item);
        }
        let mut done = Vec::new();
        for (model, items) in by_model {
            match self.embedders.get(&model) {
                Some(embedder) => done.extend(self.embed_with(embedder, items).await),
                None => fail_all(items, &IngestError::NoEmbedder { model: model.to_string() }),
            }
        }
        done
    }

    async fn embed_with(&self, embedder: Arc<dyn Embedder>, items: Vec<Item>) -> Vec<Item> {
        let Some(cut) = self.cut_all(Arc::clone(&embedder), items).await else { return Vec::new() };
        let texts: Vec<String> =
            cut.iter().flat_map(|(_, pieces)| pieces.iter().map(|piece| piece.text.clone())).collect();
        match self.vectors(embedder.as_ref(), texts).await {
            Ok(vectors) => {
                let mut vectors = vectors.into_iter();
                cut.into_iter()
                    .map(|(mut item, pieces)| {
                        let own: Vec<Vector> = vectors.by_ref().take(pieces.len()).collect();
                        item.chunks = Some(chunks(pieces, own.into_iter()));
                        item
                    })
                    .collect()
            }
            // One text that the provider refuses must not harm its neighbours.
            Err(EmbedError::Rejected { .. }) if cut.len() > 1 => {
                let mut done = Vec::new();
                for (mut item, pieces) in cut {
                    let texts = pieces.iter().map(|piece| piece.text.clone()).collect();
                    match self.vectors(embedder.as_ref(), texts).await {
                        Ok(vectors) => {
                            item.chunks = Some(chunks(pieces, vectors.into_iter()));
                            done.push(item);
                        }
                        Err(error) => item.answer(Err(error.into())),
                    }
                }
                done
            }
            Err(error) => {
                fail_all(cut.into_iter().map(|(item, _)| item), &error.into());
                Vec::new()
            }
        }
    }

    /// Cuts off the runtime's threads, since long texts take long to tokenize.
    async fn cut_all(&self, embedder: Arc<dyn Embedder>, items: Vec<Item>) -> Option<Vec<(Item, Vec<Piece>)>> {
        let cutting = self.tasks.run_blocking(move || {
            let mut done = Vec::with_capacity(items.len());
            for item in items {
                match cut(&item.draft, embedder.as_ref()) {
                    Ok(pieces) => done.push((item, pieces)),
                    Err(invalid) => item.answer(Err(invalid.into())),
                }
            }
            done
        });
        cutting.await.inspect_err(|error| tracing::error!(%error, "cutting texts failed")).ok()
    }

    /// In groups, so that the time limit bounds the embedder and not the length of somebody's text.
    async fn vectors(&self, embedder: &dyn Embedder, texts: Vec<String>) -> Result<Vec<Vector>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for group in texts.chunks(EMBED_GROUP) {
            let embedding = embedder.embed(group.to_vec(), Purpose::Document);
            let late = EmbedError::DeadlineExceeded { allowed: self.embed_timeout };
            vectors.extend(tokio::time::timeout(self.embed_timeout, embedding).await.unwrap_or(Err(late))?);
        }
        let model = embedder.model().id.to_string();
        metrics::counter!("kindred_embedded_texts_total", "model" => model).increment(texts.len() as u64);
        Ok(vectors)
    }

    /// Decides again and writes in one transaction, then answers. Gives back items that must be embedded after all.
    async fn write(&self, organization: OrganizationId, items: Vec<Item>) -> Vec<Item> {
        if items.is_empty() {
            return Vec::new();
        }
        let mut attempt = 1;
        let written = loop {
            match self.try_write(organization, &items).await {
                Err(StoreError::Conflict(error)) if attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "the write runs again");
                    attempt += 1;
                }
                other => break other,
            }
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                fail_all(items, &error.into());
                return Vec::new();
            }
        };
        let (mut decided, mut postponed) = (Vec::with_capacity(items.len()), Vec::new());
        for (item, outcome) in items.into_iter().zip(written.outcomes) {
            match outcome {
                Some(outcome) => decided.push((item, outcome)),
                None => postponed.push(item),
            }
        }
        match written.commit {
            Some(commit) => self.answer_once_mirrored(commit, decided).await,
            None => decided.into_iter().for_each(|(item, outcome)| item.answer(Ok(outcome))),
        }
        postponed
    }

    /// Answers when this replica's mirror shows the revision, while the next batch is written: waits only where too many
    /// batches wait for the mirror.
    async fn answer_once_mirrored(&self, commit: Commit, decided: Vec<(Item, Outcome)>) {
        let shown = announce(&self.index, commit, self.mirror_patience);
        let turn = Arc::clone(&self.announcing).acquire_owned().await;
        self.tasks.spawn(async move {
            shown.await;
            decided.into_iter().for_each(|(item, outcome)| item.answer(Ok(outcome)));
            drop(turn);
        });
    }

    async fn try_write(&self, organization: OrganizationId, items: &[Item]) -> Result<Written, StoreError> {
        let mut transaction = self.database.tenant("ingest_write", organization).await?;
        let revision = transaction.next_revision().await?;
        let heads = Heads::read(&mut transaction, items).await?;
        let mut writes = Vec::new();
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let (version, closes, reuse) = match heads.decide(item) {
                Decision::Answer(outcome) => {
                    outcomes.push(Some(outcome));
                    continue;
                }
                Decision::Write { version, closes, reuse } => (version, closes, reuse),
            };
            let chunks = match (&item.chunks, reuse) {
                (Some(own), None) => own.clone(),
                (_, Some(version)) => copied(&mut transaction, &item.key, version).await?,
                (None, None) => {
                    outcomes.push(None);
                    continue;
                }
            };
            writes.push(item.write(version, closes, chunks));
            outcomes.push(Some(match version {
                1 => Outcome::Created { version, revision },
                _ => Outcome::NewVersion { version, revision },
            }));
        }
        if writes.is_empty() {
            transaction.rollback().await?;
            return Ok(Written { commit: None, outcomes });
        }
        write_versions(&mut transaction, &writes, revision, self.arrival).await?;
        let commit = commit_versions(transaction, writes, revision).await?;
        Ok(Written { commit: Some(commit), outcomes })
    }
}

impl Item {
    fn write(&self, version: i32, closes: bool, chunks: Vec<Chunk>) -> VersionWrite {
        VersionWrite {
            key: self.key.clone(),
            version,
            closes,
            activated_from: None,
            content_hash: self.wish.content_hash,
            attributes_hash: self.wish.attributes_hash,
            idempotency_key: self.draft.idempotency_key.clone(),
            attributes: self.draft.attributes.clone(),
            chunks,
            deleted: false,
        }
    }
}

/// What a write transaction did.
struct Written {
    /// What it changed, if it changed anything.
    commit: Option<Commit>,
    /// One an item, in order; `None` where it must be embedded first.
    outcomes: Vec<Option<Outcome>>,
}

/// The versions that decisions rest on.
struct Heads {
    current: HashMap<EmbeddingKey, Head>,
    replayed: HashMap<(EmbeddingKey, String), Head>,
}

impl Heads {
    async fn read(transaction: &mut TenantTransaction, items: &[Item]) -> Result<Self, StoreError> {
        let keys: Vec<EmbeddingKey> = items.iter().map(|item| item.key.clone()).collect();
        let requests: Vec<(EmbeddingKey, String)> =
            items.iter().filter_map(|item| Some((item.key.clone(), item.draft.idempotency_key.clone()?))).collect();
        let current = transaction.heads(&keys).await?;
        let replayed = transaction.heads_by_idempotency(&requests).await?;
        Ok(Self { current, replayed })
    }

    fn decide(&self, item: &Item) -> Decision {
        let replayed = item
            .draft
            .idempotency_key
            .as_ref()
            .and_then(|idempotency| self.replayed.get(&(item.key.clone(), idempotency.clone())));
        decide(&item.wish, self.current.get(&item.key), replayed)
    }
}

/// The chunks of an earlier version under new row ids.
async fn copied(
    transaction: &mut TenantTransaction,
    key: &EmbeddingKey,
    version: i32,
) -> Result<Vec<Chunk>, StoreError> {
    let found = transaction.chunks_of(key, version).await?;
    let chunks = found.map(|(_, chunks)| chunks).unwrap_or_default();
    Ok(chunks.into_iter().map(|chunk| Chunk { id: new_id(), ..chunk }).collect())
}

fn chunks(pieces: Vec<Piece>, vectors: impl Iterator<Item = Vector>) -> Vec<Chunk> {
    pieces
        .into_iter()
        .zip(vectors)
        .zip(0..)
        .map(|((piece, vector), index)| Chunk {
            id: new_id(),
            index,
            content: piece.text,
            token_count: piece.token_count,
            language: piece.language,
            vector,
        })
        .collect()
}

fn new_id() -> EmbeddingId {
    EmbeddingId(Uuid::now_v7())
}

fn fail_all(items: impl IntoIterator<Item = Item>, error: &IngestError) {
    for item in items {
        item.answer(Err(error.clone()));
    }
}
