//! CPU times of the system, recall, and what was measured of one index.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// The best ten of each query, by the number of the row.
pub(crate) type Answers = Vec<Vec<usize>>;

/// How many results are compared.
pub(crate) const K: usize = 10;

/// What one index came to on one set of vectors.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) build_cpu_seconds: f64,
    /// Bytes as shares of the raw vectors', where that is known.
    pub(crate) memory: Option<f64>,
    pub(crate) points: Vec<Point>,
}

/// Searches by one ef on one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) ef: usize,
    pub(crate) recall: f64,
    pub(crate) times: Times,
}

/// Microseconds of a query: CPU time on average, and how long half and 99 of 100 took by the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) cpu: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Curve {
    /// Begins one, and says what building took.
    pub(crate) fn built(name: &str, build_cpu_seconds: f64, memory: Option<f64>) -> Self {
        let memory_text = memory.map_or(String::new(), |share| format!(", {share:.2} x the vectors"));
        println!("{name:<28} built in {build_cpu_seconds:.1} CPU s{memory_text}");
        Self { name: name.to_owned(), build_cpu_seconds, memory, points: Vec::new() }
    }

    /// Adds a point, and prints it. Tells whether the recall is as high as is of interest.
    pub(crate) fn add(&mut self, point: Point) -> bool {
        print_search(&self.name, point);
        self.points.push(point);
        point.recall >= 0.995
    }

    /// CPU microseconds at a recall, interpolated between the points beside it; none where it was not reached.
    pub(crate) fn at(&self, recall: f64) -> Option<f64> {
        let above = self.points.iter().position(|point| point.recall >= recall)?;
        let right = self.points[above];
        let Some(left) = above.checked_sub(1).map(|left| self.points[left]) else { return Some(right.times.cpu) };
        let way = (recall - left.recall) / (right.recall - left.recall);
        Some(left.times.cpu + way * (right.times.cpu - left.times.cpu))
    }
}

/// CPU seconds of this process so far, all threads, user and system.
pub(crate) fn process_cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Answers every query some times over: the answers, and the times of the best round.
pub(crate) fn timed<T>(queries: usize, rounds: usize, mut answer: impl FnMut(usize) -> T) -> (Vec<T>, Times) {
    let mut best = Times { cpu: f64::INFINITY, p50: 0.0, p99: 0.0 };
    let mut answers = Vec::new();
    for _ in 0..rounds {
        let mut took = Vec::with_capacity(queries);
        let begun = seconds(ClockId::ThreadCPUTime);
        answers = (0..queries)
            .map(|query| {
                let begun = Instant::now();
                let answer = answer(query);
                took.push(begun.elapsed().as_secs_f64() * 1e6);
                answer
            })
            .collect();
        let cpu = (seconds(ClockId::ThreadCPUTime) - begun) * 1e6 / queries as f64;
        if cpu < best.cpu {
            took.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
            best = Times { cpu, p50: at(0.5), p99: at(0.99) };
        }
    }
    (answers, best)
}

/// The share of the true answers that was found.
pub(crate) fn recall(found: &Answers, truth: &Answers) -> f64 {
    let hits = |(found, truth): (&Vec<usize>, &Vec<usize>)| truth.iter().filter(|row| found.contains(row)).count();
    let all: usize = truth.iter().map(Vec::len).sum();
    found.iter().zip(truth).map(hits).sum::<usize>() as f64 / all.max(1) as f64
}

/// A line of the table of searches.
pub(crate) fn print_search(name: &str, Point { ef, recall, times: Times { cpu, p50, p99 } }: Point) {
    println!(
        "{name:<28} ef {ef:>5}  recall@{K} {recall:.4}  {cpu:>8.1} µs/query  {:>7.0} QPS  p50 {p50:>7.1}  p99 {p99:>7.1} µs",
        1e6 / cpu
    );
}
