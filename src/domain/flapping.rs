//! Penalties for tasks that keep ending soon after they start.

use crate::base::backoff::Backoff;
use crate::base::rng::Rng;
use crate::model::{ScheduleStatus, ScheduledTask, TaskId};
use std::sync::Arc;
use std::time::Duration;

/// When a task counts as flapping, and what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Flapping {
    /// How the penalty grows from one generation to the next.
    pub backoff: Backoff,
    /// A task whose last active state was shorter than this flapped.
    pub threshold: Duration,
}

impl Flapping {
    /// Whether a task that ended did so too soon, and not because anyone wanted it.
    pub fn flapped(&self, task: &ScheduledTask) -> bool {
        use ScheduleStatus::{Draining, Killing, Restarting};
        let wanted = |s: ScheduleStatus| matches!(s, Restarting | Killing | Draining);
        if task.events.iter().any(|e| wanted(e.status)) {
            return false;
        }
        let Some(last) = task.events.last() else {
            return false;
        };
        let active = task.events.iter().rev().find(|e| e.status.is_active());
        active.is_some_and(|active| last.at.since(active.at) < self.threshold)
    }

    /// How long `task` has to wait, by how many of those it descends from flapped in a row.
    ///
    /// The chain ends where `find` knows an ancestor no more.
    pub fn penalty(
        &self,
        task: &ScheduledTask,
        find: impl Fn(&TaskId) -> Option<Arc<ScheduledTask>>,
        rng: &mut Rng,
    ) -> Duration {
        let mut penalty = Duration::ZERO;
        let mut next = task.ancestor.clone();
        while let Some(ancestor) = next.as_ref().and_then(&find) {
            if !self.flapped(&ancestor) {
                break;
            }
            let grown = self.backoff.next(penalty, rng);
            if grown == penalty {
                break;
            }
            penalty = grown;
            next.clone_from(&ancestor.ancestor);
        }
        penalty
    }
}
