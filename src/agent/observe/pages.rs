//! The observer's pages.

use super::sandbox::Entry;
use super::target::encode;
use super::tasks::{Process, Run, RunState, TaskView};
use crate::net::http1::Response;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use std::os::unix::fs::MetadataExt;

const STYLE: &str = include_str!("assets/observer.css");
const TAIL: &str = include_str!("assets/tail.js");

/// A static file.
pub(super) fn asset(name: &str) -> Option<Response> {
    match name {
        "observer.css" => Some(Response::bytes(200, "text/css; charset=utf-8", STYLE)),
        "tail.js" => Some(Response::bytes(200, "text/javascript; charset=utf-8", TAIL)),
        _ => None,
    }
}

/// Where `route` shows `path` of a task.
pub(super) fn link(route: &str, task: &TaskView, path: &str) -> String {
    let mut link = format!("/{route}/{}", encode(&task.order.task));
    for part in path.split('/').filter(|p| !p.is_empty()) {
        link.push('/');
        link.push_str(&encode(part));
    }
    link
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |t| format!("{t:.0}"))
}

fn show(title: &str, hostname: &str, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " - " (hostname) }
                link rel="stylesheet" href="/assets/observer.css";
            }
            body {
                header { a href="/" { "Observer" } " on " (hostname) }
                h1 { (title) }
                (content)
            }
        }
    };
    Response::bytes(200, "text/html; charset=utf-8", page.into_string())
}

/// The list of tasks.
pub(super) fn index(
    hostname: &str,
    scheduler: Option<&str>,
    kind: &str,
    count: usize,
    shown: &[&TaskView],
) -> Response {
    let title = format!(
        "{count} {} tasks",
        if kind == "all" { "known" } else { kind }
    );
    let content = html! {
        p {
            @match scheduler {
                Some(scheduler) => { "Connected to scheduler " (scheduler) "." },
                None => { "Not connected to a scheduler." },
            }
        }
        nav {
            a href="/main/all" { "all" } " "
            a href="/main/active" { "active" } " "
            a href="/main/finished" { "finished" }
        }
        table {
            tr { th { "task" } th { "job" } th { "user" } th { "state" } th { "since" } th {} }
            @for task in shown {
                tr {
                    td { a href=(link("task", task, "")) { (task.order.task) } }
                    td { (task.job()) }
                    td { (task.order.identity.user) }
                    td class=(task.state()) { (task.state()) }
                    td { (time(task.state_at_ms())) }
                    td { a href=(link("browse", task, "")) { "sandbox" } }
                }
            }
        }
        @if shown.len() < count {
            p { (shown.len()) " of them are shown; /main/" (kind) "/OFFSET/COUNT shows others." }
        }
    };
    show(&title, hostname, &content)
}

fn result(run: &Run) -> String {
    match &run.state {
        RunState::Failed(code) => format!("status {code}"),
        RunState::Killed(signal) => format!("signal {signal}"),
        RunState::NotStarted(reason) => reason.clone(),
        RunState::Running(pid) => format!("process id {pid}"),
        RunState::Success => String::new(),
    }
}

fn run_rows(task: &TaskView, name: &str, runs: &[Run]) -> Markup {
    let output =
        |run: &Run, kind: &str| link("logs", task, &format!("{}/{}/{kind}", name, run.number));
    html! {
        @for run in runs {
            tr {
                td { a href=(link("process", task, name)) { (name) } }
                td { (run.number) }
                td class=(run.state.name()) { (run.state.name()) }
                td { (result(run)) }
                td { (run.start_ms.map(time).unwrap_or_default()) }
                td { (run.stop_ms.map(time).unwrap_or_default()) }
                td {
                    a href=(output(run, "stdout")) { "stdout" } " "
                    a href=(output(run, "stderr")) { "stderr" }
                }
            }
        }
    }
}

fn run_head() -> Markup {
    html! {
        tr {
            th { "process" } th { "run" } th { "state" } th { "result" }
            th { "started" } th { "ended" } th { "output" }
        }
    }
}

/// One task.
pub(super) fn task(hostname: &str, task: &TaskView) -> Response {
    let order = &task.order;
    let content = html! {
        dl {
            dt { "job" } dd { (task.job()) }
            dt { "user" } dd { (order.identity.user) }
            dt { "state" } dd class=(task.state()) { (task.state()) }
            dt { "cpus" } dd { (order.cpus_milli as f64 / 1000.0) }
            dt { "ram" } dd { (order.ram_mb) " MB" }
            dt { "disk" } dd { (order.disk_mb) " MB" }
            dt { "ports" }
            dd { @for (name, port) in &order.ports { (name) ":" (port) " " } }
            dt { "files" }
            dd {
                a href=(link("browse", task, "")) { "sandbox" } " "
                a href=(link("rawtask", task, "")) { "description" }
            }
        }
        h2 { "History" }
        table {
            @for state in &task.states {
                tr {
                    td { (time(state.at_ms)) }
                    td { (format!("{:?}", state.state).to_uppercase()) }
                    td { (state.message.as_deref().unwrap_or_default()) }
                }
            }
        }
        h2 { "Processes" }
        table {
            (run_head())
            @for (name, process) in &task.processes {
                @if process.runs.is_empty() {
                    tr { td { (name) } td {} td { "WAITING" } td {} td {} td {} td {} }
                }
                (run_rows(task, name, process.runs.get(process.runs.len().saturating_sub(1)..)
                    .unwrap_or_default()))
            }
        }
    };
    show(&order.task, hostname, &content)
}

/// One process with all its runs.
pub(super) fn process(hostname: &str, task: &TaskView, name: &str, process: &Process) -> Response {
    let content = html! {
        p { "Task " a href=(link("task", task, "")) { (task.order.task) } }
        pre { (process.cmdline) }
        table { (run_head()) (run_rows(task, name, &process.runs)) }
    };
    show(name, hostname, &content)
}

fn mode(entry: &Entry) -> String {
    let kind = match () {
        () if entry.meta.is_dir() => 'd',
        () if entry.meta.is_symlink() => 'l',
        () => '-',
    };
    let bits = entry.meta.mode();
    let letters = "rwxrwxrwx".chars().enumerate();
    let letters = letters.map(|(n, c)| if bits >> (8 - n) & 1 == 1 { c } else { '-' });
    std::iter::once(kind).chain(letters).collect()
}

/// A directory of the sandbox.
pub(super) fn browse(hostname: &str, task: &TaskView, path: &str, entries: &[Entry]) -> Response {
    let at = |name: &str| format!("{path}/{name}");
    let up = path.rsplit_once('/').map_or("", |(up, _)| up);
    let content = html! {
        p { "Task " a href=(link("task", task, "")) { (task.order.task) } }
        table {
            tr { th { "mode" } th { "owner" } th { "size" } th { "changed" } th { "name" } th {} }
            @if !path.is_empty() {
                tr {
                    td {} td {} td {} td {}
                    td { a href=(link("browse", task, up)) { ".." } } td {}
                }
            }
            @for entry in entries {
                tr {
                    td { code { (mode(entry)) } }
                    td { (entry.meta.uid()) }
                    td { (entry.meta.len()) }
                    td { (time(entry.meta.mtime().saturating_mul(1000))) }
                    td {
                        @if entry.meta.is_dir() {
                            a href=(link("browse", task, &at(&entry.name))) { (entry.name) "/" }
                        } @else {
                            a href=(link("file", task, &at(&entry.name))) { (entry.name) }
                        }
                    }
                    td {
                        @if entry.meta.is_file() {
                            a href=(link("download", task, &at(&entry.name))) { "download" }
                        }
                    }
                }
            }
        }
    };
    show(&format!("/{path}"), hostname, &content)
}

/// A file that is followed as it grows.
pub(super) fn tail(hostname: &str, task: &TaskView, path: &str) -> Response {
    let content = html! {
        p {
            "Task " a href=(link("task", task, "")) { (task.order.task) } ", "
            a href=(link("download", task, path)) { "download" }
        }
        pre #tail data-source=(link("filedata", task, path)) {}
        script src="/assets/tail.js" {}
    };
    show(&format!("/{path}"), hostname, &content)
}
