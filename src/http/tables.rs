//! The tables as JSON, for scripts: `/offers`, `/pendingtasks`, `/quotas`, `/tiers`,
//! `/maintenance`.

use super::path;
use super::state::Shared;
use super::vars::json_response;
use crate::model::{MaintenanceMode, PortRange, Resources};
use crate::scheduler::handle::{AgentView, PendingGroup};
use crate::storage::Tables;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tide::Request;

pub(super) async fn offers(request: Request<Shared>) -> tide::Result {
    let source = &request.state().config.source;
    let (view, tables) = (source.view(), source.tables());
    let framework = tables.framework_id().unwrap_or_default();
    let offers: Vec<Value> = view
        .agents
        .iter()
        .filter(|agent| agent.connected)
        .map(|agent| offer(agent, &free_ports(agent, &tables), framework))
        .collect();
    json_response(&request, &Value::Array(offers))
}

/// An offer in the shape of Mesos' message.
fn offer(agent: &AgentView, ports: &[PortRange], framework: &str) -> Value {
    let scalar = |name: &str, value: Value| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": "*"});
    let attributes: Vec<Value> = agent
        .attributes
        .iter()
        .flat_map(|attribute| {
            attribute
                .values
                .iter()
                .map(|value| (&attribute.name, value))
        })
        .map(|(name, value)| json!({"name": name, "type": "TEXT", "text": {"value": value}}))
        .collect();
    let mut resources = vec![
        scalar("cpus", agent.free.cpus.as_cores().into()),
        scalar("mem", agent.free.ram_mb.into()),
        scalar("disk", agent.free.disk_mb.into()),
        scalar("gpus", agent.free.gpus.into()),
    ];
    let shared = [
        ("cpus", agent.revocable.cpus.as_cores()),
        ("mem", agent.revocable.ram_mb as f64),
    ];
    for (name, amount) in shared.into_iter().filter(|(_, amount)| *amount > 0.0) {
        let mut resource = scalar(name, amount.into());
        resource["revocable"] = json!({});
        resources.push(resource);
    }
    if !ports.is_empty() {
        let range = |range: &PortRange| json!({"begin": range.first, "end": range.last});
        let ranges: Vec<Value> = ports.iter().map(range).collect();
        let ranges = json!({ "range": ranges });
        let ports = json!({"name": "ports", "type": "RANGES", "ranges": ranges, "role": "*"});
        resources.push(ports);
    }
    json!({
        "id": {"value": format!("{}-{}", agent.agent, agent.session.0)},
        "framework_id": {"value": framework},
        "agent_id": {"value": agent.agent.as_str()},
        "hostname": agent.host,
        "resources": resources,
        "attributes": attributes,
    })
}

/// The ports of a machine that no task has.
fn free_ports(agent: &AgentView, tables: &Tables) -> Vec<PortRange> {
    let load = tables.load(&agent.agent);
    let taken: BTreeSet<u16> = load.into_iter().flat_map(|load| load.ports()).collect();
    let mut ranges: Vec<PortRange> = Vec::new();
    for port in agent.ports.free(&taken) {
        match ranges.last_mut() {
            Some(last) if last.last.checked_add(1) == Some(port) => last.last = port,
            _ => ranges.push(PortRange {
                first: port,
                last: port,
            }),
        }
    }
    ranges
}

pub(super) async fn pending(request: Request<Shared>) -> tide::Result {
    let view = request.state().config.source.view();
    json_response(&request, &view.pending.iter().map(pending_group).collect())
}

fn pending_group(group: &PendingGroup) -> Value {
    let tasks: Vec<&str> = group.tasks.iter().map(|task| task.as_str()).collect();
    json!({
        "penaltyMs": u64::try_from(group.penalty.as_millis()).unwrap_or(u64::MAX),
        "taskIds": tasks,
        "name": group.config.job.to_string(),
        "reason": format!("[{}]", group.reasons.join(", ")),
    })
}

pub(super) async fn quotas(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let only = path::query(&request, "role");
    let quotas: Map<String, Value> = tables
        .quotas()
        .filter(|(role, _)| only.as_ref().is_none_or(|only| only == *role))
        .map(|(role, quota)| (role.clone(), quota_json(*quota)))
        .collect();
    json_response(&request, &Value::Object(quotas))
}

fn quota_json(quota: Resources) -> Value {
    json!({
        "cpu_cores": quota.cpus.as_cores(),
        "ram_mb": quota.ram_mb,
        "disk_mb": quota.disk_mb,
    })
}

pub(super) async fn tiers(request: Request<Shared>) -> tide::Result {
    let tiers = &request.state().config.tiers;
    let named = tiers.iter().map(|(name, tier)| {
        let shown = json!({"preemptible": tier.preemptible, "revocable": tier.revocable});
        (name.to_owned(), shown)
    });
    let shown = json!({ "default": tiers.default_name(), "tiers": named.collect::<Map<_, _>>() });
    json_response(&request, &shown)
}

pub(super) async fn maintenance(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let hosts = |mode| -> Vec<&str> {
        tables
            .hosts()
            .filter(|host| host.mode == mode)
            .map(|host| host.host.as_str())
            .collect()
    };
    let mut draining = Map::new();
    for host in hosts(MaintenanceMode::Draining) {
        let tasks: Vec<Value> = tables
            .tasks_on_host(host)
            .filter(|task| task.status.is_assigned())
            .map(|task| task.id.as_str().into())
            .collect();
        if !tasks.is_empty() {
            draining.insert(host.to_owned(), Value::Array(tasks));
        }
    }
    let shown = json!({
        "DRAINED": hosts(MaintenanceMode::Drained),
        "SCHEDULED": hosts(MaintenanceMode::Scheduled),
        "DRAINING": draining,
    });
    json_response(&request, &shown)
}
