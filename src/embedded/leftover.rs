//! A postmaster from an earlier run: dead with its pid file left behind, or still on its way out.
//!
//! Our own lock on the data directory is held here, so whoever else uses it is an orphan of a process that was killed.
//! Postgres itself only asks whether *some* process has the pid in `postmaster.pid`, which a zombie, a thread of ours
//! or a stranger in a fresh container may have; so that question is answered here, more exactly.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::Instant;

use super::PostgresError;

const POLL: Duration = Duration::from_millis(50);

/// Clears the way for a start: asks an orphan to stop and waits for it, then removes what it left.
pub(super) async fn clear(data: &Path, deadline: Instant) -> Result<(), PostgresError> {
    let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    let mut sent = None;
    while let Some(pid) = living(data) {
        let now = Instant::now();
        if now >= deadline {
            return Err(PostgresError::Leftover { pid: pid.as_raw_nonzero().get().cast_unsigned() });
        }
        // Fast first, then immediate: the data is safe with both.
        let signal = if now < half { Signal::INT } else { Signal::QUIT };
        if sent != Some(signal) {
            tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping a Postgres that an earlier run left behind");
            let _ = kill_process(pid, signal);
            sent = Some(signal);
        }
        tokio::time::sleep(POLL).await;
    }
    let path = data.join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(PostgresError::io("remove", &path, &error)),
        _ => Ok(()),
    }
}

/// The postmaster that `postmaster.pid` names, where it lives and works on this data.
pub(super) fn living(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    // Any other answer means that it exists, also that we may not signal it.
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return None;
    }
    serves(pid, data).then_some(pid)
}

/// Whether the process is a postmaster on this data, from its command line. A zombie's is empty.
#[cfg(target_os = "linux")]
fn serves(pid: Pid, data: &Path) -> bool {
    match fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) {
        Ok(line) => is_postmaster(&line, data),
        // Gone meanwhile, or hidden from us; the latter is the careful guess, and Postgres decides.
        Err(_) => test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
    }
}

#[cfg(target_os = "linux")]
fn is_postmaster(line: &[u8], data: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let named = arguments.first().is_some_and(|program| program.ends_with(b"postgres"));
    named && arguments.windows(2).any(|pair| pair[0] == b"-D" && pair[1] == data.as_os_str().as_bytes())
}

#[cfg(not(target_os = "linux"))]
fn serves(pid: Pid, data: &Path) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    match std::process::Command::new("ps").args(["-o", "stat=,command=", "-p", &pid]).output() {
        Ok(output) => {
            let line = String::from_utf8_lossy(&output.stdout);
            !line.trim_start().starts_with('Z') && line.contains(&format!("-D {}", data.display()))
        }
        Err(_) => true,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_a_postmaster_on_this_data_counts() {
        let data = Path::new("/data/postgres");
        for (line, expected) in [
            (&b"/x/bin/postgres\0-D\0/data/postgres\0-p\0x\0"[..], true),
            (b"/x/bin/postgres\0-D\0/data/other\0", false),
            (b"kindred\0serve\0--data-dir\0/data\0", false),
            (b"", false),
        ] {
            assert_eq!(is_postmaster(line, data), expected);
        }
    }

    #[tokio::test]
    async fn a_pid_file_of_somebody_else_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("postmaster.pid");
        fs::write(&path, format!("{}\n{}\n", std::process::id(), folder.path().display())).expect("written");
        assert_eq!(living(folder.path()), None);
        clear(folder.path(), Instant::now()).await.expect("cleared");
        assert!(!path.exists());
    }
}
