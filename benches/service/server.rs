//! Servers in processes of their own, so that the system counts their CPU time apart.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;

use kindred::domain::{Model, Purpose};
use kindred::embed::{EmbedError, EmbedFuture, Embedder};
use kindred::runtime::{self, Application, Config, DatabaseChoice, Mode, Settings};
use tokio::io::AsyncReadExt;

use crate::database::{BenchDatabase, model};
use crate::options::Options;

/// A server in a process of its own.
pub(crate) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    pub(crate) endpoint: String,
}

impl Child {
    /// Starts the service on a database and waits until it says where it is.
    pub(crate) fn kindred(options: &Options, database: &BenchDatabase) -> Self {
        let owner_url = database.url("kindred_owner");
        let snapshots = database.folder().join("service");
        Self::start(&[
            ("--child", "kindred"),
            ("--dimensions", &options.wanted.dimensions.to_string()),
            ("--ef", &options.ef.to_string()),
            ("--memory-mib", &options.memory_mib.to_string()),
            ("--local-model", &options.local_model.to_string()),
            ("--app-url", &database.url("kindred_app")),
            ("--owner-url", if options.settles { &owner_url } else { "" }),
            ("--data-dir", snapshots.to_str().unwrap()),
        ])
    }

    /// Starts the echo.
    pub(crate) fn echo() -> Self {
        Self::start(&[("--child", "echo")])
    }

    fn start(arguments: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments.iter().flat_map(|(flag, value)| [flag, value]));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        assert!(endpoint.starts_with("http://"), "{arguments:?} said {endpoint:?}");
        Self { input: process.stdin.take(), process, endpoint: endpoint.trim().to_owned() }
    }

    /// CPU seconds so far, all threads, user and system.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name may hold spaces; user and system time are the 12th and 13th number behind it, in hundredths of a second.
        let behind_name = stat.rsplit_once(") ").unwrap().1;
        let ticks: u64 = behind_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        ticks as f64 / 100.0
    }

    /// Megabytes of its own memory, without files that it looks at.
    pub(crate) fn own_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        own.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1e3
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

/// The service; serves until standard input ends, says where.
pub(crate) async fn serve(options: &Options) {
    let arguments = [
        "kindred",
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--max-message-mib=64",
        &format!("--mirror-ef-search={}", options.ef),
        &format!("--mirror-mib={}", options.memory_mib),
        &format!("--data-dir={}", options.data_dir),
    ];
    let settings = <Defaults as clap::Parser>::parse_from(arguments).settings;
    let mut config = Config::from_settings(&settings).unwrap();
    let owner = Some(options.owner_url.clone()).filter(|url| !url.is_empty());
    config.database = DatabaseChoice::Given { app: options.app_url.clone(), owner };
    let ready = Arc::new(Ready { model: model(options.wanted.dimensions) });
    let application = match options.local_model {
        true => Application::start(&config, Mode::Service).await,
        false => Application::start_with(&config, Mode::Service, vec![ready]).await,
    };
    let application = application.unwrap();
    let service = runtime::serve(application, &config).await.unwrap();
    println!("http://{}", service.address());
    input_ended().await;
    service.stop().await;
}
