//! Entries, filters and vectors for the room's tests, all from seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::subsequence;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::commits::Commit;
use super::entry::{PartitionKey, Row};
use crate::domain::{
    Delta, EmbeddingId, EntityRef, Entry, Filter, OrganizationId, Revision, SourceField, TimeRange, Vector,
};

const TYPES: [&str; 3] = ["post", "chat", "hashtag"];
const FIELDS: [&str; 2] = ["content", "title"];
const TAGS: [&str; 3] = ["red", "green", "blue"];
const PLATFORMS: [&str; 3] = ["", "instagram", "tiktok"];
const STATUSES: [&str; 2] = ["draft", "published"];

pub(super) fn partition(organization: u128) -> PartitionKey {
    let model = "test-model".parse().expect("a good id");
    PartitionKey { organization: OrganizationId(Uuid::from_u128(organization)), model }
}

pub(super) fn entity(number: u64) -> EntityRef {
    let entity_type = TYPES[number as usize % TYPES.len()].parse().expect("a good name");
    EntityRef { entity_type, id: Uuid::from_u128(u128::from(number)) }
}

pub(super) fn field(number: u64) -> SourceField {
    FIELDS[number as usize % FIELDS.len()].parse().expect("a good name")
}

fn day(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(number as i64 * 86_400, 0).expect("in range")
}

/// The entry at a place: four places an entity, two a source field, attributes of every kind.
pub(super) fn entry_at(place: u64, dimensions: usize) -> Entry {
    let tags = TAGS.iter().enumerate().filter(|(at, _)| (place * 7) >> at & 1 == 1);
    Entry {
        id: EmbeddingId(Uuid::from_u128(u128::from(place))),
        entity: entity(place / 4),
        source_field: field(place / 2),
        version: 1,
        chunk_index: (place % 2) as i32,
        tags: tags.map(|(_, tag)| (*tag).to_owned()).collect(),
        platform: PLATFORMS[place as usize % PLATFORMS.len()].to_owned(),
        status: STATUSES[place as usize % STATUSES.len()].to_owned(),
        occurred_at: (!place.is_multiple_of(5)).then(|| day(place % 50)),
        vector: vector(place, dimensions),
    }
}

/// A commit that writes the lines of some places anew, and nothing else at them.
pub(super) fn commit(organization: u128, revision: i64, places: Range<u64>, dimensions: usize) -> Commit {
    let PartitionKey { organization, model } = partition(organization);
    let delta = |place| {
        let entry = entry_at(place, dimensions);
        Delta { entity: entry.entity.clone(), source_field: entry.source_field.clone(), entries: vec![entry] }
    };
    let deltas = BTreeMap::from([(model, places.map(delta).collect())]);
    Commit { organization, revision: Revision(revision), deltas, newest_at: Instant::now() }
}

/// A vector of no particular length, from a seed.
pub(super) fn vector(seed: u64, dimensions: usize) -> Vector {
    let mut random = StdRng::seed_from_u64(seed);
    Vector::new((0..dimensions).map(|_| random.random_range(-1.0..1.0)).collect()).expect("finite and not zero")
}

/// Vectors around `centres` seeded directions, the i-th around the (i mod centres)-th.
pub(super) fn mixture(count: usize, centres: usize, dimensions: usize, seed: u64) -> Vec<Vector> {
    const SPREAD: f32 = 0.7;
    let centres: Vec<Vector> = (0..centres as u64).map(|centre| vector(centre, dimensions)).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let around = |centre: &Vector| {
        let components = centre.as_slice().iter().map(|at| at + SPREAD * random.random_range(-1.0..1.0));
        Vector::new(components.collect()).expect("finite and not zero")
    };
    centres.iter().cycle().take(count).map(around).collect()
}

/// Filters with some of every condition.
pub(super) fn filters() -> impl Strategy<Value = Filter> {
    let some = |names: &'static [&'static str]| {
        subsequence(names, 0..=2).prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let moment = || proptest::option::weighted(0.3, (0_u64..50).prop_map(day));
    let names = (some(&TYPES), some(&FIELDS), some(&TAGS), some(&TAGS), some(&PLATFORMS), some(&STATUSES));
    let rare = |names: Vec<String>, keep: bool| if keep { names } else { Vec::new() };
    (names, (moment(), moment()), proptest::option::of((0_u64..30).prop_map(entity)), any::<[bool; 6]>()).prop_map(
        move |((types, fields, any, all, platforms, statuses), (from, until), not_entity, keep)| Filter {
            entity_types: rare(types, keep[0]).iter().map(|name| name.parse().expect("a good name")).collect(),
            source_fields: rare(fields, keep[1]).iter().map(|name| name.parse().expect("a good name")).collect(),
            tags_any: rare(any, keep[2]),
            tags_all: rare(all, keep[3]),
            platforms: rare(platforms, keep[4]),
            statuses: rare(statuses, keep[5]),
            time: TimeRange { from, until },
            not_entity,
        },
    )
}

/// Whether a row meets every condition, said plainly.
pub(super) fn admits(filter: &Filter, row: &Row) -> bool {
    fn any<T: PartialEq>(wanted: &[T], has: &T) -> bool {
        wanted.is_empty() || wanted.contains(has)
    }
    any(&filter.entity_types, &row.entity.entity_type)
        && any(&filter.source_fields, &row.source_field)
        && (filter.tags_any.is_empty() || filter.tags_any.iter().any(|tag| row.labels.tags.contains(tag)))
        && filter.tags_all.iter().all(|tag| row.labels.tags.contains(tag))
        && any(&filter.platforms, &row.labels.platform)
        && any(&filter.statuses, &row.labels.status)
        && filter.time.admits(row.occurred_at)
        && filter.not_entity.as_ref() != Some(&row.entity)
}
