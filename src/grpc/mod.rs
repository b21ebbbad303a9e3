//! The gRPC services: unpack, call, pack. prost types and `tonic::Status` live here and nowhere else.

mod admission;
mod auth;
mod call;
mod context_service;
mod convert;
mod embedding_service;
pub mod proto;
mod search_service;
mod server;
mod status;
mod upsert_stream;

pub use server::{GrpcSettings, Server, Services};
