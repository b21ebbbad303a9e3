//! Organizations, as operators see them.

use uuid::Uuid;

use super::AdminError;
use crate::domain::{Invalid, ModelId, OrganizationId};
use crate::store::{Database, NewOrganization, Organization, StoreError};

/// Creates and finds organizations. Needs the owner's rights. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Administrator {
    owner: Database,
}

impl Administrator {
    /// An administrator of the owner's database.
    pub fn new(owner: Database) -> Self {
        Self { owner }
    }

    /// Creates an organization whose active model is `model`.
    ///
    /// # Errors
    /// Where the slug is no slug, or taken.
    pub async fn create_organization(
        &self,
        name: &str,
        slug: &str,
        model: &ModelId,
    ) -> Result<OrganizationId, AdminError> {
        check_name(name)?;
        check_slug(slug)?;
        let id = OrganizationId(Uuid::now_v7());
        let new = NewOrganization { id, name: name.to_owned(), slug: slug.to_owned(), model: model.clone() };
        match self.owner.create_organization(&new).await {
            Ok(()) => Ok(id),
            Err(StoreError::AlreadyExists(_)) => Err(AdminError::SlugTaken(slug.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// The organization of a slug.
    pub async fn organization(&self, slug: &str) -> Result<Organization, AdminError> {
        let found = self.owner.organization_by_slug(slug).await?;
        found.ok_or_else(|| AdminError::NoOrganization(slug.to_owned()))
    }

    /// Every organization, by slug.
    pub async fn organizations(&self) -> Result<Vec<Organization>, AdminError> {
        Ok(self.owner.organizations().await?)
    }
}

fn check_name(name: &str) -> Result<(), Invalid> {
    if !name.trim().is_empty() && name.len() <= 200 {
        return Ok(());
    }
    Err(Invalid::new("name", format!("has {} bytes; 1 to 200 are allowed", name.len())))
}

fn check_slug(slug: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let well_formed = (1..=63).contains(&slug.len())
        && slug.bytes().all(allowed)
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.contains("--");
    if well_formed {
        return Ok(());
    }
    let reason =
        format!("{slug:?} is no slug; use 1 to 63 of a-z 0-9 and single hyphens between them, such as acme-coffee");
    Err(Invalid::new("slug", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        for good in ["a", "acme-coffee", "x9", &"a".repeat(63)] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "ä", "a b", &"a".repeat(64)] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
    }
}
