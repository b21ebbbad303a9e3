//! The version rules, as functions of values.

use crate::domain::Outcome;
use crate::store::Head;

/// What a draft wants to be current.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wish {
    /// Digest of texts and given vectors.
    pub(super) content_hash: [u8; 32],
    /// Digest of the attributes.
    pub(super) attributes_hash: [u8; 32],
    /// The version the caller believes in: 0 for none.
    pub(super) expected_version: Option<i32>,
}

/// What is to be done for a draft.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// Nothing: answer so.
    Answer(Outcome),
    /// Write this version.
    Write {
        /// Its number.
        version: i32,
        /// Whether there is a current version to close.
        closes: bool,
        /// The version whose chunks have the same content, so that nothing needs to be embedded.
        reuse: Option<i32>,
    },
}

/// Decides, given the line's current version and the version that an earlier request with the same idempotency key made.
///
/// 1. A repeated request is answered like the first; its key with other content is a conflict.
/// 2. Another current version than the expected one is a conflict. A tombstone counts as "none" too.
/// 3. Equal content and attributes: unchanged.
/// 4. Otherwise the next number; equal content reuses the vectors.
pub(super) fn decide(wish: &Wish, head: Option<&Head>, replayed: Option<&Head>) -> Decision {
    let current = head.map_or(0, |head| head.version);
    if let Some(first) = replayed {
        let (version, revision) = (first.version, first.revision);
        return Decision::Answer(if !same(wish, first) {
            conflict(
                current,
                "the idempotency key was used for other content; use a new key for new content".to_owned(),
            )
        } else if version == 1 {
            Outcome::Created { version, revision }
        } else {
            Outcome::NewVersion { version, revision }
        });
    }
    let deleted = head.is_some_and(|head| head.deleted);
    if let Some(expected) = wish.expected_version
        && expected != current
        && !(deleted && expected == 0)
    {
        let reason =
            format!("the current version is {current} and {expected} was expected; read it, then decide again");
        return Decision::Answer(conflict(current, reason));
    }
    let live = head.filter(|head| !head.deleted);
    match live {
        Some(head) if same(wish, head) => {
            Decision::Answer(Outcome::Unchanged { version: head.version, revision: head.revision })
        }
        _ => Decision::Write {
            version: current + 1,
            closes: head.is_some(),
            reuse: live.filter(|head| head.content_hash == wish.content_hash).map(|head| head.version),
        },
    }
}

fn same(wish: &Wish, head: &Head) -> bool {
    wish.content_hash == head.content_hash && wish.attributes_hash == head.attributes_hash
}

fn conflict(version: i32, reason: String) -> Outcome {
    Outcome::Conflict { version, reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Revision;

    fn head(version: i32, content: u8, attributes: u8, deleted: bool) -> Head {
        Head {
            version,
            revision: Revision(i64::from(version) * 10),
            content_hash: [content; 32],
            attributes_hash: [attributes; 32],
            deleted,
        }
    }

    fn wish(content: u8, attributes: u8, expected_version: Option<i32>) -> Wish {
        Wish { content_hash: [content; 32], attributes_hash: [attributes; 32], expected_version }
    }

    fn write(version: i32, closes: bool, reuse: Option<i32>) -> Decision {
        Decision::Write { version, closes, reuse }
    }

    #[test]
    fn the_rules() {
        let live = head(3, 1, 1, false);
        let tombstone = head(4, 0, 0, true);
        let unchanged = Decision::Answer(Outcome::Unchanged { version: 3, revision: Revision(30) });
        for (case, wish, head, decision) in [
            ("a new line", wish(1, 1, None), None, write(1, false, None)),
            ("a new line, as expected", wish(1, 1, Some(0)), None, write(1, false, None)),
            ("all equal", wish(1, 1, None), Some(&live), unchanged.clone()),
            ("all equal, as expected", wish(1, 1, Some(3)), Some(&live), unchanged),
            ("another text", wish(2, 1, None), Some(&live), write(4, true, None)),
            ("other tags", wish(1, 2, Some(3)), Some(&live), write(4, true, Some(3))),
            ("after a deletion", wish(1, 1, None), Some(&tombstone), write(5, true, None)),
            ("after a deletion, none expected", wish(1, 1, Some(0)), Some(&tombstone), write(5, true, None)),
            ("a tombstone's own hash", wish(0, 0, Some(4)), Some(&tombstone), write(5, true, None)),
        ] {
            assert_eq!(decide(&wish, head, None), decision, "{case}");
        }
    }

    #[test]
    fn an_unexpected_version_is_a_conflict() {
        for (expected, head) in [(1, None), (2, Some(head(3, 1, 1, false))), (0, Some(head(3, 1, 1, false)))] {
            let decision = decide(&wish(1, 1, Some(expected)), head.as_ref(), None);
            assert!(matches!(decision, Decision::Answer(Outcome::Conflict { .. })), "{expected} {head:?}");
        }
    }

    #[test]
    fn a_repeated_request_is_answered_like_the_first() {
        let now = head(7, 9, 9, false);
        let first = head(1, 1, 1, false);
        let created = Outcome::Created { version: 1, revision: Revision(10) };
        assert_eq!(decide(&wish(1, 1, Some(0)), Some(&now), Some(&first)), Decision::Answer(created));
        let decision = decide(&wish(2, 1, None), Some(&now), Some(&first));
        assert!(matches!(decision, Decision::Answer(Outcome::Conflict { version: 7, .. })));
    }

    proptest! {
        /// Whatever is written has the next number, so histories stay linear and gap-free.
        #[test]
        fn numbers_go_up_by_one(version in 1..1000i32, content in 0..3u8, attributes in 0..3u8, deleted: bool) {
            let head = head(version, 1, 1, deleted);
            if let Decision::Write { version: next, closes, reuse } = decide(&wish(content, attributes, None), Some(&head), None) {
                prop_assert_eq!(next, version + 1);
                prop_assert!(closes);
                prop_assert_eq!(reuse.is_some(), content == 1 && !deleted);
            } else {
                prop_assert!(content == 1 && attributes == 1 && !deleted);
            }
        }
    }
}
