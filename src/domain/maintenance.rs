//! Taking machines out of service: which tasks may be moved away now.

use super::sla::{Permit, SlaRules, may_kill};
use crate::base::clock::Timestamp;
use crate::model::{MaintenanceRequest, ScheduledTask};

/// How many milliseconds are left before tasks are moved away whatever they were promised; not above zero
/// once that is so.
pub fn remaining_ms(request: &MaintenanceRequest, now: Timestamp) -> i64 {
    let end = request
        .timeout_secs
        .saturating_mul(1_000)
        .saturating_add(request.created.as_ms());
    end.saturating_sub(now.as_ms())
}

/// Whether `task` may be moved away from a machine that is drained by `request`.
///
/// The task's own promise comes before the request's. A request without a timeout waits for nobody.
/// `active` are the active tasks of the task's job.
pub fn may_drain<'a>(
    rules: &SlaRules,
    request: &MaintenanceRequest,
    task: &ScheduledTask,
    active: impl Iterator<Item = &'a ScheduledTask>,
    now: Timestamp,
) -> Permit {
    if remaining_ms(request, now) <= 0 {
        return Permit::Granted;
    }
    let policy = task.config.sla_policy.as_ref();
    let policy = policy.unwrap_or(&request.default_policy);
    may_kill(rules, policy, task, active, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::model::{ScheduleStatus, SlaPolicy};

    #[test]
    fn promises_hold_until_the_timeout_and_the_tasks_own_comes_first() {
        let count = |count| SlaPolicy::Count {
            count,
            duration_secs: 0,
        };
        let request = MaintenanceRequest {
            host: "h".into(),
            default_policy: count(0),
            timeout_secs: 10,
            created: Timestamp(1_000),
        };
        let rules = SlaRules {
            for_non_production: true,
            min_instances: 0,
        };
        let plain = fixture::task(0, ScheduleStatus::Running, 0, |_| {});
        let bound = fixture::task(1, ScheduleStatus::Running, 0, |c| {
            c.sla_policy = Some(count(1))
        });
        let other = fixture::task(2, ScheduleStatus::Starting, 0, |_| {});
        let ask = |task: &ScheduledTask, at| {
            may_drain(
                &rules,
                &request,
                task,
                [task, &*other].into_iter(),
                Timestamp(at),
            )
        };
        assert_eq!(ask(&plain, 5_000), Permit::Granted);
        assert_eq!(ask(&bound, 5_000), Permit::Denied);
        assert_eq!(remaining_ms(&request, Timestamp(5_000)), 6_000);
        assert_eq!(ask(&bound, 11_000), Permit::Granted);
    }
}
