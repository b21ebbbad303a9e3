//! A file on its way into the store, piece by piece.

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};
use sha2::{Digest, Sha256};

use super::ArchiveError;
use super::steps::{hex, within};

/// Bytes of a piece, and how many are on their way at once: the memory of an upload is their product. S3 takes at most
/// 10,000 pieces, so a file may have 80 GB.
const PIECE_BYTES: usize = 8 * 1024 * 1024;
const PIECES: usize = 2;

/// A file on its way.
pub(super) struct Upload {
    path: String,
    pieces: WriteMultipart,
    digest: Sha256,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(path: String, upload: Box<dyn MultipartUpload>) -> Self {
        let pieces = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        Self { path, pieces, digest: Sha256::new(), bytes: 0 }
    }

    /// Adds bytes; waits while too many are on their way.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.digest.update(&bytes);
        self.bytes += bytes.len() as u64;
        within("write", &self.path, self.pieces.wait_for_capacity(PIECES)).await?;
        self.pieces.put(bytes);
        Ok(())
    }

    /// Makes the file appear; tells its length and SHA-256.
    pub(super) async fn finish(self) -> Result<(u64, String), ArchiveError> {
        within("write", &self.path, self.pieces.finish()).await?;
        Ok((self.bytes, hex(&self.digest.finalize())))
    }

    /// Gives the file up, so that no pieces are left in the store.
    pub(super) async fn abort(self) {
        if let Err(error) = within("give up", &self.path, self.pieces.abort()).await {
            tracing::warn!(%error, "pieces of an upload may be left in the object store; let it expire them");
        }
    }
}
