//! The schema: roles and extension by a superuser, tables by the owner, the check that a service role cannot bypass
//! them, and the catalog of the schema as it is.

mod bootstrap;
mod catalog;
mod error;
mod literals;
mod schema;
mod service_role;

pub use bootstrap::{RolePasswords, bootstrap, create_database};
pub use catalog::{Argument, Catalog, Column, DataType, ForeignKey, Function, Returns, Table, View, catalog};
pub use error::MigrateError;
pub use schema::{SchemaState, down, schema_state, up};
pub use service_role::check_service_role;
