//! Tasks: listing, forgetting, reconciling.

use super::command::Given;
use super::hosts::listed;
use super::{Admin, Ran, fail};
use crate::client::exit::CommandError;
use crate::client::scheduler::Repeat;
use crate::thrift::api::{
    ACTIVE_STATES, ExplicitReconciliationSettings, ResponseResult, ScheduleStatus, ScheduledTask,
    TaskQuery,
};
use crate::thrift::protocol::plain_json;
use crate::thrift::service::{
    GetTasksStatus, NoArguments, PruneTasks, Request, TriggerExplicitTaskReconciliation,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const FORMAT: &str = "%role%/%name%/%instanceId% %status%";

fn states(text: &str) -> Result<Vec<ScheduleStatus>, CommandError> {
    let state = |name: String| {
        let upper = name.to_ascii_uppercase();
        ScheduleStatus::from_name(&upper).ok_or_else(|| fail(format!("{name} is no task state")))
    };
    listed(text).into_iter().map(state).collect()
}

pub(super) fn prune(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let query = TaskQuery {
        statuses: states(given.option("states").unwrap_or_default())?,
        role: given.option("role").map(str::to_owned),
        environment: given.option("env").map(str::to_owned),
        limit: given.number("limit")?.unwrap_or(0),
        ..TaskQuery::default()
    };
    let request = Request::PruneTasks(Box::new(PruneTasks { query: Some(query) }));
    admin.call(&request, Repeat::ById)?;
    admin.print("Tasks pruned.");
    Ok(())
}

pub(super) fn reconcile(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let batch_size: Option<i32> = given.number("batch_size")?;
    let request = match given.option("type").unwrap_or("explicit") {
        "explicit" => {
            let settings = Some(ExplicitReconciliationSettings { batch_size });
            let args = TriggerExplicitTaskReconciliation { settings };
            Request::TriggerExplicitTaskReconciliation(Box::new(args))
        }
        "implicit" => Request::TriggerImplicitTaskReconciliation(Box::new(NoArguments)),
        other => {
            let message = format!("--type={other}: expected explicit or implicit");
            return Err(fail(message));
        }
    };
    admin.call(&request, Repeat::Always).map(|_| ())
}

pub(super) fn query(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let named = |index| Some(given.word(index).to_owned()).filter(|word| !word.is_empty());
    let (role, job) = (named(1), named(2));
    let states = states(given.option("states").unwrap_or("RUNNING"))?;
    let costly = role.is_none()
        || job.is_none()
        || states.is_empty()
        || states.iter().any(|state| !ACTIVE_STATES.contains(state));
    if costly && !given.is_on("force") {
        return Err(fail(
            "--force is required for queries without a role or a job, or for states that are not active",
        ));
    }
    let shard = |text: String| {
        let number = text.parse::<i32>();
        number.map_err(|_| fail(format!("--shards: {text} is no instance")))
    };
    let shards = listed(given.option("shards").unwrap_or_default());
    let request = Request::GetTasksStatus(Box::new(GetTasksStatus {
        query: Some(TaskQuery {
            role,
            job_name: job,
            statuses: states,
            instance_ids: shards.into_iter().map(shard).collect::<Result<_, _>>()?,
            ..TaskQuery::default()
        }),
    }));
    let tasks = match admin.call(&request, Repeat::Always)? {
        Some(ResponseResult::ScheduleStatusResult(found)) => found.tasks,
        _ => Vec::new(),
    };
    let format = given.option("listformat").unwrap_or(FORMAT);
    for task in &tasks {
        let line = show(format, &flat(task)).map_err(fail)?;
        admin.print(&line);
    }
    Ok(())
}

/// All members of a task and of what is in it, by name alone.
fn flat(task: &ScheduledTask) -> BTreeMap<String, String> {
    let json = serde_json::from_slice(&plain_json::to_bytes(task)).unwrap_or_default();
    let mut all = BTreeMap::new();
    if let Value::Object(members) = json {
        flatten(&members, &mut all);
    }
    let status = task.status.map_or("", ScheduleStatus::name);
    all.insert("status".to_owned(), status.to_owned());
    all
}

fn flatten(members: &Map<String, Value>, all: &mut BTreeMap<String, String>) {
    // Maps are values, and not what a task is made of.
    const MAPS: [&str; 2] = ["assignedPorts", "taskLinks"];
    for (name, value) in members {
        match value {
            Value::Object(inner) if !MAPS.contains(&name.as_str()) => flatten(inner, all),
            Value::String(text) => {
                all.insert(name.clone(), text.clone());
            }
            other => {
                all.insert(name.clone(), other.to_string());
            }
        }
    }
}

/// A line in which every `%key%` is replaced; what is wrong if a key is not there.
fn show(format: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut line = String::new();
    let mut parts = format.split('%');
    line.push_str(parts.next().unwrap_or_default());
    while let Some(key) = parts.next() {
        let Some(after) = parts.next() else {
            // A lone sign.
            line.push('%');
            line.push_str(key);
            break;
        };
        let Some(value) = values.get(key) else {
            let known: Vec<&str> = values.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Err(format!(
                "Unknown format {format}: '{key}' is none of {known}"
            ));
        };
        line.push_str(value);
        line.push_str(after);
    }
    Ok(line)
}
