//! Operators' orders.

use super::step::{Outgoing, Step};
use super::{Effect, Engine, maintenance};
use crate::domain::quota;
use crate::driver::DriverCommand;
use crate::model::{Quota, ScheduleStatus, ScheduledTask, TaskId};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::{Reply, ReplyCode};
use crate::storage::{Op, TaskQuery};
use std::sync::Arc;

/// How many tasks one order to report again names, unless it is said.
pub(super) const RECONCILE_AT_ONCE: usize = 1_000;

/// Carries out an order that changes the tables.
pub(super) fn run(step: &mut Step<'_>, command: &AdminCommand) -> Result<Reply, Reply> {
    match command {
        AdminCommand::DrainHosts {
            hosts,
            default_policy,
            timeout_secs,
        } => maintenance::drain(step, hosts, default_policy, *timeout_secs),
        AdminCommand::EndMaintenance { hosts } => maintenance::end(step, hosts),
        AdminCommand::ForceTaskState { task, status, user } => {
            let why = format!("Transition forced by {user}");
            step.transition(task, *status, Some(why));
        }
        AdminCommand::PruneTasks { query } => prune(step, query)?,
        AdminCommand::SetQuota { role, quota } => set_quota(step, role, *quota)?,
        AdminCommand::StartMaintenance { hosts } => maintenance::start(step, hosts),
        // These change no table; the engine has done them before.
        AdminCommand::ReconcileExplicitly { .. }
        | AdminCommand::ReconcileImplicitly
        | AdminCommand::Restore(_)
        | AdminCommand::Snapshot => {}
    }
    Ok(Reply::ok())
}

fn set_quota(step: &mut Step<'_>, role: &str, quota: Quota) -> Result<(), Reply> {
    let used = step.tables.consumption(role);
    quota::check_quota(quota, &used).map_err(Reply::invalid)?;
    let role = role.to_owned();
    step.apply(Op::SetQuota { role, quota });
    Ok(())
}

fn prune(step: &mut Step<'_>, query: &TaskQuery) -> Result<(), Reply> {
    let mut query = query.clone();
    if query.statuses.iter().any(|status| status.is_active()) {
        let message = "Tasks in non-terminal state cannot be pruned.";
        return Err(Reply::with(ReplyCode::Error, message));
    }
    if query.statuses.is_empty() {
        let ended = ScheduleStatus::ALL.into_iter().filter(|s| s.is_terminal());
        query.statuses = ended.collect();
    }
    query.offset = 0;
    let tasks: Vec<Arc<ScheduledTask>> = query.run(&step.tables);
    let count = tasks.len() as u64;
    step.means.count("thrift_workload_pruneTasks", count);
    step.means.count("tasks_pruned", count);
    tasks.iter().for_each(|task| step.remove(task));
    Ok(())
}

impl Engine {
    /// Carries out an order that changes no table; `false` if it is not one.
    pub(super) fn operate(&mut self, token: u64, command: &AdminCommand) -> bool {
        match command {
            AdminCommand::ReconcileExplicitly { batch } => {
                self.reconcile(batch.unwrap_or(RECONCILE_AT_ONCE));
            }
            AdminCommand::ReconcileImplicitly => {
                self.means.ends_unknown = true;
                self.means.held.clear();
                self.reconcile_implicitly();
            }
            AdminCommand::Snapshot => {
                self.begin_snapshot();
                if self.snapshot.is_some() {
                    self.snapshot_waiters.push(token);
                    return true;
                }
            }
            AdminCommand::DrainHosts { .. }
            | AdminCommand::EndMaintenance { .. }
            | AdminCommand::ForceTaskState { .. }
            | AdminCommand::PruneTasks { .. }
            | AdminCommand::Restore(_)
            | AdminCommand::SetQuota { .. }
            | AdminCommand::StartMaintenance { .. } => return false,
        }
        let result = Ok(Reply::ok());
        self.open.outbox.push(Outgoing::Reply { token, result });
        true
    }

    /// Asks connected agents about all tasks that they should have by the committed tables.
    ///
    /// Launches left before, as those of the committed tables have, and orders keep their order.
    pub(super) fn reconcile(&mut self, at_once: usize) {
        self.means.count("reconciliation_explicit_runs", 1);
        for machine in self.book.iter().filter(|machine| machine.connected) {
            let agent = &machine.agent;
            let tasks = self
                .bottom
                .tasks_on_agent(agent)
                .map(|task| task.id.clone());
            let tasks: Vec<TaskId> = tasks.collect();
            for tasks in tasks.chunks(at_once.max(1)) {
                self.effects
                    .push_back(Effect::Driver(DriverCommand::Reconcile {
                        agent: agent.clone(),
                        tasks: tasks.to_vec(),
                    }));
            }
        }
    }

    /// Asks connected agents to report all that they have: what nobody knows is killed.
    pub(super) fn reconcile_implicitly(&mut self) {
        self.means.count("reconciliation_implicit_runs", 1);
        for machine in self.book.iter().filter(|machine| machine.connected) {
            let agent = machine.agent.clone();
            let tasks = Vec::new();
            self.effects
                .push_back(Effect::Driver(DriverCommand::Reconcile { agent, tasks }));
        }
    }
}
