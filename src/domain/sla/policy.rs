//! Whether an instance may be taken down now.

use crate::base::clock::Timestamp;
use crate::model::{ScheduleStatus, ScheduledTask, SlaPolicy};
use std::time::Duration;

/// Whom promises protect. The defaults are those of the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlaRules {
    /// Promises of tasks that are not production count as well (`-sla_aware_kill_non_prod`).
    pub for_non_production: bool,
    /// Counts and shares bind only jobs with at least this many active instances
    /// (`-min_required_instances_for_sla_check`).
    pub min_instances: u32,
}

impl Default for SlaRules {
    fn default() -> Self {
        Self {
            for_non_production: false,
            min_instances: 20,
        }
    }
}

/// What the promise says to taking an instance down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may be taken down now.
    Granted,
    /// Not now; it may be asked again later.
    Denied,
    /// A coordinator decides: its URL, and the key of its answer.
    Ask {
        /// Where it answers.
        url: String,
        /// The member of its answer that counts.
        status_key: String,
    },
}

/// Whether `task` may be taken down now under `policy`.
///
/// `active` are the active tasks of its job, itself among them. At least one instance may always be taken
/// down when all others have been up for long enough, whatever the policy asks for: a promise that nothing
/// could ever satisfy would stop maintenance for good. A coordinator is asked whatever the job's tier and
/// size.
pub fn may_kill<'a>(
    rules: &SlaRules,
    policy: &SlaPolicy,
    task: &ScheduledTask,
    active: impl Iterator<Item = &'a ScheduledTask>,
    now: Timestamp,
) -> Permit {
    let (long, enough): (i64, Box<dyn Fn(i64, i64) -> bool>) = match policy {
        SlaPolicy::Coordinator { url, status_key } => {
            return Permit::Ask {
                url: url.clone(),
                status_key: status_key.clone(),
            };
        }
        SlaPolicy::Count {
            count,
            duration_secs,
        } => {
            let count = *count;
            let enough = move |up, total: i64| up >= count.min(total - 1);
            (*duration_secs, Box::new(enough))
        }
        SlaPolicy::Percentage {
            milli_percent,
            duration_secs,
        } => {
            let share = *milli_percent;
            (
                *duration_secs,
                Box::new(move |up, total| reaches(up, total, share)),
            )
        }
    };
    if !task.config.production && !rules.for_non_production {
        return Permit::Granted;
    }
    let long = Duration::from_secs(u64::try_from(long).unwrap_or(0));
    let (mut up, mut total) = (0_i64, 0_i64);
    for other in active {
        total += 1;
        if other.id != task.id && is_up(other, long, now) {
            up += 1;
        }
    }
    if total < i64::from(rules.min_instances) || enough(up, total) {
        Permit::Granted
    } else {
        Permit::Denied
    }
}

/// Whether `up` of `total` is at least `share` thousandths of a percent, where a share that leaves less
/// than one instance to be taken down counts as all but one.
fn reaches(up: i64, total: i64, share: i64) -> bool {
    const WHOLE: i64 = 100_000;
    let spare = (WHOLE - share).saturating_mul(total) / WHOLE;
    if spare < 1 {
        return up >= total - 1;
    }
    up.saturating_mul(WHOLE) >= share.saturating_mul(total)
}

/// Whether a task runs and has done so for longer than `long`.
fn is_up(task: &ScheduledTask, long: Duration, now: Timestamp) -> bool {
    let running = |status| status == ScheduleStatus::Running;
    running(task.status)
        && task
            .events
            .iter()
            .rev()
            .find(|event| running(event.status))
            .is_some_and(|event| now.since(event.at) > long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// `up` tasks that have run for 60 s, then others that have run for 10 s.
    fn job(production: bool, up: usize, all: usize) -> Vec<Arc<ScheduledTask>> {
        (0..all)
            .map(|i| {
                let since = if i < up { 60 } else { 10 };
                let at = NOW.0 - since * 1_000;
                fixture::task(i, ScheduleStatus::Running, at, |c| {
                    c.production = production;
                })
            })
            .collect()
    }

    fn ask(policy: &SlaPolicy, tasks: &[Arc<ScheduledTask>]) -> Permit {
        let rules = SlaRules::default();
        let last = tasks.last().unwrap();
        may_kill(&rules, policy, last, tasks.iter().map(|t| &**t), NOW)
    }

    fn count(count: i64) -> SlaPolicy {
        SlaPolicy::Count {
            count,
            duration_secs: 30,
        }
    }

    fn percentage(percent: i64) -> SlaPolicy {
        SlaPolicy::Percentage {
            milli_percent: percent * 1_000,
            duration_secs: 30,
        }
    }

    #[test]
    fn others_must_have_been_up_for_longer_than_the_policy_asks() {
        assert_eq!(ask(&count(15), &job(true, 15, 20)), Permit::Granted);
        assert_eq!(ask(&count(15), &job(true, 14, 20)), Permit::Denied);
        assert_eq!(ask(&percentage(75), &job(true, 15, 20)), Permit::Granted);
        assert_eq!(ask(&percentage(75), &job(true, 14, 20)), Permit::Denied);
        let exactly = SlaPolicy::Count {
            count: 1,
            duration_secs: 60,
        };
        assert_eq!(ask(&exactly, &job(true, 19, 20)), Permit::Denied);
    }

    #[test]
    fn the_instance_itself_does_not_count_as_up() {
        let tasks = job(true, 20, 20);
        assert_eq!(ask(&count(19), &tasks), Permit::Granted);
        assert_eq!(ask(&count(19), &job(true, 18, 20)), Permit::Denied);
    }

    #[test]
    fn one_instance_may_always_go_if_all_others_are_up() {
        for policy in [count(20), count(500), percentage(100), percentage(99)] {
            assert_eq!(
                ask(&policy, &job(true, 19, 20)),
                Permit::Granted,
                "{policy:?}"
            );
            assert_eq!(
                ask(&policy, &job(true, 18, 20)),
                Permit::Denied,
                "{policy:?}"
            );
        }
    }

    #[test]
    fn small_and_non_production_jobs_are_not_protected_except_by_coordinators() {
        assert_eq!(ask(&count(19), &job(true, 0, 19)), Permit::Granted);
        assert_eq!(ask(&count(19), &job(false, 0, 20)), Permit::Granted);
        let rules = SlaRules {
            for_non_production: true,
            ..SlaRules::default()
        };
        let tasks = job(false, 0, 20);
        let all = tasks.iter().map(|t| &**t);
        assert_eq!(
            may_kill(&rules, &count(19), &tasks[0], all, NOW),
            Permit::Denied
        );
        let coordinator = SlaPolicy::Coordinator {
            url: "http://c".into(),
            status_key: "drain".into(),
        };
        assert!(matches!(
            ask(&coordinator, &job(false, 0, 1)),
            Permit::Ask { .. }
        ));
    }
}
