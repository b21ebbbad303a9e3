//! The history of a line, and what may be done to it.

use std::time::Duration;

use uuid::Uuid;

use super::VersionError;
use crate::domain::{
    Chunk, EmbeddingId, EmbeddingKey, EntityRef, Invalid, ModelId, Revision, SourceField, Version, VersionInfo,
};
use crate::index::IndexReader;
use crate::ingest::{VersionWrite, announce, commit_versions, write_versions};
use crate::store::{Arrival, Database, ModelCatalog, TenantTransaction};
use crate::tenancy::{Caller, Role};

/// How often a write runs again because another transaction was faster.
const ATTEMPTS: usize = 4;

/// A line as a caller names it: the model may be left to the organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The entity.
    pub entity: EntityRef,
    /// Which of its texts.
    pub source_field: SourceField,
    /// The model; the organization's active one where `None`.
    pub model: Option<ModelId>,
}

/// What to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The entity.
    pub entity: EntityRef,
    /// Only this source field.
    pub source_field: Option<SourceField>,
    /// Only this model.
    pub model: Option<ModelId>,
    /// Only this version, of the named source field.
    pub version: Option<i32>,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// How many versions.
    pub versions: usize,
    /// The revision of the deletion, or the present one where nothing was deleted.
    pub revision: Revision,
}

/// One page of a line's versions, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The versions.
    pub versions: Vec<VersionInfo>,
    /// Where the next page begins: below this version.
    pub next_before: Option<i32>,
}

/// Reads, lists, activates and deletes versions. Cheap to clone.
#[derive(Clone)]
pub struct VersionKeeper {
    database: Database,
    catalog: ModelCatalog,
    index: IndexReader,
    mirror_patience: Duration,
}

impl VersionKeeper {
    /// A keeper whose changes wait at most `mirror_patience` for this replica's mirror.
    pub fn new(database: Database, catalog: ModelCatalog, index: IndexReader, mirror_patience: Duration) -> Self {
        Self { database, catalog, index, mirror_patience }
    }

    async fn key(&self, caller: &Caller, line: Line) -> Result<EmbeddingKey, VersionError> {
        let model = self.catalog.readable(caller.organization, line.model.as_ref()).await?;
        Ok(EmbeddingKey { entity: line.entity, source_field: line.source_field, model: model.id.clone() })
    }

    /// A version with everything it holds: the current one where none is named.
    pub async fn get(&self, caller: &Caller, line: Line, version: Option<i32>) -> Result<Version, VersionError> {
        caller.require(Role::Viewer)?;
        let key = self.key(caller, line).await?;
        let mut transaction = self.database.tenant("version_get", caller.organization).await?;
        let before = version.map_or(i32::MAX, |version| version.saturating_add(1));
        let newest = transaction.list_versions(&key, before, 1).await?.into_iter().next();
        let info = match (newest, version) {
            (Some(info), Some(version)) if info.version == version => info,
            (Some(info), None) if !info.deleted => info,
            (_, version) => return Err(not_found(key, version)),
        };
        let held = transaction.chunks_of(&key, info.version).await?;
        transaction.commit().await?;
        let (attributes, chunks) = held.unwrap_or_default();
        Ok(Version { info, attributes, chunks })
    }

    /// Versions of a line below `before`, newest first.
    pub async fn list(&self, caller: &Caller, line: Line, before: i32, limit: usize) -> Result<Page, VersionError> {
        caller.require(Role::Viewer)?;
        let key = self.key(caller, line).await?;
        let mut transaction = self.database.tenant("version_list", caller.organization).await?;
        let mut versions = transaction.list_versions(&key, before, limit as i64 + 1).await?;
        transaction.commit().await?;
        let more = versions.len() > limit;
        versions.truncate(limit);
        if versions.is_empty() && before == i32::MAX {
            return Err(not_found(key, None));
        }
        let next_before = if more { versions.last().map(|last| last.version) } else { None };
        Ok(Page { versions, next_before })
    }

    /// Makes the vectors of `version` current again, as a new version; gives its number and revision.
    pub async fn activate(
        &self,
        caller: &Caller,
        line: Line,
        version: i32,
        expected: Option<i32>,
    ) -> Result<(i32, Revision), VersionError> {
        caller.require(Role::Editor)?;
        let key = self.key(caller, line).await?;
        let mut attempt = 1;
        loop {
            match self.try_activate(caller, &key, version, expected).await {
                Err(VersionError::Store(crate::store::StoreError::Conflict(_))) if attempt < ATTEMPTS => attempt += 1,
                other => break other,
            }
        }
    }

    async fn try_activate(
        &self,
        caller: &Caller,
        key: &EmbeddingKey,
        version: i32,
        expected: Option<i32>,
    ) -> Result<(i32, Revision), VersionError> {
        let mut transaction = self.database.tenant("version_activate", caller.organization).await?;
        let revision = transaction.next_revision().await?;
        let head = transaction.list_versions(key, i32::MAX, 1).await?.into_iter().next();
        let source = transaction.list_versions(key, version.saturating_add(1), 1).await?.into_iter().next();
        let (head, source) = match (head, source) {
            (Some(head), Some(source)) if source.version == version => (head, source),
            _ => return Err(not_found(key.clone(), Some(version))),
        };
        if let Some(expected) = expected.filter(|expected| *expected != head.version) {
            return Err(VersionError::Conflict { key: key.clone(), current: head.version, expected });
        }
        if source.deleted {
            return Err(VersionError::Gone { key: key.clone(), version });
        }
        if head.version == version {
            transaction.rollback().await?;
            return Ok((head.version, head.revision));
        }
        let (attributes, chunks) = transaction.chunks_of(key, version).await?.unwrap_or_default();
        let chunks = chunks.into_iter().map(|chunk| Chunk { id: EmbeddingId(Uuid::now_v7()), ..chunk }).collect();
        let write = VersionWrite {
            key: key.clone(),
            version: head.version + 1,
            closes: true,
            activated_from: Some(version),
            content_hash: source.content_hash,
            attributes_hash: source.attributes_hash,
            idempotency_key: None,
            attributes,
            chunks,
            deleted: false,
        };
        self.write(transaction, vec![write], revision).await?;
        Ok((head.version + 1, revision))
    }

    /// Deletes what is current of an entity, or one version.
    pub async fn delete(&self, caller: &Caller, target: Target) -> Result<Deleted, VersionError> {
        caller.require(Role::Editor)?;
        if target.version.is_some() && target.source_field.is_none() {
            return Err(
                Invalid::new("source_field", "is empty; a version belongs to one source field, so name it").into()
            );
        }
        let mut attempt = 1;
        loop {
            let done = match target.version {
                Some(version) => self.try_delete_version(caller, &target, version).await,
                None => self.try_delete(caller, &target).await,
            };
            match done {
                Err(VersionError::Store(crate::store::StoreError::Conflict(_))) if attempt < ATTEMPTS => attempt += 1,
                other => break other,
            }
        }
    }

    async fn try_delete(&self, caller: &Caller, target: &Target) -> Result<Deleted, VersionError> {
        let mut transaction = self.database.tenant("version_delete", caller.organization).await?;
        let revision = transaction.next_revision().await?;
        let lines = transaction.live_lines(&target.entity, target.source_field.as_ref(), target.model.as_ref()).await?;
        if lines.is_empty() {
            return self.nothing_deleted(transaction).await;
        }
        let heads = transaction.heads(&lines).await?;
        let tombstones: Vec<VersionWrite> =
            heads.into_iter().map(|(key, head)| VersionWrite::tombstone(key, head.version + 1)).collect();
        let versions = tombstones.len();
        self.write(transaction, tombstones, revision).await?;
        Ok(Deleted { versions, revision })
    }

    async fn try_delete_version(
        &self,
        caller: &Caller,
        target: &Target,
        version: i32,
    ) -> Result<Deleted, VersionError> {
        let line = Line {
            entity: target.entity.clone(),
            source_field: target.source_field.clone().unwrap_or_default(),
            model: target.model.clone(),
        };
        let key = self.key(caller, line).await?;
        let mut transaction = self.database.tenant("version_delete", caller.organization).await?;
        let revision = transaction.next_revision().await?;
        let head = transaction.heads(std::slice::from_ref(&key)).await?.remove(&key);
        match head {
            Some(head) if head.version == version && !head.deleted => {
                let tombstone = VersionWrite::tombstone(key, version + 1);
                self.write(transaction, vec![tombstone], revision).await?;
                Ok(Deleted { versions: 1, revision })
            }
            // An older version is in no search, so its removal needs no revision that mirrors must follow.
            _ if transaction.purge_version(&key, version).await? => {
                transaction.commit().await?;
                Ok(Deleted { versions: 1, revision })
            }
            _ => self.nothing_deleted(transaction).await,
        }
    }

    async fn nothing_deleted(&self, mut transaction: TenantTransaction) -> Result<Deleted, VersionError> {
        // The transaction has taken a number and will give it back.
        let (taken, _) = transaction.revision().await?;
        transaction.rollback().await?;
        Ok(Deleted { versions: 0, revision: Revision(taken.0 - 1) })
    }

    async fn write(
        &self,
        mut transaction: TenantTransaction,
        writes: Vec<VersionWrite>,
        revision: Revision,
    ) -> Result<(), VersionError> {
        write_versions(&mut transaction, &writes, revision, Arrival::Unsettled).await?;
        let commit = commit_versions(transaction, writes, revision).await?;
        announce(&self.index, commit, self.mirror_patience).await;
        Ok(())
    }
}

fn not_found(key: EmbeddingKey, version: Option<i32>) -> VersionError {
    let what = version.map_or_else(|| "current version".to_owned(), |version| format!("version {version}"));
    VersionError::NotFound { key, what }
}
