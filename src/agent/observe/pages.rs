//! The observer's pages.

use super::sandbox::Entry;
use super::target::encode;
use super::tasks::{Process, Run, RunState, TaskView};
use super::usage::Usage;
use super::{Inner, json};
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
    Timestamp::from_millisecond(ms).map_or_else(
        |_| String::new(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if amount < 1024.0 {
            let digits = usize::from(unit != "B" && amount < 10.0);
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TB")
}

fn badge(state: &str) -> Markup {
    html! { span class={ "badge " (state) } { (state) } }
}

fn show(title: &str, hostname: &str, crumbs: &Markup, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - " (hostname) }
                link rel="stylesheet" href="/assets/observer.css";
            }
            body {
                header {
                    a.brand href="/" { "Observer" }
                    span.host { (hostname) }
                    nav {
                        a href="/main/active" { "active" }
                        a href="/main/finished" { "finished" }
                        a href="/main/all" { "all" }
                    }
                }
                main {
                    p.crumbs { (crumbs) }
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    Response::bytes(200, "text/html; charset=utf-8", page.into_string())
}

fn standing(inner: &Inner) -> Markup {
    html! {
        @if let Some(standing) = &inner.standing {
            @match standing.scheduler() {
                Some(scheduler) => { "Connected to scheduler " code { (scheduler) } "." },
                None => { "Not connected to a scheduler." },
            }
            @if standing.is_draining() { " The machine drains: it takes no new tasks." }
        } @else {
            "The tasks in " code { (inner.work_dir().display()) } "."
        }
    }
}

fn use_cells(usage: Option<Usage>) -> Markup {
    html! {
        @match usage {
            Some(usage) => {
                td.number { (format!("{:.2}", usage.cpu)) }
                td.number { (size(usage.rss)) }
            },
            None => { td.number {} td.number {} },
        }
    }
}

fn task_table(inner: &Inner, shown: &[&TaskView]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Task" } th { "Job" } th { "User" } th { "State" } th.number { "CPU" }
                th.number { "RAM" } th { "Since (UTC)" } th { "Files" }
            } }
            tbody { @for task in shown {
                tr {
                    td { a.mono href=(link("task", task, "")) { (task.order.task) } }
                    td { (task.job()) }
                    td { (task.order.identity.user) }
                    td { (badge(task.state())) }
                    (use_cells(json::usage(task, &inner.meter)))
                    td.time { (time(task.state_at_ms())) }
                    td { a href=(link("browse", task, "")) { "sandbox" } }
                }
            } }
        } }
    }
}

/// The list of tasks: `shown` are those from `offset` on of `count` of this kind.
pub(super) fn index(
    inner: &Inner,
    kind: &str,
    count: usize,
    shown: &[&TaskView],
    offset: usize,
) -> Response {
    let what = if kind == "all" { "" } else { kind };
    let plural = if count == 1 { "task" } else { "tasks" };
    let title = format!("{count} {what} {plural}").replace("  ", " ");
    let next = offset + shown.len();
    let content = html! {
        @if shown.is_empty() {
            p.empty { "No " (what) " tasks here." }
        } @else {
            (task_table(inner, shown))
        }
        p.pager {
            @if offset > 0 {
                a href=(format!("/main/{kind}/{}", offset.saturating_sub(shown.len().max(20)))) {
                    "newer"
                } " "
            }
            @if next < count {
                a href=(format!("/main/{kind}/{next}")) { "older" }
                " " (offset + 1) " to " (next) " of " (count)
            }
        }
    };
    show(&title, &inner.hostname, &standing(inner), &content)
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

fn run_rows(inner: &Inner, task: &TaskView, name: &str, runs: &[Run]) -> Markup {
    let output =
        |run: &Run, kind: &str| link("logs", task, &format!("{}/{}/{kind}", name, run.number));
    html! {
        @for run in runs {
            tr {
                td { a href=(link("process", task, name)) { (name) } }
                td.number { (run.number) }
                td { (badge(run.state.name())) }
                td { (result(run)) }
                (use_cells(json::run_usage(task, &inner.meter, run)))
                td.time { (run.start_ms.map(time).unwrap_or_default()) }
                td.time { (run.stop_ms.map(time).unwrap_or_default()) }
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
        thead { tr {
            th { "Process" } th.number { "Run" } th { "State" } th { "Result" }
            th.number { "CPU" } th.number { "RAM" }
            th { "Started (UTC)" } th { "Ended (UTC)" } th { "Output" }
        } }
    }
}

fn facts(inner: &Inner, task: &TaskView) -> Markup {
    let order = &task.order;
    let usage = json::usage(task, &inner.meter);
    html! {
        dl.facts {
            div { dt { "State" } dd { (badge(task.state())) } }
            div { dt { "Job" } dd { (task.job()) } }
            div { dt { "User" } dd { (order.identity.user) } }
            div {
                dt { "CPU" }
                dd {
                    @if let Some(usage) = usage { (format!("{:.2}", usage.cpu)) " of " }
                    (order.cpus_milli as f64 / 1000.0) " cores"
                }
            }
            div {
                dt { "RAM" }
                dd {
                    @if let Some(usage) = usage { (size(usage.rss)) " of " }
                    (order.ram_mb) " MB"
                }
            }
            div {
                dt { "Disk" }
                dd {
                    @if let Some(usage) = usage { (size(usage.disk)) " of " }
                    (order.disk_mb) " MB"
                }
            }
            @if let Some(usage) = usage {
                div {
                    dt { "Processes" }
                    dd { (usage.processes) ", " (usage.threads) " threads" }
                }
            }
            @if !order.ports.is_empty() {
                div {
                    dt { "Ports" }
                    dd { @for (name, port) in &order.ports { code { (name) ":" (port) } " " } }
                }
            }
            div {
                dt { "Files" }
                dd {
                    a href=(link("browse", task, "")) { "sandbox" } " "
                    a href=(link("rawtask", task, "")) { "description" }
                }
            }
        }
    }
}

/// One task.
pub(super) fn task(inner: &Inner, task: &TaskView) -> Response {
    let content = html! {
        (facts(inner, task))
        h2 { "Processes" }
        div.scroll { table {
            (run_head())
            tbody { @for (name, process) in &task.processes {
                @if process.runs.is_empty() {
                    tr {
                        td { (name) } td {} td { (badge("WAITING")) }
                        td {} td {} td {} td {} td {} td {}
                    }
                }
                (run_rows(inner, task, name, process.runs.last().map_or(&[], std::slice::from_ref)))
            } }
        } }
        h2 { "History" }
        div.scroll { table { tbody {
            @for state in &task.states {
                tr {
                    td.time { (time(state.at_ms)) }
                    td { (badge(&format!("{:?}", state.state).to_uppercase())) }
                    td { (state.message.as_deref().unwrap_or_default()) }
                }
            }
        } } }
    };
    let crumbs = html! { a href="/" { "Tasks" } };
    show(&task.order.task, &inner.hostname, &crumbs, &content)
}

fn below(task: &TaskView) -> Markup {
    html! {
        a href="/" { "Tasks" } " / " a href=(link("task", task, "")) { (task.order.task) }
    }
}

/// One process with all its runs.
pub(super) fn process(inner: &Inner, task: &TaskView, name: &str, process: &Process) -> Response {
    let content = html! {
        pre { (process.cmdline) }
        div.scroll { table {
            (run_head())
            tbody { (run_rows(inner, task, name, &process.runs)) }
        } }
    };
    show(name, &inner.hostname, &below(task), &content)
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
pub(super) fn browse(inner: &Inner, task: &TaskView, path: &str, entries: &[Entry]) -> Response {
    let at = |name: &str| format!("{path}/{name}");
    let up = path.rsplit_once('/').map_or("", |(up, _)| up);
    let content = html! {
        div.scroll { table {
            thead { tr {
                th { "Name" } th.number { "Size" } th { "Changed (UTC)" } th { "Mode" }
                th.number { "Owner" } th {}
            } }
            tbody {
                @if !path.is_empty() {
                    tr { td { a href=(link("browse", task, up)) { ".." } }
                        td {} td {} td {} td {} td {} }
                }
                @for entry in entries {
                    tr {
                        td.mono {
                            @if entry.meta.is_dir() {
                                a href=(link("browse", task, &at(&entry.name))) { (entry.name) "/" }
                            } @else {
                                a href=(link("file", task, &at(&entry.name))) { (entry.name) }
                            }
                        }
                        td.number { @if entry.meta.is_file() { (size(entry.meta.len())) } }
                        td.time { (time(entry.meta.mtime().saturating_mul(1000))) }
                        td.mono { (mode(entry)) }
                        td.number { (entry.meta.uid()) }
                        td {
                            @if entry.meta.is_file() {
                                a href=(link("download", task, &at(&entry.name))) { "download" }
                            }
                        }
                    }
                }
            }
        } }
        @if entries.is_empty() { p.empty { "Nothing here." } }
    };
    show(&format!("/{path}"), &inner.hostname, &below(task), &content)
}

/// A file that is followed as it grows.
pub(super) fn tail(inner: &Inner, task: &TaskView, path: &str) -> Response {
    let content = html! {
        p { a href=(link("download", task, path)) { "download" } }
        pre #tail data-source=(link("filedata", task, path)) {}
        script src="/assets/tail.js" {}
    };
    show(&format!("/{path}"), &inner.hostname, &below(task), &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let read = [0, 1023, 1536, 20 << 20, 3 << 40].map(size);
        assert_eq!(read, ["0 B", "1023 B", "1.5 KB", "20 MB", "3.0 TB"]);
    }
}
