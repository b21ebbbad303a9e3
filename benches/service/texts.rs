//! Texts that are embedded on the way in, against the embedder alone.

use std::fs;
use std::time::Instant;

use kindred::domain::Purpose;
use kindred::embed::Embedder;

use crate::client::Client;
use crate::data::local_embedder;
use crate::database::BenchDatabase;
use crate::options::Options;
use crate::server::Child;

/// Texts that are embedded first, so that both begin warm.
const WARM_UP: usize = 64;

pub(crate) async fn measure(options: &Options) {
    let file = options.wanted.texts.as_ref().expect("--ingest-texts goes with --texts");
    let texts: Vec<String> = fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    // Every other text, so that both embed texts of the same kind.
    let of = |which: usize| texts.iter().skip(which).step_by(2).take(options.ingest_texts).cloned().collect();
    let (alone, through): (Vec<String>, Vec<String>) = (of(0), of(1));

    let embedder = local_embedder().await;
    embedder.embed(alone[..WARM_UP].to_vec(), Purpose::Document).await.unwrap();
    let begun = Instant::now();
    for group in alone.chunks(1_024) {
        embedder.embed(group.to_vec(), Purpose::Document).await.unwrap();
    }
    let alone = alone.len() as f64 / begun.elapsed().as_secs_f64();
    let model = embedder.model().id.clone();
    drop(embedder);

    let database = BenchDatabase::start(options.wanted.dimensions).await;
    let kindred = Child::kindred(&Options { local_model: true, ..options.clone() }, &database);
    let (_, key) = database.organization_with("texts", &model).await;
    let client = Client::connect(&kindred, &key).await;
    client.upsert_texts(&texts[texts.len() - WARM_UP..]).await;
    let begun = Instant::now();
    client.upsert_texts(&through).await;
    let through = through.len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "embedder alone: {alone:.0} texts/s; upserted by one stream: {through:.0} texts/s ({:.2} x)",
        through / alone
    );
    kindred.stop();
    database.stop().await;
}
