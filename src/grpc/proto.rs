//! What `proto/kindred/v1` compiles to: messages, servers, and clients for tests.
#![allow(missing_docs, clippy::all, unreachable_pub)]

tonic::include_proto!("kindred.v1");

/// The descriptors that reflection serves.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kindred.bin"));
