//! A legacy database, in whatever shape, and what tests ask of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use kindred::migrate::{self, Outcome, OwnerOptions, RolePasswords, Verification};
use sqlx::{AssertSqlSafe, Connection, Decode, PgConnection, Postgres, Type};
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use super::{rows, tables};
use crate::postgres::{self, Urls};

/// How a legacy table keeps vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    Floats,
    Pgvector,
    Absent,
}

/// What `chat_messages` calls its columns.
#[derive(Debug, Clone, Copy)]
pub struct Chat {
    pub text: &'static str,
    pub thread: &'static str,
    pub speaker: &'static str,
    pub vectors: Vectors,
}

/// The shape of a legacy database.
#[derive(Debug, Clone)]
pub struct Legacy {
    present: Vec<&'static str>,
    pub posts: Vectors,
    pub chat: Chat,
    pub generations_name_users: bool,
    supabase: bool,
    /// SQL instead of the tables, and SQL after them.
    own: (Option<&'static str>, &'static str),
}

impl Legacy {
    /// Every table.
    pub fn new() -> Self {
        let chat = Chat { text: "content", thread: "conversation_id", speaker: "role", vectors: Vectors::Floats };
        Self {
            present: tables::names(),
            posts: Vectors::Pgvector,
            chat,
            generations_name_users: false,
            supabase: false,
            own: (None, ""),
        }
    }

    /// These tables alone.
    pub fn only(names: &[&'static str]) -> Self {
        Self { present: names.to_vec(), ..Self::new() }
    }

    pub fn posts(self, posts: Vectors) -> Self {
        Self { posts, ..self }
    }

    pub fn chat(self, text: &'static str, thread: &'static str, speaker: &'static str, vectors: Vectors) -> Self {
        Self { chat: Chat { text, thread, speaker, vectors }, ..self }
    }

    pub fn generations_name_users(self) -> Self {
        Self { generations_name_users: true, ..self }
    }

    /// With schema `auth` and the roles of a Supabase project.
    pub fn supabase(self) -> Self {
        Self { supabase: true, ..self }
    }

    /// Made by this SQL instead.
    pub fn made_by(self, sql: &'static str) -> Self {
        Self { own: (Some(sql), self.own.1), ..self }
    }

    /// With more of the application's.
    pub fn and(self, sql: &'static str) -> Self {
        Self { own: (self.own.0, sql), ..self }
    }

    pub fn has(&self, table: &str) -> bool {
        self.present.contains(&table)
    }

    /// A database of this shape with awkward rows, untouched by Kindred but for its bootstrap.
    pub async fn create(&self) -> Database {
        let _one = ONE.lock().await;
        let database = new_database("").await;
        let mut superuser = database.superuser().await;
        run(&mut superuser, ROLES).await.unwrap();
        run(&mut superuser, "CREATE EXTENSION vector; GRANT CREATE, USAGE ON SCHEMA public TO dashboard")
            .await
            .unwrap();
        if self.supabase {
            run(&mut superuser, AUTH).await.unwrap();
        }
        run(&mut superuser, "SET SESSION AUTHORIZATION dashboard").await.unwrap();
        match self.own.0 {
            Some(sql) => run(&mut superuser, sql).await.unwrap(),
            None => {
                run(&mut superuser, &tables::sql(self)).await.unwrap();
                run(&mut superuser, &rows::sql(self)).await.unwrap();
            }
        }
        run(&mut superuser, self.own.1).await.unwrap();
        if self.supabase && self.has("posts") {
            run(&mut superuser, tables::SUPABASE_POLICIES).await.unwrap();
        }
        superuser.close().await.unwrap();
        bootstrap(&database).await;
        Database { tables: self.present.clone(), ..database }
    }
}

/// A database with every table that follows its writers; each caller gets a copy.
pub async fn in_step() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let database = Legacy::new().generations_name_users().create().await;
        assert!(matches!(database.carry().await, Outcome::InStep { .. }));
        database.name
    });
    copy(template.await).await
}

/// The same after the cut-over.
pub async fn cut_over() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let database = in_step().await;
        database.cut_over().await;
        database.name
    });
    copy(template.await).await
}

async fn copy(template: &str) -> Database {
    let _one = ONE.lock().await;
    new_database(&format!("TEMPLATE {template} OWNER kindred_owner")).await
}

/// Roles belong to the whole server, and two clones of one template refuse each other: one maker at a time.
static ONE: Mutex<()> = Mutex::const_new(());

async fn new_database(how: &str) -> Database {
    static BASE: OnceCell<Urls> = OnceCell::const_new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let base = BASE.get_or_init(postgres::empty_database).await;
    let name = format!("legacy_{}", COUNT.fetch_add(1, Ordering::SeqCst));
    let mut superuser = postgres::connect(&base.superuser).await;
    run(&mut superuser, &format!("CREATE DATABASE {name} {how}")).await.unwrap();
    superuser.close().await.unwrap();
    let at = |url: &str| {
        let mut url = Url::parse(url).unwrap();
        url.set_path(&name);
        url.to_string()
    };
    Database {
        urls: Urls { app: at(&base.app), owner: at(&base.owner), superuser: at(&base.superuser) },
        name,
        tables: tables::names(),
    }
}

/// Other tests, too, change the roles of the server.
async fn bootstrap(database: &Database) {
    while let Err(error) = migrate::bootstrap(&database.urls.superuser, &RolePasswords::default()).await {
        assert!(error.to_string().contains("concurrently updated"), "{error}");
    }
}

const ROLES: &str = "DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['dashboard', 'anon', 'authenticated', 'service_role'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN EXECUTE format('CREATE ROLE %I', name); END IF;
    END LOOP; END $$";

const AUTH: &str = "CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY);
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
        AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
    GRANT USAGE ON SCHEMA auth TO dashboard, authenticated;";

/// The options of these fixtures: vectors of three components, small batches.
pub fn options() -> OwnerOptions {
    OwnerOptions { legacy_dimensions: 3, batch_rows: 3, ..OwnerOptions::new().unwrap() }
}

/// A database, and what tests ask of it.
#[derive(Debug)]
pub struct Database {
    pub urls: Urls,
    name: String,
    tables: Vec<&'static str>,
}

impl Database {
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
        let mut connection = self.session("dashboard").await;
        if let Err(error) = run(&mut connection, sql).await {
            panic!("{sql}\nfailed: {error}");
        }
    }

    /// Runs statements as the owner, who finds the new tables before and after the cut-over.
    pub async fn owner(&self, sql: &str) {
        let mut connection = postgres::connect(&self.urls.owner).await;
        run(&mut connection, PATH).await.unwrap();
        if let Err(error) = run(&mut connection, sql).await {
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
        let mut connection = postgres::connect(&self.urls.owner).await;
        run(&mut connection, PATH).await.unwrap();
        let read = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await;
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
