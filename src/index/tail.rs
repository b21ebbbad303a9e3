//! The fresh tail: blocks that no graph covers yet.

use std::sync::Arc;

use super::error::IndexError;
use super::segment::{Segment, TailRow, unit_rows};
use super::settings::Settings;
use super::snapshot::Part;
use crate::domain::Entry;

/// A block of so many rows is scanned in some twenty microseconds, and copied in milliseconds, for which all changes to a
/// partition wait: it is left as it is.
const LARGE: usize = 1_024;

/// Adds a block of entries behind the parts.
///
/// Blocks at the end that are no larger than what comes are taken into it, without their dead rows, as a binary counter
/// carries, until they are [`LARGE`]: a row is copied about log₂(1,024) times at most. The first `fixed` parts stay as they
/// are.
///
/// # Errors
/// Names an entry of another width, or one that comes twice.
pub(super) fn push(
    settings: &Settings,
    parts: &mut Vec<Part>,
    fixed: usize,
    dimensions: usize,
    entries: Vec<Entry>,
) -> Result<(), IndexError> {
    if entries.is_empty() {
        return Ok(());
    }
    let fresh = unit_rows(dimensions, entries)?.into_iter();
    let mut rows: Vec<TailRow<'_>> = fresh.map(|(row, vector)| (row, (vector, None))).collect();
    let mut kept = parts.len();
    while kept > fixed && parts[kept - 1].live() <= rows.len() && parts[kept - 1].live() < LARGE {
        kept -= 1;
        rows.extend(parts[kept].live_tail_rows());
    }
    let block = Segment::tail_block(settings, dimensions, rows)?;
    parts.truncate(kept);
    parts.push(Part::new(Arc::new(block)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples::entry_at;

    #[test]
    fn blocks_carry_like_a_binary_counter_and_leave_fixed_parts_alone() {
        let mut parts = vec![Part::new(Arc::new(Segment::block(&Settings::DEFAULT, 4, vec![]).expect("empty")))];
        for place in 0..100 {
            push(&Settings::DEFAULT, &mut parts, 1, 4, vec![entry_at(place, 4)]).expect("fits");
        }
        let sizes: Vec<usize> = parts.iter().map(Part::live).collect();
        assert_eq!(sizes, [0, 64, 32, 4]);
        let fixed = parts.len();
        push(&Settings::DEFAULT, &mut parts, fixed, 4, (100..200).map(|place| entry_at(place, 4)).collect())
            .expect("fits");
        assert_eq!(parts.iter().map(Part::live).collect::<Vec<_>>(), [0, 64, 32, 4, 100]);
    }

    #[test]
    fn large_blocks_are_not_copied() {
        let mut parts = vec![Part::new(Arc::new(Segment::block(&Settings::DEFAULT, 4, vec![]).expect("empty")))];
        for place in (0..6_000).step_by(100) {
            let entries = (place..place + 100).map(|place| entry_at(place, 4)).collect();
            push(&Settings::DEFAULT, &mut parts, 1, 4, entries).expect("fits");
        }
        assert_eq!(parts.iter().map(Part::live).collect::<Vec<_>>(), [0, 1_600, 1_600, 1_600, 800, 400]);
    }

    #[test]
    fn dead_rows_do_not_survive_a_merge() {
        let mut parts = vec![Part::new(Arc::new(Segment::block(&Settings::DEFAULT, 4, vec![]).expect("empty")))];
        let entry = entry_at(1, 4);
        push(&Settings::DEFAULT, &mut parts, 1, 4, vec![entry.clone()]).expect("fits");
        parts[1].kill(&entry.entity, &entry.source_field);
        push(&Settings::DEFAULT, &mut parts, 1, 4, vec![entry]).expect("fits");
        assert_eq!((parts.len(), parts[1].segment.len(), parts[1].live()), (2, 1, 1));
    }
}
