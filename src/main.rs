//! The `kindred` program.

fn main() -> std::process::ExitCode {
    kindred::cli::run()
}
