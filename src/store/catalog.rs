//! Which models an organization has, kept for a few seconds: asked by every request.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::{Database, ModelStatus, StoreError};
use crate::domain::{Classify, Invalid, Kind, Model, ModelId, OrganizationId, Violation};

/// An organization's models, each with what it is to the organization.
type Known = Arc<Vec<(Arc<Model>, ModelStatus)>>;

/// The models of organizations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ModelCatalog {
    database: Database,
    kept: Cache<OrganizationId, Known>,
    /// Every model, whosever it is.
    models: Cache<(), Arc<Vec<Arc<Model>>>>,
}

/// A model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The organization has no such model.
    #[error(transparent)]
    Unknown(#[from] Invalid),
    /// The organization has no active model.
    #[error("the organization has no active model; name one in model_id, or let an operator make one active")]
    NoneActive,
    /// The model may not be written to any more.
    #[error("model {0} is retired; nothing new is embedded with it")]
    Retired(ModelId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

impl Classify for CatalogError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown(error) => error.kind(),
            Self::NoneActive | Self::Retired(_) => Kind::FailedPrecondition,
            Self::Store(error) => error.kind(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Unknown(error) => error.violations(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl ModelCatalog {
    /// A catalog that keeps what it read for `kept_for`.
    pub fn new(database: Database, kept_for: Duration) -> Self {
        let kept = Cache::builder().max_capacity(100_000).time_to_live(kept_for).build();
        let models = Cache::builder().max_capacity(1).time_to_live(kept_for).build();
        Self { database, kept, models }
    }

    /// Keeps what somebody read of an organization anyway, for those who are about to ask.
    pub async fn keep(
        &self,
        organization: OrganizationId,
        statuses: Vec<(ModelId, ModelStatus)>,
    ) -> Result<(), Arc<StoreError>> {
        let known = self.known(statuses).await?;
        self.kept.insert(organization, known).await;
        Ok(())
    }

    /// The model to read with: the named one, or the active one.
    pub async fn readable(
        &self,
        organization: OrganizationId,
        wanted: Option<&ModelId>,
    ) -> Result<Arc<Model>, CatalogError> {
        self.find(organization, wanted).await.map(|(model, _)| model)
    }

    /// The model to write with: the named one, or the active one; never a retired one.
    pub async fn writable(
        &self,
        organization: OrganizationId,
        wanted: Option<&ModelId>,
    ) -> Result<Arc<Model>, CatalogError> {
        match self.find(organization, wanted).await? {
            (model, ModelStatus::Retired) => Err(CatalogError::Retired(model.id.clone())),
            (model, _) => Ok(model),
        }
    }

    async fn find(
        &self,
        organization: OrganizationId,
        wanted: Option<&ModelId>,
    ) -> Result<(Arc<Model>, ModelStatus), CatalogError> {
        let models = match self.kept.get(&organization).await {
            Some(kept) => kept,
            None => {
                let read = self.kept.try_get_with(organization, self.read(organization));
                read.await.map_err(Arc::unwrap_or_clone)?
            }
        };
        let found = match wanted {
            Some(id) => models.iter().find(|(model, _)| model.id == *id),
            None => models.iter().find(|(_, status)| *status == ModelStatus::Active),
        };
        match (found, wanted) {
            (Some(found), _) => Ok(found.clone()),
            (None, None) => Err(CatalogError::NoneActive),
            (None, Some(id)) => {
                let known: Vec<&str> = models.iter().map(|(model, _)| model.id.as_str()).collect();
                Err(Invalid::new(
                    "model_id",
                    format!("{id} is not a model of this organization; it has {}", known.join(", ")),
                )
                .into())
            }
        }
    }

    async fn read(&self, organization: OrganizationId) -> Result<Known, Arc<StoreError>> {
        let mut transaction = self.database.tenant("organization_models", organization).await?;
        let statuses = transaction.organization_models().await?;
        transaction.commit().await?;
        self.known(statuses).await
    }

    async fn known(&self, statuses: Vec<(ModelId, ModelStatus)>) -> Result<Known, Arc<StoreError>> {
        let mut models = self.models().await?;
        let is_known = |id: &ModelId, models: &[Arc<Model>]| models.iter().any(|model| model.id == *id);
        if !statuses.iter().all(|(id, _)| is_known(id, &models)) {
            // It was registered since.
            self.models.invalidate(&()).await;
            models = self.models().await?;
        }
        let known = statuses.into_iter().filter_map(|(id, status)| {
            let model = models.iter().find(|model| model.id == id)?;
            Some((Arc::clone(model), status))
        });
        Ok(Arc::new(known.collect()))
    }

    async fn models(&self) -> Result<Arc<Vec<Arc<Model>>>, Arc<StoreError>> {
        let read = async { Ok(Arc::new(self.database.models().await?.into_iter().map(Arc::new).collect())) };
        self.models.try_get_with((), read).await
    }
}
