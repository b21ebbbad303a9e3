//! Flags, the way back, and the end of a migration.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::MigrateError;
use super::carrying::{contracted, one_at_a_time, validate_keys};
use super::connection::{briefly, connect};
use super::legacy::{self, Origin};
use super::verification::{Quarantined, quarantined};

/// How far one legacy table has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The step it belongs to, 1 to 4.
    pub step: i32,
    /// The legacy table.
    pub source: String,
    /// Rows read.
    pub done: i64,
    /// Rows there were.
    pub total: i64,
    /// Whether the backfill has passed its end.
    pub finished: bool,
}

/// Where the migration of a legacy database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarryState {
    /// `step phase` for each phase that is done, in order.
    pub phases: Vec<(i32, String)>,
    /// Every legacy table that is there.
    pub sources: Vec<SourceState>,
    /// Organizations that read the new side, and all of them.
    pub switched: (i64, i64),
    /// Rows that stayed behind.
    pub quarantined: Vec<Quarantined>,
    /// Whether it was finalized.
    pub finalized: bool,
}

/// Where the migration of a legacy database stands; `None` on a fresh one.
pub async fn carry_state(owner_url: &str) -> Result<Option<CarryState>, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let origin = legacy::origin(&mut connection).await?;
    if !matches!(origin, Origin::UnderWay | Origin::Finalized) {
        return Ok(None);
    }
    let phases = sqlx::query("SELECT step, phase FROM kindred_migration.phases ORDER BY step, done_at, phase DESC")
        .fetch_all(&mut connection)
        .await?;
    let sources = sqlx::query(
        "SELECT step, source, rows_done, rows_total, done_at IS NOT NULL AS finished FROM kindred_migration.sources
         WHERE relation IS NOT NULL ORDER BY step, position",
    )
    .fetch_all(&mut connection)
    .await?;
    let flags = sqlx::query(
        "SELECT count(*) FILTER (WHERE reads_new) AS new, count(*) AS all FROM kindred_migration.organization_flags",
    )
    .fetch_one(&mut connection)
    .await?;
    let state = CarryState {
        phases: phases
            .iter()
            .map(|row| Ok((row.try_get("step")?, row.try_get("phase")?)))
            .collect::<Result<_, sqlx::Error>>()?,
        sources: sources
            .iter()
            .map(|row| {
                Ok(SourceState {
                    step: row.try_get("step")?,
                    source: row.try_get("source")?,
                    done: row.try_get("rows_done")?,
                    total: row.try_get("rows_total")?,
                    finished: row.try_get("finished")?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()?,
        switched: (flags.try_get("new")?, flags.try_get("all")?),
        quarantined: quarantined(&mut connection).await?,
        finalized: origin == Origin::Finalized,
    };
    connection.close().await?;
    Ok(Some(state))
}

/// Sets which side an organization, or with `None` every organization, reads. Tells how many were changed.
///
/// # Errors
/// Where no organization has the slug, or the cut-over has happened: then all read the new side.
pub async fn switch(owner_url: &str, slug: Option<&str>, reads_new: bool) -> Result<u64, MigrateError> {
    let mut connection = connect(owner_url).await?;
    if legacy::origin(&mut connection).await? != Origin::UnderWay {
        return Err(MigrateError::NothingUnderWay);
    }
    if contracted(&mut connection).await? {
        return Err(MigrateError::CutOverDone);
    }
    if let Some(slug) = slug {
        let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM organization_slugs WHERE slug = $1)")
            .bind(slug)
            .fetch_one(&mut connection)
            .await?;
        if !known {
            return Err(MigrateError::NoOrganization(slug.to_owned()));
        }
    }
    let done = sqlx::query(
        "UPDATE kindred_migration.organization_flags SET reads_new = $2, switched_at = now()
         WHERE reads_new <> $2 AND ($1 IS NULL OR organization_id = (SELECT organization_id FROM organization_slugs WHERE slug = $1))",
    )
    .bind(slug)
    .bind(reads_new)
    .execute(&mut connection)
    .await?;
    connection.close().await?;
    Ok(done.rows_affected())
}

/// Takes the cut-over back: the legacy tables, which have followed every write, serve again.
///
/// # Errors
/// Where it was finalized.
pub async fn take_back(owner_url: &str) -> Result<(), MigrateError> {
    let mut connection = connect(owner_url).await?;
    match legacy::origin(&mut connection).await? {
        Origin::UnderWay => {}
        Origin::Finalized => return Err(MigrateError::Finalized),
        Origin::Fresh | Origin::Legacy => return Err(MigrateError::NothingUnderWay),
    }
    one_at_a_time(&mut connection).await?;
    briefly(&mut connection, "SELECT kindred_migration.uncontract()").await?;
    validate_keys(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Restores the legacy database: the cut-over is taken back, nothing follows its writers any more, and what has no place in it
/// (versions, context logs, …) stays in the schema whose name is returned.
pub async fn restore_legacy(owner_url: &str) -> Result<String, MigrateError> {
    take_back(owner_url).await?;
    let mut connection = connect(owner_url).await?;
    one_at_a_time(&mut connection).await?;
    let kept = format!("kindred_kept_{}", chrono::Utc::now().format("%Y%m%d_%H%M%S"));
    briefly(&mut connection, "SELECT kindred_migration.unfollow_writers()").await?;
    let set_aside = format!(
        "DROP VIEW IF EXISTS public.posts_unified;
         DROP FUNCTION IF EXISTS public.posts_view_vector(uuid, uuid, jsonb, text, jsonb), public.organization_of_user(uuid), public.texts_of(jsonb);
         ALTER TABLE kindred_migration.quarantine SET SCHEMA kindred;
         DROP SCHEMA kindred_migration CASCADE;
         DROP SCHEMA IF EXISTS kindred_legacy;
         ALTER SCHEMA kindred RENAME TO {kept};
         REVOKE ALL ON SCHEMA {kept} FROM kindred_app, kindred_reader"
    );
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(set_aside)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(kept)
}

/// Ends the migration after a passing verification; the legacy tables stay in `kindred_legacy` as a backup, until it is run
/// with `drop_backup`.
///
/// # Errors
/// Where the verification fails, or where views or keys still hang on the backup that is to be dropped.
pub async fn finalize(owner_url: &str, drop_backup: bool) -> Result<String, MigrateError> {
    let mut connection = connect(owner_url).await?;
    let origin = legacy::origin(&mut connection).await?;
    let told = match origin {
        Origin::Fresh | Origin::Legacy => return Err(MigrateError::NothingUnderWay),
        Origin::Finalized if drop_backup => {
            drop_backup_schemas(&mut connection).await?;
            "the backup is gone".to_owned()
        }
        Origin::Finalized => "finalized before; --drop-backup drops the legacy tables".to_owned(),
        Origin::UnderWay => {
            one_at_a_time(&mut connection).await?;
            let mut transaction = connection.begin().await?;
            let told: String =
                sqlx::query_scalar("SELECT finalize_migration_cleanup()").fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            validate_keys(&mut connection).await?;
            told
        }
    };
    connection.close().await?;
    Ok(told)
}

/// Refuses to take along what is not of the backup.
async fn drop_backup_schemas(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await?;
    let dependents: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT v.oid::regclass::text FROM pg_depend d
         JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
         JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
         WHERE c.relnamespace IN (to_regnamespace('kindred_legacy'), to_regnamespace('kindred_migration'))
           AND v.relnamespace NOT IN (to_regnamespace('kindred_legacy'), to_regnamespace('kindred_migration'))
         UNION SELECT format('%s of %s', k.conname, k.conrelid::regclass) FROM pg_constraint k
         JOIN pg_class c ON c.oid = k.confrelid JOIN pg_class o ON o.oid = k.conrelid
         WHERE k.contype = 'f' AND c.relnamespace = to_regnamespace('kindred_legacy') AND o.relnamespace <> c.relnamespace
         ORDER BY 1",
    )
    .fetch_all(&mut *transaction)
    .await?;
    if !dependents.is_empty() {
        return Err(MigrateError::BackupInUse { dependents });
    }
    sqlx::raw_sql("DROP SCHEMA IF EXISTS kindred_legacy CASCADE; DROP SCHEMA IF EXISTS kindred_migration CASCADE")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
