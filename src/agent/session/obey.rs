//! Carries orders out, one after the other, unless they come from a deposed leader.

use super::link::SharedLedger;
use crate::agent::host::{HostError, LaunchError};
use crate::agent::proto::{AgentMessage, Order, UNKNOWN_TASK_SEQUENCE};
use crate::agent::runner::TaskRunner;
use crate::base::clock;
use crate::model::{AgentSession, LaunchOrder, TaskId, TaskReport, TaskState};
use async_channel::Sender;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use thiserror::Error;

/// Why an order ends the connection it came on.
#[derive(Debug, Error)]
pub(super) enum OrderError {
    #[error("ballot {ballot} is below {highest}")]
    Deposed { ballot: u64, highest: u64 },
    #[error("{0}")]
    Fence(#[from] HostError),
    #[error("the writing half is gone")]
    OutboxClosed,
}

/// Refuses a leader that is older than one that was obeyed; remembers a newer one before it is obeyed.
pub(super) async fn check_fence(runner: &impl TaskRunner, ballot: u64) -> Result<(), OrderError> {
    let highest = runner.highest_ballot();
    if ballot < highest {
        return Err(OrderError::Deposed { ballot, highest });
    }
    if ballot > highest {
        runner.store_ballot(ballot).await?;
    }
    Ok(())
}

/// Carries out what comes on one connection.
pub(super) struct Obeyer<'a, R> {
    pub(super) runner: &'a R,
    /// This run of the agent.
    pub(super) session: AgentSession,
    pub(super) outbox: Sender<AgentMessage>,
    pub(super) ledger: SharedLedger,
}

impl<R: TaskRunner> Obeyer<'_, R> {
    /// Does what `message` asks for. When it returns, the order has been carried out.
    pub(super) async fn handle_order(&self, ballot: u64, order: Order) -> Result<(), OrderError> {
        check_fence(self.runner, ballot).await?;
        match order {
            Order::Acknowledge { sequence, task } => {
                self.ledger
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .handle_acknowledged(&task, sequence);
                // That number is no report's: it says nothing of those that the host has made.
                if sequence != UNKNOWN_TASK_SEQUENCE {
                    self.runner.acknowledge(&task, sequence).await;
                }
                Ok(())
            }
            Order::Kill { task } => match self.runner.kill(&task).await {
                Ok(()) => Ok(()),
                Err(unknown) => self.report_lost(&task, &unknown.to_string()).await,
            },
            Order::Launch { order, session } => self.launch(*order, session).await,
            Order::Reconcile { tasks } => self.reconcile(&tasks).await,
        }
    }

    async fn launch(&self, order: LaunchOrder, session: AgentSession) -> Result<(), OrderError> {
        let task = order.task.clone();
        if let Some(known) = self.known(&task) {
            // A repeated order: the scheduler may have missed the report.
            return self.say(known).await;
        }
        if session != self.session {
            // ORDER: the scheduler hears of this run before it can plan for it, and sends what the run
            // does not know again. To report the task lost here would run its instance twice for a while.
            log::info!(
                "task {task} was planned for another run of this agent; left for a new order"
            );
            return Ok(());
        }
        match self.runner.launch(order).await {
            Ok(()) => Ok(()),
            Err(error) => {
                log::warn!("task {task} was not taken: {}", describe(&error));
                self.report_lost(&task, &describe(&error)).await
            }
        }
    }

    async fn reconcile(&self, tasks: &[TaskId]) -> Result<(), OrderError> {
        let reports = self.runner.reports();
        let mut known: BTreeMap<TaskId, TaskReport> =
            reports.into_iter().map(|r| (r.task.clone(), r)).collect();
        if tasks.is_empty() {
            for report in known.into_values() {
                self.say(report).await?;
            }
            return Ok(());
        }
        for task in tasks {
            match known.remove(task) {
                Some(report) => self.say(report).await?,
                None => {
                    self.report_lost(task, "it is not known on its machine")
                        .await?
                }
            }
        }
        Ok(())
    }

    fn known(&self, task: &TaskId) -> Option<TaskReport> {
        self.runner.reports().into_iter().find(|r| r.task == *task)
    }

    async fn report_lost(&self, task: &TaskId, why: &str) -> Result<(), OrderError> {
        self.say(TaskReport {
            task: task.clone(),
            sequence: UNKNOWN_TASK_SEQUENCE,
            state: TaskState::Lost,
            message: Some(why.to_owned()),
            at: clock::wall(),
        })
        .await
    }

    async fn say(&self, report: TaskReport) -> Result<(), OrderError> {
        let sent = self.outbox.send(AgentMessage::Report(report)).await;
        sent.map_err(|_| OrderError::OutboxClosed)
    }
}

/// The error with what is behind it.
fn describe(error: &LaunchError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
