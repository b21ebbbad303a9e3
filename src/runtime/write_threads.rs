//! The threads of writing.

use std::io;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that take batches in, write them and show them in the mirror, apart from those that serve: half as many as there
/// are cores. They end when this is dropped, which is for after the last of their tasks and connections.
pub(super) struct WriteThreads {
    /// There until this is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl WriteThreads {
    /// Starts them.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub(super) fn start() -> io::Result<Self> {
        let threads = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("writes").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Where tasks are started on them.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for WriteThreads {
    fn drop(&mut self) {
        // Whoever drops it may be a task of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Which share of their time a runtime's threads are busy.
pub(super) struct BusyShare {
    threads: Handle,
    busy: Duration,
    at: Instant,
}

impl BusyShare {
    /// From now on.
    pub(super) fn new(threads: Handle) -> Self {
        Self { busy: busy(&threads), at: Instant::now(), threads }
    }

    /// Since it was last asked for, from 0, all of them idle, to 1.
    pub(super) fn since_last(&mut self) -> f64 {
        let (busy, at) = (busy(&self.threads), Instant::now());
        let could = (at - self.at).as_secs_f64() * self.threads.metrics().num_workers() as f64;
        let was = busy.saturating_sub(self.busy).as_secs_f64();
        (self.busy, self.at) = (busy, at);
        if could > 0.0 { (was / could).min(1.0) } else { 0.0 }
    }
}

/// What the threads have done in all.
fn busy(threads: &Handle) -> Duration {
    let metrics = threads.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_had_something_to_do_were_busy_for_a_share_of_the_time() {
        let threads = WriteThreads::start().expect("threads");
        let mut busy = BusyShare::new(threads.handle().clone());
        threads.handle().spawn(async { (0..1_000_000_u64).map(std::hint::black_box).sum::<u64>() });
        let deadline = Instant::now() + Duration::from_secs(10);
        let share = loop {
            // What a thread has done is counted when it goes to sleep.
            let share = busy.since_last();
            if share > 0.0 || Instant::now() > deadline {
                break share;
            }
            std::thread::yield_now();
        };
        assert!(share > 0.0 && share <= 1.0, "{share}");
    }
}
