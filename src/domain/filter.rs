//! Which embeddings a search may return.

use chrono::{DateTime, Utc};

use super::{EntityRef, EntityType, Invalid, SourceField};

/// A half-open span of `occurred_at`: `[from, until)`. A row without a time is in no bounded span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// Earliest, inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Latest, exclusive.
    pub until: Option<DateTime<Utc>>,
}

impl TimeRange {
    /// Whether it admits everything, also rows without a time.
    pub fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// Whether it admits a time.
    pub fn admits(&self, at: Option<DateTime<Utc>>) -> bool {
        self.is_unbounded()
            || at.is_some_and(|at| self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until))
    }
}

/// Conditions that a row must meet, all of them. An empty list admits everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Any of these entity types.
    pub entity_types: Vec<EntityType>,
    /// Any of these source fields.
    pub source_fields: Vec<SourceField>,
    /// At least one of these tags.
    pub tags_any: Vec<String>,
    /// Every one of these tags.
    pub tags_all: Vec<String>,
    /// Any of these platforms.
    pub platforms: Vec<String>,
    /// Any of these statuses.
    pub statuses: Vec<String>,
    /// When it happened.
    pub time: TimeRange,
    /// Not this entity.
    pub not_entity: Option<EntityRef>,
}

impl Filter {
    /// Whether entities of a type may be found.
    pub fn admits_type(&self, entity_type: &EntityType) -> bool {
        self.entity_types.is_empty() || self.entity_types.contains(entity_type)
    }

    /// Refuses a span that ends before it begins.
    pub fn check(self) -> Result<Self, Invalid> {
        if let TimeRange { from: Some(from), until: Some(until) } = self.time
            && from >= until
        {
            return Err(Invalid::new(
                "filter.occurred_until",
                format!("{until} is not after occurred_from {from}; no time lies between"),
            ));
        }
        Ok(self)
    }

    /// Whether it admits every row.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
