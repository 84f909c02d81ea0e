//! What a new leader has to do for single tasks: those that wait get their turn, those in a state of limited
//! length their timer.
//!
//! Most tasks run, and nothing is to be done for them; but to find the others all of them may have to be
//! looked at, and half a million are looked at for longer than a fail-over should last. So only some are at
//! once. What the leader itself does with a task meanwhile is followed as ever, and counts.

use super::{Engine, settle};
use crate::base::clock::{Instant, Now};
use crate::model::{ScheduleStatus, ScheduledTask, TaskId};
use crate::storage::Tables;
use std::sync::Arc;
use std::time::Duration;

/// How many tasks are looked at in one turn.
const LOOKED_AT: usize = 4_096;

/// The tables that the term began with, and how far they have been looked at.
#[derive(Debug)]
pub(super) struct Rousing {
    tables: Arc<Tables>,
    last: Option<TaskId>,
    /// How many tasks for which there is something to do are behind.
    left: i64,
    /// When the term began.
    began: Instant,
}

fn concerns(status: ScheduleStatus) -> bool {
    status == ScheduleStatus::Pending || settle::has_timer(status)
}

impl Engine {
    /// Begins with the first tasks.
    pub(super) fn begin_rousing(&mut self, now: Now) {
        let tables = Arc::clone(&self.bottom);
        let concerned = ScheduleStatus::ALL.into_iter().filter(|s| concerns(*s));
        let left = concerned.map(|status| tables.count(status)).sum();
        self.rousing = Some(Rousing {
            tables,
            last: None,
            left,
            began: now.mono,
        });
        self.rouse(now);
    }

    /// Goes on with the next tasks.
    pub(super) fn rouse(&mut self, now: Now) {
        let Some(mut rousing) = self.rousing.take() else {
            return;
        };
        let tables = Arc::clone(&rousing.tables);
        let mut looked_at = 0;
        let last = rousing.last.clone();
        for task in tables.tasks_after(last.as_ref()) {
            if rousing.left == 0 {
                return;
            }
            if looked_at == LOOKED_AT {
                self.rousing = Some(rousing);
                return;
            }
            looked_at += 1;
            if concerns(task.status) {
                rousing.left -= 1;
                self.rouse_task(now, task, rousing.began);
            }
            if looked_at == LOOKED_AT {
                rousing.last = Some(task.id.clone());
            }
        }
    }

    /// Does what there is to do for a task, unless the leader has taken it to another state since.
    fn rouse_task(&mut self, now: Now, before: &ScheduledTask, began: Instant) {
        let task = self.head.task(&before.id).cloned();
        let Some(task) = task.filter(|task| task.status == before.status) else {
            return;
        };
        if task.status == ScheduleStatus::Pending {
            // It may have come back to this state meanwhile.
            if self.pending.has(&task.id) {
                return;
            }
            let options = &self.means.options;
            // Upstream adds the penalty for flapping once more, which a task that is PENDING has
            // waited out: with it each change of leaders would hold up whoever restarts often.
            let spread = options.max_startup_delay;
            let least = options.first_schedule_delay;
            let spread = self.means.rng.duration(Duration::ZERO, spread);
            let waited = now.mono.since(began);
            let penalty = spread.max(least).saturating_sub(waited);
            self.pending.add(now.mono, &task, penalty);
        }
        self.watch(now, &task);
    }
}
