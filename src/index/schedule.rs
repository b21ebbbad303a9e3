//! Where one thread can come between two accesses of another to what they share.
//!
//! A [`step`] stands before every access of readers and writer to shared state: swapped snapshots, counters, watch channels,
//! queues. In a program it is nothing. In `schedule_tests` a scheduler takes the place of the system's and may switch
//! threads at each step, so that orders of accesses are explored, thousands of them, and the same ones in each run. That
//! takes accesses for atomic and for sequentially consistent: what arc-swap, tokio's channels and std's locks do within one
//! is theirs to keep, and the orderings of the counters, which are statistics, do not matter.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(test)]
thread_local! {
    /// Whether this thread runs explored schedules: all of a schedule's threads are coroutines of one thread.
    static EXPLORED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Stands before an access to what threads share.
#[inline]
pub(super) fn step() {
    #[cfg(test)]
    if EXPLORED.get() {
        // Time is not modelled: only a switch, where the scheduler wants one.
        shuttle::thread::sleep(std::time::Duration::ZERO);
    }
}

/// Locks. What a panic has left behind is taken as it is: guarded values are whole after each statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    step();
    #[cfg(test)]
    while EXPLORED.get() {
        // A coroutine that waited for another one of its thread would wait for ever.
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test's schedules on this thread; tells how many there were.
#[cfg(test)]
pub(super) fn explored<S: shuttle::scheduler::Scheduler + 'static>(
    scheduler: S,
    test: impl Fn() + Send + Sync + 'static,
) -> usize {
    struct Unexplored;
    impl Drop for Unexplored {
        fn drop(&mut self) {
            EXPLORED.set(false);
        }
    }
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    EXPLORED.set(true);
    let _end = Unexplored;
    shuttle::Runner::new(scheduler, config).run(test)
}
