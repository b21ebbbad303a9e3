//! Carrying a legacy database over while its application writes: expand, backfill, cut over.

use sqlx::{Connection, PgConnection, Row};

use super::backup::{self, Backup};
use super::connection::{briefly, connect, is_lock};
use super::legacy::{self, Origin};
use super::plan;
use super::schema::run_migrations;
use super::verification::{Check, checks};
use super::{MigrateError, OwnerOptions};

/// How far a run has come, for somebody who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The new tables are made, and follow the legacy tables' writers.
    Expanded,
    /// Rows of one legacy table were carried.
    Backfill {
        /// The step it belongs to, 1 to 4.
        step: i32,
        /// The legacy table.
        source: String,
        /// Rows read so far.
        done: u64,
        /// Rows to read, as counted at the start.
        total: u64,
    },
    /// Both sides are being compared.
    Verifying,
    /// The new tables took over; how long writers had to wait for it, in milliseconds.
    CutOver {
        /// The longest a writer can have waited, in milliseconds.
        pause_ms: u128,
    },
}

/// Where a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A fresh database: its schema is final.
    Fresh,
    /// Both sides are in step; so many organizations still read the legacy side.
    InStep {
        /// Organizations whose flag is not set.
        waiting: i64,
        /// The comparison.
        checks: Vec<Check>,
    },
    /// The new tables serve.
    CutOver {
        /// The comparison after it.
        checks: Vec<Check>,
    },
    /// It was finalized before.
    Finalized,
}

/// Looks for what stands in the way, and takes the backup, before a legacy database is touched for the first time. Tells where
/// the backup is; `None` where none is needed.
///
/// # Errors
/// Where something blocks, or there is no checked backup.
pub async fn prepare(owner_url: &str, backup: &Backup) -> Result<Option<String>, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let plan = plan::of_database(&mut connection).await?;
    connection.close().await?;
    if plan.origin != Origin::Legacy {
        return Ok(None);
    }
    let blocking: Vec<&str> =
        plan.obstacles.iter().filter(|obstacle| obstacle.blocks).map(|obstacle| obstacle.reason.as_str()).collect();
    if !blocking.is_empty() {
        return Err(MigrateError::Blocked(blocking.join("\n")));
    }
    let tables: Vec<String> = plan.tables.into_iter().map(|table| table.name).collect();
    Ok(Some(backup::ensure(backup, owner_url, &tables).await?))
}

/// Brings any database as far as it can go: a fresh one to the final schema, a legacy one into step with its writers and,
/// once every organization's flag is set, through the cut-over. Safe to run again, also after it was killed.
///
/// # Errors
/// Where a migration fails, or the two sides differ: then nothing was cut over.
pub async fn carry_over(
    owner_url: &str,
    options: &OwnerOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcome, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let outcome = on_connection(&mut connection, options, progress).await;
    connection.close().await?;
    outcome
}

async fn on_connection(
    connection: &mut PgConnection,
    options: &OwnerOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcome, MigrateError> {
    match legacy::origin(connection).await? {
        Origin::Fresh => {
            run_migrations(connection).await?;
            return Ok(Outcome::Fresh);
        }
        Origin::Finalized => {
            run_migrations(connection).await?;
            return Ok(Outcome::Finalized);
        }
        Origin::Legacy | Origin::UnderWay => {}
    }
    one_at_a_time(connection).await?;
    if !contracted(connection).await? {
        legacy::make_room(connection).await?;
        run_migrations(connection).await?;
        legacy::install(connection, options).await?;
        progress(Progress::Expanded);
        backfill(connection, options, progress).await?;
    } else {
        run_migrations(connection).await?;
    }
    progress(Progress::Verifying);
    let found = checks(connection).await?;
    let failed: Vec<String> = found.iter().filter(|check| !check.passed).map(|check| check.name.clone()).collect();
    if !failed.is_empty() {
        return Err(MigrateError::Differs(failed.join(", ")));
    }
    if contracted(connection).await? {
        return Ok(Outcome::CutOver { checks: found });
    }
    let waiting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM kindred_migration.organization_flags WHERE NOT reads_new")
            .fetch_one(&mut *connection)
            .await?;
    if waiting > 0 {
        return Ok(Outcome::InStep { waiting, checks: found });
    }
    let pause = briefly(connection, "SELECT kindred_migration.contract()").await?;
    progress(Progress::CutOver { pause_ms: pause.as_millis() });
    validate_keys(connection).await?;
    Ok(Outcome::CutOver { checks: checks(connection).await? })
}

/// Two runs at once would do the same work twice: the second is told so. The lock ends with the connection, a moment after
/// the run that held it.
pub(super) async fn one_at_a_time(connection: &mut PgConnection) -> Result<(), MigrateError> {
    for _ in 0..20 {
        let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('kindred migrate'))")
            .fetch_one(&mut *connection)
            .await?;
        if alone {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(MigrateError::Busy)
}

/// Whether the cut-over has happened.
pub(super) async fn contracted(connection: &mut PgConnection) -> Result<bool, MigrateError> {
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('kindred_migration.settings') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !begun {
        return Ok(false);
    }
    let query = "SELECT contracted_at IS NOT NULL FROM kindred_migration.settings";
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

async fn backfill(
    connection: &mut PgConnection,
    options: &OwnerOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), MigrateError> {
    make_months(connection).await?;
    let sources = sqlx::query(
        "SELECT source, step, relation::text AS relation FROM kindred_migration.sources ORDER BY step, position",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut step_before = 0;
    for row in sources {
        let (source, step): (String, i32) = (row.try_get("source")?, row.try_get("step")?);
        let relation: Option<String> = row.try_get("relation")?;
        if step > step_before && step_before > 0 {
            backfilled(connection, step_before).await?;
        }
        step_before = step;
        let total: i64 = match relation {
            Some(relation) => {
                let count = format!("SELECT count(*) FROM {relation}");
                sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut *connection).await?
            }
            None => 0,
        };
        sqlx::query("UPDATE kindred_migration.sources SET rows_total = $2 WHERE source = $1")
            .bind(&source)
            .bind(total)
            .execute(&mut *connection)
            .await?;
        // What was refused may be right by now.
        sqlx::query("INSERT INTO kindred_migration.pending SELECT $1, source_id FROM kindred_migration.quarantine WHERE source = $1 ON CONFLICT DO NOTHING")
            .bind(&source)
            .execute(&mut *connection)
            .await?;
        loop {
            let carried = batch(connection, &source, options.batch_rows).await?;
            let done: i64 = sqlx::query_scalar("SELECT rows_done FROM kindred_migration.sources WHERE source = $1")
                .bind(&source)
                .fetch_one(&mut *connection)
                .await?;
            progress(Progress::Backfill {
                step,
                source: source.clone(),
                done: done.unsigned_abs(),
                total: total.max(done).unsigned_abs(),
            });
            if carried == 0 {
                break;
            }
        }
    }
    backfilled(connection, 4).await
}

/// One batch in one transaction, tried again where it met a deadlock.
async fn batch(connection: &mut PgConnection, source: &str, rows: i32) -> Result<i32, MigrateError> {
    for _ in 0..20 {
        let mut transaction = connection.begin().await?;
        let done = sqlx::query_scalar("SELECT kindred_migration.backfill_batch($1, $2)")
            .bind(source)
            .bind(rows)
            .fetch_one(&mut *transaction)
            .await;
        match done {
            Ok(done) => {
                transaction.commit().await?;
                return Ok(done);
            }
            Err(error) if is_lock(&error) => {
                transaction.rollback().await?;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(MigrateError::Locked(source.to_owned()))
}

async fn backfilled(connection: &mut PgConnection, step: i32) -> Result<(), MigrateError> {
    sqlx::query("INSERT INTO kindred_migration.phases VALUES ($1, 'backfilled') ON CONFLICT DO NOTHING")
        .bind(step)
        .execute(connection)
        .await?;
    Ok(())
}

/// A partition for every month that was measured. What is dated before 1900 or long from now stays in the default partition:
/// made-up times must not make tables without end, nor end the run.
async fn make_months(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let months = "SELECT DISTINCT date_trunc('month', recorded_at)::date AS month
                  FROM (SELECT recorded_at FROM kindred_migration.post_analytics_source
                        UNION ALL SELECT recorded_at FROM kindred_migration.hashtag_analytics_source) measured
                  WHERE recorded_at >= '1900-01-01' AND recorded_at < now() + interval '3 months'";
    let months: Vec<chrono::NaiveDate> = sqlx::query_scalar(months).fetch_all(&mut *connection).await?;
    for month in months {
        sqlx::query("SELECT ensure_month_partition('time_series_metrics', $1)")
            .bind(month)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Foreign keys were added unchecked, so that the cut-over is short; this checks them while writers go on. One whose rows
/// were quarantined stays unchecked: it holds for new rows.
pub(super) async fn validate_keys(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let keys = sqlx::query(
        "SELECT conrelid::regclass::text AS relation, quote_ident(conname) AS name FROM pg_constraint
         WHERE contype = 'f' AND NOT convalidated AND ARRAY[conrelid, confrelid] && ARRAY(
             SELECT to_regclass('public.' || name)::oid
             FROM unnest('{posts_core,posts,media_files,chat_messages,content_ideas,ai_suggestions}'::text[]) name)",
    )
    .fetch_all(&mut *connection)
    .await?;
    for key in keys {
        let (relation, name): (String, String) = (key.try_get("relation")?, key.try_get("name")?);
        let validate = format!("ALTER TABLE {relation} VALIDATE CONSTRAINT {name}");
        if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(validate)).execute(&mut *connection).await {
            tracing::warn!(%relation, constraint = %name, %error, "the foreign key holds for new rows only");
        }
    }
    Ok(())
}
