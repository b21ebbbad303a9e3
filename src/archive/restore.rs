//! A month comes back.

use chrono::{DateTime, Utc};

use super::{ArchiveError, Archiver, Manifest, PartName};
use crate::domain::Month;
use crate::store::{Column, Merge, MonthRestore, MonthlyTable};

/// Rows that are staged at once.
const STAGED_ROWS: usize = 5_000;

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Parts that were read.
    pub parts: usize,
    /// Rows that were missing in the live table.
    pub inserted: u64,
    /// Rows that were there already, with the same values.
    pub present: u64,
}

impl Archiver {
    /// Brings every part of a month back into the live table, all or nothing; safe to run again. Where two parts have a row of
    /// the same key, the later one counts, as it does in aggregates. The month then stays in the database until it is
    /// archived with the restored ones.
    ///
    /// # Errors
    /// [`ArchiveError::OtherRows`] where the live table has rows of the same keys with other values.
    pub async fn restore(
        &self,
        table: MonthlyTable,
        month: Month,
        now: DateTime<Utc>,
    ) -> Result<Restored, ArchiveError> {
        // What is left of a broken-off run is no part of the month.
        self.remove_abandoned().await?;
        let (parts, _) = self.store.list(&PartName::folder(table, month)).await?;
        if parts.is_empty() {
            return Err(ArchiveError::NotThere { table, month, store: self.store.url().to_owned() });
        }
        let live = self.owner.monthly_columns(table).await?;
        let mut manifests = Vec::with_capacity(parts.len());
        for part in &parts {
            let manifest = self.store.manifest(part).await?;
            known_columns(part, &manifest, &live)?;
            manifests.push(manifest);
        }
        self.owner.ensure_month(table, month).await?;
        let mut restore = self.owner.restore_month(table, month).await?;
        for (part, manifest) in parts.iter().zip(&manifests) {
            self.stage(&mut restore, part, manifest).await?;
        }
        let (inserted, present) = match restore.merge().await? {
            Merge::Done { inserted, present } => (inserted, present),
            Merge::Conflict(rows) => return Err(ArchiveError::OtherRows { table, month, rows }),
        };
        for (part, manifest) in parts.iter().zip(&manifests) {
            restore.note_part(&part.to_string(), self.store.url(), &manifest.facts(), now).await?;
        }
        restore.commit().await?;
        tracing::info!(%table, %month, inserted, present, parts = parts.len(), "a month was restored");
        Ok(Restored { parts: parts.len(), inserted, present })
    }

    async fn stage(
        &self,
        restore: &mut MonthRestore,
        part: &PartName,
        manifest: &Manifest,
    ) -> Result<(), ArchiveError> {
        let facts = manifest.facts();
        let mut reading = self.open(part, &manifest.columns, &facts).await?;
        while let Some(mut rows) = reading.next().await? {
            while !rows.is_empty() {
                let later = rows.split_off(rows.len().min(STAGED_ROWS));
                restore.stage(&manifest.columns, rows).await?;
                rows = later;
            }
        }
        reading.compare(&facts)
    }
}

/// Refuses a part with a column that the table does not have (any more).
fn known_columns(part: &PartName, manifest: &Manifest, live: &[Column]) -> Result<(), ArchiveError> {
    let known =
        |column: &&Column| live.iter().any(|live| (&live.name, live.column_type) == (&column.name, column.column_type));
    match manifest.columns.iter().find(|column| !known(column)) {
        None => Ok(()),
        Some(column) => Err(ArchiveError::OtherColumn {
            path: part.to_string(),
            table: part.table,
            column: column.name.clone(),
            found: format!("{:?}", column.column_type).to_lowercase(),
        }),
    }
}
