//! What the engine shows of itself.

use super::Engine;
use super::updates;
use crate::model::ScheduleStatus;
use crate::scheduler::handle::{AgentView, PendingGroup, View};
use std::collections::BTreeMap;

impl Engine {
    /// Pending groups, machines and counters; the rest is left to the loop.
    pub fn view(&self) -> View {
        let options = &self.means.options;
        let pending = self.pending.groups().map(|group| PendingGroup {
            config: group.config.clone(),
            tasks: group.tasks.values().cloned().collect(),
            penalty: group.penalty,
            reasons: group.nearest.reasons(),
        });
        let agents = self.book.iter().map(|machine| {
            let left = self.revocable.left(&self.head, machine, options);
            AgentView {
                agent: machine.agent.clone(),
                session: machine.session,
                host: machine.host.to_string(),
                connected: machine.connected,
                attributes: machine.attributes.clone(),
                mode: machine.mode,
                total: machine.total,
                ports: machine.ports.clone(),
                free: left.own,
                revocable: left.revocable,
            }
        });
        View {
            pending: pending.collect(),
            agents: agents.collect(),
            held: self.means.held.clone(),
            counters: self.counters(),
            ..View::default()
        }
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let named = STANDING.iter().copied().chain(updates::standing());
        let named = named.map(|name| (name.to_owned(), 0));
        let mut all: BTreeMap<String, i64> = named.collect();
        for (name, value) in &self.means.counters {
            all.insert(name.to_string(), *value);
        }
        for status in ScheduleStatus::ALL {
            let name = format!("task_store_{status}");
            all.insert(name, self.bottom.count(status));
        }
        all.insert("outstanding_offers".into(), count(self.book.connected()));
        all.insert(
            "reservation_cache_size".into(),
            count(self.preemption.reserved()),
        );
        all.insert(
            "update_affinity_cache_size".into(),
            count(self.affinity.len()),
        );
        all.extend(self.maintenance_countdowns());
        let leads = i64::from(self.is_leading());
        all.insert("quartz_scheduler_running".into(), leads);
        all.insert("cron_jobs_loaded".into(), leads);
        all.insert("timeout_queue_size".into(), count(self.timers.len()));
        let blocks = i64::try_from(self.pending.blocks()).unwrap_or(i64::MAX);
        all.insert("schedule_attempts_blocks".into(), blocks);
        let hosts = self.head.loaded_agents().count();
        all.insert("task_store_index_host_items".into(), count(hosts));
        all
    }

    /// What was counted under a name so far.
    pub fn counted(&self, name: &str) -> u64 {
        let count = self.means.counters.get(name).copied().unwrap_or(0);
        u64::try_from(count).unwrap_or(0)
    }
}

/// Counters that are there from the start, so that those who watch them find them.
const STANDING: &[&str] = &[
    "async_tasks_completed",
    "missing_maintenance_request",
    "offers_rescinded",
    "assigner_launch_failures",
    "preemptor_slot_search_attempts_for_non_prod",
    "preemptor_slot_search_attempts_for_prod",
    "preemptor_slot_search_failed_for_non_prod",
    "preemptor_slot_search_failed_for_prod",
    "preemptor_slot_search_successful_for_non_prod",
    "preemptor_slot_search_successful_for_prod",
    "preemptor_slot_validation_failed",
    "preemptor_slot_validation_successful",
    "preemptor_task_processor_runs",
    "preemptor_tasks_preempted_non_prod",
    "preemptor_tasks_preempted_prod",
    "preemptor_unmatched_tasks",
    "cron_job_collisions",
    "cron_job_concurrent_runs",
    "cron_job_launch_failures",
    "cron_job_misfires",
    "cron_job_parse_failures",
    "cron_job_triggers",
    "reconciliation_explicit_runs",
    "reconciliation_implicit_runs",
    "reservation_cache_expiration_removals",
    "reservation_cache_explicit_removals",
    "reservation_cache_removals",
    "schedule_attempts_failed",
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
    "sla_coordinator_attempts",
    "sla_coordinator_errors",
    "sla_coordinator_lock_starvation",
    "sla_coordinator_success",
    "sla_coordinator_user_errors",
    "slaves_lost",
    "task_lost_SOURCE_SLAVE",
    "task_kill_retries",
    "tasks_pruned",
    "timed_out_tasks",
    "update_affinity_cache_expiration_removals",
    "update_affinity_cache_explicit_removals",
    "update_affinity_cache_removals",
    "veto_evaluated_offers",
];
