//! The observer's JSON, in the original's shapes. Times are seconds since the epoch.

use super::tasks::{Process, Run, RunState, TaskView};
use super::usage::{Meter, Usage};
use serde_json::{Map, Value, json};

fn secs(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn ports(task: &TaskView) -> Value {
    let ports = task.order.ports.iter();
    Value::Object(
        ports
            .map(|(name, port)| (name.clone(), json!(port)))
            .collect(),
    )
}

/// What the task's processes use now; nothing once it is over.
pub(super) fn usage(task: &TaskView, meter: &Meter) -> Option<Usage> {
    let header = task.header.as_ref().filter(|_| task.is_active())?;
    let usage = meter.of_task(header)?;
    let disk = meter.disk(&task.sandbox);
    Some(Usage { disk, ..usage })
}

/// What one run uses now; nothing once it is over.
pub(super) fn run_usage(task: &TaskView, meter: &Meter, run: &Run) -> Option<Usage> {
    let header = task.header.as_ref().filter(|_| task.is_active())?;
    match run.state {
        RunState::Running(pid) => meter.of_process(header, pid, run.start_ticks),
        RunState::Failed(_) | RunState::Killed(_) | RunState::NotStarted(_) | RunState::Success => {
            None
        }
    }
}

/// In the original's words: `ram` and `rss` are the same bytes, `status` is of no single process.
fn used(usage: Option<Usage>) -> Map<String, Value> {
    let usage = usage.unwrap_or_default();
    let object = json!({
        "cpu": usage.cpu,
        "ram": usage.rss,
        "disk": usage.disk,
        "rss": usage.rss,
        "vms": usage.vms,
        "user": usage.user,
        "system": usage.system,
        "nice": Value::Null,
        "status": Value::Null,
        "threads": usage.threads,
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// One line of the list of tasks.
pub(super) fn summary(task: &TaskView, meter: &Meter) -> Value {
    let mut line = used(usage(task, meter));
    let about = json!({
        "task_id": task.order.task,
        "name": task.order.job,
        "role": task.order.role,
        "launch_timestamp": secs(task.order.taken_at_ms),
        "state": task.state(),
        "state_timestamp": secs(task.state_at_ms()),
        "ports": ports(task),
        "resources": resources(task),
    });
    if let Value::Object(about) = about {
        line.extend(about);
    }
    Value::Object(line)
}

/// What the task was given.
fn resources(task: &TaskView) -> Value {
    json!({
        "cpu": task.order.cpus_milli as f64 / 1000.0,
        "ram": task.order.ram_mb.saturating_mul(1 << 20),
        "disk": task.order.disk_mb.saturating_mul(1 << 20),
    })
}

/// All of one task.
pub(super) fn task(task: &TaskView, meter: &Meter) -> Value {
    let names = |state: &str| -> Vec<&String> {
        let last = |p: &Process| p.runs.last().map_or("WAITING", |r| r.state.name());
        let alike = task.processes.iter().filter(|(_, p)| last(p) == state);
        alike.map(|(name, _)| name).collect()
    };
    json!({
        "task_id": task.order.task,
        "name": task.order.job,
        "user": task.order.identity.user,
        "launch_timestamp": secs(task.order.taken_at_ms),
        "state": task.state(),
        "state_timestamp": secs(task.state_at_ms()),
        "ports": ports(task),
        "resources": resources(task),
        "resource_consumption": used(usage(task, meter)),
        "processes": {
            "waiting": names("WAITING"),
            "running": names("RUNNING"),
            "success": names("SUCCESS"),
            "failed": names("FAILED"),
            "killed": names("KILLED"),
        },
        "task": raw(task),
    })
}

/// The task as the job's file described it.
pub(super) fn raw(task: &TaskView) -> Value {
    let job: Value = serde_json::from_str(&task.order.data).unwrap_or_default();
    job.get("task").cloned().unwrap_or(Value::Null)
}

/// One run of a process; the latest without a number.
///
/// What it uses is there only while it runs.
pub(super) fn run(
    task: &TaskView,
    meter: &Meter,
    name: &str,
    process: &Process,
    number: Option<u32>,
) -> Value {
    let wanted = |r: &&Run| number.is_none_or(|n| r.number == n);
    let Some(run) = process.runs.iter().rev().find(wanted) else {
        return json!({});
    };
    let mut object = Map::new();
    object.insert("process_name".to_owned(), json!(name));
    object.insert("process_run".to_owned(), json!(run.number));
    object.insert("state".to_owned(), json!(run.state.name()));
    let mut put = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), json!(value));
        }
    };
    put("start_time", run.start_ms.map(secs));
    put("stop_time", run.stop_ms.map(secs));
    let code = match run.state {
        RunState::Failed(code) => Some(code),
        RunState::Killed(signal) => Some(-signal),
        RunState::NotStarted(_) | RunState::Running(_) | RunState::Success => None,
    };
    if let Some(code) = code {
        object.insert("return_code".to_owned(), json!(code));
    }
    if let Some(usage) = run_usage(task, meter, run) {
        object.insert("used".to_owned(), Value::Object(used(Some(usage))));
    }
    Value::Object(object)
}

/// A part of a file. The text is escaped, as the original's pages expect it.
pub(super) fn file_data(offset: i64, bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let mut data = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => data.push_str("&amp;"),
            '<' => data.push_str("&lt;"),
            '>' => data.push_str("&gt;"),
            c => data.push(c),
        }
    }
    json!({ "offset": offset, "length": bytes.len(), "data": data })
}
