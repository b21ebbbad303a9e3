//! Where writing runs.

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Tasks of writing, on threads of their own: one that takes a batch of a hundred in, writes or shows it is busy for up to
/// some milliseconds, which a search should not wait for that the same thread has read from a connection. Cheap to clone.
#[derive(Clone)]
pub struct WriteTasks {
    tracker: TaskTracker,
    threads: Handle,
}

impl WriteTasks {
    /// Tasks that belong to `tracker` and run on `threads`.
    pub fn new(tracker: TaskTracker, threads: Handle) -> Self {
        Self { tracker, threads }
    }

    /// Runs a task on these threads, whoever starts it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(task, &self.threads);
    }

    /// Runs what is busy for long, on a thread that has nothing else to do.
    pub(super) async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        self.tracker.spawn_blocking_on(work, &self.threads).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_the_threads_they_are_for_and_belong_to_their_tracker() {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("writes").build();
        let threads = threads.expect("a thread");
        let tracker = TaskTracker::new();
        let tasks = WriteTasks::new(tracker.clone(), threads.handle().clone());
        let (sender, name) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            let _ = sender.send(std::thread::current().name().map(str::to_owned));
        });
        assert_eq!(name.await.expect("sent").as_deref(), Some("writes"));
        assert_eq!(tasks.run_blocking(|| 7).await.expect("no panic"), 7);
        tracker.close();
        tracker.wait().await;
        threads.shutdown_background();
    }
}
