//! Graphs of vectors of odd shapes: few dimensions, uneven ones, many equal vectors, clusters far apart.

use std::sync::Arc;

use ndarray::Array2;
use roaring::RoaringBitmap;

use super::admission::Admission;
use super::cosine::{cosine, unit};
use super::flat_graph::FlatGraph;
use super::graph::{Effort, Graph, Scored, best};
use super::samples::{mixture, vector};
use super::settings::{Builder, Settings};
use super::vectors::Vectors;
use crate::domain::Vector;

const K: usize = 10;
const EFFORT: Effort = Effort { ef: 100, most: usize::MAX };
const KINDS: [Settings; 3] =
    [settings(Builder::Own, true), settings(Builder::Own, false), settings(Builder::HnswRs, true)];

const fn settings(builder: Builder, compressed: bool) -> Settings {
    Settings { builder, compressed, build_threads: 2, ef_construction: 64, ..Settings::DEFAULT }
}

fn matrix(vectors: Vec<Vector>) -> Arc<Array2<f32>> {
    let (rows, dimensions) = (vectors.len(), vectors[0].dimensions());
    let components = vectors.into_iter().flat_map(|vector| unit(vector).into_inner()).collect();
    Arc::new(Array2::from_shape_vec((rows, dimensions), components).expect("of this shape"))
}

/// How many of the best scores a graph of each kind finds, on an average over `queries`; scores, since rows may tie.
fn recalls(matrix: &Arc<Array2<f32>>, queries: Vec<Vector>) -> [f64; 3] {
    let dead = RoaringBitmap::new();
    let rows = matrix.nrows() as u32;
    let admission = Admission::new(rows, None, 0..0, &dead);
    KINDS.map(|settings| {
        let graph = FlatGraph::build(Arc::new(Vectors::new(matrix.as_ref().clone())), &settings).expect("threads");
        assert_eq!(graph.check(rows as usize), Ok(()));
        let recall = |query: &Vector| {
            let query = unit(query.clone()).into_inner();
            let score = |row: u32| (row, cosine(&query, matrix.row(row as usize).to_slice().expect("contiguous")));
            let truth: Vec<Scored> = best((0..rows).map(score), K);
            let found = graph.search(&query, K, EFFORT, &admission);
            assert_eq!(found.len(), K.min(rows as usize));
            let least = truth.last().map_or(0.0, |(_, score)| *score);
            found.iter().filter(|(_, score)| *score >= least).count() as f64 / truth.len() as f64
        };
        queries.iter().map(recall).sum::<f64>() / queries.len() as f64
    })
}

#[test]
fn any_number_of_dimensions_is_searched() {
    for (dimensions, rows) in [(1, 300), (2, 3_000), (3, 3_000), (7, 3_000), (33, 2_000), (65, 2_000), (1_536, 400)] {
        let vectors = (0..rows).map(|seed| vector(seed, dimensions)).collect();
        let queries = (0..20).map(|seed| vector(1_000_000 + seed, dimensions)).collect();
        let recalls = recalls(&matrix(vectors), queries);
        assert!(recalls.iter().all(|recall| *recall >= 0.95), "{dimensions} dimensions: {recalls:?}");
    }
}

#[test]
fn equal_vectors_crowd_nothing_out() {
    let mut vectors = vec![vector(1, 20); 1_000];
    vectors.extend((2..1_000).map(|seed| vector(seed, 20)));
    let recalls_of_many = recalls(&matrix(vectors), (0..20).map(|seed| vector(2_000 + seed, 20)).collect());
    assert!(recalls_of_many.iter().all(|recall| *recall >= 0.95), "{recalls_of_many:?}");
    assert_eq!(recalls(&matrix(vec![vector(1, 20); 500]), vec![vector(2, 20)]), [1.0; 3]);
    assert_eq!(recalls(&matrix(vec![vector(1, 20)]), vec![vector(2, 20)]), [1.0; 3]);
}

#[test]
fn clusters_far_apart_are_all_found() {
    // As tight as clusters are whose nodes have no neighbour outside among the nearest.
    let spread = |vectors: Vec<Vector>, centres: usize| -> Vec<Vector> {
        let tight = |(at, vector): (usize, Vector)| {
            let centre = super::samples::vector((at % centres) as u64, vector.dimensions());
            let components =
                centre.as_slice().iter().zip(vector.as_slice()).map(|(centre, at)| centre + 0.05 * (at - centre));
            Vector::new(components.collect()).expect("finite and not zero")
        };
        vectors.into_iter().enumerate().map(tight).collect()
    };
    for centres in [4, 50] {
        let vectors = spread(mixture(6_000, centres, 32, 1), centres);
        let queries = spread(mixture(centres * 2, centres, 32, 2), centres);
        let recalls = recalls(&matrix(vectors), queries);
        assert!(recalls.iter().all(|recall| *recall >= 0.95), "{centres} clusters: {recalls:?}");
    }
}
