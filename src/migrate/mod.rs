//! The schema: roles and extension by a superuser, tables by the owner, the check that a service role cannot bypass them;
//! and the carrying over of a legacy database while its application writes.
//!
//! A legacy database goes through four phases. `plan` looks and changes nothing. `carry_over` makes the new tables beside the
//! legacy ones, in schema `kindred`, lets them follow the legacy tables' writers, and backfills. `switch` says which side an
//! organization reads; once all read the new one, `carry_over` cuts over: the new tables take their names in `public`, and the
//! legacy ones, in `kindred_legacy`, follow them. `finalize` ends it; until then `take_back` and `restore_legacy` undo it.
//! What is carried how is SQL, in `migrations/legacy`.

mod backup;
mod bootstrap;
mod carrying;
mod connection;
mod cut_over;
mod error;
mod legacy;
mod owner_options;
mod plan;
mod schema;
mod service_role;
mod verification;

pub use backup::Backup;
pub use bootstrap::{RolePasswords, bootstrap, create_database};
pub use carrying::{Outcome, Progress, carry_over, prepare};
pub use cut_over::{CarryState, SourceState, carry_state, finalize, restore_legacy, switch, take_back};
pub use error::MigrateError;
pub use legacy::{Origin, origin_of};
pub use owner_options::{OwnerOptions, UserPlace, read_user_places};
pub use plan::{Obstacle, Plan, PlannedTable, plan};
pub use schema::{SchemaState, down, schema_state, up};
pub use service_role::{check_role, check_schema, check_service_role};
pub use verification::{Check, Difference, Quarantined, Verification, verify};
