//! All SQL but that of the migrations; one file per table or query family.
//!
//! Rules that every statement keeps: it runs in a tenant transaction ([`TenantTransaction`]), names
//! `organization_id` itself (row level security is the second lock, not the router), and runs unchanged on Citus. The
//! keys of a batch are looked up one by one (`CROSS JOIN LATERAL (… OFFSET 0)`): a plain join is turned round by a planner
//! that has no statistics of a young table, and reads the whole organization.

mod archive_parts;
mod bell;
mod catalog;
mod changes;
mod context_logs;
mod database;
mod embeddings;
mod error;
mod health;
mod keys;
mod leases;
mod model_indexes;
mod models;
mod month_restore;
mod month_rows;
mod monthly;
mod months;
mod nearest;
mod organizations;
mod orphans;
mod revisions;
mod settling;
mod versions;

pub use archive_parts::KnownPart;
pub use bell::{Bell, BellListener};
pub use catalog::{CatalogError, ModelCatalog};
pub use changes::Changes;
pub use context_logs::{ContextLog, Feedback};
pub use database::{Database, DatabaseSettings, TenantTransaction};
pub use embeddings::{Arrival, NewChunk, StoredContent, kept_time};
pub use error::StoreError;
pub use health::{CrookedLog, CurrentPartition, Unsettled};
pub use keys::ApiKey;
pub use models::ModelStatus;
pub use month_restore::{Merge, MonthRestore};
pub use month_rows::{LockedMonth, MonthSnapshot, PartFacts};
pub use monthly::{Column, ColumnType, MonthlyTable, Row, Value};
pub use months::{MonthPlace, MonthRows, OldMonth};
pub use nearest::NearestQuery;
pub use organizations::{NewOrganization, Organization};
pub use versions::{Head, NewVersion};
