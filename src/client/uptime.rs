//! How long instances have been up, and what shares of a job that makes.
//!
//! Reckoned here from tasks, as upstream's client does: an instance is up since it first ran.

use crate::base::clock::Timestamp;
use crate::thrift::api::{ScheduleStatus, ScheduledTask};
use std::collections::BTreeMap;

/// States of tasks that may be up.
pub const LIVE_STATES: &[ScheduleStatus] = &[
    ScheduleStatus::Running,
    ScheduleStatus::Killing,
    ScheduleStatus::Restarting,
    ScheduleStatus::Preempting,
    ScheduleStatus::Draining,
    ScheduleStatus::Partitioned,
];

/// The seconds for which each instance has been up, of those that ever ran.
pub fn uptimes<'t>(
    tasks: impl IntoIterator<Item = &'t ScheduledTask>,
    now: Timestamp,
) -> BTreeMap<i32, i64> {
    let mut all = BTreeMap::new();
    for task in tasks {
        let running = |status| status == Some(ScheduleStatus::Running);
        let mut events = task.task_events.iter();
        let first = events.find(|event| running(event.status));
        if let (Some(event), Some(assigned)) = (first, &task.assigned_task) {
            let seconds = now
                .as_ms()
                .saturating_sub(event.timestamp)
                .div_euclid(1_000);
            all.insert(assigned.instance_id, seconds);
        }
    }
    all
}

/// The percentage of these uptimes that last at least `seconds`; zero of none.
pub fn share_up(uptimes: &BTreeMap<i32, i64>, seconds: i64, total: usize) -> f64 {
    let up = uptimes.values().filter(|uptime| **uptime >= seconds);
    match total {
        0 => 0.0,
        _ => 100.0 * up.count() as f64 / total as f64,
    }
}

/// The uptime that this percentage of instances has reached, if there is any.
pub fn reached(uptimes: &BTreeMap<i32, i64>, percentile: f64) -> Option<i64> {
    let mut sorted: Vec<i64> = uptimes.values().copied().collect();
    sorted.sort_unstable();
    let total = sorted.len();
    // The cast saturates, and a percentage is between zero and a hundred.
    let share = (percentile / 100.0 * total as f64).floor() as usize;
    let index = total
        .checked_sub(share)
        .and_then(|rest| rest.checked_sub(1));
    index.and_then(|index| sorted.get(index)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::api::{AssignedTask, TaskEvent};

    fn task(instance_id: i32, first_ran: i64) -> ScheduledTask {
        let event = |timestamp, status| TaskEvent {
            timestamp,
            status: Some(status),
            ..TaskEvent::default()
        };
        ScheduledTask {
            assigned_task: Some(AssignedTask {
                instance_id,
                ..AssignedTask::default()
            }),
            task_events: vec![
                event(0, ScheduleStatus::Pending),
                event(first_ran, ScheduleStatus::Running),
                event(first_ran + 50_000, ScheduleStatus::Running),
            ],
            ..ScheduledTask::default()
        }
    }

    #[test]
    fn shares_and_percentiles_are_those_of_first_runs() {
        let tasks: Vec<_> = (0..10).map(|i| task(i, i64::from(i) * 100_000)).collect();
        let all = uptimes(&tasks, Timestamp(1_000_999));
        assert_eq!((all[&0], all[&9]), (1_000, 100));
        assert_eq!(share_up(&all, 500, all.len()), 60.0);
        assert_eq!(share_up(&BTreeMap::new(), 500, 0), 0.0);
        // Of ten, 90 % have been up for at least as long as the second shortest.
        assert_eq!(reached(&all, 90.0), Some(100));
        assert_eq!(reached(&all, 50.0), Some(500));
        assert_eq!(reached(&all, 10.0), Some(900));
        assert_eq!(reached(&BTreeMap::new(), 50.0), None);
    }
}
