//! The local model that is brought along.

use kindred::domain::Purpose;
use kindred::embed::{Embedder, LocalEmbedder, LocalSettings};
use kindred::embedded::{Part, fetch};

use crate::postgres::fetch_settings;

async fn minilm() -> LocalEmbedder {
    let folder = fetch(&Part::local_model(), &fetch_settings()).await.expect("the model was fetched");
    tokio::task::spawn_blocking(|| LocalEmbedder::load(LocalSettings::new(folder)).expect("the model loads"))
        .await
        .unwrap()
}

/// The figures are those of the reference implementation (sentence-transformers).
#[tokio::test(flavor = "multi_thread")]
async fn similarities_are_those_of_the_reference() {
    let model = minilm().await;
    for (one, other, expected) in [
        ("The cat sits outside", "The cat plays in the garden", 0.6788),
        ("The new movie is awesome", "The new movie is so great", 0.8939),
        ("I love pasta", "Do you like pizza?", 0.5096),
    ] {
        let vectors = model.embed(vec![one.to_owned(), other.to_owned()], Purpose::Document).await.unwrap();
        let similarity: f32 = vectors[0].as_slice().iter().zip(vectors[1].as_slice()).map(|(a, b)| a * b).sum();
        assert!((similarity - expected).abs() < 0.001, "{one} / {other}: {similarity}, expected {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gives_what_single_texts_give_in_their_order() {
    let model = minilm().await;
    let texts: Vec<String> = (1..40).map(|n| "kaffee ".repeat(n % 13 + 1) + &n.to_string()).collect();
    let together = model.embed(texts.clone(), Purpose::Document).await.unwrap();
    for (text, batched) in texts.into_iter().zip(together) {
        let alone = model.embed(vec![text], Purpose::Document).await.unwrap().remove(0);
        let difference =
            alone.as_slice().iter().zip(batched.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{difference}");
    }
    assert_eq!(model.model().dimensions, 384);
    assert!(model.count_tokens(&"coffee ".repeat(400)) >= 400, "texts are never cut silently");
}
