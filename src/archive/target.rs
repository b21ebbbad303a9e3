//! Where months go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::domain::Invalid;

/// Where months go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `time_series_metrics_archive`, where aggregates still find them.
    Table,
    /// An object store, out of the database's reach.
    Store(StoreUrl),
}

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "table" { Ok(Self::Table) } else { text.parse().map(Self::Store) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("table"),
            Self::Store(url) => url.fmt(f),
        }
    }
}

/// An object store's address: `file:///directory` or `s3://bucket/prefix`. Credentials come from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    url: Url,
    place: Place,
}

/// What an address means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Directory(PathBuf),
    Bucket { name: String, prefix: String },
}

impl StoreUrl {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl FromStr for StoreUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &str| {
            Invalid::new("store", format!("{reason}; allowed are table, file:///directory and s3://bucket/prefix"))
        };
        let mut url: Url = text.parse().map_err(|_| wrong(&format!("{text:?} is no address")))?;
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it may hold a secret.
            return Err(wrong("it holds credentials, which belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(&format!("{text:?} has a query or a fragment")));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        let place = match (url.scheme(), url.host_str()) {
            ("file", None) if !path.is_empty() => {
                Place::Directory(url.to_file_path().map_err(|()| wrong(&format!("{text:?} is no directory")))?)
            }
            ("s3", Some(bucket)) => {
                Place::Bucket { name: bucket.to_owned(), prefix: path.trim_start_matches('/').to_owned() }
            }
            _ => return Err(wrong(&format!("{text:?} names no store"))),
        };
        url.set_path(&path);
        Ok(Self { url, place })
    }
}

impl fmt::Display for StoreUrl {
    /// Without a slash at its end, so that one store has one name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.as_str().trim_end_matches('/').fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (given, expected) in [
            ("table", "table"),
            ("file:///var/archive/", "file:///var/archive"),
            ("file:///with space", "file:///with%20space"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b//", "s3://bucket/a/b"),
        ] {
            assert_eq!(given.parse::<Target>().map(|target| target.to_string()), Ok(expected.to_owned()), "{given}");
        }
        for bad in [
            "",
            "tables",
            "/var/archive",
            "file://",
            "file:///",
            "file://host/x",
            "s3:bucket",
            "s3:///x",
            "gs://b/x",
            "s3://key:secret@bucket/x",
            "s3://bucket/x?versions",
            "https://bucket.s3.amazonaws.com/x",
        ] {
            let error = bad.parse::<Target>().expect_err(bad).to_string();
            assert!(error.contains("s3://bucket/prefix") && !error.contains("secret@"), "{error}");
        }
    }
}
