//! The threads that build graphs: their own, and behind all others.

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::error::IndexError;
use super::settings::Settings;

/// So far behind the process's other threads that these get nine tenths of a core that both want (`man 7 sched`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// A pool for one build.
///
/// # Errors
/// Where the system gives no threads.
pub(super) fn for_build(settings: &Settings) -> Result<ThreadPool, IndexError> {
    let pool = ThreadPoolBuilder::new().num_threads(settings.build_threads);
    let pool = pool.thread_name(|at| format!("graph builder {at}")).start_handler(|_| step_back());
    pool.build().map_err(IndexError::Threads)
}

/// Where threads have priorities of their own, gives this one a low one; a system that refuses builds with the usual one.
fn step_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}
