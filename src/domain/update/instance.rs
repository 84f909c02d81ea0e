//! What one instance needs to become what it should be.

use crate::base::clock::Timestamp;
use crate::model::{ScheduleStatus, ScheduledTask, TaskConfig};
use std::sync::Arc;
use std::time::Duration;

/// What is to be done about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is what it should be.
    Nothing,
    /// A task is to be added.
    Add,
    /// Its task is to be killed.
    Kill,
    /// Its task is on its way.
    Wait,
    /// Its task must stay up this much longer.
    Watch(Duration),
}

/// What an instance needs that has this active task and should run this description; none: nothing.
///
/// Tasks that ended are no state of an instance: what follows them is an active task, or none.
pub fn need(
    desired: Option<&Arc<TaskConfig>>,
    actual: Option<&ScheduledTask>,
    min_wait: Duration,
    wall: Timestamp,
) -> Need {
    match (desired, actual) {
        (None, None) => Need::Nothing,
        (Some(_), None) => Need::Add,
        (Some(desired), Some(task))
            if Arc::ptr_eq(desired, &task.config) || **desired == *task.config =>
        {
            if task.status != ScheduleStatus::Running {
                return Need::Wait;
            }
            let up = wall.since(task.last_event_at().unwrap_or_default());
            match min_wait.checked_sub(up).filter(|rest| !rest.is_zero()) {
                Some(rest) => Need::Watch(rest),
                None => Need::Nothing,
            }
        }
        (_, Some(task)) if task.status == ScheduleStatus::Killing => Need::Wait,
        (_, Some(_)) => Need::Kill,
    }
}
