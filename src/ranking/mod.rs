//! From candidates to an answer: roll-up and packing. Pure.

mod packing;
mod roll_up;

pub use packing::{Candidate, DropReason, Packed, Verdict, pack};
pub use roll_up::best_per_entity;
