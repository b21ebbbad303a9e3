//! `embedding_models` and `organization_models`.

use super::{Database, StoreError, TenantTransaction};
use crate::domain::{Model, ModelId};

/// What a model is to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelStatus {
    /// Used where no model is named.
    Active,
    /// Filled and compared, not used by default.
    Shadow,
    /// Kept for its history; nothing new is embedded with it.
    Retired,
}

impl ModelStatus {
    /// Its name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Retired => "retired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Shadow, Self::Retired].into_iter().find(|status| status.as_str() == text)
    }
}

pub(super) fn id_of(text: String) -> Result<ModelId, StoreError> {
    ModelId::try_from(text.clone()).map_err(|error| StoreError::BadRow {
        table: "embedding_models",
        column: "id",
        row: text,
        reason: error.reason,
    })
}

impl Database {
    /// Makes a model known. Where its id is known already, the kept identity is returned: a caller must compare, since
    /// one id never means two models.
    pub async fn register_model(&self, model: &Model) -> Result<Model, StoreError> {
        sqlx::query!(
            "INSERT INTO embedding_models
                 (id, provider, name, dimensions, normalized, document_prefix, query_prefix, max_input_tokens)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            model.id.as_str(),
            model.provider,
            model.name,
            model.dimensions as i32,
            model.normalized,
            model.document_prefix,
            model.query_prefix,
            model.max_input_tokens as i32
        )
        .execute(self.pool())
        .await?;
        self.models().await?.into_iter().find(|kept| kept.id == model.id).ok_or(StoreError::UnexpectedRows {
            statement: "register_model",
            touched: 0,
            meant: 1,
        })
    }

    /// Every model that is known.
    pub async fn models(&self) -> Result<Vec<Model>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, provider, name, dimensions, normalized, document_prefix, query_prefix, max_input_tokens
             FROM embedding_models ORDER BY id"
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Model {
                    id: id_of(row.id)?,
                    provider: row.provider,
                    name: row.name,
                    dimensions: row.dimensions as usize,
                    normalized: row.normalized,
                    document_prefix: row.document_prefix,
                    query_prefix: row.query_prefix,
                    max_input_tokens: row.max_input_tokens as usize,
                })
            })
            .collect()
    }
}

impl TenantTransaction {
    /// The organization's models.
    pub async fn organization_models(&mut self) -> Result<Vec<(ModelId, ModelStatus)>, StoreError> {
        let organization = self.organization().0;
        let rows = sqlx::query!(
            "SELECT model_version, status FROM organization_models WHERE organization_id = $1 ORDER BY model_version",
            organization
        )
        .fetch_all(self.connection())
        .await?;
        rows.into_iter()
            .map(|row| {
                let status = ModelStatus::parse(&row.status).ok_or_else(|| StoreError::BadRow {
                    table: "organization_models",
                    column: "status",
                    row: row.model_version.clone(),
                    reason: row.status.clone(),
                })?;
                Ok((id_of(row.model_version)?, status))
            })
            .collect()
    }
}
