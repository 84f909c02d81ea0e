//! Methods that look at tasks, quota and rules, and change nothing.

use super::query::{fetch, show, task_query};
use super::respond::{self, Answer};
use super::{Api, validate};
use crate::model::{Quota, ScheduleStatus, ScheduledTask};
use crate::thrift::api::*;
use crate::thrift::convert::{quota_to_wire, scheduled_task_to_wire, task_config_to_wire};
use crate::thrift::service::{GetPendingReason, GetQuota, PopulateJobConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

fn tasks(tasks: impl Iterator<Item = crate::thrift::api::ScheduledTask>) -> Response {
    respond::found(ResponseResult::ScheduleStatusResult(ScheduleStatusResult {
        tasks: tasks.collect(),
    }))
}

impl Api {
    pub(super) async fn get_tasks_status(&self, query: Option<&TaskQuery>) -> Answer {
        let query = task_query(query)?;
        let found = fetch(&query, &*self.scheduler.read().await?);
        Ok(tasks(found.iter().map(|task| scheduled_task_to_wire(task))))
    }

    pub(super) async fn get_tasks_without_configs(&self, query: Option<&TaskQuery>) -> Answer {
        let query = task_query(query)?;
        let found = fetch(&query, &*self.scheduler.read().await?);
        Ok(tasks(found.iter().map(|task| without_data(task))))
    }

    pub(super) async fn get_pending_reason(&self, args: &GetPendingReason) -> Answer {
        let mut query = task_query(args.query.as_ref())?;
        let given = || args.query.as_ref().map(show).unwrap_or_default();
        if !query.hosts.is_empty() {
            let message = format!("SlaveHosts are not supported in {}", given());
            return Err(respond::invalid(message));
        }
        if !query.statuses.is_empty() {
            let message = format!("Statuses is not supported in {}", given());
            return Err(respond::invalid(message));
        }
        query.statuses.insert(ScheduleStatus::Pending);
        let found = fetch(&query, &*self.scheduler.read().await?);
        let view = self.scheduler.view();
        // Tasks of one description wait for one reason; there may be very many of them.
        let waiting = view.pending_reasons();
        let mut reasons = BTreeMap::new();
        let reason = |task: &Arc<ScheduledTask>| PendingReason {
            task_id: Some(task.id.as_str().to_owned()),
            reason: Some(
                reasons
                    .entry(Arc::as_ptr(&task.config))
                    .or_insert_with(|| waiting.of(task))
                    .clone(),
            ),
        };
        let reasons = found.iter().map(reason).collect();
        Ok(respond::found(ResponseResult::GetPendingReasonResult(
            GetPendingReasonResult { reasons },
        )))
    }

    pub(super) async fn get_quota(&self, args: &GetQuota) -> Answer {
        let role = args.owner_role.as_deref().unwrap_or_default();
        if role.trim().is_empty() {
            return Err(respond::error("ownerRole is not set"));
        }
        let tables = self.scheduler.read().await?;
        let used = tables.consumption(role);
        let aggregate = |quota: Quota| Some(quota_to_wire(quota));
        Ok(respond::found(ResponseResult::GetQuotaResult(
            GetQuotaResult {
                quota: aggregate(tables.quota(role).unwrap_or_default()),
                prod_shared_consumption: aggregate(used.prod_shared),
                non_prod_shared_consumption: aggregate(used.non_prod_shared),
                prod_dedicated_consumption: aggregate(used.prod_dedicated),
                non_prod_dedicated_consumption: aggregate(used.non_prod_dedicated),
            },
        )))
    }

    pub(super) fn get_tier_configs(&self) -> Response {
        let tiers = &self.config.rules.tiers;
        let settings = |preemptible: bool, revocable: bool| {
            BTreeMap::from([
                ("preemptible".to_owned(), preemptible.to_string()),
                ("revocable".to_owned(), revocable.to_string()),
            ])
        };
        let all = tiers.iter().map(|(name, tier)| TierConfig {
            name: Some(name.to_owned()),
            settings: settings(tier.preemptible, tier.revocable),
        });
        respond::found(ResponseResult::GetTierConfigResult(GetTierConfigResult {
            default_tier_name: Some(tiers.default_name().to_owned()),
            tiers: all.collect(),
        }))
    }

    pub(super) fn populate_job_config(&self, args: &PopulateJobConfig) -> Answer {
        let Some(description) = &args.description else {
            return Err(respond::error("description is not set"));
        };
        let job = validate::job(&self.config.rules, description)
            .map_err(|invalid| respond::invalid(format!("Invalid configuration: {invalid}")))?;
        Ok(respond::found(ResponseResult::PopulateJobResult(
            PopulateJobResult {
                task_config: Some(task_config_to_wire(&job.task)),
            },
        )))
    }
}

fn without_data(task: &ScheduledTask) -> crate::thrift::api::ScheduledTask {
    let mut wire = scheduled_task_to_wire(task);
    let config = wire.assigned_task.as_mut().and_then(|t| t.task.as_mut());
    if let Some(executor) = config.and_then(|config| config.executor_config.as_mut()) {
        executor.data = None;
    }
    wire
}
