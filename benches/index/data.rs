//! Vectors to search in and queries, always the same for the same arguments.

use std::fs;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Which vectors are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) rows: usize,
    pub(crate) dimensions: usize,
    pub(crate) queries: usize,
    /// A file of little-endian f32 instead of seeded clusters; its last vectors are the queries.
    pub(crate) vectors: Option<PathBuf>,
    /// How many vectors are mixed from them with noise instead.
    pub(crate) mixed: Option<usize>,
}

impl Wanted {
    /// So many seeded vectors of 384 dimensions, and 500 queries.
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, dimensions: 384, queries: 500, vectors: None, mixed: None }
    }

    /// Takes an argument that says which vectors; whether it is one.
    pub(crate) fn take(&mut self, flag: &str, value: impl FnOnce() -> String) -> bool {
        match flag {
            "--rows" => self.rows = value().parse().unwrap(),
            "--dimensions" => self.dimensions = value().parse().unwrap(),
            "--queries" => self.queries = value().parse().unwrap(),
            "--vectors" => self.vectors = Some(value().into()),
            "--mixed" => self.mixed = Some(value().parse().unwrap()),
            _ => return false,
        }
        true
    }
}

/// Unit vectors.
pub(crate) struct Data {
    pub(crate) dimensions: usize,
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
}

/// Vectors of a cluster, how far they spread, in how many dimensions, and how much noise comes to that.
const CLUSTER: usize = 200;
const SPREAD: f32 = 1.6;
const LATENT: usize = 32;
const LATENT_NOISE: f32 = 0.6;
/// How much noise vectors are mixed with.
const NOISE: f32 = 0.04;

impl Data {
    /// Reads or makes them.
    pub(crate) fn new(wanted: &Wanted) -> Self {
        let dimensions = wanted.dimensions;
        let mut random = StdRng::seed_from_u64(1);
        let mut vectors = match &wanted.vectors {
            Some(file) => {
                let bytes = fs::read(file).unwrap();
                let components: Vec<f32> = bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect();
                components.chunks_exact(dimensions).map(|vector| unit(vector.to_vec())).collect()
            }
            None => clusters(wanted.rows + wanted.queries, dimensions, &mut random),
        };
        vectors.shuffle(&mut StdRng::seed_from_u64(2));
        if let Some(count) = wanted.mixed {
            vectors = mixed(&vectors, count + wanted.queries, &mut random);
        }
        let queries = vectors.split_off(vectors.len() - wanted.queries);
        Self { dimensions, rows: vectors, queries }
    }

    /// One row after the other.
    pub(crate) fn flat(vectors: &[Vec<f32>]) -> Vec<u8> {
        vectors.iter().flatten().flat_map(|component| component.to_le_bytes()).collect()
    }
}

/// Clusters in a space of fewer dimensions, as texts are, laid into the larger one with some noise.
fn clusters(count: usize, dimensions: usize, random: &mut StdRng) -> Vec<Vec<f32>> {
    let axes: Vec<Vec<f32>> = (0..LATENT).map(|_| noise(dimensions, random)).collect();
    let centres: Vec<Vec<f32>> = (0..count / CLUSTER + 1).map(|_| noise(LATENT, random)).collect();
    let one = |at: usize, random: &mut StdRng| {
        let latent = centres[at % centres.len()].iter().zip(noise(LATENT, random)).map(|(at, off)| at + SPREAD * off);
        let mut vector: Vec<f32> = noise(dimensions, random).into_iter().map(|off| LATENT_NOISE * off).collect();
        for (share, axis) in latent.zip(&axes) {
            vector.iter_mut().zip(axis).for_each(|(component, axis)| *component += share * axis);
        }
        unit(vector)
    };
    (0..count).map(|at| one(at, random)).collect()
}

/// Vectors on the way from one to another, and somewhat beside it.
fn mixed(vectors: &[Vec<f32>], count: usize, random: &mut StdRng) -> Vec<Vec<f32>> {
    let one = |random: &mut StdRng| {
        let (from, to) = (random.random_range(0..vectors.len()), random.random_range(0..vectors.len()));
        let share: f32 = random.random_range(0.0..0.5);
        let noise = noise(vectors[0].len(), random);
        let along = vectors[from].iter().zip(&vectors[to]).map(|(from, to)| from + share * (to - from));
        let scale = NOISE * (vectors[0].len() as f32).sqrt();
        unit(along.zip(noise).map(|(at, noise)| at + scale * noise).collect())
    };
    (0..count).map(|_| one(random)).collect()
}

/// A direction at random.
fn noise(dimensions: usize, random: &mut StdRng) -> Vec<f32> {
    let bell = |random: &mut StdRng| (0..6).map(|_| random.random_range(-1.0_f32..1.0)).sum();
    unit((0..dimensions).map(|_| bell(random)).collect())
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|component| component * component).sum::<f32>().sqrt();
    vector.into_iter().map(|component| component / length).collect()
}
