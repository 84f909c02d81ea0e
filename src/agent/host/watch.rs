//! The fiber of one task: starts its executor if that was never done, follows it, and has the last word if
//! the executor cannot.

use super::directory::{History, TaskDirectory, to_report};
use super::prepare::{Prepared, kill_wrapper};
use super::shared::Shared;
use crate::agent::os::Leftovers;
use crate::base::clock::Instant;
use crate::executor::checkpoint::{Header, TaskRecord};
use crate::executor::control::Command as Control;
use crate::executor::order::Order;
use crate::executor::{flags, os::proc, paths};
use crate::model::{TaskId, TaskState};
use crate::rt;
use async_channel::Receiver;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use smol::Async;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries of anything that failed.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// Between two looks at an executor that cannot be followed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// So often an executor is started that does not get as far as its header.
const STARTS_MAX: u32 = 3;
/// Between two rounds of SIGKILL among what a dead executor left.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// An executor that kills its task in time may be so late.
const SLACK: Duration = Duration::from_secs(5);
/// So many rounds; what still lives then hangs in the kernel.
const SWEEP_ROUNDS: u32 = 200;

/// Watches one task.
pub(super) struct Watch {
    pub(super) shared: Arc<Shared>,
    pub(super) task: TaskId,
    pub(super) directory: TaskDirectory,
    pub(super) woken: Receiver<()>,
    pub(super) history: History,
    /// How long a kill of this task waits for its executor, if not as long as any.
    pub(super) stop_timeout: Option<Duration>,
}

/// What happened while an executor was followed.
enum Event {
    Late,
    Read(io::Result<usize>),
    Woken,
}

/// What an executor that is gone has left.
enum Standing {
    Alive,
    Ended,
    Gone(Box<Header>),
    NeverStarted,
}

impl Watch {
    /// Runs until the task has ended.
    pub(super) async fn run(self) {
        let (shared, task) = (self.shared.clone(), self.task.clone());
        let directory = self.directory.clone();
        self.run_to_end().await;
        shared.limiter.end(&task);
        rt::unblock(move || {
            for runtime in &shared.runtimes {
                if let Err(error) = runtime.clean_up(&directory) {
                    log::warn!("task {task}: its container is not gone: {error}");
                }
            }
        })
        .await;
    }

    async fn run_to_end(mut self) {
        let mut starts = 0;
        loop {
            match self.look().await {
                Ok(Standing::Ended) => return,
                Ok(Standing::Alive) => {
                    if let Err(error) = self.follow().await {
                        log::debug!("task {}: control socket: {error}", self.task);
                    }
                    // It is about to let go of its lock, or about to listen.
                    rt::sleep(LOOK_AGAIN).await;
                }
                Ok(Standing::Gone(header)) => return self.clean_up(&header).await,
                Ok(Standing::NeverStarted) => {
                    if self.killed_at().is_some() || starts >= STARTS_MAX {
                        if self.give_up().await {
                            return;
                        }
                        rt::sleep(LOOK_AGAIN).await;
                        continue;
                    }
                    match self.prepare().await {
                        Ok(Prepared::Ready(order)) => {
                            starts += 1;
                            if let Err(error) = self.start(&order).await {
                                log::warn!("task {}: cannot start executor: {error}", self.task);
                                self.wait_or_woken(TRY_AGAIN).await;
                            }
                        }
                        Ok(Prepared::Killed) => {}
                        Ok(Prepared::Failed(message)) => {
                            if self.end_unstarted(TaskState::Failed, &message).await {
                                return;
                            }
                        }
                        Err(error) => {
                            starts += 1;
                            log::warn!("task {}: cannot prepare: {error}", self.task);
                            self.wait_or_woken(TRY_AGAIN).await;
                        }
                    }
                }
                Err(error) => {
                    log::warn!(
                        "task {}: {}: {error}",
                        self.task,
                        self.directory.path().display()
                    );
                    rt::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    pub(super) fn killed_at(&self) -> Option<Instant> {
        self.shared.with(&self.task, |entry| entry.killed_at)?
    }

    fn failed(&self) -> Option<(Instant, String)> {
        self.shared.with(&self.task, |entry| entry.failed.clone())?
    }

    /// Why the task fails, by what was seen before or by what its control group tells now.
    fn failure(&self) -> Option<String> {
        let seen = self.failed().map(|(_, why)| why);
        let told = || Some(self.shared.limiter.memory_exceeded(&self.task)?.to_string());
        seen.or_else(told)
    }

    pub(super) async fn wait_or_woken(&self, limit: Duration) {
        let woken = async {
            // Closed means that the task was forgotten: nothing to wait for either.
            self.woken.recv().await.unwrap_or_default();
        };
        woken.or(rt::sleep(limit)).await;
    }

    /// Tells what is new in the checkpoint. Gives whether the task has ended.
    pub(super) async fn tell_news(&mut self) -> io::Result<bool> {
        for record in self.directory.read_history(&mut self.history)? {
            let report = to_report(&self.task, &record);
            if report.state.is_terminal() {
                // Nothing of a task that is reported to have ended runs on, wherever it hides.
                self.empty_group(true).await;
            }
            self.shared.publish(report).await;
        }
        if let Some(header) = &self.history.header {
            let limiter = &self.shared.limiter;
            limiter.note_executor(&self.task, header.pid, header.start_ticks);
        }
        let last = self.history.last.as_ref();
        Ok(last.is_some_and(|last| to_report(&self.task, last).state.is_terminal()))
    }

    /// Kills what is in the task's control group and removes it. An executor may end by itself before.
    async fn empty_group(&self, may_leave: bool) {
        let (shared, task) = (self.shared.clone(), self.task.clone());
        rt::unblock(move || shared.limiter.empty(&task, may_leave)).await;
    }

    async fn look(&mut self) -> io::Result<Standing> {
        if let Some(verdict) = self.directory.read_verdict()? {
            self.shared.publish(to_report(&self.task, &verdict)).await;
            return Ok(Standing::Ended);
        }
        // ORDER: the lock first. An executor that ended in between has written all before it let go.
        let is_alive = self.directory.is_executor_alive()?;
        if self.tell_news().await? {
            return Ok(Standing::Ended);
        }
        Ok(match (is_alive, self.history.header.clone()) {
            (true, _) => Standing::Alive,
            (false, Some(header)) => Standing::Gone(Box::new(header)),
            (false, None) => Standing::NeverStarted,
        })
    }

    /// Starts the executor and waits until it has taken the task. It refuses if another one had it.
    async fn start(&mut self, order: &Order) -> io::Result<()> {
        let words = flags::split(&order.flags).map_err(io::Error::other)?;
        if let Some(wrapper) = &order.wrapper {
            return self.start_wrapper(Path::new(wrapper), words).await;
        }
        let (shared, task) = (self.shared.clone(), self.task.clone());
        let (directory, order) = (self.directory.clone(), order.clone());
        let status = rt::unblock(move || {
            let runtime = shared.runtimes.iter().find(|it| it.is_for(&order));
            let runtime = runtime.ok_or_else(|| io::Error::other("nothing runs such a task"))?;
            let mut command = runtime.starter(&directory, &order, words)?;
            let cage = shared.limiter.cage(&task)?;
            cage.close_around_executor(&mut command);
            command.status()
        });
        let status = status.await?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{status}: {}",
            self.directory.last_words()
        )))
    }

    /// Follows a living executor until it closes the connection.
    async fn follow(&mut self) -> io::Result<()> {
        // The path of a socket is short; that of a work directory need not be.
        let anchor = File::open(self.directory.path())?;
        let path = format!("/proc/self/fd/{}/{}", anchor.as_raw_fd(), paths::CONTROL);
        let mut stream = Async::<UnixStream>::connect(path).await?;
        let (mut is_killed, mut is_failed) = (false, false);
        loop {
            let failed = self.failed();
            if let Some((_, why)) = &failed
                && !is_failed
            {
                stream
                    .write_all(&Control::Fail(why.clone()).encode())
                    .await?;
                is_failed = true;
            }
            let killed_at = self.killed_at();
            if killed_at.is_some() && !is_killed {
                stream.write_all(&Control::Kill.encode()).await?;
                is_killed = true;
            }
            let ending_since = killed_at.into_iter().chain(failed.map(|it| it.0)).min();
            let late = ending_since.map_or(Instant::FAR, |at| at + self.patience());
            let mut buffer = [0; 64];
            let read = async { Event::Read(stream.read(&mut buffer).await) };
            let woken = async {
                match self.woken.recv().await {
                    Ok(()) => Event::Woken,
                    Err(_) => std::future::pending().await,
                }
            };
            let timer = async {
                rt::sleep_until(late).await;
                Event::Late
            };
            match read.or(woken).or(timer).await {
                Event::Read(Ok(0)) => return Ok(()),
                Event::Read(Ok(_)) => {
                    if self.tell_news().await? {
                        return Ok(());
                    }
                }
                Event::Read(Err(error)) => return Err(error),
                Event::Woken => {}
                Event::Late => return self.kill_executor().await,
            }
        }
    }

    fn patience(&self) -> Duration {
        let config = &self.shared.config;
        match self.stop_timeout {
            // The executor knows of it too and needs a moment to obey.
            Some(own) => own + SLACK,
            None => config.stop_timeout.max(config.kill_wait),
        }
    }

    /// The executor has not ended the task in time.
    async fn kill_executor(&mut self) -> io::Result<()> {
        self.tell_news().await?;
        let Some(header) = &self.history.header else {
            return Ok(());
        };
        log::warn!(
            "task {}: the executor does not end it; it is killed",
            self.task
        );
        self.directory.kill_executor(header)?;
        rt::sleep(TRY_AGAIN).await;
        Ok(())
    }

    /// The executor is gone without a last word: nothing of the task may run on.
    async fn clean_up(mut self, header: &Header) {
        let failure = self.failure();
        self.empty_group(false).await;
        // What was recorded in another boot says nothing of the processes that are there now.
        let is_rebooted = header.boot_id != proc::boot_id();
        if !is_rebooted {
            let sandbox = self.directory.sandbox();
            let leftovers = Leftovers::new(&sandbox, self.history.sessions(), header.start_ticks);
            for round in 0.. {
                let sweep = leftovers.clone();
                match rt::unblock(move || sweep.kill()).await {
                    Ok(0) => break,
                    Ok(count) if round == SWEEP_ROUNDS => {
                        log::error!("task {}: {count} processes do not die", self.task);
                        break;
                    }
                    Ok(_) => {}
                    Err(error) => log::warn!("task {}: {error}", self.task),
                }
                rt::sleep(SWEEP_PAUSE).await;
            }
        }
        let (state, message) = match (self.killed_at(), failure.as_deref()) {
            (Some(_), _) => (TaskState::Killed, "Instructed to kill task."),
            (None, Some(why)) => (TaskState::Failed, why),
            (None, None) if is_rebooted => (TaskState::Lost, "The machine was rebooted."),
            (None, None) => (TaskState::Lost, "Executor terminated unexpectedly."),
        };
        self.judge(state, message).await;
    }

    /// Ends a task that was never started. Gives whether that was possible.
    async fn give_up(&mut self) -> bool {
        let (state, message) = match self.killed_at() {
            Some(_) => (
                TaskState::Killed,
                "Task killed during initialization.".to_owned(),
            ),
            None => {
                let words = self.directory.last_words();
                let message =
                    format!("Task initialization failed: the executor did not start. {words}");
                (TaskState::Lost, message.trim_end().to_owned())
            }
        };
        self.end_unstarted(state, &message).await
    }

    async fn end_unstarted(&mut self, state: TaskState, message: &str) -> bool {
        match self.directory.store_verdict_unstarted(state, message) {
            Ok(Some(record)) => {
                self.empty_group(false).await;
                // Of an agent before this one; no executor can come of it any more.
                let place = self.directory.path().join(paths::WRAPPER);
                if let Err(error) = rt::unblock(move || kill_wrapper(&place)).await {
                    log::warn!("task {}: cannot look for its wrapper: {error}", self.task);
                }
                self.shared.publish(to_report(&self.task, &record)).await;
                true
            }
            Ok(None) => false,
            Err(error) => {
                log::warn!("task {}: cannot store its end: {error}", self.task);
                rt::sleep(TRY_AGAIN * 4).await;
                false
            }
        }
    }

    /// Has the last word. It is told only when it is on disk.
    async fn judge(&mut self, state: TaskState, message: &str) {
        loop {
            let last: Option<&TaskRecord> = self.history.last.as_ref();
            match self.directory.store_verdict(last, state, message) {
                Ok(record) => return self.shared.publish(to_report(&self.task, &record)).await,
                Err(error) => {
                    log::warn!("task {}: cannot store its end: {error}", self.task);
                    rt::sleep(TRY_AGAIN * 4).await;
                }
            }
        }
    }
}
