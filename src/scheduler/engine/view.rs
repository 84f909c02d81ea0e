//! What the engine shows of itself.

use super::Engine;
use super::attempts::free;
use crate::model::ScheduleStatus;
use crate::scheduler::handle::{AgentView, PendingGroup, View};
use std::collections::BTreeMap;

impl Engine {
    /// Pending groups, machines and counters; the rest is left to the loop.
    pub fn view(&self) -> View {
        let overhead = self.means.options.executor_overhead;
        let pending = self.pending.groups().map(|group| PendingGroup {
            config: group.config.clone(),
            tasks: group.tasks.values().cloned().collect(),
            penalty: group.penalty,
            reasons: group.nearest.reasons(),
        });
        let agents = self.book.iter().map(|machine| AgentView {
            agent: machine.agent.clone(),
            session: machine.session,
            host: machine.host.to_string(),
            connected: machine.connected,
            attributes: machine.attributes.clone(),
            mode: machine.mode,
            total: machine.total,
            free: free(&self.head, machine, overhead),
        });
        View {
            pending: pending.collect(),
            agents: agents.collect(),
            counters: self.counters(),
            ..View::default()
        }
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let named = STANDING.iter().map(|name| ((*name).to_owned(), 0));
        let mut all: BTreeMap<String, i64> = named.collect();
        for (name, value) in &self.means.counters {
            all.insert((*name).to_owned(), *value);
        }
        for status in ScheduleStatus::ALL {
            let name = format!("task_store_{status}");
            all.insert(name, self.bottom.count(status));
        }
        all.insert("outstanding_offers".into(), count(self.book.connected()));
        all.insert("timeout_queue_size".into(), count(self.timers.len()));
        all
    }
}

/// Counters that are there from the start, so that those who watch them find them.
const STANDING: &[&str] = &[
    "reconciliation_explicit_runs",
    "schedule_attempts_fired",
    "schedule_attempts_no_match",
    "scheduler_illegal_task_state_transitions",
    "scheduler_log_snapshots",
    "scheduler_resource_offers",
    "scheduler_status_update",
    "scheduling_veto_constraint_mismatch",
    "scheduling_veto_dedicated_constraint_mismatch",
    "scheduling_veto_dynamic",
    "scheduling_veto_insufficient_resources",
    "scheduling_veto_limit_not_satisfied",
    "scheduling_veto_maintenance",
    "scheduling_veto_static",
    "slaves_lost",
    "task_kill_retries",
    "tasks_pruned",
    "timed_out_tasks",
    "veto_evaluated_offers",
];
