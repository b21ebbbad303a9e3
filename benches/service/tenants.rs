//! Many organizations of skewed sizes under a skewed load, with less memory than all of them would take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kindred::grpc::proto::ServedBy;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::client::{Client, at};
use crate::data::{Data, Wanted};
use crate::database::BenchDatabase;
use crate::options::Options;
use crate::server::Child;

/// Organizations take their rows from so many different vectors.
const POOL: usize = 50_000;
/// The most calls at once.
const CLIENTS: usize = 4;

/// An organization.
#[derive(Clone)]
struct Tenant {
    client: Client,
    rows: usize,
}

pub(crate) async fn measure(options: &Options) {
    let data = Arc::new(Data::new(&Wanted { rows: options.wanted.rows.min(POOL), ..options.wanted.clone() }));
    let sizes = sizes(options.tenants, options.wanted.rows);
    let all: usize = sizes.iter().sum();
    println!("{} organizations of {} to {} rows, {all} in all", sizes.len(), sizes[sizes.len() - 1], sizes[0]);
    let database = BenchDatabase::start(data.dimensions).await;
    // Nobody settles rows here.
    let options = Options { settles: false, ..options.clone() };
    let mut kindred = Child::kindred(&options, &database);
    let mut tenants = organizations(&database, &kindred, &sizes).await;
    let begun = Instant::now();
    ingest(&tenants, &data).await;
    println!("upserted by {CLIENTS} streams: {:.0} vectors/s", all as f64 / begun.elapsed().as_secs_f64());
    kindred.stop();
    kindred = Child::kindred(&options, &database);
    let client = Client::connect(&kindred, "").await;
    tenants.iter_mut().for_each(|tenant| tenant.client = tenant.client.on(&client));

    println!(
        "\n{:<38} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "QPS", "hit rate", "p50 hot", "p99 hot", "p50 cold", "p99 cold", "CPU µs", "MB"
    );
    let skewed = Choice::skewed(tenants.len());
    let seconds = options.seconds;
    load("skewed, nothing loaded", &tenants, &data, &skewed, seconds, &kindred).await;
    load("skewed, warming up", &tenants, &data, &skewed, 6 * seconds, &kindred).await;
    load("skewed", &tenants, &data, &skewed, seconds, &kindred).await;
    let stop = Arc::new(AtomicBool::new(false));
    let scanning = scan(tenants.clone(), Arc::clone(&data), Arc::clone(&stop));
    let mut scanner = JoinSet::new();
    scanner.spawn(scanning);
    load("skewed, and a scan over all", &tenants, &data, &skewed, 2 * seconds, &kindred).await;
    stop.store(true, Ordering::Relaxed);
    let scanned: usize = scanner.join_all().await.into_iter().sum();
    load(&format!("skewed, {scanned} of all scanned before"), &tenants, &data, &skewed, seconds, &kindred).await;
    // The smallest ones are as large as each other.
    let smallest = |count: usize| Choice::evenly(tenants.len() - count.min(tenants.len() / 2)..tenants.len());
    for count in [1, 100, tenants.len()] {
        let choice = smallest(count);
        let name = format!("evenly, {} of the smallest", choice.tenants());
        load(&format!("{name}, warming up"), &tenants, &data, &choice, 2 * seconds, &kindred).await;
        load(&name, &tenants, &data, &choice, seconds, &kindred).await;
    }
    kindred.stop();
    database.stop().await;
}

/// Sizes that fall as one over the rank, the largest first, and together come to about `rows`.
fn sizes(tenants: usize, rows: usize) -> Vec<usize> {
    let share = |rank: usize| 1.0 / (rank as f64 + 5.0);
    let all: f64 = (0..tenants).map(share).sum();
    (0..tenants).map(|rank| ((rows as f64 * share(rank) / all) as usize).max(1)).collect()
}

async fn organizations(database: &BenchDatabase, kindred: &Child, sizes: &[usize]) -> Vec<Tenant> {
    let client = Client::connect(kindred, "").await;
    let mut tenants = Vec::with_capacity(sizes.len());
    for (at, rows) in sizes.iter().enumerate() {
        let (_, key) = database.organization(&format!("tenant-{at}")).await;
        tenants.push(Tenant { client: client.with_key(&key), rows: *rows });
    }
    tenants
}

async fn ingest(tenants: &[Tenant], data: &Arc<Data>) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..CLIENTS {
        let (tenants, data, next) = (tenants.to_vec(), Arc::clone(data), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(tenant) = tenants.get(at) else { return };
                let row = |number: usize| (number, &data.rows[(at * 977 + number) % data.rows.len()]);
                tenant.client.upsert((0..tenant.rows).map(row)).await;
            }
        });
    }
    writers.join_all().await;
}

/// Which organization is searched next: the more popular, the more often.
#[derive(Clone)]
struct Choice {
    /// Where each one's share of the whole ends.
    ends: Arc<Vec<f64>>,
    tenants: Arc<Vec<usize>>,
}

impl Choice {
    /// By one over the rank (Zipf's law), which has nothing to do with the size.
    fn skewed(tenants: usize) -> Self {
        let mut order: Vec<usize> = (0..tenants).collect();
        order.shuffle(&mut StdRng::seed_from_u64(3));
        Self::new(order, |rank| 1.0 / (rank as f64 + 1.0))
    }

    fn evenly(tenants: std::ops::Range<usize>) -> Self {
        Self::new(tenants.collect(), |_| 1.0)
    }

    fn new(tenants: Vec<usize>, share: impl Fn(usize) -> f64) -> Self {
        let mut end = 0.0;
        let mut ends = Vec::with_capacity(tenants.len());
        for rank in 0..tenants.len() {
            end += share(rank);
            ends.push(end);
        }
        Self { ends: Arc::new(ends), tenants: Arc::new(tenants) }
    }

    fn tenants(&self) -> usize {
        self.tenants.len()
    }

    fn next(&self, random: &mut StdRng) -> usize {
        let at = random.random_range(0.0..self.ends[self.ends.len() - 1]);
        self.tenants[self.ends.partition_point(|end| *end <= at).min(self.tenants.len() - 1)]
    }
}

/// Searches without a pause and prints what that came to.
async fn load(name: &str, tenants: &[Tenant], data: &Arc<Data>, choice: &Choice, seconds: u64, server: &Child) {
    let (cpu, begun) = (server.cpu_seconds(), Instant::now());
    let until = begun + Duration::from_secs(seconds);
    let mut callers = JoinSet::new();
    for caller in 0..CLIENTS {
        let (tenants, data, choice) = (tenants.to_vec(), Arc::clone(data), choice.clone());
        callers.spawn(async move {
            let mut random = StdRng::seed_from_u64(caller as u64);
            let (mut hot, mut cold) = (Vec::new(), Vec::new());
            while Instant::now() < until {
                let tenant = &tenants[choice.next(&mut random)];
                let query = &data.queries[random.random_range(0..data.queries.len())];
                let begun = Instant::now();
                let answer = tenant.client.search(query).await;
                let took = begun.elapsed().as_secs_f64() * 1e3;
                assert_eq!(answer.results.len(), crate::K.min(tenant.rows));
                if answer.served_by() == ServedBy::Postgres { cold.push(took) } else { hot.push(took) }
            }
            (hot, cold)
        });
    }
    let (hot, cold): (Vec<_>, Vec<_>) = callers.join_all().await.into_iter().unzip();
    let (hot, cold) = (sorted(hot.concat()), sorted(cold.concat()));
    let searches = hot.len() + cold.len();
    println!(
        "{name:<38} {:>7.0} {:>9.4} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.1} {:>7.0}",
        searches as f64 / begun.elapsed().as_secs_f64(),
        hot.len() as f64 / searches as f64,
        at(&hot, 0.5),
        at(&hot, 0.99),
        at(&cold, 0.5),
        at(&cold, 0.99),
        (server.cpu_seconds() - cpu) * 1e6 / searches as f64,
        server.own_megabytes(),
    );
}

/// Searches one organization after the other once, until told to stop; tells how many.
async fn scan(tenants: Vec<Tenant>, data: Arc<Data>, stop: Arc<AtomicBool>) -> usize {
    for (at, tenant) in tenants.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return at;
        }
        tenant.client.search(&data.queries[at % data.queries.len()]).await;
    }
    tenants.len()
}

fn sorted(mut took: Vec<f64>) -> Vec<f64> {
    took.sort_unstable_by(f64::total_cmp);
    took
}
