//! Methods that look at job updates.

use super::Api;
use super::respond::{self, Answer, Refusal};
use crate::base::{clock, stats};
use crate::domain::update::{diff, group};
use crate::model::{InstanceConfig, InstanceId, JobKey, TaskConfig, UpdateKey, UpdateStatus};
use crate::storage::{Tables, UpdateRecord};
use crate::thrift::api::*;
use crate::thrift::convert;
use crate::thrift::service::{GetJobUpdateDetails, GetJobUpdateDiff, GetJobUpdateSummaries};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A query whose members are good.
struct Query {
    role: Option<String>,
    key: Option<UpdateKey>,
    job: Option<JobKey>,
    user: Option<String>,
    statuses: BTreeSet<UpdateStatus>,
    offset: usize,
    limit: usize,
}

impl Query {
    fn new(query: &JobUpdateQuery) -> Result<Self, Refusal> {
        let key = query.key.as_ref();
        let job = query.job_key.as_ref();
        let statuses = query.update_statuses.iter();
        Ok(Self {
            role: query.role.clone(),
            key: key.map(|key| convert::update_key(Some(key))).transpose()?,
            job: job.map(|job| convert::job_key(Some(job))).transpose()?,
            user: query.user.clone(),
            statuses: statuses.map(|s| convert::update_status(*s)).collect(),
            offset: usize::try_from(query.offset).unwrap_or(0),
            limit: match usize::try_from(query.limit).unwrap_or(0) {
                0 => usize::MAX,
                limit => limit,
            },
        })
    }

    fn matches(&self, record: &UpdateRecord) -> bool {
        let (update, key) = (record.update(), record.key());
        self.role.as_ref().is_none_or(|role| role == key.job.role())
            && self.key.as_ref().is_none_or(|wanted| wanted == key)
            && self.job.as_ref().is_none_or(|job| *job == key.job)
            && self.user.as_ref().is_none_or(|user| *user == update.user)
            && (self.statuses.is_empty() || self.statuses.contains(&record.status()))
    }

    /// What matches, last changed first; equal times in the order of their names.
    fn run(&self, tables: &Tables) -> Vec<Arc<UpdateRecord>> {
        let start = clock::now();
        let found = self.found(tables);
        stats::global()
            .sliding("job_update_store_fetch_details_query", "nanos")
            .record_nanos(clock::now().since(start));
        found
    }

    fn found(&self, tables: &Tables) -> Vec<Arc<UpdateRecord>> {
        let updates = tables.updates();
        let job = self.job.as_ref();
        let mut found: Vec<&Arc<UpdateRecord>> = match (&self.key, job) {
            (Some(key), _) => updates.get(key).into_iter().collect(),
            (None, Some(job)) => updates.of_job(job).collect(),
            (None, None) => updates.all().collect(),
        };
        found.retain(|record| self.matches(record));
        found.sort_by_key(|record| std::cmp::Reverse(record.modified()));
        let page = found.into_iter().skip(self.offset).take(self.limit);
        page.cloned().collect()
    }
}

fn summary(record: &UpdateRecord) -> JobUpdateSummary {
    let state = convert::update_state_to_wire(record.status(), record.created(), record.modified());
    JobUpdateSummary {
        state: Some(state),
        ..convert::update_summary_to_wire(record.update())
    }
}

fn details(record: &UpdateRecord) -> JobUpdateDetails {
    let events = record.events().iter();
    let instance_events = record.instance_events().iter();
    JobUpdateDetails {
        update: Some(JobUpdate {
            summary: Some(summary(record)),
            instructions: Some(convert::update_instructions_to_wire(record.update())),
        }),
        update_events: events.map(convert::update_event_to_wire).collect(),
        instance_events: instance_events
            .map(convert::instance_event_to_wire)
            .collect(),
    }
}

impl Api {
    pub(super) async fn get_job_update_summaries(&self, args: &GetJobUpdateSummaries) -> Answer {
        let query = args.job_update_query.as_ref();
        let query = query.ok_or_else(|| respond::error("jobUpdateQuery is not set"))?;
        let query = Query::new(query)?;
        let found = query.run(&*self.scheduler.read().await?);
        let update_summaries = found.iter().map(|record| summary(record)).collect();
        Ok(respond::found(ResponseResult::GetJobUpdateSummariesResult(
            GetJobUpdateSummariesResult { update_summaries },
        )))
    }

    pub(super) async fn get_job_update_details(&self, args: &GetJobUpdateDetails) -> Answer {
        if let Some(query) = &args.query {
            let query = Query::new(query)?;
            let found = query.run(&*self.scheduler.read().await?);
            let details_list = found.iter().map(|record| details(record)).collect();
            let result = GetJobUpdateDetailsResult {
                details: None,
                details_list,
            };
            let result = ResponseResult::GetJobUpdateDetailsResult(result);
            return Ok(respond::found(result));
        }
        if args.key.is_none() {
            return Err(respond::error("Either key or query must be set."));
        }
        let key = convert::update_key(args.key.as_ref())?;
        let tables = self.scheduler.read().await?;
        let Some(record) = tables.updates().get(&key) else {
            return Err(respond::invalid(format!("Invalid update: {key}")));
        };
        let result = GetJobUpdateDetailsResult {
            details: Some(details(record)),
            details_list: Vec::new(),
        };
        let warning = "The key argument is deprecated, use the query argument instead";
        Ok(Response {
            result: Some(ResponseResult::GetJobUpdateDetailsResult(result)),
            ..respond::with(ResponseCode::Ok, [warning.to_owned()])
        })
    }

    pub(super) async fn get_job_update_diff(&self, args: &GetJobUpdateDiff) -> Answer {
        let request = self.update_request(args.request.as_ref(), false)?;
        let tables = self.scheduler.read().await?;
        let job = &request.config.job;
        if tables.cron_job(job).is_some() {
            return Err(respond::invalid("Cron jobs are not supported."));
        }
        let tasks = tables.active_tasks_of_job(job);
        let running = tasks.map(|task| (task.instance, Arc::clone(&task.config)));
        let (count, only) = (request.instance_count, &request.settings.only);
        let diff = diff(running, &request.config, count, only);
        let come = InstanceConfig {
            config: Arc::clone(&request.config),
            instances: diff.add,
        };
        let come = (!come.instances.is_empty()).then_some(come);
        Ok(respond::found(ResponseResult::GetJobUpdateDiffResult(
            GetJobUpdateDiffResult {
                add: come.iter().map(config_group).collect(),
                remove: groups(&diff.remove),
                update: groups(&diff.update),
                unchanged: groups(&diff.unchanged),
            },
        )))
    }
}

fn groups(running: &BTreeMap<InstanceId, Arc<TaskConfig>>) -> Vec<ConfigGroup> {
    group(running.iter()).iter().map(config_group).collect()
}

fn config_group(group: &InstanceConfig) -> ConfigGroup {
    ConfigGroup {
        config: Some(convert::task_config_to_wire(&group.config)),
        instances: convert::ranges_to_wire(&group.instances),
    }
}
