//! What only the operator can know of a legacy database.

use std::str::FromStr;

use uuid::Uuid;

use super::MigrateError;
use crate::domain::ModelId;

/// What only the operator can know of a legacy database.
#[derive(Debug, Clone)]
pub struct OwnerOptions {
    /// The model under which legacy vectors are adopted: none of them says which model made it.
    pub legacy_model: ModelId,
    /// Components of a legacy vector, where the model is not registered yet; 1 to 4,000.
    pub legacy_dimensions: i32,
    /// The slug of the organization that takes rows without a user; without it they are quarantined.
    pub default_organization: Option<String>,
    /// Users who share organizations; everybody else gets one of their own.
    pub users: Vec<UserPlace>,
    /// Rows a batch of the backfill, which is how long its row locks are held; 1 to 10,000.
    pub batch_rows: i32,
}

/// Where a legacy user belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPlace {
    /// The user.
    pub user: Uuid,
    /// The slug of the organization; it is made where it is missing.
    pub organization: String,
    /// `owner`, `admin`, `editor`, `member` or `viewer`; without it the first user is the owner and the others are members.
    pub role: Option<String>,
}

impl OwnerOptions {
    /// The usual ones: `legacy-1536`, 1,536 components, an organization for each user, batches of 500 rows.
    pub fn new() -> Result<Self, MigrateError> {
        let legacy_model =
            ModelId::from_str("legacy-1536").map_err(|error| MigrateError::Options(error.to_string()))?;
        Ok(Self {
            legacy_model,
            legacy_dimensions: 1_536,
            default_organization: None,
            users: Vec::new(),
            batch_rows: 500,
        })
    }
}

/// Reads a mapping: a line `user id,organization slug[,role]` for each user; empty lines and `#` comments are passed over.
///
/// # Errors
/// Names the line that is no such line.
pub fn read_user_places(text: &str) -> Result<Vec<UserPlace>, MigrateError> {
    let mut places: Vec<UserPlace> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason: &str| {
            MigrateError::Options(format!(
                "line {} of the mapping, {line:?}: {reason}; a line is USER_ID,ORGANIZATION_SLUG[,ROLE]",
                number + 1
            ))
        };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (user, organization, role) = match fields[..] {
            [user, organization] => (user, organization, None),
            [user, organization, role] => (user, organization, Some(role)),
            _ => return Err(wrong("it has not two or three fields")),
        };
        let user = Uuid::parse_str(user).map_err(|_| wrong("its first field is no UUID"))?;
        let slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if organization.is_empty() || organization.len() > 63 || !organization.bytes().all(slug) {
            return Err(wrong("its second field is no slug (a-z 0-9 -, at most 63)"));
        }
        if role.is_some_and(|role| !["owner", "admin", "editor", "member", "viewer"].contains(&role)) {
            return Err(wrong("its role is not one of owner, admin, editor, member, viewer"));
        }
        if places.iter().any(|place| place.user == user) {
            return Err(wrong("its user was placed before"));
        }
        places.push(UserPlace { user, organization: organization.to_owned(), role: role.map(str::to_owned) });
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_names_users_and_organizations() {
        let user = Uuid::from_u128(7);
        let read = read_user_places(&format!("# who goes where\n\n{user}, acme-coffee ,admin\n")).unwrap();
        let place = UserPlace { user, organization: "acme-coffee".to_owned(), role: Some("admin".to_owned()) };
        assert_eq!(read, [place]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let user = Uuid::from_u128(7);
        let cases = [
            ("x,acme".to_owned(), "no UUID"),
            (format!("{user}"), "two or three fields"),
            (format!("{user},Acme"), "no slug"),
            (format!("{user},acme,king"), "role"),
            (format!("{user},acme\n{user},other"), "placed before"),
        ];
        for (text, reason) in cases {
            let error = read_user_places(&text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("line "), "{error}");
        }
    }
}
