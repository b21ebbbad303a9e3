//! `organization_revisions`: the counter that orders an organization's history.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Database, StoreError, TenantTransaction};
use crate::domain::{OrganizationId, Revision};

impl TenantTransaction {
    /// Takes the organization's next revision. The row stays locked until the transaction ends, so revisions are
    /// gap-free and in commit order: the first statement of every write.
    pub async fn next_revision(&mut self) -> Result<Revision, StoreError> {
        let organization = self.organization().0;
        sqlx::query_scalar!(
            "UPDATE organization_revisions SET revision = revision + 1 WHERE organization_id = $1 RETURNING revision",
            organization
        )
        .fetch_optional(self.connection())
        .await?
        .map(Revision)
        .ok_or(StoreError::NoOrganization)
    }

    /// The organization's present revision, and the oldest one whose successors are all in the change log.
    pub async fn revision(&mut self) -> Result<(Revision, Revision), StoreError> {
        let organization = self.organization().0;
        let row = sqlx::query!(
            "SELECT revision, oldest_kept FROM organization_revisions WHERE organization_id = $1",
            organization
        )
        .fetch_optional(self.connection())
        .await?
        .ok_or(StoreError::NoOrganization)?;
        Ok((Revision(row.revision), Revision(row.oldest_kept)))
    }
}

impl Database {
    /// Tells this database from every other, and from itself after it was restored to an earlier time.
    pub async fn identity(&self) -> Result<String, StoreError> {
        let row = sqlx::query!(
            r#"SELECT s.system_identifier AS "system!", c.timeline_id AS "timeline!", d.oid AS "database!"
               FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()"#
        )
        .fetch_one(self.pool())
        .await?;
        Ok(format!("{}/{}/{}", row.system, row.timeline, row.database.0))
    }

    /// The present revisions of many organizations: the one read across tenants.
    pub async fn revisions(
        &self,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, Revision>, StoreError> {
        let ids: Vec<Uuid> = organizations.iter().map(|organization| organization.0).collect();
        let rows = sqlx::query!(
            "SELECT organization_id, revision FROM organization_revisions WHERE organization_id = ANY($1)",
            &ids
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (OrganizationId(row.organization_id), Revision(row.revision))).collect())
    }
}
