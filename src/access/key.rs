//! API keys: `kindred_<organization>_<key id>_<secret>`, each in hexadecimal.
//!
//! A key carries its organization, so that it is found inside its tenant, under row level security. The secret has 256
//! random bits; the database keeps its BLAKE3 digest only, for which a slow hash would add nothing.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use rand::RngExt as _;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::AccessError;
use crate::domain::{KeyId, OrganizationId, UserId};
use crate::store::{ApiKey, Database, StoreError};
use crate::tenancy::Role;

const PREFIX: &str = "kindred";

/// What a key is made with.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its organization.
    pub organization: OrganizationId,
    /// Tells people what it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The person it belongs to, if any.
    pub user: Option<UserId>,
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key and keeps its digest; the text is returned this once. Needs the owner's rights.
pub async fn issue(database: &Database, new: NewKey) -> Result<(KeyId, String), StoreError> {
    let id = KeyId(Uuid::now_v7());
    let mut secret = [0_u8; 32];
    rand::rng().fill(&mut secret);
    let key = ApiKey {
        id,
        organization: new.organization,
        name: new.name,
        role: new.role,
        user: new.user,
        digest: digest(&secret),
        expires_at: new.expires_at,
        revoked_at: None,
    };
    database.insert_api_key(&key).await?;
    let mut text = format!("{PREFIX}_{}_{}_", new.organization.0.simple(), id.0.simple());
    for byte in secret {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok((id, text))
}

/// Makes a key worth nothing; tells whether there was such a key. Needs the owner's rights.
pub async fn revoke(
    database: &Database,
    organization: OrganizationId,
    id: KeyId,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    database.revoke_api_key(organization, id, at).await
}

/// Ids, names and roles of an organization's keys. Needs the owner's rights.
pub async fn list(
    database: &Database,
    organization: OrganizationId,
) -> Result<Vec<(KeyId, String, String)>, StoreError> {
    database.api_keys(organization).await
}

/// A key as a caller sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PresentedKey {
    pub(super) organization: OrganizationId,
    pub(super) id: KeyId,
    digest: [u8; 32],
}

impl PresentedKey {
    /// Takes a key's text apart.
    pub(super) fn parse(text: &str) -> Result<Self, AccessError> {
        let mut parts = text.split('_');
        let (Some(PREFIX), Some(organization), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AccessError::Malformed);
        };
        let uuid = |text: &str| {
            if text.len() == 32 {
                Uuid::try_parse(text).map_err(|_| AccessError::Malformed)
            } else {
                Err(AccessError::Malformed)
            }
        };
        Ok(Self {
            organization: OrganizationId(uuid(organization)?),
            id: KeyId(uuid(id)?),
            digest: digest(&bytes(secret).ok_or(AccessError::Malformed)?),
        })
    }

    /// Whether it is this key, and the key is worth something at `now`. Takes the same time for every secret.
    pub(super) fn matches(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
        let same: bool = self.digest.ct_eq(&key.digest).into();
        same && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| now < end)
    }
}

fn digest(secret: &[u8; 32]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &str) -> String {
        format!("kindred_{}_{}_{secret}", Uuid::from_u128(1).simple(), Uuid::from_u128(2).simple())
    }

    #[test]
    fn keys_are_taken_apart_strictly() {
        let good = PresentedKey::parse(&text(&"0a".repeat(32))).expect("a key");
        assert_eq!((good.organization.0, good.id.0), (Uuid::from_u128(1), Uuid::from_u128(2)));
        for bad in
            ["", "kindred", "kindred_1_2_3", "other_key", &text("0a"), &text(&"zz".repeat(32)), &text(&"ää".repeat(16))]
        {
            assert!(matches!(PresentedKey::parse(bad), Err(AccessError::Malformed)), "{bad}");
        }
    }

    #[test]
    fn only_the_right_secret_at_the_right_time_matches() {
        let now = DateTime::from_timestamp(1_000, 0).expect("in range");
        let presented = PresentedKey::parse(&text(&"0a".repeat(32))).expect("a key");
        let key = ApiKey {
            id: presented.id,
            organization: presented.organization,
            name: String::new(),
            role: Role::Viewer,
            user: None,
            digest: digest(&[10; 32]),
            expires_at: None,
            revoked_at: None,
        };
        assert!(presented.matches(&key, now));
        assert!(!presented.matches(&ApiKey { digest: digest(&[11; 32]), ..key.clone() }, now));
        assert!(!presented.matches(&ApiKey { revoked_at: Some(now), ..key.clone() }, now));
        assert!(!presented.matches(&ApiKey { expires_at: Some(now), ..key }, now));
    }
}
