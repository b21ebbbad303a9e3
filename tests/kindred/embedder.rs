//! A small deterministic embedder: texts that share words are alike.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kindred::domain::{Model, Purpose, Vector};
use kindred::embed::{EmbedError, EmbedFuture, Embedder};
use tokio::sync::watch;

pub const MODEL: &str = "words-64";
pub const DIMENSIONS: usize = 64;
/// Texts that hold this word are refused, as a provider refuses some inputs.
pub const REFUSED: &str = "unembeddable";

pub struct WordEmbedder {
    model: Model,
    embedded: AtomicUsize,
    calls: watch::Sender<usize>,
    down: AtomicBool,
    slow: AtomicBool,
}

impl WordEmbedder {
    pub fn new() -> Self {
        let model = Model {
            id: MODEL.parse().unwrap(),
            provider: "test".to_owned(),
            name: "words".to_owned(),
            dimensions: DIMENSIONS,
            normalized: true,
            document_prefix: String::new(),
            query_prefix: String::new(),
            max_input_tokens: 50,
        };
        Self {
            model,
            embedded: AtomicUsize::new(0),
            calls: watch::Sender::new(0),
            down: AtomicBool::new(false),
            slow: AtomicBool::new(false),
        }
    }

    /// How many texts were embedded so far.
    pub fn embedded(&self) -> usize {
        self.embedded.load(Ordering::SeqCst)
    }

    /// Waits for the next call: what was sent to the service has come as far as here.
    pub fn called(&self) -> impl Future<Output = ()> + use<> {
        // Counted from here on, not from when the future is first polled.
        let mut calls = self.calls.subscribe();
        async move { calls.changed().await.unwrap() }
    }

    /// Makes it fail as a provider that is down, or work again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Makes every call take two seconds.
    pub fn set_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::SeqCst);
    }

    async fn run(&self, texts: Vec<String>) -> Result<Vec<Vector>, EmbedError> {
        self.calls.send_modify(|calls| *calls += 1);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(EmbedError::Unavailable { reason: "it is down".to_owned(), retry_after: None });
        }
        if texts.iter().any(|text| text.contains(REFUSED)) {
            return Err(EmbedError::Rejected { reason: format!("{REFUSED} is not allowed") });
        }
        self.embedded.fetch_add(texts.len(), Ordering::SeqCst);
        Ok(texts.iter().map(|text| words(text)).collect())
    }
}

impl Embedder for WordEmbedder {
    fn model(&self) -> &Model {
        &self.model
    }

    fn embed(&self, texts: Vec<String>, _purpose: Purpose) -> EmbedFuture<'_> {
        Box::pin(self.run(texts))
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

/// The sum of pseudo-random directions, one a word.
pub fn words(text: &str) -> Vector {
    let mut sum = vec![0.0_f32; DIMENSIONS];
    for word in text.to_lowercase().split_whitespace() {
        let mut state = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        for component in &mut sum {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *component += (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
        }
    }
    Vector::new(sum).unwrap().normalized()
}
