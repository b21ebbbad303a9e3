//! Mirror or Postgres? A function of values.

use std::time::Duration;

use crate::domain::Revision;

/// What is known of a partition when a search comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mirrored {
    /// Its revision.
    pub(super) revision: Revision,
    /// How long ago its feed was last confirmed.
    pub(super) unconfirmed_for: Duration,
}

/// Who is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The mirror, as it is.
    Mirror,
    /// The mirror, if it reaches the revision in time; else Postgres.
    MirrorAfterWaiting,
    /// Postgres, since the partition is not in memory: it is to be loaded.
    PostgresAndLoad,
    /// Postgres, since the partition's feed is silent.
    Postgres,
}

/// Decides who answers. The mirror answers only if its feed was confirmed within `max_staleness`.
pub(super) fn route(mirrored: Option<Mirrored>, min_revision: Revision, max_staleness: Duration) -> Route {
    match mirrored {
        None => Route::PostgresAndLoad,
        Some(mirrored) if mirrored.unconfirmed_for > max_staleness => Route::Postgres,
        Some(mirrored) if mirrored.revision < min_revision => Route::MirrorAfterWaiting,
        Some(_) => Route::Mirror,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_mirror_answers() {
        let second = Duration::from_secs(1);
        let at = |revision, unconfirmed_for| Some(Mirrored { revision: Revision(revision), unconfirmed_for });
        for (mirrored, min_revision, expected) in [
            (None, 0, Route::PostgresAndLoad),
            (at(5, Duration::ZERO), 0, Route::Mirror),
            (at(5, second), 5, Route::Mirror),
            (at(5, Duration::ZERO), 6, Route::MirrorAfterWaiting),
            (at(5, second * 2), 0, Route::Postgres),
            (at(5, second * 2), 6, Route::Postgres),
        ] {
            assert_eq!(route(mirrored, Revision(min_revision), second), expected, "{mirrored:?} {min_revision}");
        }
    }
}
