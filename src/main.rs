//! Kindred.
fn main() {}
