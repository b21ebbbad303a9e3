//! One database, and what tests ask of it.

use std::collections::{BTreeMap, HashMap};

use kindred::migrate::{self, Outcome, OwnerOptions, Verification};
use sqlx::{AssertSqlSafe, Decode, PgConnection, Postgres, Type};
use tokio::sync::{Mutex, MutexGuard};

use crate::postgres::{self, Urls};

/// The options of these fixtures: vectors of three components, small batches.
pub fn options() -> OwnerOptions {
    OwnerOptions { legacy_dimensions: 3, batch_rows: 3, ..OwnerOptions::new().unwrap() }
}

/// A database, and what tests ask of it.
#[derive(Debug)]
pub struct Database {
    pub urls: Urls,
    pub name: String,
    pub tables: Vec<&'static str>,
    /// Sessions that are kept, as those of an application are.
    sessions: Mutex<HashMap<&'static str, PgConnection>>,
}

impl Database {
    pub fn new(urls: Urls, name: String, tables: Vec<&'static str>) -> Self {
        Self { urls, name, tables, sessions: Mutex::default() }
    }

    async fn kept(&self, role: &'static str) -> MutexGuard<'_, HashMap<&'static str, PgConnection>> {
        let mut sessions = self.sessions.lock().await;
        if !sessions.contains_key(role) {
            let mut session = self.session(role).await;
            if role == "kindred_owner" {
                run(&mut session, PATH).await.unwrap();
            }
            sessions.insert(role, session);
        }
        sessions
    }

    pub async fn superuser(&self) -> PgConnection {
        postgres::connect(&self.urls.superuser).await
    }

    /// A session of another role, from `SET SESSION AUTHORIZATION` on.
    pub async fn session(&self, role: &str) -> PgConnection {
        let mut connection = self.superuser().await;
        run(&mut connection, &format!("SET SESSION AUTHORIZATION {role}")).await.unwrap();
        connection
    }

    /// A session of a person who logs in (Supabase).
    pub async fn person(&self, user: &str) -> PgConnection {
        let mut connection = self.session("authenticated").await;
        run(&mut connection, &format!("SET request.jwt.claim.sub = '{user}'")).await.unwrap();
        connection
    }

    /// Runs statements of the old application.
    pub async fn old_code(&self, sql: &str) {
        self.run_as("dashboard", sql).await;
    }

    /// Runs statements as the owner, who finds the new tables before and after the cut-over.
    pub async fn owner(&self, sql: &str) {
        self.run_as("kindred_owner", sql).await;
    }

    async fn run_as(&self, role: &'static str, sql: &str) {
        let mut sessions = self.kept(role).await;
        if let Err(error) = run(sessions.get_mut(role).unwrap(), sql).await {
            panic!("{sql}\nfailed: {error}");
        }
    }

    /// One value, read by the owner.
    pub async fn value<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'row> Decode<'row, Postgres> + Type<Postgres>,
    {
        let mut values = self.values(sql).await;
        assert_eq!(values.len(), 1, "{sql}");
        values.remove(0)
    }

    /// A column, read by the owner.
    pub async fn values<T>(&self, sql: &str) -> Vec<T>
    where
        T: Send + Unpin + for<'row> Decode<'row, Postgres> + Type<Postgres>,
    {
        let mut sessions = self.kept("kindred_owner").await;
        let session = sessions.get_mut("kindred_owner").unwrap();
        let read = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).persistent(false).fetch_all(session).await;
        read.unwrap_or_else(|error| panic!("{sql}\nfailed: {error}"))
    }

    pub async fn carry(&self) -> Outcome {
        self.carry_with(&options()).await
    }

    pub async fn carry_with(&self, options: &OwnerOptions) -> Outcome {
        match migrate::carry_over(&self.urls.owner, options, &mut |_| ()).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let found = migrate::verify(&self.urls.owner, 20).await;
                panic!("{error}\n{found:#?}");
            }
        }
    }

    /// Lets every organization read the new side, and cuts over.
    pub async fn cut_over(&self) {
        migrate::switch(&self.urls.owner, None, true).await.unwrap();
        assert!(matches!(self.carry().await, Outcome::CutOver { .. }));
    }

    /// After the way back: both sides agree again, and no organization reads the new one.
    pub async fn back_in_step(&self) {
        migrate::switch(&self.urls.owner, None, false).await.unwrap();
        assert!(matches!(self.carry().await, Outcome::InStep { .. }));
        self.verified().await;
    }

    /// The verification, which passes.
    pub async fn verified(&self) -> Verification {
        let found = migrate::verify(&self.urls.owner, 20).await.unwrap();
        assert!(found.passed(), "{found:#?}");
        found
    }

    /// Every row of every legacy table, wherever it lies.
    pub async fn legacy_rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut superuser = self.superuser().await;
        let mut all = BTreeMap::new();
        for &table in &self.tables {
            let place = "SELECT coalesce(to_regclass('kindred_legacy.' || $1), to_regclass('public.' || $1))::text";
            let place: Option<String> = sqlx::query_scalar(place).bind(table).fetch_one(&mut superuser).await.unwrap();
            let Some(place) = place else { continue };
            let read = AssertSqlSafe(format!("SELECT to_jsonb(t)::text AS row FROM {place} t ORDER BY 1"));
            all.insert(table.to_owned(), sqlx::query_scalar(read).fetch_all(&mut superuser).await.unwrap());
        }
        all
    }

    /// What stands around the legacy tables: schemas, columns, keys, triggers, indexes, policies, grants, functions.
    pub async fn surroundings(&self) -> Vec<String> {
        let mut superuser = self.superuser().await;
        sqlx::query_scalar(SURROUNDINGS).fetch_all(&mut superuser).await.unwrap()
    }
}

const PATH: &str = "SET search_path = kindred, public, kindred_migration, pg_temp; SET timezone = 'UTC'";

const SURROUNDINGS: &str = "
    WITH tables AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
                    AND relname <> '_sqlx_migrations')
    SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^(pg_|kindred_kept_)'
    UNION ALL SELECT format('table %s of %s, %s, %s', relname, relowner::regrole, relrowsecurity, relacl) FROM tables
    UNION ALL SELECT format('column %s.%s %s %s %s', t.relname, attname, atttypid::regtype, attnotnull, attidentity)
              FROM pg_attribute a JOIN tables t ON t.oid = attrelid WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('default %s %s', adrelid::regclass, pg_get_expr(adbin, adrelid)) FROM pg_attrdef JOIN tables t ON t.oid = adrelid
    UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN tables t ON t.oid = conrelid
    UNION ALL SELECT format('trigger %s %s', tgrelid::regclass, tgname) FROM pg_trigger JOIN tables t ON t.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'
    UNION ALL SELECT format('policy %s %s', polrelid::regclass, polname) FROM pg_policy JOIN tables t ON t.oid = polrelid
    UNION ALL SELECT format('function %s', p.oid::regprocedure) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1";

/// Fails where something was left behind or lost.
pub fn assert_same_surroundings(found: &[String], before: &[String]) {
    let left: Vec<&String> = found.iter().filter(|line| !before.contains(line)).collect();
    let lost: Vec<&String> = before.iter().filter(|line| !found.contains(line)).collect();
    assert!(left.is_empty() && lost.is_empty(), "left behind: {left:#?}\nlost: {lost:#?}");
}

/// Runs statements on a connection.
pub async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_| ())
}

/// One value on a connection.
pub async fn one<T>(connection: &mut PgConnection, sql: &str) -> Result<T, sqlx::Error>
where
    T: Send + Unpin + for<'row> Decode<'row, Postgres> + Type<Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await
}
