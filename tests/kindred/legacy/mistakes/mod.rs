//! The mistakes of the earlier attempt, one test each: what is right now.

mod data;
mod running;
mod security;
mod versions;
