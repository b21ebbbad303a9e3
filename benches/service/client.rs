//! A client over gRPC, and what it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kindred::grpc::proto::embedding_service_client::EmbeddingServiceClient;
use kindred::grpc::proto::search_service_client::SearchServiceClient;
use kindred::grpc::proto::{
    ChunkDraft, Draft, EntityRef, SearchRequest, SearchResponse, ServedBy, UpsertEmbeddingRequest,
    UpsertEmbeddingsRequest, Vector, search_request,
};
use kindred::index::Settings;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

use crate::K;
use crate::data::{Data, mixed};
use crate::machine::{SLICE, Slice, longest, quietest};
use crate::server::Child;

/// So long is searched before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// What a load of searches came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) qps: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of the server alone; 0 where it was not counted.
    pub(crate) cpu_microseconds: f64,
    /// Which share of the machine's time others took, 0 to 1.
    pub(crate) stolen: f64,
}

impl Load {
    /// From what was measured.
    pub(crate) fn of(clients: usize, slices: Vec<Slice>) -> Self {
        let sum = |of: fn(&Slice) -> f64| slices.iter().map(of).sum::<f64>();
        let (elapsed, cpu_seconds) = (sum(|slice| slice.elapsed), sum(|slice| slice.cpu_seconds));
        let stolen = sum(|slice| slice.stolen) / slices.len() as f64;
        let mut took: Vec<f64> = slices.into_iter().flat_map(|slice| slice.took).collect();
        took.sort_unstable_by(f64::total_cmp);
        Self {
            clients,
            qps: took.len() as f64 / elapsed,
            p50_ms: at(&took, 0.5) * 1e3,
            p99_ms: at(&took, 0.99) * 1e3,
            cpu_microseconds: cpu_seconds * 1e6 / took.len() as f64,
            stolen,
        }
    }

    /// The head of the table.
    pub(crate) fn print_head() {
        println!(
            "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9}",
            "", "recall@10", "QPS", "p50 ms", "p99 ms", "CPU µs/query", "stolen %"
        );
    }

    /// A line of the table.
    pub(crate) fn print(&self, name: &str, recall: Option<f64>) {
        let recall = recall.map_or(String::new(), |recall| format!("{recall:.4}"));
        let cpu = if self.cpu_microseconds > 0.0 { format!("{:.1}", self.cpu_microseconds) } else { String::new() };
        println!(
            "{name:<34} {recall:>9} {:>9.0} {:>9.3} {:>9.3} {cpu:>12} {:>9.1}",
            self.qps,
            self.p50_ms,
            self.p99_ms,
            self.stolen * 100.0
        );
    }
}

/// The time that this share of the calls did not exceed, of times in order; not a number where there were none.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

async fn connected(endpoint: &str) -> Channel {
    Channel::from_shared(endpoint.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap()
}

/// Calls one server.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    authorization: tonic::metadata::MetadataValue<tonic::metadata::Ascii>,
}

impl Client {
    pub(crate) async fn connect(server: &Child, key: &str) -> Self {
        Self { channel: connected(&server.endpoint).await, authorization: format!("Bearer {key}").parse().unwrap() }
    }

    /// On the same connection with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { channel: self.channel.clone(), authorization: format!("Bearer {key}").parse().unwrap() }
    }

    /// With the same key on another's connection.
    pub(crate) fn on(&self, other: &Self) -> Self {
        Self { channel: other.channel.clone(), authorization: self.authorization.clone() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    pub(crate) async fn search(&self, query: &[f32]) -> SearchResponse {
        let message = SearchRequest {
            query: Some(search_request::Query::Vector(Vector { values: query.to_vec() })),
            limit: Some(K as i32),
            ..SearchRequest::default()
        };
        SearchServiceClient::new(self.channel.clone()).search(self.request(message)).await.unwrap().into_inner()
    }

    /// Streams every row in, and tells at which rate they were acknowledged.
    pub(crate) async fn ingest(&self, data: &Data) {
        let begun = Instant::now();
        self.upsert(data.rows.iter().enumerate()).await;
        let rate = data.rows.len() as f64 / begun.elapsed().as_secs_f64();
        println!("upserted by one stream: {rate:.0} vectors/s, acknowledged, durable and visible");
    }

    /// Searches until the mirror answers, and then until it does by a graph, where there are rows enough for one at this
    /// ef_search; tells since when that took how long, and how searches fared meanwhile.
    pub(crate) async fn until_hot(&self, data: &Data, ef: usize, since: Instant) {
        let mut by_postgres = Vec::new();
        let mut scanned = Vec::new();
        loop {
            let begun = Instant::now();
            let query = &data.queries[(by_postgres.len() + scanned.len()) % data.queries.len()];
            let served_by = self.search(query).await.served_by();
            let took = begun.elapsed().as_secs_f64() * 1e3;
            if served_by == ServedBy::Postgres {
                by_postgres.push(took);
            } else {
                if scanned.is_empty() {
                    print!("from memory {:.2} s after the start of the process", since.elapsed().as_secs_f64());
                }
                if served_by == answers(data, ef) {
                    println!(", by its graph after {:.2} s", since.elapsed().as_secs_f64());
                    break;
                }
                scanned.push(took);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (mut took, by) in [(by_postgres, "Postgres"), (scanned, "scans of memory")] {
            took.sort_unstable_by(f64::total_cmp);
            if let Some(longest) = took.last() {
                println!(
                    "  {} searches answered by {by}, p50 {:.1} ms, at most {longest:.0} ms",
                    took.len(),
                    at(&took, 0.5)
                );
            }
        }
    }

    /// Searches until the mirror answers by a graph, or, where there are too few rows for one at this ef_search, at all.
    pub(crate) async fn warm(&self, data: &Data, ef: usize) {
        while self.search(&data.queries[0]).await.served_by() != answers(data, ef) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// So many callers upsert one row at a time by the unary call, under numbers from `first` on: rows a second.
    pub(crate) async fn upsert_singly(&self, data: &Data, first: usize, callers: usize, seconds: u64) -> f64 {
        let data = Arc::new(data.clone());
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut writing = JoinSet::new();
        for caller in 0..callers {
            let (client, data) = (self.clone(), data.clone());
            writing.spawn(async move {
                let mut service = EmbeddingServiceClient::new(client.channel.clone());
                let mut written = 0;
                while Instant::now() < until {
                    let number = first + caller + written * callers;
                    let draft = draft(number as u128, fresh(&data, number as u64));
                    let request = client.request(UpsertEmbeddingRequest { draft: Some(draft) });
                    service.upsert_embedding(request).await.unwrap();
                    written += 1;
                }
                written
            });
        }
        writing.join_all().await.into_iter().sum::<usize>() as f64 / seconds as f64
    }

    /// Streams texts in.
    pub(crate) async fn upsert_texts(&self, texts: &[String]) {
        let chunk = |text: &String| ChunkDraft { text: text.clone(), vector: None };
        let draft =
            |text: &String| Draft { chunks: vec![chunk(text)], ..draft(uuid::Uuid::now_v7().as_u128(), vec![]) };
        self.upsert_drafts(texts.iter().map(draft).collect()).await;
    }

    /// Streams rows in, by their numbers.
    pub(crate) async fn upsert<'a>(&self, rows: impl Iterator<Item = (usize, &'a Vec<f32>)>) {
        self.upsert_drafts(rows.map(|(number, vector)| draft(number as u128, vector.clone())).collect()).await;
    }

    async fn upsert_drafts(&self, drafts: Vec<Draft>) {
        self.upsert_messages(messages(&drafts)).await;
    }

    async fn upsert_messages(&self, messages: Vec<UpsertEmbeddingsRequest>) {
        let count: usize = messages.iter().map(|message| message.drafts.len()).sum();
        let mut client = EmbeddingServiceClient::new(self.channel.clone()).max_encoding_message_size(64 << 20);
        let mut answers =
            client.upsert_embeddings(self.request(tokio_stream::iter(messages))).await.unwrap().into_inner();
        let mut acknowledged = 0;
        while let Some(answer) = answers.message().await.unwrap() {
            acknowledged += answer.outcomes.iter().filter(|outcome| outcome.version > 0).count();
        }
        assert_eq!(acknowledged, count, "every vector was accepted");
    }

    /// Recall of the service's answers.
    pub(crate) async fn recall(&self, data: &Data, truth: &[Vec<usize>]) -> f64 {
        let mut found = 0;
        for (query, truth) in data.queries.iter().zip(truth) {
            let answer = self.search(query).await;
            let rows = answer.results.iter().map(|hit| number_of(&hit.entity.as_ref().unwrap().id));
            found += rows.filter(|row| truth.contains(row)).count();
        }
        found as f64 / (data.queries.len() * K) as f64
    }

    /// So many callers search without a pause, after warming up.
    pub(crate) async fn load(&self, data: &Data, clients: usize, seconds: u64, server: &Child) -> Load {
        self.run(data, clients, WARM_UP).await;
        let run = async || self.run(data, clients, SLICE).await;
        Load::of(clients, quietest(seconds, run, || server.cpu_seconds()).await)
    }

    /// One caller searches this server, or calls an echo, while another upserts into `written` so many vectors a second, so
    /// many milliseconds apart those that come together. Who writes is another program in the end: here it has a thread, a
    /// runtime and a connection of its own.
    pub(crate) async fn load_while_writing(
        &self,
        written: &Child,
        data: &Data,
        writes: Writes,
        seconds: u64,
        server: &Child,
    ) -> Load {
        let Writes { rate, apart, replace } = writes;
        // All of them before, since to make them takes time, too.
        let most = rate * (longest(seconds) + 2 * WARM_UP.as_secs());
        let (first, numbers) = if replace { (0, data.rows.len() as u64) } else { (1_000_000, 20_000) };
        let fresh = |at: u64| draft(first + u128::from(at % numbers), fresh(data, rate << 32 | at));
        let batch = (rate * apart / 1_000).max(1);
        let together = |first| messages(&(first..first + batch).map(fresh).collect::<Vec<_>>());
        let batches: Vec<_> = (0..most).step_by(batch as usize).map(together).collect();
        let (endpoint, authorization) = (written.endpoint.clone(), self.authorization.clone());
        let (done, stop) = tokio::sync::oneshot::channel();
        let writing = std::thread::spawn(move || {
            let write = async {
                let writer = Self { channel: connected(&endpoint).await, authorization };
                writer.upsert_evenly(batches, Duration::from_millis(apart)).await;
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = write => {}
                    _ = stop => {}
                }
            });
        });
        let load = self.load(data, 1, seconds, server).await;
        done.send(()).unwrap();
        writing.join().unwrap();
        load
    }

    /// Upserts one batch after the other, so far apart.
    async fn upsert_evenly(&self, batches: Vec<Vec<UpsertEmbeddingsRequest>>, apart: Duration) {
        let mut tick = tokio::time::interval(apart);
        for messages in batches {
            tick.tick().await;
            self.upsert_messages(messages).await;
        }
    }

    async fn run(&self, data: &Data, clients: usize, lasts: Duration) -> Vec<f64> {
        let queries = Arc::new(data.queries.clone());
        let next = Arc::new(AtomicUsize::new(0));
        let until = Instant::now() + lasts;
        let mut callers = JoinSet::new();
        for _ in 0..clients {
            let (client, queries, next) = (self.clone(), queries.clone(), next.clone());
            callers.spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let query = &queries[next.fetch_add(1, Ordering::Relaxed) % queries.len()];
                    let begun = Instant::now();
                    client.search(query).await;
                    took.push(begun.elapsed().as_secs_f64());
                }
                took
            });
        }
        callers.join_all().await.concat()
    }
}

/// What is written beside searches.
#[derive(Clone, Copy)]
pub(crate) struct Writes {
    /// Vectors a second.
    pub(crate) rate: u64,
    /// How many milliseconds lie between those that come together.
    pub(crate) apart: u64,
    /// Whether they take the place of rows that are there.
    pub(crate) replace: bool,
}

/// What answers searches of these rows at this ef_search, once it is built.
fn answers(data: &Data, ef: usize) -> ServedBy {
    let Settings { exact_below, rows_a_candidate, .. } = Settings::DEFAULT;
    if data.rows.len() < exact_below.max(ef * rows_a_candidate) { ServedBy::MirrorExact } else { ServedBy::MirrorHnsw }
}

/// Drafts as they are streamed in.
fn messages(drafts: &[Draft]) -> Vec<UpsertEmbeddingsRequest> {
    drafts.chunks(500).map(|drafts| UpsertEmbeddingsRequest { drafts: drafts.to_vec() }).collect()
}

fn draft(number: u128, values: Vec<f32>) -> Draft {
    Draft {
        item_id: number.to_string(),
        entity: Some(EntityRef { r#type: "post".to_owned(), id: uuid::Uuid::from_u128(number).to_string() }),
        chunks: vec![ChunkDraft { text: String::new(), vector: Some(Vector { values }) }],
        ..Draft::default()
    }
}

fn number_of(id: &str) -> usize {
    uuid::Uuid::parse_str(id).unwrap().as_u128() as usize
}

/// A vector that is like those of the rows and equal to none of them, always the same for a number.
fn fresh(data: &Data, number: u64) -> Vec<f32> {
    mixed(&data.rows, 1, &mut StdRng::seed_from_u64(number)).swap_remove(0)
}
