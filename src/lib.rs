//! Kindred.
pub mod domain;
pub mod embed;
pub mod tenancy;
