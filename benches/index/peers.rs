//! Other implementations on the same data.

use std::fs;
use std::process::Command;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use crate::data::Data;
use crate::measure::{Answers, K, print_search, process_cpu_seconds, recall, timed};

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
pub(crate) fn hnsw_rs(data: &Data, truth: &Answers, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let begun = process_cpu_seconds();
    let hnsw = Hnsw::new(M, data.rows.len(), 16, EF_CONSTRUCTION, Cosine);
    let points: Vec<(&[f32], usize)> = data.rows.iter().enumerate().map(|(at, row)| (row.as_slice(), at)).collect();
    pool.install(|| hnsw.parallel_insert_slice(&points));
    println!("hnsw_rs built in {:.1} CPU s", process_cpu_seconds() - begun);
    for ef in [24, 32, 48, 64, 100, 128, 200, 256, 400, 512] {
        let (found, microseconds) = timed(data.queries.len(), 2, |at| {
            hnsw.search(&data.queries[at], K, ef).into_iter().map(|near| near.d_id).collect()
        });
        let recall = recall(&found, truth);
        print_search("hnsw_rs", ef, recall, microseconds);
        if recall >= 0.995 {
            break;
        }
    }
}

/// hnswlib, where Python has it.
pub(crate) fn hnswlib(data: &Data, truth: &Answers, threads: usize) {
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
        .status();
    fs::remove_dir_all(&folder).unwrap();
    if !ran.is_ok_and(|status| status.success()) {
        println!("hnswlib was not measured: it takes a python3 (or $PYTHON) that has numpy and hnswlib");
    }
}
