//! Servers in processes of their own, so that the system counts their CPU time apart.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;

use kindred::access::{self, NewKey};
use kindred::domain::{Model, Purpose};
use kindred::embed::{EmbedError, EmbedFuture, Embedder};
use kindred::embedded::{
    FetchSettings, Part, SUPERUSER, ScratchPostgres, ScratchSettings, default_cache, fetch, running_as_root,
};
use kindred::migrate::{self, RolePasswords};
use kindred::runtime::{self, Application, Config, DatabaseChoice, Mode, Settings};
use kindred::tenancy::Role;
use tokio::io::AsyncReadExt;
use tokio_util::task::TaskTracker;

use crate::options::Options;

/// A server in a process of its own.
pub(crate) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) owner_url: String,
}

impl Child {
    /// Starts this program again as a server and waits until it says where it is.
    pub(crate) fn start(which: &str, options: &Options) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--child",
            which,
            "--dimensions",
            &options.wanted.dimensions.to_string(),
            "--ef",
            &options.ef.to_string(),
        ]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Vec<&str> = line.split_whitespace().collect();
        let [endpoint, key, owner_url] = said[..] else { panic!("{which} said {line:?}") };
        let (endpoint, key, owner_url) = (endpoint.to_owned(), key.to_owned(), owner_url.to_owned());
        Self { input: process.stdin.take(), process, endpoint, key, owner_url }
    }

    /// CPU seconds so far, all threads, user and system.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name may hold spaces; user and system time are the 12th and 13th number behind it, in hundredths of a second.
        let behind_name = stat.rsplit_once(") ").unwrap().1;
        let ticks: u64 = behind_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        ticks as f64 / 100.0
    }

    /// Lets it end by itself.
    pub(crate) fn stop(mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}

/// Resolves when whoever started this process lets go of it.
pub(crate) async fn input_ended() {
    let mut nothing = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
}

/// A model of ready vectors.
struct Ready {
    model: Model,
}

impl Embedder for Ready {
    fn model(&self) -> &Model {
        &self.model
    }

    fn embed(&self, _: Vec<String>, _: Purpose) -> EmbedFuture<'_> {
        Box::pin(async { Err(EmbedError::Rejected { reason: "vectors come ready here".to_owned() }) })
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

#[derive(clap::Parser)]
struct Defaults {
    #[command(flatten)]
    settings: Settings,
}

/// The service on a fresh private Postgres; serves until standard input ends, says where and with which key.
pub(crate) async fn serve(options: &Options) {
    let cache = std::env::var_os("KINDRED_CACHE_DIR").map(PathBuf::from);
    let cache = cache.or_else(|| default_cache(running_as_root(), |name| std::env::var_os(name))).unwrap();
    let binaries = fetch(&Part::postgres().unwrap(), &FetchSettings::new(cache)).await.unwrap();
    let tracker = TaskTracker::new();
    let postgres = ScratchPostgres::start(ScratchSettings::new(binaries), &tracker).await.unwrap();
    let url = |role: &str| postgres.server().url(role, "kindred");
    let password = |role: &str| postgres.server().credentials().password(role).map(str::to_owned);
    let passwords = RolePasswords {
        owner: password("kindred_owner"),
        app: password("kindred_app"),
        reader: password("kindred_reader"),
    };
    migrate::create_database(&postgres.server().url(SUPERUSER, "postgres"), "kindred").await.unwrap();
    migrate::bootstrap(&url(SUPERUSER), &passwords).await.unwrap();
    migrate::up(&url("kindred_owner")).await.unwrap();

    let ef = format!("--mirror-ef-search={}", options.ef);
    let arguments = ["kindred", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", &ef, "--max-message-mib=64"];
    let settings = <Defaults as clap::Parser>::parse_from(arguments).settings;
    let mut config = Config::from_settings(&settings).unwrap();
    config.database = DatabaseChoice::Given { app: url("kindred_app"), owner: Some(url("kindred_owner")) };
    let model = Model {
        id: "bench".parse().unwrap(),
        provider: "bench".to_owned(),
        name: "ready".to_owned(),
        dimensions: options.wanted.dimensions,
        normalized: true,
        document_prefix: String::new(),
        query_prefix: String::new(),
        max_input_tokens: 512,
    };
    let application = Application::start_with(&config, Mode::Service, vec![Arc::new(Ready { model })]).await.unwrap();
    let administrator = application.administrator().unwrap();
    let organization = administrator.create_organization("bench", "bench", &application.default_model).await.unwrap();
    let new = NewKey { organization, name: "bench".to_owned(), role: Role::Editor, user: None, expires_at: None };
    let (_, key) = access::issue(application.owner().unwrap(), new).await.unwrap();
    let service = runtime::serve(application, &config).await.unwrap();
    println!("http://{} {key} {}", service.address(), url("kindred_owner"));
    input_ended().await;
    service.stop().await;
}
