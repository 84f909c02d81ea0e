//! What the process is doing: `/threads`, `/contention`, `/services`.

use super::probe::{is_serving, plain};
use super::state::Shared;
use super::vars::json_response;
use crate::scheduler::Lifecycle;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use tide::Request;

/// One thread, as the kernel tells of it.
struct Thread {
    id: String,
    name: String,
    state: String,
    /// Where it waits in the kernel.
    waits_in: String,
}

fn all() -> Vec<Thread> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let mut threads: Vec<Thread> = entries
        .flatten()
        .map(|entry| {
            let read = |file: &str| {
                let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
                text.trim().to_owned()
            };
            let status = read("status");
            let state = status.lines().find_map(|line| line.strip_prefix("State:"));
            Thread {
                id: entry.file_name().to_string_lossy().into_owned(),
                name: read("comm"),
                state: state.unwrap_or("unknown").trim().to_owned(),
                waits_in: read("wchan"),
            }
        })
        .collect();
    threads.sort_by(|a, b| a.id.len().cmp(&b.id.len()).then_with(|| a.id.cmp(&b.id)));
    threads
}

/// Every thread of the process. There are no frames: a fiber that waits has no stack.
pub(super) async fn threads(_: Request<Shared>) -> tide::Result {
    let mut text = String::new();
    for thread in all() {
        let Thread {
            id,
            name,
            state,
            waits_in,
        } = thread;
        writeln!(
            text,
            "Name: {name}\nState: {state}\nDaemon: false\nID: {id}\n    {waits_in}\n"
        )?;
    }
    Ok(plain(200, text))
}

/// The threads that wait for a lock.
pub(super) async fn contention(_: Request<Shared>) -> tide::Result {
    let mut text = String::from("Locked threads:\n");
    for thread in all().iter().filter(|t| t.waits_in.contains("futex")) {
        writeln!(text, "{} ({}): {}", thread.name, thread.id, thread.state)?;
    }
    text.push_str("Lock Owners\n");
    Ok(plain(200, text))
}

/// The parts of the scheduler and whether they run.
pub(super) async fn services(request: Request<Shared>) -> tide::Result {
    let app = request.state();
    let view = app.config.source.view();
    let state = |runs: bool| match (view.lifecycle, runs) {
        (Lifecycle::Dead, _) => "TERMINATED",
        (_, true) => "RUNNING",
        (_, false) => "STARTING",
    };
    let leads = is_serving(view.lifecycle);
    let service = |name: &str, runs| json!({"name": name, "state": state(runs)});
    let all: Vec<Value> = vec![
        service("Scheduler", leads),
        service("Driver", leads),
        service("ReplicatedLog", view.replica == "VOTING"),
        service("HttpServer", true),
    ];
    json_response(&request, &Value::Array(all))
}
