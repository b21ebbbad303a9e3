//! What a store holds, and whether it holds what it should.

use std::collections::BTreeMap;

use super::{ArchiveError, Archiver, Manifest, PartName};
use crate::store::KnownPart;

/// A part in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Its name.
    pub part: PartName,
    /// What its manifest says.
    pub manifest: Manifest,
}

/// What was found when everything in a store was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Parts that hold what they should.
    pub sound: usize,
    /// Their rows.
    pub rows: u64,
    /// What is wrong, each with its path.
    pub faults: Vec<String>,
    /// Files that belong to no part: left behind, or of somebody else.
    pub strays: Vec<String>,
}

impl Archiver {
    /// Every part of the store, by table and month.
    pub async fn stored(&self) -> Result<Vec<StoredPart>, ArchiveError> {
        let (parts, _) = self.store.list("").await?;
        let mut stored = Vec::with_capacity(parts.len());
        for part in parts {
            let manifest = self.store.manifest(&part).await?;
            stored.push(StoredPart { part, manifest });
        }
        Ok(stored)
    }

    /// Reads every file of the store, compares it with its manifest, and the manifest with what this database knows of it.
    pub async fn verify(&self) -> Result<Verification, ArchiveError> {
        let known = self.owner.known_parts(self.store.url()).await?;
        let mut known: BTreeMap<String, KnownPart> = known.into_iter().map(|part| (part.name.clone(), part)).collect();
        let (parts, others) = self.store.list("").await?;
        let mut found = Verification::default();
        for part in &parts {
            match self.verify_part(part, known.remove(&part.to_string())).await {
                Ok(rows) => {
                    found.sound += 1;
                    found.rows += rows;
                }
                Err(fault @ (ArchiveError::Damaged { .. } | ArchiveError::Objects { .. })) => {
                    found.faults.push(fault.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        for missing in known.into_values().filter(|part| !part.restored) {
            found.faults.push(format!("{} is missing: it held {} rows", missing.name, missing.facts.rows));
        }
        let file_of = |name: &str| name.strip_suffix(".parquet").and_then(|stem| stem.parse::<PartName>().ok());
        for object in others {
            let name = self.store.name(&object.location);
            if file_of(&name).is_none_or(|part| parts.binary_search(&part).is_err()) {
                found.strays.push(name);
            }
        }
        Ok(found)
    }

    /// Its rows.
    async fn verify_part(&self, part: &PartName, known: Option<KnownPart>) -> Result<u64, ArchiveError> {
        let manifest = self.store.manifest(part).await?;
        let facts = manifest.facts();
        if known.is_some_and(|known| known.facts != facts) {
            let reason = "it is not the one that this database has archived".to_owned();
            return Err(ArchiveError::Damaged { path: part.manifest(), reason });
        }
        self.read_back(part, &manifest.columns, &facts).await?;
        Ok(facts.rows)
    }
}
