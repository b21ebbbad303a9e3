//! A legacy database carried over while its application writes, in the shapes that were found.

mod database;
mod ending;
mod fixtures;
mod keys;
mod large;
mod mistakes;
mod old_columns;
mod policies;
mod replaced;
mod rows;
mod shapes;
mod tables;
mod writes;
