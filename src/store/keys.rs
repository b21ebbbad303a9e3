//! `api_keys`: digests of secrets, never the secrets.

use chrono::{DateTime, Utc};

use super::{Database, StoreError, TenantTransaction};
use crate::domain::{KeyId, OrganizationId, UserId};
use crate::tenancy::Role;

/// One API key.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Its public id.
    pub id: KeyId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Told by who made it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The person it belongs to, if any.
    pub user: Option<UserId>,
    /// BLAKE3 of the secret.
    pub digest: [u8; 32],
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is worth nothing.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl TenantTransaction {
    /// The key of an id, also where it is revoked or expired.
    pub async fn api_key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let organization = self.organization();
        let row = sqlx::query!(
            "SELECT name, role, user_id, digest, expires_at, revoked_at FROM api_keys
             WHERE organization_id = $1 AND id = $2",
            organization.0,
            id.0
        )
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let bad =
            |column, reason: String| StoreError::BadRow { table: "api_keys", column, row: id.to_string(), reason };
        Ok(Some(ApiKey {
            id,
            organization,
            name: row.name,
            role: row.role.parse().map_err(|error| bad("role", format!("{error}")))?,
            user: row.user_id.map(UserId),
            digest: row.digest.try_into().map_err(|_| bad("digest", "it has not 32 bytes".to_owned()))?,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        }))
    }
}

impl Database {
    /// Keeps a new key. Needs the owner's rights.
    pub async fn insert_api_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO api_keys (organization_id, id, name, role, user_id, digest, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            key.organization.0,
            key.id.0,
            key.name,
            key.role.as_str(),
            key.user.map(|user| user.0),
            key.digest.as_slice(),
            key.expires_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Makes a key worth nothing; tells whether there was such a key. Needs the owner's rights.
    pub async fn revoke_api_key(
        &self,
        organization: OrganizationId,
        id: KeyId,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE organization_id = $1 AND id = $2",
            organization.0,
            id.0,
            at
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The ids and names of an organization's keys that are not revoked. Needs the owner's rights.
    pub async fn api_keys(&self, organization: OrganizationId) -> Result<Vec<(KeyId, String, String)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT id, name, role FROM api_keys WHERE organization_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT 1000",
            organization.0
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (KeyId(row.id), row.name, row.role)).collect::<Vec<(KeyId, String, String)>>())
    }
}
