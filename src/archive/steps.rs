//! Steps of an object store, each within its deadline.

use std::time::Duration;

use super::ArchiveError;

/// The longest that one step is waited for, with its retries: a request, a piece of an upload or of a download.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for a step, within its deadline.
pub(super) async fn within<T>(
    action: &'static str,
    path: &str,
    step: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, ArchiveError> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => done.map_err(|cause| refused(action, path, cause)),
        Err(_) => Err(ArchiveError::Slow { action, path: path.to_owned(), after: PATIENCE }),
    }
}

/// What the store said, and of what.
pub(super) fn refused(action: &'static str, path: &str, cause: object_store::Error) -> ArchiveError {
    ArchiveError::Objects { action, path: path.to_owned(), cause }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
