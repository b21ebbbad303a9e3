//! The sweep of orphans: when a dashboard deletes a post, its vector is to be found no longer.

use crate::ingest::{VersionWrite, write_versions};
use crate::store::{Arrival, Bell, Database, StoreError};

/// Entities whose lines are closed in one transaction.
const BATCH: i64 = 200;

/// Leaves tombstones where an embedding was carried from a legacy table and its row is gone; tells how many lines it closed.
/// Needs the owner's rights; nothing else does this after `kindred migrate finalize`, when triggers no longer follow writers.
pub async fn close_orphans(owner: &Database) -> Result<u64, StoreError> {
    let mut closed = 0;
    while let Some(organization) = owner.organization_with_orphans().await? {
        let mut transaction = owner.tenant("orphans_close", organization).await?;
        // Under the organization's lock they are looked up again: what was written since is no orphan.
        let revision = transaction.next_revision().await?;
        let lines = transaction.orphaned_lines(BATCH).await?;
        if lines.is_empty() {
            transaction.rollback().await?;
            break;
        }
        let heads = transaction.heads(&lines).await?;
        let tombstones: Vec<VersionWrite> =
            heads.into_iter().map(|(key, head)| VersionWrite::tombstone(key, head.version + 1)).collect();
        write_versions(&mut transaction, &tombstones, revision, Arrival::Unsettled).await?;
        transaction.commit().await?;
        Bell::new(owner.clone()).ring(&[organization]).await?;
        closed += tombstones.len() as u64;
    }
    Ok(closed)
}
