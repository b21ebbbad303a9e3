//! Lets callers in by their credential.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use moka::future::Cache;

use super::AccessError;
use super::key::PresentedKey;
use crate::store::{Database, ModelCatalog, StoreError};
use crate::tenancy::{Caller, Subject};

/// Checks credentials; verdicts are kept for a few seconds, which is how long a revoked key may still work. Cheap to
/// clone.
#[derive(Clone)]
pub struct Gate {
    database: Database,
    catalog: ModelCatalog,
    /// By the digest of the whole credential: no secret is kept. Refusals are kept too, so that guessing costs the
    /// database nothing.
    verdicts: Cache<[u8; 32], Result<Caller, AccessError>>,
}

impl Gate {
    /// A gate whose verdicts hold for `verdicts_hold`. It tells the catalog of the models of whom it lets in.
    pub fn new(database: Database, catalog: ModelCatalog, verdicts_hold: Duration) -> Self {
        let verdicts = Cache::builder().max_capacity(100_000).time_to_live(verdicts_hold).build();
        Self { database, catalog, verdicts }
    }

    /// The caller behind the value of an `authorization` header.
    ///
    /// # Errors
    /// [`AccessError::Store`] where the database could not be asked: that is no verdict, and is not kept.
    pub async fn admit(&self, authorization: Option<&str>) -> Result<Caller, AccessError> {
        let credential = authorization.ok_or(AccessError::Missing)?;
        let key = credential
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("bearer "))
            .map(|_| credential[7..].trim())
            .ok_or(AccessError::Malformed)?;
        let presented = PresentedKey::parse(key)?;
        let digest = *blake3::hash(key.as_bytes()).as_bytes();
        if let Some(verdict) = self.verdicts.get(&digest).await {
            return verdict;
        }
        self.verdicts
            .try_get_with(digest, self.judge(presented))
            .await
            .map_err(|error: Arc<Arc<StoreError>>| AccessError::Store(Arc::unwrap_or_clone(error)))?
    }

    async fn judge(&self, presented: PresentedKey) -> Result<Result<Caller, AccessError>, Arc<StoreError>> {
        let mut transaction = self.database.tenant("api_key", presented.organization).await?;
        let key = transaction.api_key(presented.id).await?.filter(|key| presented.matches(key, Utc::now()));
        let Some(key) = key else { return Ok(Err(AccessError::Refused)) };
        // What it may ask for needs these, and a transaction is open.
        let models = transaction.organization_models().await?;
        transaction.commit().await?;
        self.catalog.keep(key.organization, models).await?;
        Ok(Ok(Caller {
            organization: key.organization,
            role: key.role,
            subject: Subject::Key { id: key.id, user: key.user },
        }))
    }
}
