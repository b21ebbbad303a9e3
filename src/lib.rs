//! Kindred keeps every version of every embedding of a social media dashboard in one Postgres table, answers "what is
//! like this?" from an in-memory HNSW index that mirrors it, and hands a chat backend the context it should read,
//! leaving a record of each retrieval.
//!
//! # The rooms, top to bottom
//!
//! A room imports only rooms below it, as `ARCHITECTURE.md` names them; `tests/architecture.rs` holds it to that.
//!
//! | room | what lives there |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`runtime`] | the only place that builds things: configuration, wiring, start, shutdown |
//! | [`telemetry`] | logs and metrics |
//! | [`grpc`] | one file per service: unpack, call, pack |
//! | [`access`], [`admin`] | who is calling; organizations |
//! | [`context`] | RAG context: retrieve, pack, log |
//! | [`search`] | similar entities; the planner: mirror or Postgres |
//! | [`transfer`] | bulk imports from files; the index of an empty model is built once, after them |
//! | [`versions`], [`ingest`] | the history of a line; what a draft means, embed, write |
//! | [`maintenance`], [`migrate`], [`catalog`] | duties with the owner's rights; the schema; what is written from it |
//! | [`archive`] | whole months as Parquet files in an object store, and back |
//! | [`mirror`] | follows the change feed into the index; its snapshots and its auditor |
//! | [`index`], [`store`], [`embed`], [`embedded`] | graphs in memory; SQL; models; the parts that are brought along |
//! | [`tenancy`], [`ranking`], [`domain`] | pure: callers and roles; roll-up and packing; the values all speak of |
//!
//! # One request, in steps: a draft comes in, and is found
//!
//! 1. `grpc::upsert_stream` reads a message; each draft becomes a [`domain::Draft`] or an INVALID outcome.
//! 2. [`ingest::Ingestor::submit`] checks role, model and width, and puts it into the organization's bounded queue.
//! 3. `ingest::gather` takes a batch of distinct lines; `ingest::batch` compares it with the current versions by the pure
//!    rules of `ingest::plan`: what is unchanged is answered here.
//! 4. Without a transaction, `ingest::chunking` cuts what is too long and an [`embed::Embedder`] embeds the rest.
//! 5. One [`store::TenantTransaction`] takes the organization's next [`domain::Revision`], decides again, closes old
//!    versions, inserts new ones with their chunks, writes the change log, and commits ([`ingest::write_versions`]).
//! 6. [`ingest::announce`] rings the mirror through [`index::IndexReader`] and waits, bounded, for the revision.
//! 7. [`mirror::Mirror`] reads the changes after its revision and applies them by the one [`index::IndexWriter`].
//! 8. The acknowledgement goes out: outcome, version, revision.
//! 9. A search with that `min_revision` comes in; [`search::Searcher`] embeds the query (or takes it from the cache), and
//!    its planner sees that the partition is loaded, fresh and at the revision: [`index::PartitionView`] answers, as
//!    [`domain::ServedBy`] says. Were it not, [`store::TenantTransaction::nearest`] would.
//! 10. [`ranking::best_per_entity`] keeps one chunk an entity; texts are read by row where they are asked for.

pub mod access;
pub mod admin;
pub mod archive;
pub mod catalog;
pub mod cli;
pub mod context;
pub mod domain;
pub mod embed;
pub mod embedded;
pub mod grpc;
pub mod index;
pub mod ingest;
pub mod maintenance;
pub mod migrate;
pub mod mirror;
pub mod ranking;
pub mod runtime;
pub mod search;
pub mod store;
pub mod telemetry;
pub mod tenancy;
pub mod transfer;
pub mod versions;
