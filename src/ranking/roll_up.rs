//! One result per entity.

use std::collections::HashSet;

use crate::domain::ChunkHit;

/// Keeps each entity's best chunk, in order. `hits` must be ordered best first.
pub fn best_per_entity(hits: Vec<ChunkHit>, limit: usize) -> Vec<ChunkHit> {
    let mut seen = HashSet::new();
    hits.into_iter().filter(|hit| seen.insert(hit.entity.clone())).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{EmbeddingId, EntityRef, SourceField};

    fn hit(entity: u128, chunk_index: i32, score: f32) -> ChunkHit {
        ChunkHit {
            id: EmbeddingId(Uuid::from_u128(entity * 100 + chunk_index as u128)),
            entity: EntityRef { entity_type: "post".parse().expect("a name"), id: Uuid::from_u128(entity) },
            source_field: SourceField::default(),
            version: 1,
            chunk_index,
            score,
        }
    }

    #[test]
    fn the_best_chunk_stands_for_its_entity() {
        let hits = vec![hit(1, 0, 0.9), hit(1, 1, 0.8), hit(2, 4, 0.7), hit(3, 0, 0.6), hit(2, 0, 0.5)];
        assert_eq!(best_per_entity(hits.clone(), 10), [hits[0].clone(), hits[2].clone(), hits[3].clone()]);
        assert_eq!(best_per_entity(hits.clone(), 2), [hits[0].clone(), hits[2].clone()]);
        assert!(best_per_entity(Vec::new(), 2).is_empty());
    }
}
