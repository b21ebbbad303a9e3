//! The threads of work that nobody waits for, such as graphs that are built: their own, and behind all others.

use std::thread::{self, available_parallelism};

use rayon::ThreadPoolBuilder;

use super::error::IndexError;
use super::settings::Settings;

/// So far behind the process's other threads that these get nine tenths of a core that both want (`man 7 sched`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Does the work of a build on threads of its own, as many as the settings say or else half as many as there are cores, so
/// that searches find one free; on the present ones where it is part of such work already.
///
/// # Errors
/// Where the system gives no threads.
pub(super) fn build<T: Send>(settings: &Settings, work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    let threads = match settings.build_threads {
        0 => available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        given => given,
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.thread_name(|at| format!("graph builder {at}")).start_handler(|_| step_back());
    Ok(pool.build().map_err(IndexError::Threads)?.install(work))
}

/// Does work that nobody waits for on a thread behind all others of the process.
///
/// # Errors
/// Where the system gives no thread.
pub fn in_background<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    build(&Settings { build_threads: 1, ..Settings::DEFAULT }, work)
}

/// Lets a thread that waits for this core have it now, not at the end of a slice of some milliseconds.
pub(super) fn give_way() {
    thread::yield_now();
}

/// The same items, giving way after some of them: each takes some microseconds.
pub(super) fn giving_way<I: Iterator>(items: I) -> impl Iterator<Item = I::Item> {
    items.enumerate().map(|(at, item)| {
        if at % 32 == 31 {
            give_way();
        }
        item
    })
}

/// Where threads have priorities of their own, gives this one a low one; a system that refuses builds with the usual one.
fn step_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}
