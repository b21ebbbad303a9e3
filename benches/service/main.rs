//! Measures searches over gRPC against an echo of the same messages and against pgvector, in one run on one machine.
//!
//! ```sh
//! cargo bench --bench service -- [--rows N] [--dimensions D] [--queries N] [--seconds S] [--ef N] [--vectors FILE]
//!     [--texts FILE] [--mixed N] [--writes N] [--tenants N] [--memory-mib N] [--ingest-texts N]
//! ```
//!
//! The service, with authentication, metrics and traces on, and the echo each run in a process of their own, whose CPU
//! time the system counts; the client shares the machine with them, as it does with pgvector, which answers the same
//! queries by prepared SQL over as many connections, and with the Postgres of both, which fsyncs. `--writes N` upserts N
//! vectors a second while searches run. `--tenants N` shares the rows among N organizations of skewed sizes and measures
//! a skewed load instead, with `--memory-mib` for the mirror. `--ingest-texts N` measures instead how fast N of the texts
//! come in, against the embedder alone.
#![allow(clippy::unwrap_used)]

mod client;
mod database;
mod echo;
mod options;
mod peer;
mod server;
mod tenants;
mod texts;

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

fn main() {
    let options = Options::from_arguments(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match options.child.as_deref() {
        Some("echo") => runtime.block_on(echo::serve()),
        Some("kindred") => runtime.block_on(server::serve(&options)),
        Some(other) => panic!("--child {other} is not known"),
        None if options.ingest_texts > 0 => runtime.block_on(texts::measure(&options)),
        None if options.tenants > 1 => runtime.block_on(tenants::measure(&options)),
        None => runtime.block_on(measure(&options)),
    }
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
    let database = BenchDatabase::start(data.dimensions).await;
    let (_, key) = database.organization("bench").await;
    let kindred = Child::kindred(options, &database);
    Client::connect(&kindred, &key).await.ingest(&data).await;
    kindred.stop();
    let (owner, model) = database.owner();
    peer::settle(&database.url("kindred_owner"), owner, model).await;

    // What the first process left on the disk is a snapshot of a partition that was still growing.
    std::fs::remove_dir_all(database.folder().join("service")).unwrap();
    print!("read from Postgres: ");
    let begun = Instant::now();
    let kindred = Child::kindred(options, &database);
    Client::connect(&kindred, &key).await.until_hot(&data, begun).await;
    // The snapshot is written beside the first answers.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    kindred.stop();
    print!("from the snapshot: ");
    let begun = Instant::now();
    let kindred = Child::kindred(options, &database);
    let client = Client::connect(&kindred, &key).await;
    client.until_hot(&data, begun).await;

    let truth = peer::truth(&data);
    let recall = client.recall(&data, &truth).await;
    let echo = Child::echo();
    let floor = Client::connect(&echo, &key).await;
    println!("\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>12}", "", "recall@10", "QPS", "p50 ms", "p99 ms", "CPU µs/query");
    let mut rows: Vec<(usize, Load, Load)> = Vec::new();
    for clients in [1, 4] {
        let ours = client.load(&data, clients, options.seconds, &kindred).await;
        let echoed = floor.load(&data, clients, options.seconds, &echo).await;
        ours.print(&format!("kindred, {clients} at once"), Some(recall));
        echoed.print(&format!("tonic echo, {clients} at once"), None);
        rows.push((clients, ours, echoed));
    }
    echo.stop();
    println!("kindred's own memory: {:.0} MB", kindred.own_megabytes());
    let peers = peer::pgvector(&database.url("kindred_owner"), &data, &truth, options.seconds).await;
    for (clients, ours, echoed) in &rows {
        println!(
            "{clients} at once: {:.2} x the CPU and {:.2} x the QPS of the echo",
            ours.cpu_microseconds / echoed.cpu_microseconds,
            ours.qps / echoed.qps
        );
        for (name, recall, load) in peers.iter().filter(|(_, _, load)| load.clients == *clients) {
            println!("{clients} at once: {:.2} x the QPS of {name} at recall {recall:.3}", ours.qps / load.qps);
        }
    }
    for rate in [options.writes / 10, options.writes].into_iter().filter(|rate| *rate > 0) {
        let ours = client.load_while_writing(&data, rate, options.seconds.max(20), &kindred).await;
        ours.print(&format!("kindred, 1 at once, {rate} writes/s"), None);
        println!("p99 while writing / p99 at rest: {:.2}", ours.p99_ms / rows[0].1.p99_ms);
    }
    if options.writes > 0 {
        let rate = client.upsert_singly(&data, 16, options.seconds).await;
        println!("upserted by 16 callers, one at a time: {rate:.0} vectors/s");
    }
    kindred.stop();
    database.stop().await;
}
