//! Other implementations on the same data.

use std::fs;
use std::process::{Command, Stdio};

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use crate::data::Data;
use crate::measure::{Answers, Curve, K, Point, Times, process_cpu_seconds, recall, timed};

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
pub(crate) fn hnsw_rs(data: &Data, truth: &Answers, threads: usize) -> Curve {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let begun = process_cpu_seconds();
    let hnsw = Hnsw::new(M, data.rows.len(), 16, EF_CONSTRUCTION, Cosine);
    let points: Vec<(&[f32], usize)> = data.rows.iter().enumerate().map(|(at, row)| (row.as_slice(), at)).collect();
    pool.install(|| hnsw.parallel_insert_slice(&points));
    let mut curve = Curve::built("hnsw_rs", process_cpu_seconds() - begun, None);
    for ef in [24, 32, 48, 64, 100, 128, 200, 256, 400, 512] {
        let (found, times) = timed(data.queries.len(), 2, |at| {
            hnsw.search(&data.queries[at], K, ef).into_iter().map(|near| near.d_id).collect()
        });
        if curve.add(Point { ef, recall: recall(&found, truth), times }) {
            break;
        }
    }
    curve
}

/// hnswlib, where Python has it.
pub(crate) fn hnswlib(data: &Data, truth: &Answers, threads: usize) -> Option<Curve> {
    let folder = std::env::temp_dir().join(format!("kindred-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("rows.f32"), Data::flat(&data.rows)).unwrap();
    fs::write(folder.join("queries.f32"), Data::flat(&data.queries)).unwrap();
    let numbers: Vec<u8> = truth.iter().flatten().flat_map(|row| (*row as u32).to_le_bytes()).collect();
    fs::write(folder.join("truth.u32"), numbers).unwrap();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/index/peers.py"))
        .args([folder.as_os_str(), data.dimensions.to_string().as_ref(), threads.to_string().as_ref()])
        .stderr(Stdio::inherit())
        .output();
    fs::remove_dir_all(&folder).unwrap();
    let Some(output) = ran.ok().filter(|output| output.status.success()) else {
        println!("hnswlib was not measured: it takes a python3 (or $PYTHON) that has numpy and hnswlib");
        return None;
    };
    let numbers = String::from_utf8(output.stdout).unwrap();
    let mut lines = numbers.lines().map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect());
    let build: Vec<f64> = lines.next().unwrap();
    let mut curve = Curve::built("hnswlib", build[0], None);
    for line in lines {
        let [ef, recall, cpu, p50, p99] = line[..] else { panic!("{line:?} is no line of numbers of a search") };
        curve.add(Point { ef: ef as usize, recall, times: Times { cpu, p50, p99 } });
    }
    Some(curve)
}
