//! The passwords of the embedded Postgres.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

use super::private_file;

/// The role that may do everything; nothing is served under it.
pub const SUPERUSER: &str = "postgres";
/// Every role that has a password from the first start on.
pub const ROLES: [&str; 4] = [SUPERUSER, "kindred_owner", "kindred_app", "kindred_reader"];

/// A password of 256 random bits for each of [`ROLES`], made at the first start.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credentials {
    passwords: BTreeMap<String, String>,
}

/// Never shows a password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.passwords.keys()).finish()
    }
}

impl Credentials {
    /// New passwords.
    pub(super) fn generate() -> Self {
        let mut credentials = Self { passwords: BTreeMap::new() };
        credentials.complete();
        credentials
    }

    /// The role's password: 64 hexadecimal digits, so it needs no quoting anywhere.
    pub fn password(&self, role: &str) -> Option<&str> {
        self.passwords.get(role).map(String::as_str)
    }

    /// A URL for the server on this machine. A role that has no password here gets none, and the server will refuse it.
    pub(super) fn url(&self, port: u16, role: &str, database: &str) -> String {
        let password = self.password(role).map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{role}{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Reads the file; `None` where there is none. Roles that came later than the file get their passwords.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut credentials: Self = serde_json::from_slice(&text)?;
        if credentials.password(SUPERUSER).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no password of the superuser"));
        }
        if credentials.complete() {
            credentials.save(path)?;
        }
        Ok(Some(credentials))
    }

    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        private_file::write(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Makes the passwords that are missing; whether there were any.
    fn complete(&mut self) -> bool {
        let before = self.passwords.len();
        for role in ROLES {
            self.passwords.entry(role.to_owned()).or_insert_with(|| {
                let bytes: [u8; 32] = rand::random();
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            });
        }
        self.passwords.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_survive_the_file_and_new_roles_are_added() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials.json");
        assert!(Credentials::load(&path).expect("absent").is_none());
        fs::write(&path, r#"{"postgres": "old"}"#).expect("written");
        let first = Credentials::load(&path).expect("readable").expect("there");
        let again = Credentials::load(&path).expect("readable").expect("there");
        assert_eq!(first.password(SUPERUSER), Some("old"));
        for role in ROLES {
            assert_eq!(first.password(role), again.password(role));
        }
        assert_ne!(first.password("kindred_app"), first.password("kindred_owner"));
        assert_eq!(first.password("kindred_app").map(str::len), Some(64));
        assert!(!format!("{first:?}").contains("old"));
    }

    #[test]
    fn urls_carry_the_password_of_known_roles_only() {
        let credentials = Credentials { passwords: [("a".to_owned(), "p".to_owned())].into() };
        assert_eq!(credentials.url(5, "a", "d"), "postgres://a:p@127.0.0.1:5/d?sslmode=disable");
        assert_eq!(credentials.url(5, "b", "d"), "postgres://b@127.0.0.1:5/d?sslmode=disable");
    }
}
