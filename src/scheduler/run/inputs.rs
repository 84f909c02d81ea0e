//! Where the loop's news comes from.

use super::RunError;
use super::reads::Reader;
use super::writer::Refused;
use crate::base::clock::Instant;
use crate::driver::DriverEvent;
use crate::replog::LogEvent;
use crate::rt::{Alarm, Shutdown};
use crate::scheduler::admin::Answered;
use crate::scheduler::handle::Submission;
use async_channel::Receiver;
use futures_lite::FutureExt;
use std::future::pending;

/// The queues and signals that the loop waits for.
pub(super) struct Inputs {
    /// What coordinators say.
    pub(super) answered: Option<Receiver<Answered>>,
    pub(super) commands: Receiver<Box<Submission>>,
    pub(super) driver: Receiver<DriverEvent>,
    pub(super) log: Receiver<LogEvent>,
    pub(super) reads: Receiver<Reader>,
    /// Tokens of rounds that the log did not take.
    pub(super) unread: Receiver<u64>,
    pub(super) refused: Receiver<Refused>,
    /// How handing over went.
    pub(super) handed_over: Receiver<bool>,
    pub(super) shutdown: Shutdown,
}

/// What woke the loop.
pub(super) enum Input {
    Answered(Answered),
    Command(Box<Submission>),
    Driver(DriverEvent),
    HandedOver(bool),
    Log(LogEvent),
    Read(Reader),
    Refused(Refused),
    Shutdown,
    Timeout,
    Unread(u64),
}

/// The next of a queue that never ends before the loop does.
async fn next<T>(queue: &Receiver<T>) -> T {
    match queue.recv().await {
        Ok(item) => item,
        Err(_) => pending().await,
    }
}

impl Inputs {
    /// Waits for the next thing, but not beyond `deadline`; only for the log while the engine is full.
    pub(super) async fn next(
        &self,
        full: bool,
        deadline: Instant,
        alarm: &mut Alarm,
    ) -> Result<Input, RunError> {
        let shutdown = async {
            self.shutdown.wait().await;
            Ok(Input::Shutdown)
        };
        let driver = async {
            if full {
                pending::<()>().await;
            }
            let event = self.driver.recv().await;
            event
                .map(Input::Driver)
                .map_err(|_| RunError::SourceEnded("the driver"))
        };
        let command = async {
            if full {
                pending::<()>().await;
            }
            Ok(Input::Command(next(&self.commands).await))
        };
        let answered = async {
            match &self.answered {
                Some(answered) => Ok(Input::Answered(next(answered).await)),
                None => pending().await,
            }
        };
        let refused = async { Ok(Input::Refused(next(&self.refused).await)) };
        let unread = async { Ok(Input::Unread(next(&self.unread).await)) };
        let handed_over = async { Ok(Input::HandedOver(next(&self.handed_over).await)) };
        let read = async { Ok(Input::Read(next(&self.reads).await)) };
        self.log()
            .or(shutdown)
            .or(refused)
            .or(unread)
            .or(handed_over)
            .or(driver)
            .or(command)
            .or(read)
            .or(answered)
            .or(timeout(deadline, alarm))
            .await
    }

    /// Waits for the log only: at the end nothing else is taken.
    pub(super) async fn last(&self, end: Instant, alarm: &mut Alarm) -> Result<Input, RunError> {
        self.log().or(timeout(end, alarm)).await
    }

    async fn log(&self) -> Result<Input, RunError> {
        let event = self.log.recv().await;
        event
            .map(Input::Log)
            .map_err(|_| RunError::SourceEnded("the log"))
    }
}

async fn timeout(deadline: Instant, alarm: &mut Alarm) -> Result<Input, RunError> {
    alarm.until(deadline).await;
    Ok(Input::Timeout)
}
