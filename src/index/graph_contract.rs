//! What every [`Graph`] promises: the same tests run against the exact scan and the graph of every kind.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray::Array2;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::admission::Admission;
use super::cosine::{cosine, unit};
use super::exact::{Exact, Floor, RowCodes};
use super::flat_graph::FlatGraph;
use super::graph::{Effort, Graph, Scored, best, better_first};
use super::samples::vector;
use super::settings::{Builder, Settings};
use super::vectors::Vectors;

const DIMENSIONS: usize = 8;
const EFFORT: Effort = Effort { ef: 128, most: usize::MAX };

/// A graph of every kind.
fn kinds() -> Vec<Settings> {
    let kind = |builder, compressed| Settings { m: 8, builder, compressed, build_threads: 1, ..Settings::default() };
    [Builder::Own, Builder::HnswRs]
        .into_iter()
        .flat_map(|builder| [kind(builder, true), kind(builder, false)])
        .collect()
}

/// Rows whose vectors repeat: there are as many different ones as seeds.
fn matrix(seeds: &[u64]) -> Array2<f32> {
    let components = seeds.iter().flat_map(|seed| unit(vector(*seed, DIMENSIONS)).into_inner()).collect();
    Array2::from_shape_vec((seeds.len(), DIMENSIONS), components).expect("of this shape")
}

fn brute_force(matrix: &Array2<f32>, query: &[f32], k: usize, admit: &RoaringBitmap) -> Vec<Scored> {
    let score = |row: u32| (row, cosine(query, matrix.row(row as usize).to_slice().expect("contiguous")));
    best(admit.iter().map(score), k)
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
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exact_scans_and_graphs_keep_one_contract(
        seeds in proptest::collection::vec(0_u64..40, 0..120),
        admit in proptest::collection::btree_set(0_u32..120, 0..120),
        all in any::<bool>(),
        k in 0_usize..20,
        query in 1_000_u64..1_100,
        floor_at in proptest::option::of(0_usize..20),
    ) {
        let matrix = matrix(&seeds);
        let rows = 0..seeds.len() as u32;
        let admit: RoaringBitmap = rows.filter(|row| all || admit.contains(row)).collect();
        let query = unit(vector(query, DIMENSIONS)).into_inner();
        let expected = brute_force(&matrix, &query, k, &admit);

        let dead = RoaringBitmap::new();
        let admission = Admission::new(seeds.len() as u32, (!all).then_some(Cow::Borrowed(&admit)), 0..0, &dead);

        let floor = floor_at.and_then(|at| expected.get(at)).map_or(Floor::NONE.score, |(_, score)| *score);
        let above: Vec<Scored> = expected.iter().copied().filter(|(_, score)| *score >= floor).collect();
        let vectors = Arc::new(Vectors::new(matrix.clone()));
        let scans_well = |codes: Option<RowCodes<'_>>| {
            for (score, expected) in [(Floor::NONE.score, &expected), (floor, &above), (2.0, &vec![])] {
                let floor = Floor { score, sketched: None };
                let exact = Exact { vectors: vectors.view(), codes, sketches: None, floor };
                prop_assert_eq!(&exact.search(&query, k, EFFORT, &admission), expected, "above {}", score);
            }
            Ok(())
        };

        scans_well(None)?;
        for settings in kinds() {
            let graph = FlatGraph::build(vectors.clone(), &settings).expect("a thread");
            prop_assert_eq!(graph.check(seeds.len()), Ok(()));
            scans_well(graph.codes())?;
            let found = graph.search(&query, k, EFFORT, &admission);
            keeps_the_contract(&found, &matrix, &query, k, &admit)?;
            prop_assert_eq!(found, graph.search(&query, k, EFFORT, &admission), "the same again");
        }
    }
}

#[test]
fn settings_out_of_range_do_no_harm() {
    let matrix = matrix(&(0..50).collect::<Vec<_>>());
    let query = unit(vector(1, DIMENSIONS)).into_inner();
    let (admit, dead) = ((10..20).collect::<RoaringBitmap>(), RoaringBitmap::new());
    let admission = Admission::new(50, Some(Cow::Borrowed(&admit)), 0..0, &dead);
    for (m, ef_construction) in [(0, 0), (1, 1), (100_000, 1)] {
        for settings in kinds() {
            let graph =
                FlatGraph::build(Arc::new(Vectors::new(matrix.clone())), &Settings { m, ef_construction, ..settings })
                    .expect("a thread");
            assert_eq!(graph.check(50), Ok(()));
            for effort in [Effort { ef: 0, most: 0 }, Effort { ef: 1, most: usize::MAX }] {
                assert!(graph.search(&query, 1, effort, &admission).len() <= 1);
            }
        }
    }
}
