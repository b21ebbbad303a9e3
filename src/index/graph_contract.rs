//! What every [`Graph`] promises: the same tests run against the exact scan and the graph.

use std::sync::Arc;

use ndarray::Array2;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::cosine::{cosine, unit};
use super::exact::Exact;
use super::graph::{Graph, Scored, best, better_first};
use super::hnsw::HnswGraph;
use super::samples::vector;
use super::settings::Settings;

const DIMENSIONS: usize = 8;

/// Rows whose vectors repeat: there are as many different ones as seeds.
fn matrix(seeds: &[u64]) -> Arc<Array2<f32>> {
    let components = seeds.iter().flat_map(|seed| unit(vector(*seed, DIMENSIONS)).into_inner()).collect();
    Arc::new(Array2::from_shape_vec((seeds.len(), DIMENSIONS), components).expect("of this shape"))
}

fn brute_force(matrix: &Array2<f32>, query: &[f32], k: usize, admit: &RoaringBitmap) -> Vec<Scored> {
    let score = |row: u32| (row, cosine(query, matrix.row(row as usize).to_slice().expect("contiguous")));
    best(admit.iter().map(score).collect(), k)
}

/// Few, ordered, admitted, each once, and scored right.
fn keeps_the_contract(
    found: &[Scored],
    matrix: &Array2<f32>,
    query: &[f32],
    k: usize,
    admit: &RoaringBitmap,
) -> Result<(), TestCaseError> {
    prop_assert!(found.len() <= k.min(admit.len() as usize));
    prop_assert!(found.is_sorted_by(|left, right| better_first(left, right).is_lt()));
    let rows: RoaringBitmap = found.iter().map(|(row, _)| *row).collect();
    prop_assert!(rows.is_subset(admit) && rows.len() == found.len() as u64);
    for (row, score) in found {
        let exact = cosine(query, matrix.row(*row as usize).to_slice().expect("contiguous"));
        prop_assert_eq!(*score, exact);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn exact_and_hnsw_keep_one_contract(
        seeds in proptest::collection::vec(0_u64..40, 0..120),
        admit in proptest::collection::btree_set(0_u32..120, 0..120),
        all in any::<bool>(),
        k in 0_usize..20,
        query in 1_000_u64..1_100,
    ) {
        let matrix = matrix(&seeds);
        let rows = 0..seeds.len() as u32;
        let admit: RoaringBitmap = rows.filter(|row| all || admit.contains(row)).collect();
        let query = unit(vector(query, DIMENSIONS)).into_inner();
        let expected = brute_force(&matrix, &query, k, &admit);

        let exact = Exact::new(matrix.view());
        let hnsw = HnswGraph::build(matrix.clone(), &Settings { m: 8, ..Settings::default() });
        prop_assert_eq!(hnsw.check(seeds.len()), Ok(()));
        let engines: [&dyn Graph; 2] = [&exact, &hnsw];
        for engine in engines {
            let found = engine.search(&query, k, 128, &admit);
            keeps_the_contract(&found, &matrix, &query, k, &admit)?;
        }
        prop_assert_eq!(exact.search(&query, k, k, &admit), expected);
    }
}

#[test]
fn settings_out_of_range_do_no_harm() {
    let matrix = matrix(&(0..50).collect::<Vec<_>>());
    let query = unit(vector(1, DIMENSIONS)).into_inner();
    let admit: RoaringBitmap = (10..20).collect();
    // (So is an ef below k.)
    for (m, ef_construction) in [(0, 0), (1, 1), (100_000, 1)] {
        let hnsw = HnswGraph::build(matrix.clone(), &Settings { m, ef_construction, ..Settings::default() });
        assert!(hnsw.search(&query, 1, 0, &admit).len() <= 1);
    }
}
