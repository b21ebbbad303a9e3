//! A permanent thread that starts one child at a time and waits for it.
//!
//! On Linux a child can ask to be signalled when its parent dies, so that a `kill -9` of ours takes it along. "Parent"
//! means the thread that forked, so that must not be one of a runtime's, which come and go.

use std::io;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::oneshot;

/// A child that was started. Its output has to be read, or it will wait for that some day.
pub(super) struct Launched {
    /// Its standard output, where the command pipes it.
    pub(super) stdout: Option<ChildStdout>,
    /// Its standard error, where the command pipes it.
    pub(super) stderr: Option<ChildStderr>,
    /// Tells how it ended, after it was reaped.
    pub(super) exited: oneshot::Receiver<ExitStatus>,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Launched>>,
}

/// The handle of the thread. When it is dropped, the child gets SIGINT, and the thread ends after it.
pub(super) struct Keeper {
    requests: SyncSender<Request>,
    running: Running,
}

/// The child that lives, if any. It is reaped under this lock, so that no signal meets a pid that was given to another.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Option<Pid>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.lock() {
            // It may be dying already; then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, receiver) = sync_channel(1);
        let running = Running::default();
        let of_thread = running.clone();
        std::thread::Builder::new().name("postgres-keeper".to_owned()).spawn(move || keep(&receiver, &of_thread))?;
        Ok(Self { requests, running })
    }

    /// Starts a child in a process group of its own; waits for the one before to end.
    pub(super) async fn launch(&self, mut command: Command) -> io::Result<Launched> {
        use std::os::unix::process::CommandExt;
        // Ctrl-C at a terminal goes to us alone; we decide when the child stops.
        command.process_group(0);
        die_with_parent(&mut command);
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts Postgres is busy or has ended");
        self.requests.try_send(Request { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Signals the child, where one lives.
    pub(super) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// The child's process id, where one lives.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.lock().map(|pid| pid.as_raw_nonzero().get().cast_unsigned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

fn keep(requests: &Receiver<Request>, running: &Running) {
    for Request { mut command, reply } in requests {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = reply.send(Err(error));
                continue;
            }
        };
        *running.lock() = Some(Pid::from_child(&child));
        let (tell, exited) = oneshot::channel();
        let launched = Launched { stdout: child.stdout.take(), stderr: child.stderr.take(), exited };
        if reply.send(Ok(launched)).is_err() {
            running.signal(Signal::INT);
        }
        wait_for_end(&child);
        let mut slot = running.lock();
        *slot = None;
        let status = child.wait();
        drop(slot);
        if let Ok(status) = status {
            let _ = tell.send(status);
        }
    }
}

/// Waits without reaping: until the child is reaped, its pid is nobody else's.
fn wait_for_end(child: &Child) {
    let id = WaitId::Pid(Pid::from_child(child));
    let ended = || waitid(id.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while matches!(ended(), Err(rustix::io::Errno::INTR)) {}
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id().cast_signed();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe work is allowed. It makes two system
    // calls and allocates nothing, also where it fails. It runs after the change of uid, which would clear the setting.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
            // A parent that died before the call sends no signal any more.
            match rustix::process::getppid() {
                Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            }
        });
    }
}

/// Elsewhere an orphaned server is stopped by the next start: see `leftover`.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// A child that an interrupt ends, even where the one who started us ignores interrupts (a shell's background job does).
    /// It makes the file once that is so.
    fn sleeper(ready: &std::path::Path) -> Command {
        let mut command = Command::new("python3");
        let script = "import pathlib, signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_DFL); \
                      pathlib.Path(sys.argv[1]).touch(); time.sleep(600)";
        command.args(["-c", script]).arg(ready);
        command
    }

    #[tokio::test]
    async fn children_are_started_one_after_the_other_and_reaped() {
        let keeper = Keeper::start().expect("a thread");
        for code in [0, 3] {
            let launched = keeper.launch(shell(&format!("exit {code}"))).await.expect("started");
            assert_eq!(launched.exited.await.expect("ended").code(), Some(code));
            assert_eq!(keeper.pid(), None);
        }
        let missing = keeper.launch(Command::new("/nowhere/postgres")).await;
        assert_eq!(missing.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }

    #[tokio::test]
    async fn a_dropped_keeper_takes_its_child_along() {
        use std::os::unix::process::ExitStatusExt;
        let keeper = Keeper::start().expect("a thread");
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready");
        let launched = keeper.launch(sleeper(&ready)).await.expect("started");
        assert!(keeper.pid().is_some());
        while !ready.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        drop(keeper);
        let status = launched.exited.await.expect("ended");
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    }
}
