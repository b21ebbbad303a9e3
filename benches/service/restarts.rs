//! How soon memory answers after a restart with a snapshot of everything.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::data::Data;
use crate::database::BenchDatabase;
use crate::options::Options;
use crate::server::Child;

pub(crate) async fn measure(options: &Options) {
    let data = Data::new(&options.wanted);
    println!("{} vectors of {} dimensions", data.rows.len(), data.dimensions);
    let database = BenchDatabase::start(data.dimensions).await;
    // Cold searches meanwhile are few, and nobody waits for them.
    let options = Options { settles: false, ..options.clone() };
    let (_, key) = database.organization("bench").await;
    let mut kindred = Child::kindred(&options, &database);
    let client = Client::connect(&kindred, &key).await;
    client.ingest(&data).await;
    client.warm(&data, options.ef).await;
    let whole = (data.rows.len() * data.dimensions * size_of::<f32>()) as u64;
    while kept(&database) < whole {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for _ in 0..options.restarts {
        kindred.stop();
        let begun = Instant::now();
        kindred = Child::kindred(&options, &database);
        Client::connect(&kindred, &key).await.until_hot(&data, options.ef, begun).await;
    }
    kindred.stop();
    database.stop().await;
}

/// The bytes of the largest snapshot.
fn kept(database: &BenchDatabase) -> u64 {
    let files = std::fs::read_dir(database.folder().join("service/snapshots")).into_iter().flatten().flatten();
    let kept = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "snapshot"));
    kept.map(|file| file.metadata().map_or(0, |about| about.len())).max().unwrap_or_default()
}
