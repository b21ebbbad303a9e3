//! What a partition holds, as one number: to compare it with what the database holds.

use crate::domain::Entry;

use super::cosine::unit;
use super::entry::Row;

/// How many rows, and the sum of a digest of each: the same whatever the order of the rows. Vectors count at unit length,
/// as the index keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    sum: u128,
}

impl Digest {
    /// Counts a row in, with all that a search can see of it.
    pub fn add(&mut self, entry: Entry) {
        let (row, vector) = entry.split();
        self.add_row(&row, unit(vector).as_slice());
    }

    /// The same of a row of a segment, and its vector at unit length.
    pub(super) fn add_row(&mut self, row: &Row, vector: &[f32]) {
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(row.entity.entity_type.as_str());
        text(row.source_field.as_str());
        text(&row.labels.platform);
        text(&row.labels.status);
        row.labels.tags.iter().for_each(|tag| text(tag));
        hasher.update(row.id.0.as_bytes());
        hasher.update(row.entity.id.as_bytes());
        hasher.update(&row.version.to_le_bytes());
        hasher.update(&row.chunk_index.to_le_bytes());
        hasher.update(&row.occurred_at.map_or(i64::MIN, |at| at.timestamp_micros()).to_le_bytes());
        // Both sides are of this machine.
        hasher.update(bytemuck::cast_slice(vector));
        let hash = hasher.finalize();
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(*first));
    }
}

impl FromIterator<Entry> for Digest {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut digest = Self::default();
        entries.into_iter().for_each(|entry| digest.add(entry));
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples::entry_at;

    #[test]
    fn it_is_of_the_rows_and_not_of_their_order() {
        let entries = || (0..20).map(|place| entry_at(place, 4));
        let digest: Digest = entries().collect();
        assert_eq!(digest, entries().rev().collect());
        assert_eq!(digest.rows, 20);
        let unlike = |change: fn(&mut Entry)| {
            let mut others: Vec<Entry> = entries().collect();
            change(&mut others[7]);
            assert_ne!(digest, others.into_iter().collect());
        };
        unlike(|entry| entry.version += 1);
        unlike(|entry| entry.tags.push("x".to_owned()));
        unlike(|entry| entry.platform.push('x'));
        unlike(|entry| entry.occurred_at = None);
        unlike(|entry| entry.vector = entry_at(8, 4).vector);
        assert_ne!(digest, entries().skip(1).collect());
    }

    #[test]
    fn a_vector_counts_by_its_direction() {
        let mut longer = entry_at(3, 4);
        longer.vector =
            crate::domain::Vector::new(longer.vector.as_slice().iter().map(|x| x * 2.0).collect()).expect("finite");
        assert_eq!(Digest::from_iter([longer]), Digest::from_iter([entry_at(3, 4)]));
    }
}
