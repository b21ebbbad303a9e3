//! An object store: a local directory or an S3-compatible one.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use sha2::{Digest, Sha256};

use super::steps::{hex, refused, within};
use super::target::{Place, StoreUrl};
use super::upload::Upload;
use super::{ArchiveError, Manifest, PartName};

/// The longest that a single request is, and the retries of one step.
const REQUEST: Duration = Duration::from_secs(60);
const RETRIES: usize = 5;
const RETRY_FOR: Duration = Duration::from_secs(120);
/// The longest manifest that is read, in bytes.
const MANIFEST_BYTES: u64 = 1024 * 1024;

/// Where parts lie. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArchiveStore {
    url: String,
    prefix: Path,
    objects: Arc<dyn ObjectStore>,
}

/// A file that was fetched.
pub(super) struct Fetched {
    /// Without a name, at its beginning.
    pub(super) file: File,
    /// Its length.
    pub(super) bytes: u64,
    /// Its SHA-256.
    pub(super) sha256: String,
}

impl ArchiveStore {
    /// The store of an address. S3's credentials, region and endpoint come from the variables `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT` and their like.
    ///
    /// # Errors
    /// Where a directory is not there: it is not created, so that an unmounted disk is noticed.
    pub fn open(address: &StoreUrl) -> Result<Self, ArchiveError> {
        let url = address.to_string();
        let (objects, prefix): (Arc<dyn ObjectStore>, &str) = match address.place() {
            Place::Directory(directory) => {
                let opened = match std::fs::metadata(directory) {
                    Ok(found) if !found.is_dir() => Err("it is no directory".to_owned()),
                    Ok(_) => LocalFileSystem::new_with_prefix(directory).map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                let directory = |cause| ArchiveError::Directory { path: directory.display().to_string(), cause };
                // A partition is dropped after its file is on the disk, not in the page cache.
                (Arc::new(opened.map_err(directory)?.with_fsync(true)), "")
            }
            Place::Bucket { name, prefix } => {
                let opened = bucket(name).map_err(|cause| refused("open", &url, cause))?;
                (Arc::new(opened), prefix.as_str())
            }
        };
        Ok(Self { prefix: Path::from(prefix), url, objects })
    }

    /// A store of the caller's, known by this address.
    pub fn of(url: &str, objects: Arc<dyn ObjectStore>) -> Self {
        Self { url: url.to_owned(), prefix: Path::default(), objects }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The parts that have a manifest, and the other objects, below a folder; each in order.
    pub(super) async fn list(&self, folder: &str) -> Result<(Vec<PartName>, Vec<ObjectMeta>), ArchiveError> {
        let (prefix, place) = (self.path(folder), format!("{}/{folder}", self.url));
        let mut listed = self.objects.list(Some(&prefix));
        let (mut parts, mut others) = (Vec::new(), Vec::new());
        while let Some(object) = within("list", &place, listed.try_next()).await? {
            let name = self.name(&object.location);
            match name.strip_suffix(".json").and_then(|stem| stem.parse().ok()) {
                Some(part) => parts.push(part),
                None => others.push(object),
            }
        }
        parts.sort();
        others.sort_by(|one, other| one.location.cmp(&other.location));
        Ok((parts, others))
    }

    /// An object's name within the store.
    pub(super) fn name(&self, location: &Path) -> String {
        let prefix = self.prefix.as_ref();
        location.as_ref().strip_prefix(prefix).unwrap_or(location.as_ref()).trim_start_matches('/').to_owned()
    }

    /// Reads a part's manifest.
    pub(super) async fn manifest(&self, part: &PartName) -> Result<Manifest, ArchiveError> {
        let path = part.manifest();
        let found = within("read", &path, self.objects.get(&self.path(&path))).await?;
        if found.meta.size > MANIFEST_BYTES {
            let reason = format!("it has {} bytes, and a manifest at most {MANIFEST_BYTES}", found.meta.size);
            return Err(ArchiveError::Damaged { path, reason });
        }
        let json = within("read", &path, found.bytes()).await?;
        Manifest::from_json(part, &json)
    }

    /// Writes a part's manifest: from here on it exists.
    pub(super) async fn put_manifest(&self, part: &PartName, manifest: &Manifest) -> Result<(), ArchiveError> {
        let path = part.manifest();
        let json = Bytes::from(manifest.to_json());
        within("write", &path, self.objects.put(&self.path(&path), json.into())).await?;
        Ok(())
    }

    /// Begins to write a part's file. It appears, whole, when the upload is finished.
    pub(super) async fn upload(&self, part: &PartName) -> Result<Upload, ArchiveError> {
        let path = part.file();
        let upload = within("write", &path, self.objects.put_multipart(&self.path(&path))).await?;
        Ok(Upload::new(path, upload))
    }

    /// Fetches a part's file into a temporary one.
    pub(super) async fn fetch(&self, part: &PartName) -> Result<Fetched, ArchiveError> {
        let path = part.file();
        let mut file = tempfile::tempfile().map_err(ArchiveError::Temporary)?;
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut pieces = within("read", &path, self.objects.get(&self.path(&path))).await?.into_stream();
        while let Some(piece) = within("read", &path, pieces.try_next()).await? {
            bytes += piece.len() as u64;
            digest.update(&piece);
            file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
                .await?
                .map_err(ArchiveError::Temporary)?;
        }
        file.rewind().map_err(ArchiveError::Temporary)?;
        Ok(Fetched { file, bytes, sha256: hex(&digest.finalize()) })
    }

    /// Removes a part, its manifest first; what is not there is no fault.
    pub(super) async fn remove(&self, part: &PartName) -> Result<(), ArchiveError> {
        for path in [part.manifest(), part.file()] {
            match within("remove", &path, self.objects.delete(&self.path(&path))).await {
                Err(ArchiveError::Objects { cause: object_store::Error::NotFound { .. }, .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }
}

fn bucket(name: &str) -> Result<impl ObjectStore + use<>, object_store::Error> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let builder = AmazonS3Builder::from_env();
    // Whoever names an endpoint without TLS means it.
    let plain = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|url| url.starts_with("http://"));
    builder
        .with_bucket_name(name)
        .with_client_options(ClientOptions::new().with_timeout(REQUEST).with_allow_http(plain))
        .with_retry(retry)
        .build()
}
