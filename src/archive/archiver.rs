//! The order of acts by which a month leaves.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, TryStreamExt};

use super::parquet_reader::PartReader;
use super::parquet_writer::{Group, PartWriter};
use super::upload::Upload;
use super::{ArchiveError, ArchiveStore, Manifest, PartName, RowSum};
use crate::domain::Month;
use crate::store::{Column, Database, MonthlyTable, OldMonth, PartFacts, Row, StoreError};

/// How often a month is written anew because rows of it came meanwhile.
const ATTEMPTS: u32 = 3;

/// Moves months between a database and an object store.
///
/// Only one at a time: see [`super::Archives::alone`].
pub struct Archiver {
    pub(super) owner: Database,
    pub(super) store: ArchiveStore,
}

/// A month that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The month.
    pub month: Month,
    /// Its rows.
    pub rows: u64,
    /// Its file's length.
    pub bytes: u64,
}

impl Archiver {
    /// With the owner's rights.
    pub fn new(owner: Database, store: ArchiveStore) -> Self {
        Self { owner, store }
    }

    /// Moves a month into the store, with its rows in the default partition; `None` where it has none.
    ///
    /// # Errors
    /// The month then is where it was.
    pub async fn archive(
        &self,
        table: MonthlyTable,
        old: OldMonth,
        now: DateTime<Utc>,
    ) -> Result<Option<Archived>, ArchiveError> {
        let month = old.month;
        self.owner.ensure_month(table, month).await?;
        if !old.restored {
            let mut locked = self.owner.lock_month(table, month).await?;
            if locked.is_empty().await? {
                locked.drop_partition().await?;
                return Ok(None);
            }
        }
        for _ in 0..ATTEMPTS {
            let part = PartName::new(table, month, now);
            self.owner.begin_part(&part.to_string(), self.store.url(), table, month).await?;
            let outcome = self.attempt(&part, now).await;
            if !matches!(outcome, Ok(Some(_))) || old.restored {
                self.tidy().await;
            }
            match outcome {
                Ok(Some(facts)) => return Ok(Some(Archived { month, rows: facts.rows, bytes: facts.bytes })),
                Ok(None) => {
                    tracing::info!(%table, %month, "rows came while the month was archived; it is written anew")
                }
                Err(error) => return Err(error),
            }
        }
        Err(ArchiveError::Changing { table, month })
    }

    /// Removes from the store what was begun and not completed, and what was restored and written anew.
    ///
    /// # Errors
    /// Where something could not be removed; it is tried again by the next run.
    pub async fn remove_abandoned(&self) -> Result<(), ArchiveError> {
        let mut failed = Ok(());
        for name in self.owner.abandon_parts(self.store.url()).await? {
            if let Ok(part) = name.parse()
                && let Err(error) = self.store.remove(&part).await
            {
                failed = Err(error);
                continue;
            }
            self.owner.forget_part(&name).await?;
        }
        failed
    }

    /// The same where it hinders nothing that something is left: each attempt has a name of its own.
    pub(super) async fn tidy(&self) {
        if let Err(error) = self.remove_abandoned().await {
            tracing::warn!(%error, "what an earlier attempt left in the object store was not removed; it is tried again");
        }
    }

    /// `None` where rows of the month came meanwhile.
    async fn attempt(&self, part: &PartName, now: DateTime<Utc>) -> Result<Option<PartFacts>, ArchiveError> {
        let (table, month) = (part.table, part.month);
        let columns = self.owner.monthly_columns(table).await?;
        let facts = self.write(part, &columns).await?;
        self.read_back(part, &columns, &facts).await?;

        let mut locked = self.owner.lock_month(table, month).await?;
        if !locked.hold_part(&part.to_string()).await? {
            return Err(ArchiveError::TakenOver { table, month });
        }
        if sum(locked.rows(&columns)).await?.checksum() != facts.checksum {
            return Ok(None);
        }
        self.store.put_manifest(part, &Manifest::new(part, &facts, &columns, now)).await?;
        locked.complete_part(&part.to_string(), &facts).await?;
        locked.drop_partition().await?;
        tracing::info!(%part, rows = facts.rows, bytes = facts.bytes, store = self.store.url(), "a month was archived");
        Ok(Some(facts))
    }

    /// Writes one snapshot of the month to the store.
    async fn write(&self, part: &PartName, columns: &[Column]) -> Result<PartFacts, ArchiveError> {
        let mut snapshot = self.owner.read_month(part.table, part.month).await?;
        let writer = PartWriter::new(part, columns)?;
        let mut upload = self.store.upload(part).await?;
        match write_rows(snapshot.rows(columns), writer, &mut upload).await {
            Ok(written) => {
                let (bytes, sha256) = upload.finish().await?;
                Ok(PartFacts { rows: written.rows, checksum: written.checksum(), bytes, sha256 })
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Reads a part's file from the store, and compares it with what is known of it.
    pub(super) async fn read_back(
        &self,
        part: &PartName,
        columns: &[Column],
        facts: &PartFacts,
    ) -> Result<(), ArchiveError> {
        let mut reading = self.open(part, columns, facts).await?;
        while reading.next().await?.is_some() {}
        reading.compare(facts)
    }

    /// Fetches a part's file and opens it, if it is the one that is known.
    pub(super) async fn open(
        &self,
        part: &PartName,
        columns: &[Column],
        facts: &PartFacts,
    ) -> Result<Reading, ArchiveError> {
        let fetched = self.store.fetch(part).await?;
        let path = part.file();
        if (fetched.bytes, &fetched.sha256) != (facts.bytes, &facts.sha256) {
            let reason = format!(
                "it has {} bytes of SHA-256 {}, and was written with {} bytes of SHA-256 {}",
                fetched.bytes, fetched.sha256, facts.bytes, facts.sha256
            );
            return Err(ArchiveError::Damaged { path, reason });
        }
        let reader = PartReader::open(fetched.file, columns)
            .map_err(|error| ArchiveError::Damaged { path: path.clone(), reason: error.to_string() })?;
        Ok(Reading { path, reader: Some(reader), group: 0, read: RowSum::default() })
    }
}

/// A part's rows as they come out of its file.
pub(super) struct Reading {
    path: String,
    /// Away only while a row group is being read.
    reader: Option<PartReader>,
    group: usize,
    read: RowSum,
}

impl Reading {
    /// The rows of the next row group; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, ArchiveError> {
        let index = self.group;
        let Some(reader) = self.reader.take_if(|reader| index < reader.groups()) else { return Ok(None) };
        let (reader, rows) = tokio::task::spawn_blocking(move || {
            let rows = reader.group(index);
            (reader, rows)
        })
        .await?;
        self.reader = Some(reader);
        let damaged = |error: parquet::errors::ParquetError| self.damaged(error.to_string());
        let rows = rows.map_err(damaged)?;
        rows.iter().for_each(|row| self.read.add(row));
        self.group += 1;
        Ok(Some(rows))
    }

    /// After the last row group: whether the rows are those that are known.
    pub(super) fn compare(&self, facts: &PartFacts) -> Result<(), ArchiveError> {
        let (rows, checksum) = (self.read.rows, self.read.checksum());
        if (rows, &checksum) == (facts.rows, &facts.checksum) {
            return Ok(());
        }
        Err(self.damaged(format!(
            "it holds {rows} rows of checksum {checksum}, and was written with {} rows of checksum {}",
            facts.rows, facts.checksum
        )))
    }

    fn damaged(&self, reason: String) -> ArchiveError {
        ArchiveError::Damaged { path: self.path.clone(), reason }
    }
}

async fn sum(rows: impl Stream<Item = Result<Row, StoreError>>) -> Result<RowSum, StoreError> {
    let add = |mut sum: RowSum, row: Row| {
        sum.add(&row);
        std::future::ready(Ok(sum))
    };
    rows.try_fold(RowSum::default(), add).await
}

async fn write_rows(
    rows: impl Stream<Item = Result<Row, StoreError>>,
    mut writer: PartWriter,
    upload: &mut Upload,
) -> Result<RowSum, ArchiveError> {
    let mut rows = std::pin::pin!(rows);
    let (mut written, mut group) = (RowSum::default(), Group::default());
    loop {
        let row = rows.try_next().await?;
        let last = row.is_none();
        if let Some(row) = row {
            written.add(&row);
            group.push(row);
        }
        if group.is_full() || (last && !group.is_empty()) {
            let full = std::mem::take(&mut group);
            let bytes;
            (writer, bytes) = tokio::task::spawn_blocking(move || {
                let bytes = writer.write(&full);
                (writer, bytes)
            })
            .await?;
            upload.write(Bytes::from(bytes?)).await?;
        }
        if last {
            upload.write(Bytes::from(writer.finish()?)).await?;
            return Ok(written);
        }
    }
}
