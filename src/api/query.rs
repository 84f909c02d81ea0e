//! Task queries, from the interface to the tables.

use super::respond::{self, Refusal};
use crate::base::{clock, stats};
use crate::model::{JobKey, ScheduledTask, TaskId};
use crate::storage::{Tables, TaskQuery};
use crate::thrift::api;
use crate::thrift::convert;
use crate::thrift::protocol::plain_json;
use std::sync::Arc;
use std::time::Duration;

/// The query that `query` means.
///
/// # Errors
///
/// The answer to a call without a query, or with job keys that are none.
pub(super) fn task_query(query: Option<&api::TaskQuery>) -> Result<TaskQuery, Refusal> {
    let Some(query) = query else {
        return Err(respond::error("query is not set"));
    };
    let role = query.role.as_deref().filter(|role| !role.trim().is_empty());
    if let (Some(role), Some(environment), Some(name)) = (role, &query.environment, &query.job_name)
        && JobKey::new(role, environment, name).is_err()
    {
        return Err(bad_key(&format!("{role}/{environment}/{name}")));
    }
    let jobs = query
        .job_keys
        .iter()
        .map(|key| convert::job_key(Some(key)).map_err(|_| bad_key(&written(key))));
    Ok(TaskQuery {
        role: role.map(str::to_owned),
        environment: query.environment.clone(),
        job_name: query.job_name.clone(),
        task_ids: query.task_ids.iter().map(|id| TaskId::new(id)).collect(),
        statuses: query
            .statuses
            .iter()
            .map(|status| convert::schedule_status(*status))
            .collect(),
        instances: convert::instance_ids(&query.instance_ids),
        hosts: query.slave_hosts.iter().cloned().collect(),
        jobs: jobs.collect::<Result<_, _>>()?,
        offset: usize::try_from(query.offset).unwrap_or(0),
        limit: usize::try_from(query.limit).unwrap_or(0),
    })
}

fn bad_key(key: &str) -> Refusal {
    let shown: String = key.chars().take(300).collect();
    respond::error(format!("Invalid job key format: {shown}"))
}

fn written(key: &api::JobKey) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "null".to_owned());
    let (role, environment, name) = (&key.role, &key.environment, &key.name);
    format!("{}/{}/{}", part(role), part(environment), part(name))
}

/// A query that takes longer is logged.
const SLOW: Duration = Duration::from_millis(25);

/// Runs a query, and counts it by the index that it goes by.
pub(super) fn fetch(query: &TaskQuery, tables: &Tables) -> Vec<Arc<ScheduledTask>> {
    let registry = stats::global();
    let index = query.index();
    registry
        .counter(&format!("task_queries_{index}"))
        .increment();
    let start = clock::now();
    let found = query.run(tables);
    let took = clock::now().since(start);
    registry
        .sliding("mem_storage_fetch_tasks", "nanos")
        .record_nanos(took);
    if took >= SLOW {
        log::info!(
            "a query for tasks ({index}) took {took:?} and found {}",
            found.len()
        );
    }
    found
}

/// The counts of [`fetch`] are there from the start.
pub(super) fn register() {
    for index in ["all", "by_host", "by_id", "by_job"] {
        stats::global().counter(&format!("task_queries_{index}"));
    }
    stats::global().sliding("mem_storage_fetch_tasks", "nanos");
    stats::global().counter("thrift_workload_maintenanceStatus");
}

/// A query for messages.
pub(super) fn show(query: &api::TaskQuery) -> String {
    let text = plain_json::to_bytes(query);
    String::from_utf8_lossy(&text).chars().take(1000).collect()
}
