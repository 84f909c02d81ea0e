//! Waiting until instances reach a state.

use super::exit::{CommandError, Exit};
use super::key::ClusterJob;
use super::progress::Progress;
use super::scheduler::Repeat;
use super::session::{Session, instance_of, task_query};
use crate::thrift::api::{
    LIVE_STATES, ResponseResult, ScheduleStatus, ScheduledTask, TERMINAL_STATES,
};
use crate::thrift::service::{GetPendingReason, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The first pause between two looks; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long a kill is waited for: as long as upstream's growing pauses take.
pub const KILL_LIMIT: Duration = Duration::from_secs(254);

/// How long tasks may be pending before the scheduler is asked for the reason.
const ASK_WHY: Duration = Duration::from_secs(3);

/// A state that counts as reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Runs, or has ended.
    Running,
    /// Has ended.
    Ended,
}

impl Goal {
    fn is_reached(self, status: ScheduleStatus) -> bool {
        TERMINAL_STATES.contains(&status)
            || (self == Self::Running && LIVE_STATES.contains(&status))
    }
}

/// Waits until each of the instances, or of all instances, has reached the goal. Instances without any
/// task count as having reached it. Gives false when `limit` passed before.
///
/// # Errors
///
/// No reply, or a refusal (status 10).
pub fn wait(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    instances: Option<&BTreeSet<u32>>,
    goal: Goal,
    limit: Option<Duration>,
) -> Result<bool, CommandError> {
    let time = session.world.time();
    let start = time.now();
    let mut pause = FIRST_PAUSE;
    let mut progress = Progress::new(session.world, limit.is_none());
    loop {
        let tasks = session.tasks(key, &[], instances, Exit::Api)?;
        let states = newest_states(&tasks);
        if states.values().all(|status| goal.is_reached(*status)) {
            return Ok(true);
        }
        if limit.is_some_and(|limit| time.now().since(start) >= limit) {
            return Ok(false);
        }
        let mut text = format!("Waiting: {}", summary(&states));
        let pending = states
            .values()
            .any(|status| *status == ScheduleStatus::Pending);
        if pending && time.now().since(start) >= ASK_WHY {
            text.push_str(&reasons(session, key)?);
        }
        progress.show(session.world, &text);
        time.sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Why tasks of the job are pending, in brackets; nothing if the scheduler does not say.
fn reasons(session: &mut Session<'_, '_>, key: &ClusterJob) -> Result<String, CommandError> {
    let query = task_query(&key.job, &[], None);
    let request = Request::GetPendingReason(Box::new(GetPendingReason { query: Some(query) }));
    let response = session.call(&key.cluster, &request, Repeat::Always)?;
    let Some(ResponseResult::GetPendingReasonResult(result)) = response.result else {
        return Ok(String::new());
    };
    let reasons = result.reasons.into_iter().filter_map(|r| r.reason);
    let distinct: BTreeSet<String> = reasons.filter(|text| !text.is_empty()).collect();
    if distinct.is_empty() {
        return Ok(String::new());
    }
    let texts: Vec<String> = distinct.into_iter().collect();
    Ok(format!(" ({})", texts.join("; ")))
}

/// The state of each instance: that of the task whose life began last.
fn newest_states(tasks: &[ScheduledTask]) -> BTreeMap<u32, ScheduleStatus> {
    let mut newest: BTreeMap<u32, (i64, ScheduleStatus)> = BTreeMap::new();
    for task in tasks {
        let (Some(instance), Some(status)) = (instance_of(task), task.status) else {
            continue;
        };
        let born = task.task_events.first().map_or(i64::MIN, |e| e.timestamp);
        let entry = newest.entry(instance).or_insert((born, status));
        if born >= entry.0 {
            *entry = (born, status);
        }
    }
    newest
        .into_iter()
        .map(|(i, (_, status))| (i, status))
        .collect()
}

/// How many instances are in which state, such as `2 PENDING, 3 RUNNING`.
fn summary(states: &BTreeMap<u32, ScheduleStatus>) -> String {
    let mut counts: BTreeMap<ScheduleStatus, usize> = BTreeMap::new();
    for status in states.values() {
        *counts.entry(*status).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(status, n)| format!("{n} {status}"))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::api::{AssignedTask, TaskEvent};

    fn task(instance: i32, born: i64, status: ScheduleStatus) -> ScheduledTask {
        ScheduledTask {
            assigned_task: Some(AssignedTask {
                instance_id: instance,
                ..AssignedTask::default()
            }),
            status: Some(status),
            task_events: vec![TaskEvent {
                timestamp: born,
                ..TaskEvent::default()
            }],
            ..ScheduledTask::default()
        }
    }

    #[test]
    fn the_youngest_task_speaks_for_its_instance() {
        let tasks = [
            task(0, 5, ScheduleStatus::Running),
            task(0, 3, ScheduleStatus::Failed),
            task(1, 1, ScheduleStatus::Failed),
            task(1, 2, ScheduleStatus::Pending),
        ];
        let states = newest_states(&tasks);
        assert_eq!(states[&0], ScheduleStatus::Running);
        assert_eq!(states[&1], ScheduleStatus::Pending);
        assert_eq!(summary(&states), "1 PENDING, 1 RUNNING");
    }

    #[test]
    fn what_ended_counts_as_running_but_not_the_other_way_round() {
        assert!(Goal::Running.is_reached(ScheduleStatus::Failed));
        assert!(Goal::Running.is_reached(ScheduleStatus::Draining));
        assert!(!Goal::Running.is_reached(ScheduleStatus::Starting));
        assert!(!Goal::Ended.is_reached(ScheduleStatus::Running));
    }
}
