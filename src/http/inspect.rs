//! What is stored, for people who look closer: `/state`, `/structdump`, `/utilization`, `/mname`.

use super::path;
use super::probe::plain;
use super::state::Shared;
use super::vars::json_response;
use crate::base::frame;
use crate::domain::quota;
use crate::model::{JobKey, Resources, ScheduledTask, TaskConfig, TaskId};
use crate::storage::Tables;
use crate::thrift::Value as Thrift;
use crate::thrift::convert::{
    job_configuration_to_wire, scheduled_task_to_wire, task_config_to_wire,
};
use crate::thrift::protocol::plain_json;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tide::{Request, Response};

/// A value of the API as JSON.
fn json_of(value: &impl Thrift) -> Value {
    serde_json::from_slice(&plain_json::to_bytes(value)).expect("what was written as JSON is JSON")
}

/// A name for a description that tells it from others of its job.
fn config_name(config: &TaskConfig) -> (String, Value) {
    let wire = task_config_to_wire(config);
    let text = plain_json::to_bytes(&wire);
    let hash = frame::checksum(&text);
    (format!("{}-{hash:08x}", config.job), json_of(&wire))
}

/// Which machine runs what.
pub(super) async fn state(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let mut configs = Map::new();
    let mut agents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    // Tasks of one job share their description: named once.
    let mut last: Option<(*const TaskConfig, String)> = None;
    for task in tables.tasks().filter(|task| task.status.is_assigned()) {
        let Some(agent) = &task.agent else { continue };
        let at = std::sync::Arc::as_ptr(&task.config);
        let name = match &last {
            Some((known, name)) if *known == at => name.clone(),
            _ => {
                let (name, config) = config_name(&task.config);
                configs.insert(name.clone(), config);
                last = Some((at, name.clone()));
                name
            }
        };
        agents
            .entry(agent.as_str().to_owned())
            .or_default()
            .push(name.into());
    }
    json_response(
        &request,
        &json!({ "taskConfigs": configs, "agents": agents }),
    )
}

pub(super) async fn struct_usage(_: Request<Shared>) -> tide::Result {
    Ok(plain(
        400,
        "Give a path such as:\n/structdump/task/{task_id}\n/structdump/cron/{role}/{environment}/{job}\n",
    ))
}

pub(super) async fn struct_task(request: Request<Shared>) -> tide::Result {
    let id = TaskId::new(&path::parameter(&request, "task")?);
    let tables = request.state().config.source.tables();
    Ok(dump(
        tables
            .task(&id)
            .map(|task| json_of(&scheduled_task_to_wire(task))),
    ))
}

pub(super) async fn struct_cron(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let cron = job_key(&request)?.and_then(|key| tables.cron_job(&key).cloned());
    Ok(dump(cron.map(|cron| {
        json_of(&job_configuration_to_wire(&cron.job))
    })))
}

fn dump(entity: Option<Value>) -> Response {
    match entity {
        Some(value) => plain(200, format!("{value:#}\n")),
        None => plain(404, "Entity not found\n"),
    }
}

fn job_key(request: &Request<Shared>) -> tide::Result<Option<JobKey>> {
    let part = |name| path::parameter(request, name);
    Ok(JobKey::new(&part("role")?, &part("environment")?, &part("job")?).ok())
}

pub(super) async fn mname_usage(_: Request<Shared>) -> tide::Result {
    Ok(plain(
        400,
        "Give a path such as:\n/mname/{role}/{environment}/{job}/{instance}[/{path}]\n",
    ))
}

/// Sends the caller to the web port of a running instance.
pub(super) async fn mname(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let instance = path::parameter(&request, "instance")?.parse().ok();
    let task = match (job_key(&request)?, instance) {
        (Some(key), Some(instance)) => tables.active_instance(&key, instance).cloned(),
        _ => None,
    };
    let Some(task) = task else {
        return Ok(plain(404, "No such live instance found.\n"));
    };
    Ok(match door_of(&task) {
        Ok((host, port)) => {
            let rest = request.param("forward").unwrap_or_default();
            let query = request.url().query();
            let query = query.map(|q| format!("?{q}")).unwrap_or_default();
            let mut response = Response::new(307);
            response.insert_header("location", format!("http://{host}:{port}/{rest}{query}"));
            response
        }
        Err(why) => plain(404, why),
    })
}

/// The names of ports that are taken for a web server's, best first.
const WEB_PORTS: [&str; 5] = ["health", "http", "HTTP", "web", "admin"];

fn door_of(task: &ScheduledTask) -> Result<(&str, u16), String> {
    if task.status.name() != "RUNNING" {
        return Err(format!(
            "The selected instance is currently in state {}\n",
            task.status
        ));
    }
    let port = WEB_PORTS.iter().find_map(|name| {
        let mut ports = task.ports.iter();
        ports
            .find(|(known, _)| known.as_ref() as &str == *name)
            .map(|(_, port)| *port)
    });
    match (task.host.as_deref(), port) {
        (Some(host), Some(port)) => Ok((host, port)),
        _ => Err("The task does not have a registered http port.\n".to_owned()),
    }
}

/// What is counted by `/utilization`.
const METRICS: [(&str, &str); 4] = [
    ("total_consumed", "Total consumed"),
    ("dedicated_consumed", "Dedicated consumed"),
    ("quota_consumed", "Quota consumed"),
    ("free_pool_consumed", "Free pool consumed"),
];

/// Whether a task counts under a metric. Production work on shared machines is what quota limits.
fn counts(metric: &str, task: &ScheduledTask) -> bool {
    let dedicated = quota::is_dedicated(&task.config);
    let production = task.config.production;
    match metric {
        "dedicated_consumed" => dedicated,
        "quota_consumed" => !dedicated && production,
        "free_pool_consumed" => !dedicated && !production,
        _ => true,
    }
}

/// Sums of active tasks under a metric, by what `name` gives.
fn sums(
    tables: &Tables,
    metric: &str,
    name: impl Fn(&ScheduledTask) -> Option<String>,
) -> BTreeMap<String, Resources> {
    let mut sums: BTreeMap<String, Resources> = BTreeMap::new();
    let active = tables.tasks().filter(|task| task.status.is_active());
    for task in active.filter(|task| counts(metric, task)) {
        if let Some(name) = name(task) {
            let sum = sums.entry(name).or_default();
            *sum = sum.plus(task.config.resources);
        }
    }
    sums
}

fn rows(sums: impl IntoIterator<Item = (String, Resources)>) -> String {
    let mut text = format!(
        "{:<40} {:>10} {:>12} {:>12}\n",
        "", "CPU", "RAM (MB)", "Disk (MB)"
    );
    for (name, sum) in sums {
        let cores = sum.cpus.0 / 1000;
        text.push_str(&format!(
            "{name:<40} {cores:>10} {:>12} {:>12}\n",
            sum.ram_mb, sum.disk_mb
        ));
    }
    text
}

pub(super) async fn utilization(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let all = METRICS.iter().map(|(metric, title)| {
        let sum = sums(&tables, metric, |_| Some(String::new()));
        (
            (*title).to_owned(),
            sum.into_values().next().unwrap_or_default(),
        )
    });
    Ok(plain(200, rows(all)))
}

fn metric_of(request: &Request<Shared>) -> tide::Result<Option<&'static str>> {
    let asked = path::parameter(request, "metric")?.to_ascii_lowercase();
    let known = METRICS.iter().find(|(metric, _)| *metric == asked);
    Ok(known.map(|(metric, _)| *metric))
}

pub(super) async fn utilization_by_role(request: Request<Shared>) -> tide::Result {
    let Some(metric) = metric_of(&request)? else {
        return Ok(plain(400, "Invalid metric type.\n"));
    };
    let tables = request.state().config.source.tables();
    let role = |task: &ScheduledTask| Some(task.job().role().to_owned());
    Ok(plain(200, rows(sums(&tables, metric, role))))
}

pub(super) async fn utilization_by_job(request: Request<Shared>) -> tide::Result {
    let Some(metric) = metric_of(&request)? else {
        return Ok(plain(400, "Invalid metric type.\n"));
    };
    let role = path::parameter(&request, "role")?;
    let tables = request.state().config.source.tables();
    let job = |task: &ScheduledTask| {
        let key = task.job();
        (key.role() == role).then(|| key.name().to_owned())
    };
    Ok(plain(200, rows(sums(&tables, metric, job))))
}
