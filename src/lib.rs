//! Kindred.
pub mod domain;
pub mod runtime;
pub mod tenancy;
