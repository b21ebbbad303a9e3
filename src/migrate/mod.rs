//! The schema: roles and extension by a superuser, tables by the owner, and the check that a service role cannot
//! bypass them.

mod bootstrap;
mod error;
mod schema;
mod service_role;

pub use bootstrap::{RolePasswords, bootstrap, create_database};
pub use error::MigrateError;
pub use schema::{SchemaState, down, schema_state, up};
pub use service_role::check_service_role;
