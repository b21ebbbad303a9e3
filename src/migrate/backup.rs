//! A backup of the legacy tables, taken and checked before anything is changed.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;
use url::Url;

use super::MigrateError;

/// What stands between an operator and a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backup {
    /// Take one with the `pg_dump` in the folder `programs`, and put it into `folder`.
    Take {
        /// Where `pg_dump` and `pg_restore` are.
        programs: PathBuf,
        /// Where the backup goes; it is made where it is missing.
        folder: PathBuf,
    },
    /// The operator has a checked one, and says where.
    Checked(String),
}

/// Takes the backup, where one is to be taken, and reads it from end to end. Tells where it is.
///
/// # Errors
/// Where it cannot be taken, or does not hold every table that is to be carried over.
pub(super) async fn ensure(backup: &Backup, owner_url: &str, tables: &[String]) -> Result<String, MigrateError> {
    let (programs, folder) = match backup {
        Backup::Checked(place) => return Ok(place.clone()),
        Backup::Take { programs, folder } => (programs, folder),
    };
    let failed =
        |what: &str| MigrateError::Backup(format!("{what}; --backup-at PLACE names one that you have checked"));
    std::fs::create_dir_all(folder).map_err(|error| failed(&format!("{}: {error}", folder.display())))?;
    let file = folder.join(format!("legacy-{}.dump", chrono::Utc::now().format("%Y%m%d-%H%M%S")));
    let mut dump = program(programs, "pg_dump");
    dump.args(["--format=custom", "--schema=public", "--no-password", "--file"]).arg(&file);
    with_address(&mut dump, owner_url)?;
    succeeded(run(dump).await?, "pg_dump").map_err(|error| failed(&error))?;
    private(&file).map_err(|error| failed(&error.to_string()))?;

    let mut list = program(programs, "pg_restore");
    list.arg("--list").arg(&file);
    let contents = succeeded(run(list).await?, "pg_restore --list").map_err(|error| failed(&error))?;
    for table in tables {
        if !contents.contains(&format!(" TABLE DATA public {table} ")) {
            return Err(failed(&format!("{} does not hold the rows of {table}", file.display())));
        }
    }
    // Writing the script out reads and unpacks every block.
    let mut read = program(programs, "pg_restore");
    read.arg("--file=/dev/null").arg(&file);
    succeeded(run(read).await?, "pg_restore").map_err(|error| failed(&error))?;
    Ok(file.display().to_string())
}

fn program(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(folder.join(name));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The address as arguments, and the password where no process list shows it.
fn with_address(command: &mut Command, url: &str) -> Result<(), MigrateError> {
    let mut url = Url::parse(url).map_err(|error| MigrateError::Options(format!("the owner's URL: {error}")))?;
    if let Some(password) = url.password() {
        let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
        command.env("PGPASSWORD", decoded);
        // Only an address without a host has no place for a password.
        let _ = url.set_password(None);
    }
    command.arg("--dbname").arg(url.as_str());
    Ok(())
}

async fn run(mut command: Command) -> Result<Output, MigrateError> {
    let named = format!("{:?}", command.as_std().get_program());
    command.output().await.map_err(|error| MigrateError::Backup(format!("{named} does not run: {error}")))
}

fn succeeded(output: Output, name: &str) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(unix)]
fn private(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}
