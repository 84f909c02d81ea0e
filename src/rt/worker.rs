//! Threads with fibers of their own.

use super::{Fiber, named};
use async_channel::{Sender, bounded};
use smol::Executor;
use std::future::Future;
use std::sync::Arc;
use std::thread::Builder;

/// A thread that runs fibers beside all others: one that computes for long there delays only those of the
/// same worker. Cheap to clone; the thread ends when all clones and all its fibers are gone.
#[derive(Clone, Debug)]
pub struct Worker {
    executor: Arc<Executor<'static>>,
    /// Closed when the last clone is dropped.
    _alive: Sender<()>,
}

impl Worker {
    /// Starts a thread of this name. `None` where the system gives no more threads.
    pub fn start(name: &'static str) -> Option<Self> {
        let executor = Arc::new(Executor::new());
        let (alive, ended) = bounded::<()>(1);
        let running = Arc::clone(&executor);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing is ever sent.
            let end = async { ended.recv().await.is_ok() };
            super::block_on(running.run(end))
        });
        match thread {
            Ok(_) => Some(Self {
                executor,
                _alive: alive,
            }),
            Err(error) => {
                log::warn!("{name} has no thread of its own: {error}");
                None
            }
        }
    }

    /// Starts `future` on this worker as a fiber called `name`. A panic in it is logged with the name, as
    /// that of every fiber.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Fiber<T> {
        let worker = self.clone();
        Fiber(self.executor.spawn(async move {
            let value = named(name, future).await;
            drop(worker);
            value
        }))
    }
}

/// Starts `future` on a thread of its own, or beside the others where there is none to be had.
pub fn spawn_apart<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Fiber<T> {
    match Worker::start(name) {
        Some(worker) => worker.spawn(name, future),
        None => super::spawn(name, future),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_fiber_that_blocks_its_worker_delays_nobody_else() {
        let worker = Worker::start("worker").unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let (began, begun) = bounded(1);
        let blocking = worker.spawn("blocks", async move {
            began.send(()).await.unwrap();
            blocked.recv().is_err()
        });
        drop(worker);
        rt::block_on(async {
            begun.recv().await.unwrap();
            // Sleeps and fibers of everybody else go on.
            let elsewhere = rt::spawn("elsewhere", rt::sleep(Duration::from_millis(5)));
            elsewhere.join().await;
            drop(release);
            assert!(blocking.join().await, "it has run to its end");
        });
    }

    #[test]
    fn a_dropped_fiber_lets_go_of_what_it_holds() {
        let (held, gone) = bounded::<()>(1);
        let fiber = spawn_apart("apart", async move {
            rt::sleep(Duration::from_secs(3600)).await;
            drop(held);
        });
        drop(fiber);
        rt::block_on(async { assert!(gone.recv().await.is_err()) });
    }
}
