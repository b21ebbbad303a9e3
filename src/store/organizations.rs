//! `organizations`, `organization_slugs`, `organization_members`.

use chrono::{DateTime, Utc};

use super::{Database, StoreError};
use crate::domain::{ModelId, OrganizationId};

/// What an organization is created with.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Shown to people.
    pub name: String,
    /// 1 to 63 of `a-z 0-9 -`, unique.
    pub slug: String,
    /// The model that is active from the start.
    pub model: ModelId,
}

/// One organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Shown to people.
    pub name: String,
    /// Unique.
    pub slug: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Database {
    /// Creates an organization with its revision counter and active model. Needs the owner's rights.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] where the slug is taken.
    pub async fn create_organization(&self, new: &NewOrganization) -> Result<(), StoreError> {
        let mut transaction = self.pool().begin().await?;
        let id = new.id.0;
        sqlx::query!("INSERT INTO organization_slugs (slug, organization_id) VALUES ($1, $2)", new.slug, id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!("INSERT INTO organizations (id, name, slug) VALUES ($1, $2, $3)", id, new.name, new.slug)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!("INSERT INTO organization_revisions (organization_id) VALUES ($1)", id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!(
            "INSERT INTO organization_models (organization_id, model_version, status) VALUES ($1, $2, 'active')",
            id,
            new.model.as_str()
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The organization of a slug. Needs the owner's rights.
    pub async fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, StoreError> {
        let row = sqlx::query!(
            "SELECT o.id, o.name, o.slug, o.created_at FROM organization_slugs s
             JOIN organizations o ON o.id = s.organization_id WHERE s.slug = $1",
            slug
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(|row| Organization {
            id: OrganizationId(row.id),
            name: row.name,
            slug: row.slug,
            created_at: row.created_at,
        }))
    }

    /// Every organization, by slug. Needs the owner's rights.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, name, slug, created_at FROM organizations
             WHERE id <> '00000000-0000-0000-0000-000000000001' ORDER BY slug LIMIT 10000"
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Organization {
                id: OrganizationId(row.id),
                name: row.name,
                slug: row.slug,
                created_at: row.created_at,
            })
            .collect())
    }
}
