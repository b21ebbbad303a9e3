//! The threads of writing.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that take batches in, write them and show them in the mirror, apart from those that serve: half as many as there
/// are cores. They end when this is dropped, which is for after the last of their tasks and connections.
pub(super) struct WriteThreads(Option<Runtime>);

impl WriteThreads {
    /// Starts them.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub(super) fn start() -> io::Result<Self> {
        let threads = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("writes").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where tasks are started on them.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for WriteThreads {
    fn drop(&mut self) {
        // Whoever drops it may be a task of another runtime, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
