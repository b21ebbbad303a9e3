//! Kindred.
pub mod access;
pub mod context;
pub mod domain;
pub mod embed;
pub mod grpc;
pub mod index;
pub mod ingest;
pub mod maintenance;
pub mod migrate;
pub mod mirror;
pub mod ranking;
pub mod search;
pub mod store;
pub mod telemetry;
pub mod tenancy;
pub mod versions;
