//! What becomes of a task by one change.

use crate::model::{InstanceId, ScheduleStatus, ScheduledTask, TaskConfig, TaskEvent, TaskId};
use std::sync::Arc;

/// A new task, whose first event this is.
pub(super) fn fresh(
    id: TaskId,
    config: &Arc<TaskConfig>,
    instance: InstanceId,
    event: &TaskEvent,
) -> ScheduledTask {
    ScheduledTask {
        id,
        config: Arc::clone(config),
        instance,
        status: event.status,
        failure_count: 0,
        times_partitioned: 0,
        ancestor: None,
        agent: None,
        host: None,
        ports: Default::default(),
        events: vec![event.clone()],
    }
}

/// A copy with room for one more event, and for no more than that: there may be a million of them.
pub(super) fn with_room(task: &ScheduledTask) -> ScheduledTask {
    let mut events = Vec::with_capacity(task.events.len() + 1);
    events.extend_from_slice(&task.events);
    ScheduledTask {
        id: task.id.clone(),
        config: Arc::clone(&task.config),
        instance: task.instance,
        status: task.status,
        failure_count: task.failure_count,
        times_partitioned: task.times_partitioned,
        ancestor: task.ancestor.clone(),
        agent: task.agent.clone(),
        host: task.host.clone(),
        ports: task.ports.clone(),
        events,
    }
}

/// Takes the event's state and keeps the event.
///
/// A machine that comes and goes would grow the history for ever, so an earlier round trip through
/// PARTITIONED makes room for the new one.
pub(super) fn record(task: &mut ScheduledTask, event: &TaskEvent) {
    if event.status == ScheduleStatus::Partitioned {
        task.times_partitioned = task.times_partitioned.saturating_add(1);
        if let [.., before, away, back] = task.events.as_slice()
            && away.status == ScheduleStatus::Partitioned
            && before.status == back.status
        {
            task.events.truncate(task.events.len() - 2);
        }
    }
    task.status = event.status;
    task.events.push(event.clone());
}
