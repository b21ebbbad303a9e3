//! The commands of the `kindred` program.

mod archive;
mod command;
mod demo;
mod doctor;
mod import;
mod import_progress;
mod key;
mod migrate;
mod migrate_report;
mod organization;
mod output;
mod prepare;
mod search;
mod serve;

pub use command::run;
