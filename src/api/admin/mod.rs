//! Methods of operators: quota, maintenance, reconciliation, history.

use super::query::task_query;
use super::respond::{self, Refusal};
use super::{Api, Outcome, UNSECURE};
use crate::base::stats;
use crate::domain::quota;
use crate::model::{MaintenanceMode, SlaPolicy, TaskId};
use crate::scheduler::{AdminCommand, Command};
use crate::storage::Tables;
use crate::thrift::api::{
    DrainHostsResult, EndMaintenanceResult, HostStatus, Hosts, MaintenanceStatusResult, Resource,
    ResponseCode, ResponseResult, StartMaintenanceResult,
};
use crate::thrift::convert;
use crate::thrift::service::{
    DrainHosts, EndMaintenance, ForceTaskState, MaintenanceStatus, PruneTasks, SetQuota,
    SlaDrainHosts, StartMaintenance, TriggerExplicitTaskReconciliation,
};
use std::collections::BTreeSet;

/// The most machines that one call may name.
const HOSTS_MAX: usize = 100_000;

/// The longest name that a machine or a role can have.
const NAME_MAX: usize = 255;

fn refused(refusal: Refusal) -> Outcome {
    let Refusal(response) = refusal;
    Outcome::Answer(response)
}

fn names(hosts: Option<&Hosts>) -> Result<BTreeSet<String>, Refusal> {
    let Some(hosts) = hosts else {
        return Err(respond::error("hosts is not set"));
    };
    if hosts.host_names.len() > HOSTS_MAX {
        let message = format!("No more than {HOSTS_MAX} hosts may be named.");
        return Err(respond::invalid(message));
    }
    // Longer ones name no machine.
    let names = hosts.host_names.iter();
    let names = names.filter(|name| name.len() <= NAME_MAX);
    Ok(names.cloned().collect())
}

fn wire_mode(mode: MaintenanceMode) -> crate::thrift::api::MaintenanceMode {
    use crate::thrift::api::MaintenanceMode as Wire;
    match mode {
        MaintenanceMode::None => Wire::None,
        MaintenanceMode::Scheduled => Wire::Scheduled,
        MaintenanceMode::Draining => Wire::Draining,
        MaintenanceMode::Drained => Wire::Drained,
    }
}

/// The modes of those machines that are known.
fn statuses(tables: &Tables, hosts: &BTreeSet<String>) -> Vec<HostStatus> {
    let known = hosts.iter().filter_map(|host| tables.host(host));
    let status = known.map(|host| HostStatus {
        host: Some(host.host.clone()),
        mode: Some(wire_mode(host.mode)),
    });
    status.collect()
}

impl Api {
    async fn admin(&self, request_id: Option<&str>, command: AdminCommand) -> Outcome {
        self.submit(request_id, Command::Admin(command)).await
    }

    /// Submits an order about machines and answers with what they are afterwards.
    async fn on_hosts(
        &self,
        request_id: Option<&str>,
        hosts: BTreeSet<String>,
        command: AdminCommand,
        result: fn(Vec<HostStatus>) -> ResponseResult,
    ) -> Outcome {
        let outcome = self.admin(request_id, command).await;
        let Outcome::Answer(response) = &outcome else {
            return outcome;
        };
        if response.response_code != Some(ResponseCode::Ok) {
            return outcome;
        }
        // The order is in the committed tables once it is answered.
        let statuses = statuses(&self.scheduler.tables(), &hosts);
        Outcome::Answer(Box::new(respond::found(result(statuses))))
    }

    pub(super) async fn start_maintenance(
        &self,
        request_id: Option<&str>,
        args: StartMaintenance,
    ) -> Outcome {
        let hosts = match names(args.hosts.as_ref()) {
            Ok(hosts) => hosts,
            Err(refusal) => return refused(refusal),
        };
        let command = AdminCommand::StartMaintenance {
            hosts: hosts.clone(),
        };
        let result =
            |statuses| ResponseResult::StartMaintenanceResult(StartMaintenanceResult { statuses });
        self.on_hosts(request_id, hosts, command, result).await
    }

    pub(super) async fn end_maintenance(
        &self,
        request_id: Option<&str>,
        args: EndMaintenance,
    ) -> Outcome {
        let hosts = match names(args.hosts.as_ref()) {
            Ok(hosts) => hosts,
            Err(refusal) => return refused(refusal),
        };
        let command = AdminCommand::EndMaintenance {
            hosts: hosts.clone(),
        };
        let result =
            |statuses| ResponseResult::EndMaintenanceResult(EndMaintenanceResult { statuses });
        self.on_hosts(request_id, hosts, command, result).await
    }

    pub(super) async fn drain_hosts(&self, request_id: Option<&str>, args: DrainHosts) -> Outcome {
        let nothing = SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        };
        self.drain(request_id, args.hosts.as_ref(), nothing, 0)
            .await
    }

    pub(super) async fn sla_drain_hosts(
        &self,
        request_id: Option<&str>,
        args: SlaDrainHosts,
    ) -> Outcome {
        let Some(policy) = &args.default_sla_policy else {
            return refused(respond::error("defaultSlaPolicy is not set"));
        };
        let (policy, timeout) = (convert::sla_policy(policy), args.timeout_secs);
        self.drain(request_id, args.hosts.as_ref(), policy, timeout)
            .await
    }

    async fn drain(
        &self,
        request_id: Option<&str>,
        hosts: Option<&Hosts>,
        default_policy: SlaPolicy,
        timeout_secs: i64,
    ) -> Outcome {
        let hosts = match names(hosts) {
            Ok(hosts) => hosts,
            Err(refusal) => return refused(refusal),
        };
        let command = AdminCommand::DrainHosts {
            hosts: hosts.clone(),
            default_policy,
            timeout_secs,
        };
        let result = |statuses| ResponseResult::DrainHostsResult(DrainHostsResult { statuses });
        self.on_hosts(request_id, hosts, command, result).await
    }

    pub(super) async fn maintenance_status(&self, args: &MaintenanceStatus) -> respond::Answer {
        let hosts = names(args.hosts.as_ref())?;
        stats::global()
            .counter("thrift_workload_maintenanceStatus")
            .add(hosts.len() as u64);
        let tables = self.scheduler.read().await?;
        let statuses = statuses(&tables, &hosts);
        Ok(respond::found(ResponseResult::MaintenanceStatusResult(
            MaintenanceStatusResult { statuses },
        )))
    }

    pub(super) async fn set_quota(&self, request_id: Option<&str>, args: SetQuota) -> Outcome {
        match quota_command(&args) {
            Ok(command) => self.admin(request_id, command).await,
            Err(refusal) => refused(refusal),
        }
    }

    pub(super) async fn force_task_state(
        &self,
        request_id: Option<&str>,
        args: ForceTaskState,
    ) -> Outcome {
        let task = args.task_id.filter(|task| !task.trim().is_empty());
        let (Some(task), Some(status)) = (task, args.status) else {
            return refused(respond::error("taskId and status must be set"));
        };
        let command = AdminCommand::ForceTaskState {
            task: TaskId::new(&task),
            status: convert::schedule_status(status),
            user: UNSECURE.to_owned(),
        };
        self.admin(request_id, command).await
    }

    pub(super) async fn prune_tasks(&self, request_id: Option<&str>, args: PruneTasks) -> Outcome {
        match task_query(args.query.as_ref()) {
            Ok(query) => {
                self.admin(request_id, AdminCommand::PruneTasks { query })
                    .await
            }
            Err(refusal) => refused(refusal),
        }
    }

    pub(super) async fn reconcile_explicitly(
        &self,
        request_id: Option<&str>,
        args: TriggerExplicitTaskReconciliation,
    ) -> Outcome {
        let Some(settings) = args.settings else {
            return refused(respond::error("settings is not set"));
        };
        let batch = match settings.batch_size {
            None => None,
            Some(size) => match usize::try_from(size) {
                Ok(size) if size > 0 => Some(size),
                _ => {
                    let message = "Batch size must be greater than zero.";
                    return refused(respond::invalid(message));
                }
            },
        };
        self.admin(request_id, AdminCommand::ReconcileExplicitly { batch })
            .await
    }

    pub(super) async fn reconcile_implicitly(&self, request_id: Option<&str>) -> Outcome {
        self.admin(request_id, AdminCommand::ReconcileImplicitly)
            .await
    }

    pub(super) async fn snapshot(&self, request_id: Option<&str>) -> Outcome {
        self.admin(request_id, AdminCommand::Snapshot).await
    }
}

fn quota_command(args: &SetQuota) -> Result<AdminCommand, Refusal> {
    let role = args.owner_role.as_deref().unwrap_or_default();
    if role.trim().is_empty() {
        return Err(respond::error("ownerRole is not set"));
    }
    if !crate::model::is_identifier(role) {
        let shown: String = role.chars().take(300).collect();
        let message = format!("Role contains illegal characters: {shown}");
        return Err(respond::invalid(message));
    }
    let resources = args.quota.as_ref().map(|quota| quota.resources.as_slice());
    let resources = resources.unwrap_or_default();
    if resources.len() > 3 {
        return Err(respond::error("Too many resource values in quota."));
    }
    let kind = |resource: &Resource| match resource {
        Resource::NumCpus(_) => Some(0),
        Resource::RamMb(_) => Some(1),
        Resource::DiskMb(_) => Some(2),
        Resource::NamedPort(_) | Resource::NumGpus(_) => None,
    };
    let kinds: BTreeSet<_> = resources.iter().map(kind).collect();
    if kinds.len() != 3 || kinds.contains(&None) {
        let message = "Quota resources must be exactly: [CPUS, RAM_MB, DISK_MB]";
        return Err(respond::error(message));
    }
    let quota = convert::resource_amounts(resources);
    quota::check_positive(quota).map_err(respond::invalid)?;
    let role = role.to_owned();
    Ok(AdminCommand::SetQuota { role, quota })
}

#[cfg(test)]
mod tests;
