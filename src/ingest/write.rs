//! Writing versions: close, insert, log, in one transaction.

use std::collections::BTreeMap;
use std::time::Instant;

use uuid::Uuid;

use crate::domain::{Attributes, Change, ChangeKind, Chunk, Delta, EmbeddingKey, Entry, ModelId, Revision};
use crate::index::Commit;
use crate::store::{Arrival, NewChunk, NewVersion, StoreError, TenantTransaction, kept_time};

/// A version that is to become current.
#[derive(Debug, Clone)]
pub struct VersionWrite {
    /// Of which line.
    pub key: EmbeddingKey,
    /// Its number.
    pub version: i32,
    /// Whether there is a current version to close.
    pub closes: bool,
    /// The version it was activated from.
    pub activated_from: Option<i32>,
    /// Digest of texts and given vectors.
    pub content_hash: [u8; 32],
    /// Digest of the attributes.
    pub attributes_hash: [u8; 32],
    /// The caller's key for the request.
    pub idempotency_key: Option<String>,
    /// What is kept beside the vectors.
    pub attributes: Attributes,
    /// Its chunks; none for a tombstone.
    pub chunks: Vec<Chunk>,
    /// Whether it is a tombstone.
    pub deleted: bool,
}

impl VersionWrite {
    /// The version that ends a line.
    pub fn tombstone(key: EmbeddingKey, version: i32) -> Self {
        Self {
            key,
            version,
            closes: true,
            activated_from: None,
            content_hash: [0; 32],
            attributes_hash: [0; 32],
            idempotency_key: None,
            attributes: Attributes::default(),
            chunks: Vec::new(),
            deleted: true,
        }
    }

    /// What it does to a partition: the rows as the table has them.
    fn into_delta(self) -> (ModelId, Delta) {
        let EmbeddingKey { entity, source_field, model } = self.key;
        let Attributes { tags, platform, status, occurred_at, .. } = self.attributes;
        let entry = |chunk: Chunk| Entry {
            id: chunk.id,
            entity: entity.clone(),
            source_field: source_field.clone(),
            version: self.version,
            chunk_index: chunk.index,
            tags: tags.clone(),
            platform: platform.clone(),
            status: status.clone(),
            occurred_at: occurred_at.map(kept_time),
            vector: chunk.vector,
        };
        let entries = self.chunks.into_iter().map(entry).collect();
        (model, Delta { entity, source_field, entries })
    }
}

/// Commits versions that were written at a revision; gives back what that does to partitions.
pub async fn commit_versions(
    transaction: TenantTransaction,
    writes: Vec<VersionWrite>,
    revision: Revision,
) -> Result<Commit, StoreError> {
    let organization = transaction.organization();
    // The transaction holds the organization's lock until it has ended: there is nothing later yet.
    let newest_at = Instant::now();
    transaction.commit().await?;
    let mut deltas: BTreeMap<ModelId, Vec<Delta>> = BTreeMap::new();
    for (model, delta) in writes.into_iter().map(VersionWrite::into_delta) {
        deltas.entry(model).or_default().push(delta);
    }
    Ok(Commit { organization, revision, deltas, newest_at })
}

/// Makes versions current at a revision that the transaction has taken; their chunks arrive as `arrival` says.
pub async fn write_versions(
    transaction: &mut TenantTransaction,
    writes: &[VersionWrite],
    revision: Revision,
    arrival: Arrival,
) -> Result<(), StoreError> {
    let closing: Vec<EmbeddingKey> =
        writes.iter().filter(|write| write.closes).map(|write| write.key.clone()).collect();
    transaction.close_versions(&closing, revision).await?;
    let versions: Vec<NewVersion> = writes
        .iter()
        .map(|write| NewVersion {
            key: write.key.clone(),
            id: Uuid::now_v7(),
            version: write.version,
            activated_from: write.activated_from,
            content_hash: write.content_hash,
            attributes_hash: write.attributes_hash,
            idempotency_key: write.idempotency_key.clone(),
            chunk_count: write.chunks.len() as i32,
            deleted: write.deleted,
        })
        .collect();
    transaction.insert_versions(&versions, revision).await?;
    let chunks: Vec<NewChunk<'_>> = writes
        .iter()
        .flat_map(|write| {
            write.chunks.iter().map(|chunk| NewChunk {
                key: &write.key,
                version: write.version,
                attributes: &write.attributes,
                chunk,
            })
        })
        .collect();
    transaction.insert_chunks(&chunks, revision, arrival).await?;
    let changes: Vec<Change> = writes
        .iter()
        .map(|write| Change {
            revision,
            key: write.key.clone(),
            version: write.version,
            kind: if write.deleted { ChangeKind::Removed } else { ChangeKind::Put },
        })
        .collect();
    transaction.log_changes(&changes).await
}
