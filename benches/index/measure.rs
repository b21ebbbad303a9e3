//! How indexes are measured beside each other: CPU times of the system, recall, and the curves that come of it.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::data::Data;

/// The best ten of each query, by the number of the row.
pub(crate) type Answers = Vec<Vec<usize>>;

/// How many results are compared.
pub(crate) const K: usize = 10;

/// How hard searches try.
const EFS: [usize; 17] = [16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 768];

/// How often an index is asked with one ef.
const ROUNDS: usize = 5;

/// A recall past which nothing is of interest.
const ENOUGH: f64 = 0.995;

/// An index that is built.
pub(crate) trait Index {
    /// What is known of it before anything is searched.
    fn built(&self) -> Curve;

    /// How many of the rounds it takes part in.
    fn rounds(&self) -> usize {
        ROUNDS
    }

    /// Answers every query once.
    fn round(&mut self, ef: usize, data: &Data, truth: &Answers) -> Point;
}

/// Searches by growing ef, all indexes in turn, in several rounds: so whatever else the machine does meanwhile comes over
/// all of them, and of each point the best round counts.
pub(crate) fn sweep(indexes: &mut [Box<dyn Index + '_>], data: &Data, truth: &Answers) -> Vec<Curve> {
    let mut curves: Vec<Curve> = indexes.iter().map(|index| index.built()).collect();
    for round in 0..ROUNDS {
        for (at, ef) in EFS.into_iter().enumerate() {
            for (index, curve) in indexes.iter_mut().zip(&mut curves) {
                let wanted = at < curve.points.len() || (round == 0 && !curve.is_complete());
                if !wanted || round >= index.rounds() {
                    continue;
                }
                let point = index.round(ef, data, truth);
                match curve.points.get_mut(at) {
                    Some(best) if best.times.cpu <= point.times.cpu => {}
                    Some(best) => *best = point,
                    None => curve.points.push(point),
                }
            }
        }
    }
    for curve in &curves {
        curve.points.iter().for_each(|point| print_search(&curve.name, *point));
    }
    curves
}

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

    fn is_complete(&self) -> bool {
        self.points.last().is_some_and(|point| point.recall >= ENOUGH)
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

/// Answers every query once: the answers, and the times.
pub(crate) fn timed<T>(queries: usize, mut answer: impl FnMut(usize) -> T) -> (Vec<T>, Times) {
    let mut took = Vec::with_capacity(queries);
    let begun = seconds(ClockId::ThreadCPUTime);
    let answers = (0..queries)
        .map(|query| {
            let begun = Instant::now();
            let answer = answer(query);
            took.push(begun.elapsed().as_secs_f64() * 1e6);
            answer
        })
        .collect();
    let cpu = (seconds(ClockId::ThreadCPUTime) - begun) * 1e6 / queries as f64;
    took.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    (answers, Times { cpu, p50: at(0.5), p99: at(0.99) })
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
