//! Builds a graph by hnsw_rs.
//!
//! The only file that names hnsw_rs. What that crate does not stand is kept from it: dot products above 1, early points
//! that miss each other in parallel, equal vectors that crowd all others out of a node's neighbours, and settings out of
//! range. It is not used to search: it takes a single step in each upper layer, so that among well separated clusters
//! such a search begins in a wrong one and finds nothing of the right one; and its points lie all over the memory.

use std::collections::HashSet;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::kernels::kernels;
use super::layers::Layers;

const MAX_LAYERS: usize = 16;
/// So many nodes are inserted one by one before the rest come in parallel: among the first ones, those that meet no
/// entry point yet would stay without a neighbour for ever.
const SERIAL_NODES: usize = 1_000;

/// 1 - cosine of unit vectors; rounding never makes it negative, which hnsw_rs asserts.
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, left: &[f32], right: &[f32]) -> f32 {
        (1.0 - (kernels().full)(left, right)).max(0.0)
    }
}

/// Builds the graph of unit vectors, all different: its layers, whose nodes are numbered by descending highest layer, and
/// which vector each of them is. Runs on the threads of the rayon pool it is called in.
///
/// `m`, 2 to 256, is how many neighbours a node keeps per layer, `ef` how many candidates are weighed for them.
pub(super) fn build(vectors: &[&[f32]], m: usize, ef: usize) -> (Layers, Vec<u32>) {
    // It cannot be read where it is empty.
    if vectors.is_empty() {
        return (Layers::new(&[], m), Vec::new());
    }
    let hnsw = Hnsw::new(m, vectors.len(), MAX_LAYERS, ef, UnitCosine);
    let data: Vec<(&[f32], usize)> = vectors.iter().enumerate().map(|(at, vector)| (*vector, at)).collect();
    let (serial, parallel) = data.split_at(vectors.len().min(SERIAL_NODES));
    serial.iter().for_each(|point| hnsw.insert_slice(*point));
    // Even an empty batch would wait for rayon's pool, behind the builds of others.
    if !parallel.is_empty() {
        hnsw.parallel_insert_slice(&parallel.to_vec());
    }
    let (mut levels, mut neighbours) = (vec![0_u8; vectors.len()], vec![Vec::new(); vectors.len()]);
    for point in hnsw.get_point_indexation() {
        levels[point.get_origin_id()] = point.get_point_id().0;
        neighbours[point.get_origin_id()] = point.get_neighborhood_id();
    }
    let mut order: Vec<u32> = (0..vectors.len() as u32).collect();
    order.sort_by_key(|vector| std::cmp::Reverse(levels[*vector as usize]));
    let mut places = vec![0; order.len()];
    (0..).zip(&order).for_each(|(place, vector)| places[*vector as usize] = place);
    let descending: Vec<u8> = order.iter().map(|vector| levels[*vector as usize]).collect();
    let mut layers = Layers::new(&descending, m);
    for (at, layer) in layers.0.iter_mut().enumerate() {
        let nodes = layer.len() as u32;
        for (node, vector) in (0..nodes).zip(&order) {
            let near = neighbours[*vector as usize].get(at).into_iter().flatten().map(|near| places[near.d_id]);
            // In upper layers it links, rarely, to a point that is not in them.
            let mut links: Vec<u32> = near.filter(|link| *link < nodes && *link != node).collect();
            let mut met = HashSet::new();
            links.retain(|link| met.insert(*link));
            layer.set(node, &links);
        }
    }
    (layers, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_never_negative() {
        let long = [0.6_f32, 0.800_000_1];
        assert_eq!(UnitCosine.eval(&long, &long), 0.0);
        assert_eq!(UnitCosine.eval(&[1.0, 0.0], &[-1.0, 0.0]), 2.0);
    }
}
