//! The async twin of `base`: named fibers, sleeping, time limits, shutdown.
//!
//! The only user of smol's globals. A *fiber* is a spawned future; the word *task* belongs to Aurora.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that uses smol's globals"
)]

mod alarm;
mod shutdown;
mod worker;

pub use alarm::Alarm;
pub use shutdown::{Shutdown, ShutdownTrigger};
pub use worker::{Worker, spawn_apart};

use crate::base::clock::{self, Instant};
use futures_lite::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// A running fiber. Dropping it cancels the fiber; [`Fiber::detach`] lets it go on.
#[derive(Debug)]
#[must_use = "dropping a fiber cancels it"]
pub struct Fiber<T>(smol::Task<T>);

impl<T> Fiber<T> {
    /// Lets the fiber run on by itself.
    pub fn detach(self) {
        self.0.detach();
    }

    /// Stops the fiber and waits until it is gone; gives its result if it had ended.
    pub async fn cancel(self) -> Option<T> {
        self.0.cancel().await
    }

    /// Waits for the fiber's result.
    pub async fn join(self) -> T {
        self.0.await
    }
}

/// Starts `future` as a fiber called `name`.
///
/// A panic in it is logged with the name and ends the process: no half of a daemon runs on.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Fiber<T> {
    Fiber(smol::spawn(named(name, future)))
}

async fn named<T>(name: &'static str, future: impl Future<Output = T>) -> T {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(value) => value,
        Err(panic) => {
            log::error!("fiber {name} panicked; the process ends");
            std::panic::resume_unwind(panic)
        }
    }
}

/// Runs `future` on this thread until it ends.
///
/// The thread sleeps until it is woken: it does not wait for sockets in the place of the fibers' thread, as
/// smol's own would. Two threads that took turns at that woke each other some ten times with each append to
/// the log (`cargo bench --bench log`, one in flight; seen with `perf sched`).
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures_lite::future::block_on(future)
}

/// Runs blocking `work` on a thread of its own and gives its result.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    smol::unblock(work).await
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    smol::Timer::after(duration).await;
}

/// Waits until `deadline`; for ever if it is [`Instant::FAR`].
pub async fn sleep_until(deadline: Instant) {
    if deadline == Instant::FAR {
        return std::future::pending().await;
    }
    sleep(deadline.since(clock::now())).await;
}

/// The time limit of an operation has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {0:?}")]
pub struct TimedOut(pub Duration);

/// Gives the result of `future`, unless `limit` passes first.
///
/// # Cancellation
///
/// When the limit passes, `future` is dropped where it stands.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    let late = async {
        sleep(limit).await;
        Err(TimedOut(limit))
    };
    async { Ok(future.await) }.or(late).await
}
