//! The whole service, over real gRPC, on a real Postgres.
//!
//! One private Postgres serves this process's tests; each test has a database of its own, cloned from a migrated
//! template, and a service of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub)]

mod access;
mod archive;
mod context;
mod deliverables;
mod doctor;
mod embedder;
mod harness;
mod legacy;
mod lifecycle;
mod mirror;
mod model;
mod postgres;
mod queries;
mod readme;
mod schema;
mod search;
mod snapshots;
mod transfer;
mod transport;
mod upsert;
mod versions;
