//! Kindred.
pub mod domain;
pub mod index;
pub mod tenancy;
