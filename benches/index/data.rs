//! Vectors to search in and queries, always the same for the same arguments.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kindred::domain::Purpose;
use kindred::embed::{Embedder, LocalEmbedder, LocalSettings};
use kindred::embedded::{FetchSettings, Part, default_cache, fetch, running_as_root};
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
    /// A file of one text a line instead, embedded by the local model; the vectors are kept beside it.
    pub(crate) texts: Option<PathBuf>,
    /// How many vectors are mixed from them with noise instead.
    pub(crate) mixed: Option<usize>,
}

impl Wanted {
    /// So many seeded vectors of 384 dimensions, and 500 queries.
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, dimensions: 384, queries: 500, vectors: None, texts: None, mixed: None }
    }

    /// Takes an argument that says which vectors; whether it is one.
    pub(crate) fn take(&mut self, flag: &str, value: impl FnOnce() -> String) -> bool {
        match flag {
            "--rows" => self.rows = value().parse().unwrap(),
            "--dimensions" => self.dimensions = value().parse().unwrap(),
            "--queries" => self.queries = value().parse().unwrap(),
            "--vectors" => self.vectors = Some(value().into()),
            "--texts" => self.texts = Some(value().into()),
            "--mixed" => self.mixed = Some(value().parse().unwrap()),
            _ => return false,
        }
        true
    }
}

/// Unit vectors.
#[derive(Clone)]
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
        let mut vectors = match (&wanted.vectors, &wanted.texts) {
            (Some(file), _) => read(file, dimensions),
            (None, Some(texts)) => {
                let beside = texts.with_extension("f32");
                if !beside.exists() {
                    embed(texts, &beside);
                }
                read(&beside, dimensions)
            }
            (None, None) => clusters(wanted.rows + wanted.queries, dimensions, &mut random),
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

fn read(file: &Path, dimensions: usize) -> Vec<Vec<f32>> {
    let bytes = fs::read(file).unwrap();
    let components: Vec<f32> = bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect();
    components.chunks_exact(dimensions).map(|vector| unit(vector.to_vec())).collect()
}

/// A part that is brought along, from the cache that the service uses, too.
pub(crate) async fn brought(part: Part) -> PathBuf {
    let cache = std::env::var_os("KINDRED_CACHE_DIR").map(PathBuf::from);
    let cache = cache.or_else(|| default_cache(running_as_root(), |name| std::env::var_os(name))).unwrap();
    fetch(&part, &FetchSettings::new(cache)).await.unwrap()
}

/// The model that is brought along.
pub(crate) async fn local_embedder() -> LocalEmbedder {
    let folder = brought(Part::local_model()).await;
    // As the service calls it.
    let model_id = Some("all-minilm-l6-v2".parse().unwrap());
    LocalEmbedder::load(LocalSettings { model_id, ..LocalSettings::new(folder) }).unwrap()
}

/// Embeds each line of `texts` by the model that is brought along, and writes the vectors one after the other.
fn embed(texts: &Path, into: &Path) {
    let texts: Vec<String> = fs::read_to_string(texts).unwrap().lines().map(str::to_owned).collect();
    let begun = Instant::now();
    let embedding = || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let embedder = local_embedder().await;
            let mut bytes = Vec::new();
            for group in texts.chunks(1_024) {
                for vector in embedder.embed(group.to_vec(), Purpose::Document).await.unwrap() {
                    bytes.extend(vector.as_slice().iter().flat_map(|component| component.to_le_bytes()));
                }
            }
            bytes
        })
    };
    // A bench that is inside a runtime already may ask for this.
    let bytes = std::thread::scope(|scope| scope.spawn(embedding).join()).unwrap();
    fs::write(into, bytes).unwrap();
    println!("{} texts embedded in {:.0} s", texts.len(), begun.elapsed().as_secs_f64());
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
pub(crate) fn mixed(vectors: &[Vec<f32>], count: usize, random: &mut StdRng) -> Vec<Vec<f32>> {
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
