//! The archives of a database: which months there are, and what moves them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ArchiveError, ArchiveStore, Archived, Archiver, StoreUrl, Target};
use crate::domain::Month;
use crate::store::{Database, MonthPlace, MonthRows, MonthlyTable, OldMonth, StoreError};

/// The lease under which months move, in either direction.
const DUTY: &str = "archive";
const LEASE_LASTS: Duration = Duration::from_secs(60);

/// The archives of a database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archives {
    owner: Database,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows that left.
    pub rows: u64,
    /// The months, where they went into an object store.
    pub months: Vec<Archived>,
    /// Why months stayed that somebody else was at.
    pub stayed: Vec<ArchiveError>,
}

impl Archives {
    /// With the owner's rights.
    pub fn new(owner: Database) -> Self {
        Self { owner }
    }

    /// What moves months to and from an object store.
    ///
    /// # Errors
    /// Where the store cannot be opened.
    pub fn at(&self, store: &StoreUrl) -> Result<Archiver, ArchiveError> {
        Ok(Archiver::new(self.owner.clone(), ArchiveStore::open(store)?))
    }

    /// Works while nobody else moves months; `holder` tells this replica or command apart.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] where somebody else does.
    pub async fn alone<T>(&self, holder: Uuid, work: impl Future<Output = T>) -> Result<T, ArchiveError> {
        self.owner.while_leased(DUTY, holder, LEASE_LASTS, work).await?.ok_or(ArchiveError::Busy)
    }

    /// Lets others move months, where work was broken off.
    pub async fn release(&self, holder: Uuid) -> Result<(), ArchiveError> {
        Ok(self.owner.release_lease(DUTY, holder).await?)
    }

    /// Makes the partitions of this month and of those ahead; tells how many.
    pub async fn make_months(&self) -> Result<u64, ArchiveError> {
        Ok(self.owner.ensure_months().await?)
    }

    /// Every month with rows in the database, oldest first: counted, which takes a while where there are many.
    pub async fn months(&self, table: MonthlyTable) -> Result<Vec<MonthRows>, ArchiveError> {
        let mut months = self.owner.month_rows(table).await?;
        months.retain(|month| month.rows > 0);
        Ok(months)
    }

    /// What [`Archives::archive`] would move: months and their rows.
    pub async fn leaving(
        &self,
        table: MonthlyTable,
        before: Month,
        restored: bool,
    ) -> Result<BTreeMap<Month, i64>, ArchiveError> {
        let old: Vec<Month> = self.old(table, before, restored).await?.iter().map(|old| old.month).collect();
        let mut leaving = BTreeMap::new();
        for found in self.months(table).await? {
            if found.place != MonthPlace::ArchiveTable && old.contains(&found.month) {
                *leaving.entry(found.month).or_default() += found.rows;
            }
        }
        Ok(leaving)
    }

    /// Moves the whole months of a table before `before`, with `restored` also those that were brought back. Run it
    /// [`Archives::alone`].
    ///
    /// # Errors
    /// At the first month that neither left nor was merely busy; earlier ones are gone already.
    pub async fn archive(
        &self,
        (table, before): (MonthlyTable, Month),
        target: &Target,
        restored: bool,
        now: DateTime<Utc>,
    ) -> Result<Outcome, ArchiveError> {
        let mut outcome = Outcome::default();
        let store = match (target, table) {
            (Target::Store(store), _) => store,
            (Target::Table, MonthlyTable::Metrics) => {
                outcome.rows = self.owner.archive_metrics_before(before).await?;
                return Ok(outcome);
            }
            (Target::Table, MonthlyTable::ContextLogs) => return Err(ArchiveError::NoArchiveTable),
        };
        let archiver = self.at(store)?;
        archiver.tidy().await;
        for old in self.old(table, before, restored).await? {
            match archiver.archive(table, old, now).await {
                Ok(Some(month)) => {
                    outcome.rows += month.rows;
                    outcome.months.push(month);
                }
                Ok(None) => {}
                Err(error) if is_busy(&error) => {
                    tracing::warn!(%error, %table, month = %old.month, "a month was not archived; it stays where it is");
                    outcome.stayed.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Deletes the whole months of a table before `before`, save those that were restored; tells how many rows. Run it
    /// [`Archives::alone`].
    pub async fn retire(&self, table: MonthlyTable, before: Month) -> Result<u64, ArchiveError> {
        let mut deleted = 0;
        for OldMonth { month, .. } in self.old(table, before, false).await? {
            self.owner.ensure_month(table, month).await?;
            let mut locked = self.owner.lock_month(table, month).await?;
            let rows = locked.count().await?;
            locked.drop_partition().await?;
            tracing::info!(%table, %month, rows, "a month was deleted, as its retention is over");
            deleted += rows;
        }
        Ok(deleted)
    }

    async fn old(&self, table: MonthlyTable, before: Month, restored: bool) -> Result<Vec<OldMonth>, ArchiveError> {
        let mut old = self.owner.months_before(table, before).await?;
        old.retain(|old| restored || !old.restored);
        Ok(old)
    }
}

/// Whether a month stayed only because somebody else reads or writes it.
fn is_busy(error: &ArchiveError) -> bool {
    matches!(
        error,
        ArchiveError::Changing { .. } | ArchiveError::Store(StoreError::Timeout(_) | StoreError::Conflict(_))
    )
}
