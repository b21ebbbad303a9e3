//! CPU times of the system, and recall.

use rustix::time::{ClockId, clock_gettime};

/// The best ten of each query, by the number of the row.
pub(crate) type Answers = Vec<Vec<usize>>;

/// How many results are compared.
pub(crate) const K: usize = 10;

/// CPU seconds of this process so far, all threads, user and system.
pub(crate) fn process_cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Answers every query some times over: the answers, and CPU microseconds a query in the best round.
pub(crate) fn timed<T>(queries: usize, rounds: usize, mut answer: impl FnMut(usize) -> T) -> (Vec<T>, f64) {
    let mut least = f64::INFINITY;
    let mut answers = Vec::new();
    for _ in 0..rounds {
        let begun = seconds(ClockId::ThreadCPUTime);
        answers = (0..queries).map(&mut answer).collect();
        least = least.min((seconds(ClockId::ThreadCPUTime) - begun) * 1e6 / queries as f64);
    }
    (answers, least)
}

/// The share of the true answers that was found.
pub(crate) fn recall(found: &Answers, truth: &Answers) -> f64 {
    let hits = |(found, truth): (&Vec<usize>, &Vec<usize>)| truth.iter().filter(|row| found.contains(row)).count();
    let all: usize = truth.iter().map(Vec::len).sum();
    found.iter().zip(truth).map(hits).sum::<usize>() as f64 / all.max(1) as f64
}

/// A line of the table of searches.
pub(crate) fn print_search(name: &str, ef: usize, recall: f64, microseconds: f64) {
    println!("{name:<28} ef {ef:>5}  recall@{K} {recall:.4}  {microseconds:>8.1} µs/query");
}

/// A line of the table of builds.
pub(crate) fn print_build(name: &str, cpu_seconds: f64, bytes: u64, raw: u64) {
    let share = bytes as f64 / raw as f64;
    println!("{name:<28} built in {cpu_seconds:.1} CPU s, {:.1} MB ({share:.2} x the vectors)", bytes as f64 / 1e6);
}
