//! Legacy databases in whatever shape, and templates of those that many tests begin with.

use std::sync::atomic::{AtomicUsize, Ordering};

use kindred::migrate::{self, Outcome, RolePasswords};
use sqlx::Connection;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

pub use super::database::{Database, assert_same_surroundings, one, options, run};
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
        Database::new(database.urls, database.name, self.present.clone())
    }
}

/// A database with every table that follows its writers; each caller gets a copy.
pub async fn in_step() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let make = async || {
        let database = Legacy::new().generations_name_users().create().await;
        assert!(matches!(database.carry().await, Outcome::InStep { .. }));
        database
    };
    copy_of(&TEMPLATE, make).await
}

/// The same after the cut-over.
pub async fn cut_over() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let make = async || {
        let database = in_step().await;
        database.cut_over().await;
        database
    };
    copy_of(&TEMPLATE, make).await
}

/// A copy of a database that is made once.
pub async fn copy_of(template: &OnceCell<String>, make: impl AsyncFnOnce() -> Database) -> Database {
    let template = template.get_or_init(async || make().await.name).await;
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
    Database::new(
        Urls { app: at(&base.app), owner: at(&base.owner), superuser: at(&base.superuser) },
        name,
        tables::names(),
    )
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
