//! Whatever goes wrong on the way out, a month is in the database or in the store, whole.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use futures::stream::BoxStream;
use kindred::archive::{ArchiveStore, Archiver};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;

/// What a store does at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Refuse,
    /// As if the process had been killed there: the step is done, or not, and nothing follows.
    HangBefore,
    HangAfter,
    /// Other bytes are read than were written.
    Damage,
    /// A row of the month comes meanwhile.
    LateRow,
    /// Another run declares this one's work abandoned.
    TakeOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Upload,
    ReadBack,
    Manifest,
}

/// A store in memory that has one fault, once.
struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<(Step, Fault)>>,
    hangs: tokio::sync::Notify,
    database: Database,
}

impl Faulty {
    async fn at(&self, step: Step, before: bool) -> Result<bool> {
        let fault = {
            let mut fault = self.fault.lock().unwrap();
            let due = fault.is_some_and(|(at, fault)| at == step && before != (fault == Fault::HangAfter));
            if due { fault.take().map(|(_, fault)| fault) } else { None }
        };
        match fault {
            None => Ok(false),
            Some(Fault::Refuse) => Err(object_store::Error::Generic { store: "faulty", source: "it is full".into() }),
            Some(Fault::HangBefore | Fault::HangAfter) => {
                self.hangs.notify_one();
                std::future::pending().await
            }
            Some(Fault::Damage) => Ok(true),
            Some(Fault::LateRow) => {
                let mut owner = postgres::connect(&self.database.settings().url).await;
                let row = format!(
                    "INSERT INTO time_series_metrics
                         (organization_id, id, entity_type, entity_id, metric_name, metric_value, recorded_at)
                     VALUES ('{ACME}', gen_random_uuid(), 'post', '{ACME}', 'late', 1, '2023-05-09 00:00+00')"
                );
                sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut owner).await.unwrap();
                Ok(false)
            }
            Some(Fault::TakeOver) => {
                self.database.abandon_parts("memory:///").await.unwrap();
                Ok(false)
            }
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[tonic::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.at(Step::Manifest, true).await?;
        let done = self.inner.put_opts(location, payload, options).await?;
        self.at(Step::Manifest, false).await?;
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.at(Step::Upload, true).await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let damaged = self.at(Step::ReadBack, true).await?;
        let mut got = self.inner.get_opts(location, options).await?;
        if damaged {
            let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
            let extensions = got.extensions.clone();
            let mut bytes = got.bytes().await?.to_vec();
            let last = bytes.len() - 20;
            bytes[last] ^= 1;
            let payload = GetResultPayload::Stream(Box::pin(futures::stream::once(async { Ok(Bytes::from(bytes)) })));
            got = GetResult { payload, meta, range, attributes, extensions };
        }
        self.at(Step::ReadBack, false).await?;
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct Broken {
    archived: Archived,
    store: Arc<Faulty>,
    archiver: Arc<Archiver>,
    before: Vec<String>,
}

impl Broken {
    /// A month with four rows, half of them in the default partition's place, and a store with a fault.
    async fn new(step: Step, fault: Fault) -> Self {
        let mut archived = Archived::new().await;
        archived.measure("likes", &["2023-05-02 00:00+00", "2023-05-03 00:00+00"]).await;
        let store = Arc::new(Faulty {
            inner: InMemory::new(),
            fault: Mutex::new(Some((step, fault))),
            hangs: tokio::sync::Notify::new(),
            database: archived.database.clone(),
        });
        let opened = ArchiveStore::of("memory:///", store.clone());
        let archiver = Arc::new(Archiver::new(archived.database.clone(), opened));
        let before = archived.rows(MonthlyTable::Metrics, "2023-05").await;
        Self { archived, store, archiver, before }
    }

    async fn archive(&self) -> std::result::Result<u64, ArchiveError> {
        archive(&self.archiver, &self.archived.database).await
    }

    async fn objects(&self) -> usize {
        use futures::TryStreamExt;
        self.store.list(None).try_collect::<Vec<_>>().await.unwrap().len()
    }

    /// The month is where it was, and a further run brings it into the store, once.
    async fn recovers(&mut self, what: &str) {
        assert_eq!(self.archived.rows(MonthlyTable::Metrics, "2023-05").await, self.before, "{what}: nothing is lost");
        assert_eq!(self.archive().await.unwrap(), self.before.len() as u64, "{what}");
        self.is_archived(what).await;
    }

    async fn is_archived(&mut self, what: &str) {
        assert!(self.archived.rows(MonthlyTable::Metrics, "2023-05").await.is_empty(), "{what}");
        assert_eq!(self.objects().await, 2, "{what}: a file and its manifest");
        let verified = self.archiver.verify().await.unwrap();
        assert_eq!((verified.sound, verified.faults.len(), verified.strays.len()), (1, 0, 0), "{what}");
        self.archiver.restore(MonthlyTable::Metrics, month("2023-05"), Utc::now()).await.unwrap();
        assert_eq!(self.archived.rows(MonthlyTable::Metrics, "2023-05").await, self.before, "{what}");
    }
}

async fn archive(archiver: &Archiver, database: &Database) -> std::result::Result<u64, ArchiveError> {
    archiver.remove_abandoned().await?;
    let mut rows = 0;
    for old in database.months_before(MonthlyTable::Metrics, month("2024-01")).await? {
        rows += archiver.archive(MonthlyTable::Metrics, old, Utc::now()).await?.map_or(0, |archived| archived.rows);
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_leaves_the_month_where_it_was() {
    for (step, fault) in [
        (Step::Upload, Fault::Refuse),
        (Step::ReadBack, Fault::Refuse),
        (Step::ReadBack, Fault::Damage),
        (Step::Manifest, Fault::Refuse),
    ] {
        let what = format!("{step:?} {fault:?}");
        let mut broken = Broken::new(step, fault).await;
        let error = broken.archive().await.unwrap_err();
        let expected = if fault == Fault::Damage { "SHA-256" } else { "it is full" };
        assert!(error.to_string().contains(expected), "{what}: {error}");
        assert_eq!(broken.objects().await, 0, "{what}: nothing is left in the store");
        broken.recovers(&what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_the_month_where_it_was() {
    for (step, fault) in [
        (Step::Upload, Fault::HangBefore),
        (Step::ReadBack, Fault::HangBefore),
        (Step::ReadBack, Fault::HangAfter),
        (Step::Manifest, Fault::HangBefore),
        (Step::Manifest, Fault::HangAfter),
    ] {
        let what = format!("{step:?} {fault:?}");
        let mut broken = Broken::new(step, fault).await;
        let (archiver, database) = (broken.archiver.clone(), broken.archived.database.clone());
        let run = tokio::spawn(async move { archive(&archiver, &database).await });
        broken.store.hangs.notified().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled(), "{what}");
        broken.recovers(&what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_meanwhile_are_archived_too() {
    let mut broken = Broken::new(Step::ReadBack, Fault::LateRow).await;
    assert_eq!(broken.archive().await.unwrap(), 5);
    broken.archiver.restore(MonthlyTable::Metrics, month("2023-05"), Utc::now()).await.unwrap();
    let rows = broken.archived.rows(MonthlyTable::Metrics, "2023-05").await;
    assert!(rows.len() == 5 && broken.before.iter().all(|row| rows.contains(row)), "{rows:?}");
    assert_eq!(broken.objects().await, 2, "the first attempt's file is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_over_drops_nothing() {
    let mut broken = Broken::new(Step::ReadBack, Fault::TakeOver).await;
    let error = broken.archive().await.unwrap_err();
    assert!(matches!(error, ArchiveError::TakenOver { .. }), "{error}");
    broken.recovers("taken over").await;
}
