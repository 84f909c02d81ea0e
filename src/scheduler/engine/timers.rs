//! What is to happen later.

use super::affinity::Place;
use super::spread::Spread;
use crate::base::clock::Instant;
use crate::model::{AgentId, AgentSession, TaskId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Something to do at a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A machine has been kept for an instance for a while.
    Affinity { place: Place },
    /// An agent has been away for too long, unless it came back.
    Agent {
        agent: AgentId,
        session: Option<AgentSession>,
    },
    /// Old history and old answers are forgotten.
    Housekeeping,
    /// Agents are asked to report everything.
    Reconcile,
    /// What machines offer is offered again.
    Offers,
    /// Old updates are forgotten.
    PruneUpdates,
    /// A snapshot is taken.
    Snapshot,
    /// A task has been in its state for a while.
    Task { task: TaskId, why: TaskTimer },
    /// A machine is to be drained.
    Drain { host: String },
    /// Machines that are drained are looked at again.
    Maintenance,
    /// Room is searched for tasks that have waited for long.
    Preemption,
    /// Agents are asked to report all that they have.
    ReconcileImplicitly,
    /// A machine has been kept for a group of tasks for a while.
    Reservation { agent: AgentId },
}

/// What is due for a task. A task that changes its state loses its timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskTimer {
    /// The kill is repeated, until the time limit.
    Kill { delay: Duration, limit: Instant },
    /// Its machine has been cut off for too long.
    Partitioned,
    /// Its penalty is over.
    Throttled,
    /// It should have left this state.
    TimedOut,
}

/// All timers, in order.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    tasks: Spread<(Instant, u64)>,
    next: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.next += 1;
        let key = (at, self.next);
        if let Timer::Task { task, .. } = &timer
            && let Some(old) = self.tasks.insert(task, key)
        {
            self.queue.remove(&old);
        }
        self.queue.insert(key, timer);
    }

    /// Drops the timer of a task.
    pub(super) fn cancel(&mut self, task: &TaskId) {
        if let Some(key) = self.tasks.remove(task) {
            self.queue.remove(&key);
        }
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (key, _) = self.queue.first_key_value()?;
        if key.0 > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        if let Timer::Task { task, .. } = &timer {
            self.tasks.remove(task);
        }
        Some(timer)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
