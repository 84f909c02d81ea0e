//! What is stored, for programs that look closer: `/state` and `/mname`.

use super::path;
use super::probe::plain;
use super::state::Shared;
use super::vars::json_response;
use crate::base::frame;
use crate::model::{JobKey, ScheduledTask, TaskConfig};
use crate::thrift::Value as Thrift;
use crate::thrift::convert::task_config_to_wire;
use crate::thrift::protocol::plain_json;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tide::{Request, Response};

/// A value of the API as JSON.
pub(super) fn json_of(value: &impl Thrift) -> Value {
    serde_json::from_slice(&plain_json::to_bytes(value)).expect("what was written as JSON is JSON")
}

/// A value of the API as JSON for people: unions name their member.
pub(super) fn dump_of(value: &impl Thrift) -> Value {
    serde_json::from_slice(&plain_json::to_dump(value)).expect("what was written as JSON is JSON")
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

pub(super) fn job_key(request: &Request<Shared>) -> tide::Result<Option<JobKey>> {
    let part = |name| path::parameter(request, name);
    Ok(JobKey::new(&part("role")?, &part("environment")?, &part("job")?).ok())
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
