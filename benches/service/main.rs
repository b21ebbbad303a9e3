//! Measures searches over gRPC against an echo of the same messages and against pgvector, in one run on one machine.
//!
//! ```sh
//! cargo bench --bench service -- [--rows N] [--dimensions D] [--queries N] [--seconds S] [--vectors FILE]
//!     [--texts FILE] [--mixed N] [--writes N] [--writes-apart MS] [--writes-replace true] [--settles false]
//!     [--beside-writes EF] [--upserts N,…] [--restarts N] [--tenants N] [--memory-mib N] [--ingest-texts N]
//! ```
//!
//! The service, with authentication, metrics and traces on, and the echo each run in a process of their own, whose CPU
//! time the system counts; the client shares the machine with them, as it does with pgvector, which answers the same
//! queries by prepared SQL over as many connections, and with the Postgres of both, which fsyncs. Each is compared at the
//! least effort that reaches a recall. `--writes N` upserts N vectors a second while searches run, a tenth of it, and three
//! times as many, `--writes-apart MS` (100) milliseconds apart those that come together; 0 leaves that out.
//! `--writes-replace true` gives rows that are there other vectors, instead of writing new ones. `--settles false` leaves the
//! service's own rows out of pgvector's index, which takes a quarter of an hour for a million; the peer's has them
//! nevertheless.
//!
//! Others measure one thing alone. `--beside-writes EF`: searches by this ef_search, at rest and beside writes.
//! `--upserts 1,16`: how fast vectors come in, by one stream and then one at a time by so many callers. `--restarts N`: how
//! soon memory answers after so many restarts with a snapshot. `--tenants N`: a skewed load on N organizations of skewed
//! sizes, which share the rows, with `--memory-mib` for the mirror. `--ingest-texts N`: how fast N of the texts come in,
//! against the embedder alone.
#![allow(clippy::unwrap_used)]

mod beside_writes;
mod client;
mod database;
mod echo;
mod machine;
mod options;
mod peer;
mod restarts;
mod server;
mod tenants;
mod texts;
mod upserts;

use std::time::Instant;

use client::{Client, Load};
use database::BenchDatabase;
use options::Options;
use server::Child;

#[path = "../index/data.rs"]
#[allow(dead_code, reason = "the index's bench hands vectors to other programs, too")]
mod data;

/// How many results are asked for and compared.
const K: usize = 10;
/// What is compared is what reaches these recalls, by the least of these ef_search, with so many callers.
const RECALLS: [f64; 2] = [0.95, 0.99];
const EFS: [usize; 15] = [16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 400, 600, 1_000];
const CLIENTS: [usize; 2] = [1, 4];

fn main() {
    let options = Options::from_arguments(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match options.child.as_deref() {
        Some("echo") => runtime.block_on(echo::serve()),
        Some("kindred") => runtime.block_on(server::serve(&options)),
        Some(other) => panic!("--child {other} is not known"),
        None if options.ingest_texts > 0 => runtime.block_on(texts::measure(&options)),
        None if options.beside_writes > 0 => runtime.block_on(beside_writes::measure(&options)),
        None if !options.upserts.is_empty() => runtime.block_on(upserts::measure(&options)),
        None if options.restarts > 0 => runtime.block_on(restarts::measure(&options)),
        None if options.tenants > 1 => runtime.block_on(tenants::measure(&options)),
        None => runtime.block_on(measure(&options)),
    }
}

/// A database whose vectors came in by one stream and are, where rows are to be settled, all in pgvector's index, and a
/// key to them.
async fn settled(options: &Options, data: &data::Data) -> (BenchDatabase, String) {
    let database = BenchDatabase::start(data.dimensions).await;
    let (_, key) = database.organization("bench").await;
    let kindred = Child::kindred(options, &database);
    Client::connect(&kindred, &key).await.ingest(data).await;
    kindred.stop();
    let (owner, model) = database.owner();
    if options.settles {
        peer::settle(&database.url("kindred_owner"), owner, model).await;
    }
    (database, key)
}

async fn measure(options: &Options) {
    let data = data::Data::new(&options.wanted);
    println!(
        "{} vectors of {} dimensions, {} queries, {} s each",
        data.rows.len(),
        data.dimensions,
        data.queries.len(),
        options.seconds
    );
    let (database, key) = settled(options, &data).await;

    // What the first process left on the disk is a snapshot of a partition that was still growing.
    std::fs::remove_dir_all(database.folder().join("service")).unwrap();
    print!("read from Postgres: ");
    let begun = Instant::now();
    let kindred = Child::kindred(options, &database);
    Client::connect(&kindred, &key).await.until_hot(&data, options.ef, begun).await;
    // The snapshot is written beside the first answers.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    kindred.stop();
    print!("from the snapshot: ");
    let begun = Instant::now();
    let mut kindred = Child::kindred(options, &database);
    let mut client = Client::connect(&kindred, &key).await;
    client.until_hot(&data, options.ef, begun).await;

    let truth = peer::truth(&data);
    let echo = Child::echo();
    let floor = Client::connect(&echo, &key).await;
    Load::print_head();
    let mut measured: Vec<(f64, Load, Load)> = Vec::new();
    let mut efs = EFS.into_iter();
    for wanted in RECALLS {
        let mut recall = 0.0;
        let mut ef = 0;
        while recall < wanted {
            let Some(next) = efs.next() else { panic!("no ef reaches a recall of {wanted}") };
            ef = next;
            kindred.stop();
            kindred = Child::kindred(&Options { ef, ..options.clone() }, &database);
            client = Client::connect(&kindred, &key).await;
            client.warm(&data, ef).await;
            recall = client.recall(&data, &truth).await;
        }
        for clients in CLIENTS {
            let ours = client.load(&data, clients, options.seconds, &kindred).await;
            let echoed = floor.load(&data, clients, options.seconds, &echo).await;
            ours.print(&format!("kindred, ef {ef}, {clients} at once"), Some(recall));
            echoed.print(&format!("tonic echo, {clients} at once"), None);
            measured.push((wanted, ours, echoed));
        }
    }
    println!("kindred's own memory: {:.0} MB", kindred.own_megabytes());
    let peers = peer::pgvector(&database.url("kindred_owner"), &data, &truth, options.seconds).await;
    for (wanted, ours, echoed) in &measured {
        println!(
            "recall {wanted}, {} at once: {:.2} x the CPU and {:.2} x the QPS of the echo",
            ours.clients,
            ours.cpu_microseconds / echoed.cpu_microseconds,
            ours.qps / echoed.qps
        );
        for (_, load) in peers.iter().filter(|(of, load)| of == wanted && load.clients == ours.clients) {
            println!(
                "recall {wanted}, {} at once: {:.2} x the QPS of pgvector; the echo {:.2} x",
                ours.clients,
                ours.qps / load.qps,
                echoed.qps / load.qps
            );
        }
    }
    if options.writes > 0 {
        beside_writes::compare(options, &data, (&client, &kindred), (&floor, &echo)).await;
    }
    echo.stop();
    kindred.stop();
    database.stop().await;
}
