//! How often partitions were asked for lately: the counts by which one is let into a full memory, or not.
//!
//! After TinyLFU (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017, sections 3.1
//! and 3.3): counts end at a small number and are halved from time to time, so that what was popular once does not stay
//! so; a newcomer is let in only where it is asked for more often than what it would replace.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use super::entry::PartitionKey;
use super::schedule::step;

/// Where counts end.
const MOST: u8 = 15;
/// So many partitions that are not loaded are known at most.
const MOST_KNOWN: usize = 65_536;
/// Counts are halved after so many questions whether to let one in, for each that is loaded.
const QUESTIONS: usize = 10;

/// A count that many threads add to. A use that is lost between two of them does no harm.
#[derive(Debug, Default)]
pub(super) struct Uses(AtomicU8);

impl Uses {
    pub(super) fn starting_at(uses: u8) -> Self {
        Self(AtomicU8::new(uses))
    }

    pub(super) fn add(&self) {
        let uses = self.get();
        if uses < MOST {
            step();
            self.0.store(uses + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> u8 {
        step();
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn halve(&self) {
        let half = self.get() / 2;
        step();
        self.0.store(half, Ordering::Relaxed);
    }
}

/// The bytes of the partitions that are loaded, by how often they are used.
pub(super) struct Census {
    /// Of those with as many uses as the place says.
    by_uses: [u64; MOST as usize + 1],
    partitions: usize,
    /// How many questions it has answered.
    pub(super) answers: usize,
}

impl Census {
    /// Counts partitions, given by their uses and bytes.
    pub(super) fn of(loaded: impl Iterator<Item = (u8, u64)>) -> Self {
        let mut census = Self { by_uses: [0; MOST as usize + 1], partitions: 0, answers: 0 };
        loaded.for_each(|(uses, bytes)| census.add(uses, bytes));
        census
    }

    /// Counts one more.
    pub(super) fn add(&mut self, uses: u8, bytes: u64) {
        self.by_uses[usize::from(uses.min(MOST))] += bytes;
        self.partitions += 1;
    }

    /// Counts one less. It may be used more by now than when it was counted.
    pub(super) fn remove(&mut self, uses: u8, mut bytes: u64) {
        for counted in self.by_uses[..=usize::from(uses.min(MOST))].iter_mut().rev() {
            let taken = bytes.min(*counted);
            *counted -= taken;
            bytes -= taken;
        }
        self.partitions = self.partitions.saturating_sub(1);
    }

    /// The bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.by_uses.iter().sum()
    }

    /// Whether there is room for one of which so much is known, beside those that are used as often.
    pub(super) fn admits(&self, known: Known, budget: u64) -> bool {
        let bytes = self.bytes();
        let less_used: u64 = self.by_uses[..usize::from(known.uses)].iter().sum();
        let coming = known.bytes.unwrap_or_else(|| bytes / self.partitions.max(1) as u64);
        bytes + coming <= budget + less_used
    }
}

/// What is known of a partition that is not loaded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// How often it was asked for.
    pub(super) uses: u8,
    /// The bytes that it took when it was loaded last.
    pub(super) bytes: Option<u64>,
}

/// The partitions that are not loaded but were asked for, a limited number.
#[derive(Debug, Default)]
pub(super) struct Popularity {
    known: HashMap<PartitionKey, Known>,
    questions: usize,
}

impl Popularity {
    /// Counts that a partition which is not loaded was asked for. Where too many are known it is passed over.
    pub(super) fn add(&mut self, key: &PartitionKey) {
        match self.known.get_mut(key) {
            Some(known) => known.uses = known.uses.saturating_add(1).min(MOST),
            None => self.remember(key.clone(), Known { uses: 1, bytes: None }),
        }
    }

    /// Keeps what is known of one that leaves memory.
    pub(super) fn remember(&mut self, key: PartitionKey, known: Known) {
        if self.known.len() >= MOST_KNOWN {
            self.halve();
        }
        if self.known.len() < MOST_KNOWN {
            self.known.insert(key, known);
        }
    }

    pub(super) fn of(&self, key: &PartitionKey) -> Known {
        self.known.get(key).copied().unwrap_or_default()
    }

    /// Forgets one that is in memory now; tells what was known.
    pub(super) fn forget(&mut self, key: &PartitionKey) -> Known {
        self.known.remove(key).unwrap_or_default()
    }

    /// Counts that it was asked whether to let one in beside so many that are loaded. Tells whether counts grow old: then
    /// its own were halved.
    pub(super) fn grows_old(&mut self, loaded: usize) -> bool {
        self.questions += 1;
        let old = self.questions >= loaded.max(1) * QUESTIONS;
        if old {
            self.questions = 0;
            self.halve();
        }
        old
    }

    fn halve(&mut self) {
        self.known.retain(|_, known| {
            known.uses /= 2;
            known.uses > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples::partition;

    #[test]
    fn counts_end_and_grow_old() {
        let uses = Uses::default();
        (0..100).for_each(|_| uses.add());
        assert_eq!(uses.get(), MOST);
        uses.halve();
        assert_eq!(uses.get(), MOST / 2);

        let mut popularity = Popularity::default();
        (0..100).for_each(|_| popularity.add(&partition(1)));
        popularity.add(&partition(2));
        assert_eq!(popularity.of(&partition(1)).uses, MOST);
        let halved: Vec<bool> = (0..20).map(|_| popularity.grows_old(2)).collect();
        assert_eq!(halved.iter().position(|old| *old), Some(19));
        assert_eq!((popularity.of(&partition(1)).uses, popularity.of(&partition(2)).uses), (MOST / 2, 0));
        assert_eq!((popularity.forget(&partition(1)).uses, popularity.known.len()), (MOST / 2, 0));
    }

    #[test]
    fn those_that_are_known_are_bounded() {
        let mut popularity = Popularity::default();
        (0..10).for_each(|_| popularity.add(&partition(0)));
        (1..MOST_KNOWN as u128 * 2).for_each(|which| popularity.add(&partition(which)));
        assert!(popularity.known.len() <= MOST_KNOWN);
        assert!(popularity.of(&partition(0)).uses > 0, "what was asked for often is known still");
    }
}
