//! The schema as it is, read from Postgres' own catalog, and what is written from it: TypeScript types and a diagram.

mod diagram;
mod error;
mod literals;
mod page;
mod reading;
#[cfg(test)]
mod samples;
mod typescript;

pub use diagram::diagram;
pub use error::CatalogError;
pub use reading::{Argument, Catalog, Column, DataType, ForeignKey, Function, Returns, Table, View, read};
pub use typescript::typescript;
