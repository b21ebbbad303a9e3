//! The schema: roles and extension by a superuser, tables by the owner, the check that a service role cannot bypass
//! them, and what is written from the schema as it is: TypeScript types and a diagram.

mod bootstrap;
mod catalog;
mod diagram;
mod error;
mod literals;
mod page;
#[cfg(test)]
mod samples;
mod schema;
mod service_role;
mod typescript;

pub use bootstrap::{RolePasswords, bootstrap, create_database};
pub use catalog::{Argument, Catalog, Column, DataType, ForeignKey, Function, Returns, Table, View, catalog};
pub use diagram::diagram;
pub use error::MigrateError;
pub use schema::{SchemaState, down, schema_state, up};
pub use service_role::check_service_role;
pub use typescript::typescript;
