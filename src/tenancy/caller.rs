//! Callers and their roles.

use std::fmt;
use std::str::FromStr;

use crate::domain::{Classify, Invalid, KeyId, Kind, OrganizationId, UserId};

/// What a member may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also records responses and feedback.
    Member,
    /// Also writes, activates and deletes embeddings.
    Editor,
    /// Also manages models, prompts and keys.
    Admin,
    /// Everything.
    Owner,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Member, Self::Editor, Self::Admin, Self::Owner];

    /// The role's name in tables and settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            Invalid::new("role", format!("{text:?} is no role; give viewer, member, editor, admin or owner"))
        })
    }
}

/// By what a caller proved who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An API key, which may belong to a person.
    Key {
        /// The key's public id.
        id: KeyId,
        /// The person, if any.
        user: Option<UserId>,
    },
    /// Somebody at the service's own command line.
    Operator,
}

/// A caller that proved who it is: one organization, one role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The tenant; it comes from the credential, never from a request's body.
    pub organization: OrganizationId,
    /// What it may do there.
    pub role: Role,
    /// Who it is.
    pub subject: Subject,
}

/// The caller's role is too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the role {needed} and the credential has {has}; use a key of that role")]
pub struct Denied {
    /// The least role that may.
    pub needed: Role,
    /// The caller's.
    pub has: Role,
}

impl Classify for Denied {
    fn kind(&self) -> Kind {
        Kind::Denied
    }
}

impl Caller {
    /// Somebody at the service's own command line.
    pub fn operator(organization: OrganizationId) -> Self {
        Self { organization, role: Role::Owner, subject: Subject::Operator }
    }

    /// Refuses a caller whose role is below `needed`.
    pub fn require(&self, needed: Role) -> Result<(), Denied> {
        if self.role >= needed { Ok(()) } else { Err(Denied { needed, has: self.role }) }
    }

    /// The person behind the caller, where there is one.
    pub fn user(&self) -> Option<UserId> {
        match &self.subject {
            Subject::Key { user, .. } => *user,
            Subject::Operator => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_the_ones_below() {
        for (at, has) in Role::ALL.into_iter().enumerate() {
            assert_eq!(has.as_str().parse::<Role>(), Ok(has));
            let caller = Caller { role: has, ..Caller::operator(OrganizationId(uuid::Uuid::nil())) };
            for (other, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(caller.require(needed).is_ok(), at >= other);
            }
        }
        assert!("root".parse::<Role>().is_err());
    }
}
