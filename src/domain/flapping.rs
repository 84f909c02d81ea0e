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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::{Container, JobKey, Resources, TaskConfig, TaskEvent};
    use ScheduleStatus as S;
    use std::collections::{BTreeMap, BTreeSet};

    fn task(name: u64, history: &[(i64, S)]) -> Arc<ScheduledTask> {
        let config = TaskConfig {
            job: JobKey::new("r", "e", "j").unwrap(),
            owner: None,
            is_service: true,
            priority: 0,
            max_task_failures: 1,
            production: false,
            tier: None,
            resources: Resources::default(),
            port_names: BTreeSet::new(),
            names_gpus: false,
            constraints: BTreeSet::new(),
            fetcher_uris: BTreeSet::new(),
            task_links: BTreeMap::new(),
            contact_email: None,
            executor: None,
            metadata: BTreeSet::new(),
            partition_policy: None,
            sla_policy: None,
            container: Container::default(),
        };
        let event = |(secs, status): &(i64, S)| TaskEvent {
            at: Timestamp(secs * 1_000),
            status: *status,
            message: None,
            scheduler: None,
        };
        Arc::new(ScheduledTask {
            id: TaskId::new(&name.to_string()),
            config: Arc::new(config),
            instance: 0,
            status: S::Failed,
            failure_count: 0,
            times_partitioned: 0,
            ancestor: name.checked_sub(1).map(|n| TaskId::new(&n.to_string())),
            agent: None,
            host: None,
            ports: BTreeMap::new(),
            events: history.iter().map(event).collect(),
        })
    }

    fn flapping() -> Flapping {
        Flapping {
            backoff: Backoff::new(Duration::from_secs(30), Duration::from_secs(300)),
            threshold: Duration::from_secs(300),
        }
    }

    #[test]
    fn a_task_flaps_if_its_last_active_state_was_short_and_nobody_ended_it() {
        let flapped = |history: &[(i64, S)]| flapping().flapped(&task(0, history));
        assert!(flapped(&[
            (0, S::Pending),
            (9_000, S::Running),
            (9_299, S::Failed)
        ]));
        assert!(!flapped(&[
            (0, S::Pending),
            (9_000, S::Running),
            (9_300, S::Failed)
        ]));
        assert!(flapped(&[
            (0, S::Running),
            (9, S::Preempting),
            (10, S::Killed)
        ]));
        for wanted in [S::Restarting, S::Killing, S::Draining] {
            assert!(!flapped(&[(0, S::Running), (9, wanted), (10, S::Killed)]));
        }
        assert!(!flapped(&[]));
    }

    #[test]
    fn the_penalty_grows_with_each_ancestor_that_flapped_up_to_the_limit() {
        let short = [(0, S::Running), (1, S::Failed)];
        let mut rng = Rng::from_seed(4);
        let mut last = Duration::ZERO;
        for generation in 0..12 {
            let find = |id: &TaskId| Some(task(id.as_str().parse().unwrap(), &short));
            let mut rng = Rng::from_seed(7);
            let penalty = flapping().penalty(&task(generation, &short), find, &mut rng);
            assert!(penalty >= last && (generation == 0) == penalty.is_zero());
            last = penalty;
        }
        assert_eq!(last, Duration::from_secs(300));
        let pruned = flapping().penalty(&task(5, &short), |_| None, &mut rng);
        assert!(pruned.is_zero());
    }
}
