//! Kindred.
pub mod domain;
pub mod tenancy;
