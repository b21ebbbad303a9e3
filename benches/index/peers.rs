//! Other implementations on the same data.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use crate::data::Data;
use crate::measure::{Answers, Curve, Index, K, Point, Times, process_cpu_seconds, recall, timed};

const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;

/// 1 - dot product, never negative.
struct Cosine;

impl Distance<f32> for Cosine {
    fn eval(&self, left: &[f32], right: &[f32]) -> f32 {
        const LANES: usize = 16;
        let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
        let mut sums = [0.0_f32; LANES];
        for (left, right) in left.iter().zip(right) {
            for lane in 0..LANES {
                sums[lane] += left[lane] * right[lane];
            }
        }
        let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
        (1.0 - sums.iter().sum::<f32>() - rest).max(0.0)
    }
}

/// hnsw_rs as it comes.
pub(crate) struct HnswRs<'a> {
    hnsw: Hnsw<'a, f32, Cosine>,
    curve: Curve,
}

impl HnswRs<'_> {
    pub(crate) fn build(data: &Data, threads: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let begun = process_cpu_seconds();
        let hnsw = Hnsw::new(M, data.rows.len(), 16, EF_CONSTRUCTION, Cosine);
        let points: Vec<(&[f32], usize)> = data.rows.iter().enumerate().map(|(at, row)| (row.as_slice(), at)).collect();
        pool.install(|| hnsw.parallel_insert_slice(&points));
        Self { hnsw, curve: Curve::built("hnsw_rs", process_cpu_seconds() - begun, None) }
    }
}

impl Index for HnswRs<'_> {
    fn built(&self) -> Curve {
        self.curve.clone()
    }

    /// It takes several times as long as the others.
    fn rounds(&self) -> usize {
        2
    }

    fn round(&mut self, ef: usize, data: &Data, truth: &Answers) -> Point {
        let search = |at: usize| self.hnsw.search(&data.queries[at], K, ef).into_iter().map(|near| near.d_id).collect();
        let (found, times) = timed(data.queries.len(), search);
        Point { ef, recall: recall(&found, truth), times }
    }
}

/// hnswlib in a process of Python.
pub(crate) struct Hnswlib {
    process: Child,
    asked: ChildStdin,
    answered: BufReader<ChildStdout>,
    curve: Curve,
}

impl Hnswlib {
    /// None where Python does not have it.
    pub(crate) fn build(data: &Data, truth: &Answers, threads: usize) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("kindred-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rows.f32"), Data::flat(&data.rows)).unwrap();
        fs::write(folder.join("queries.f32"), Data::flat(&data.queries)).unwrap();
        let nearest: Vec<u8> = truth.iter().flatten().flat_map(|row| (*row as u32).to_le_bytes()).collect();
        fs::write(folder.join("truth.u32"), nearest).unwrap();
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let started = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/index/peers.py"))
            .args([folder.as_os_str(), data.dimensions.to_string().as_ref(), threads.to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let built = started.ok().and_then(|mut process| {
            let (asked, answered) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
            let mut answered = BufReader::new(answered);
            let [seconds] = numbers(&mut answered)?;
            Some(Self { process, asked, answered, curve: Curve::built("hnswlib", seconds, None) })
        });
        fs::remove_dir_all(&folder).unwrap();
        if built.is_none() {
            println!("hnswlib was not measured: it takes a python3 (or $PYTHON) that has numpy and hnswlib");
        }
        built
    }
}

/// The numbers of the next line; none where there is no such line.
fn numbers<const N: usize>(lines: &mut impl BufRead) -> Option<[f64; N]> {
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

impl Index for Hnswlib {
    fn built(&self) -> Curve {
        self.curve.clone()
    }

    fn round(&mut self, ef: usize, _: &Data, _: &Answers) -> Point {
        writeln!(self.asked, "{ef}").unwrap();
        let [recall, cpu, p50, p99] = numbers(&mut self.answered).expect("four numbers of a round");
        Point { ef, recall, times: Times { cpu, p50, p99 } }
    }
}

impl Drop for Hnswlib {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
