//! The threads of long work, such as graphs that are built: their own, and behind all others.

use std::cell::Cell;
use std::thread::{self, available_parallelism};
use std::time::Duration;

use rayon::ThreadPoolBuilder;
use rustix::time::{ClockId, clock_gettime};

use super::error::IndexError;
use super::settings::Settings;

/// So far behind the process's other threads that these get nine tenths of a core that both want (`man 7 sched`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// A thread rests, where nobody waits for its work, once it has worked so long.
const WORK: Duration = Duration::from_micros(500);
/// A core that becomes free takes over a thread that waits for another one, which it does not while it has work, however
/// far behind that is.
const REST: Duration = Duration::from_micros(50);

thread_local! {
    /// How long this thread had worked when it last rested, if it does work that nobody waits for.
    static RESTED_AT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Does the work of a build on threads of its own, as many as the settings say or else half as many as there are cores, so
/// that searches find one free; on the present ones where it is part of such work already.
///
/// # Errors
/// Where the system gives no threads.
pub(super) fn build<T: Send>(settings: &Settings, work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    on_threads(settings, false, work)
}

/// The same for what nobody waits for: its threads rest again and again.
///
/// # Errors
/// As [`build`].
pub(super) fn build_at_leisure<T: Send>(settings: &Settings, work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    on_threads(settings, true, work)
}

/// Does work that nobody waits for on a thread behind all others of the process.
///
/// # Errors
/// Where the system gives no thread.
pub fn in_background<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    build_at_leisure(&Settings { build_threads: 1, ..Settings::DEFAULT }, work)
}

fn on_threads<T: Send>(settings: &Settings, rests: bool, work: impl FnOnce() -> T + Send) -> Result<T, IndexError> {
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    let threads = match settings.build_threads {
        0 => available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        given => given,
    };
    let start = move |_| {
        step_back();
        RESTED_AT.set(rests.then(worked));
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.thread_name(|at| format!("graph builder {at}")).start_handler(start);
    Ok(pool.build().map_err(IndexError::Threads)?.install(work))
}

/// Lets a thread that waits for this core have it now, not at the end of a slice of some milliseconds. That is for threads
/// that build, and as much for those that serve while they put blocks of the tail together: what waits may be a search.
pub(super) fn give_way() {
    thread::yield_now();
    let Some(rested_at) = RESTED_AT.get() else { return };
    let worked = worked();
    if worked.saturating_sub(rested_at) >= WORK {
        thread::sleep(REST);
        RESTED_AT.set(Some(worked));
    }
}

/// The CPU time that this thread has taken.
fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// The same items, giving way after some of them: each takes some microseconds at most.
pub(super) fn giving_way<I: Iterator>(items: I) -> impl Iterator<Item = I::Item> {
    items.enumerate().map(|(at, item)| {
        give_way_at(at);
        item
    })
}

/// Gives way at some of the turns of a loop, which take some microseconds at most.
pub(super) fn give_way_at(turn: usize) {
    const EVERY: usize = 32;
    if turn % EVERY == EVERY - 1 {
        give_way();
    }
}

/// Where threads have priorities of their own, gives this one a low one; a system that refuses builds with the usual one.
fn step_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}
