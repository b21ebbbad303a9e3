//! What can be typed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{archive, doctor, import, key, migrate, organization, search, serve};

/// Versioned embeddings, semantic search and RAG context over gRPC
#[derive(Debug, Parser)]
#[command(name = "kindred", version, about, propagate_version = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC; without settings, on a private Postgres and a local model
    Serve(serve::Serve),
    /// Bring the database's schema up or down, or see where it stands
    Migrate(migrate::Migrate),
    /// Create and list organizations
    Organization(organization::Organization),
    /// Create, list and revoke API keys
    Key(key::Key),
    /// Move old months to an archive and back, and check what lies there
    Archive(archive::Archive),
    /// Import embeddings from JSON lines or Parquet files
    Import(import::Import),
    /// Search an organization's embeddings from the command line
    Search(search::Search),
    /// Check a database, and what the mirror makes of it; changes nothing, and may run beside a service
    Doctor(doctor::Doctor),
}

/// Runs the program.
pub fn run() -> ExitCode {
    let program = Program::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the runtime does not start: {error}")),
    };
    let done = runtime.block_on(async {
        match program.command {
            Command::Serve(command) => command.run().await,
            Command::Migrate(command) => command.run().await,
            Command::Organization(command) => command.run().await,
            Command::Key(command) => command.run().await,
            Command::Archive(command) => command.run().await,
            Command::Import(command) => command.run().await,
            Command::Search(command) => command.run().await,
            Command::Doctor(command) => command.run().await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("kindred: {message}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_can_be_parsed() {
        Program::command().debug_assert();
    }
}
