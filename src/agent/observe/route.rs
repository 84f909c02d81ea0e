//! Which answer belongs to which path: the original observer's routes.

use super::sandbox::{self, CHUNK_BYTES_MAX, Opened};
use super::target::Target;
use super::tasks::{self, TaskView};
use super::{Inner, json, own, pages};
use crate::net::http1::{Body, Method, Request, Response};
use serde_json::{Map, Value, json as value};
use std::fs::File;
use std::io;

/// Tasks on one page of the list.
const PAGE: usize = 20;

/// Tasks that one request may ask for by id.
const IDS_MAX: usize = 200;

/// Answers one request; reads files, so that it may take a while.
pub(super) fn respond(inner: &Inner, request: &Request) -> Response {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Response::text(405, "only GET and HEAD\n").with("allow", "GET, HEAD");
    }
    let Some(target) = Target::parse(request.path(), request.query()) else {
        return Response::text(400, "the path is not percent-encoded UTF-8\n");
    };
    let parts: Vec<&str> = target.parts.iter().map(String::as_str).collect();
    dispatch(inner, &parts, &target).unwrap_or_else(|| Response::text(404, "not found\n"))
}

fn dispatch(inner: &Inner, parts: &[&str], target: &Target) -> Option<Response> {
    match parts {
        [] => Some(index(inner, &["all"])),
        ["health"] => Some(Response::text(200, "OK")),
        ["threads"] => Some(Response::text(200, own::threads())),
        ["profile"] => Some(Response::text(200, own::profile())),
        ["favicon.ico"] => Some(Response::empty(204)),
        ["assets", name] => pages::asset(name),
        ["vars"] => Some(Response::text(200, vars_text(inner))),
        ["vars.json"] => Some(json_answer(&Value::Object(vars(inner)))),
        ["vars", name] => vars(inner)
            .get(*name)
            .map(|v| Response::text(200, format!("{v}\n"))),
        ["main", rest @ ..] => paged(rest).map(|_| index(inner, rest)),
        ["j", rest @ ..] => json_route(inner, rest, target),
        [route, id, rest @ ..] => {
            let task = tasks::one(&inner.work_dir(), id)?;
            task_route(inner, route, &task, rest, target)
        }
        [_] => None,
    }
}

fn index(inner: &Inner, which: &[&str]) -> Response {
    let tasks = tasks::all(&inner.work_dir());
    let (kind, offset, count) = paged(which).unwrap_or(("all", 0, PAGE));
    let chosen = select(&tasks, kind);
    let shown = page(&chosen, offset, count);
    let offset = shown.first().map_or(0, |first| {
        let at = chosen.iter().position(|t| std::ptr::eq(*t, *first));
        at.unwrap_or(0)
    });
    pages::index(inner, kind, chosen.len(), shown, offset)
}

/// `[all|active|finished[/offset[/count]]]`; a negative offset counts from the end.
fn paged<'a>(parts: &[&'a str]) -> Option<(&'a str, i64, usize)> {
    if parts.len() > 3 {
        return None;
    }
    let kind = parts.first().copied().unwrap_or("all");
    let offset = parts.get(1).map_or(Some(0), |p| p.parse().ok())?;
    let count = parts.get(2).map_or(Some(PAGE), |p| p.parse().ok())?;
    matches!(kind, "all" | "active" | "finished").then_some((kind, offset, count))
}

fn select<'t>(tasks: &'t [TaskView], kind: &str) -> Vec<&'t TaskView> {
    let wanted = |t: &&TaskView| match kind {
        "active" => t.is_active(),
        "finished" => !t.is_active(),
        _ => true,
    };
    tasks.iter().filter(wanted).collect()
}

fn page<'s, 't>(tasks: &'s [&'t TaskView], offset: i64, count: usize) -> &'s [&'t TaskView] {
    let steps = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let start = if offset < 0 {
        tasks.len().saturating_sub(steps)
    } else {
        steps.min(tasks.len())
    };
    &tasks[start..start.saturating_add(count).min(tasks.len())]
}

fn task_route(
    inner: &Inner,
    route: &str,
    task: &TaskView,
    rest: &[&str],
    target: &Target,
) -> Option<Response> {
    let path = rest.join("/");
    match (route, rest) {
        ("task", []) => Some(pages::task(inner, task)),
        ("rawtask", []) => Some(pretty(&json::raw(task))),
        ("process", [name]) => {
            let process = task.processes.get(*name)?;
            Some(pages::process(inner, task, name, process))
        }
        ("browse", _) => match sandbox::open_below(&task.sandbox, &path).ok()? {
            Opened::Directory(entries) => Some(pages::browse(inner, task, &path, &entries)),
            Opened::File(_) => Some(found_elsewhere("file", task, &path)),
        },
        ("file", [_, ..]) => {
            sandbox::open_file(&task.sandbox, &path).ok()?;
            Some(pages::tail(inner, task, &path))
        }
        ("filedata", [_, ..]) => Some(file_data(task, &path, target)),
        ("download", [_, .., name]) => download(task, &path, name),
        ("download", [name]) => download(task, &path, name),
        ("logs", [_, _, _]) => Some(pages::tail(inner, task, &log_path(task, rest)?)),
        ("logdata", [_, _, _]) => Some(file_data(task, &log_path(task, rest)?, target)),
        _ => None,
    }
}

fn found_elsewhere(route: &str, task: &TaskView, path: &str) -> Response {
    Response::empty(302).with("location", pages::link(route, task, path))
}

/// Where a process' output is: `process/run/stdout|stderr`, the run -1 being the latest.
fn log_path(task: &TaskView, parts: &[&str]) -> Option<String> {
    let [process, run, kind] = parts else {
        return None;
    };
    let runs = &task.processes.get(*process)?.runs;
    let run = match run.parse::<i64>().ok()? {
        -1 => runs.last()?.number,
        run => u32::try_from(run).ok()?,
    };
    let known = matches!(*kind, "stdout" | "stderr") && !process.contains('/');
    known.then(|| format!(".logs/{process}/{run}/{kind}"))
}

/// `offset` -1 asks for the size; `length` -1 for all that one answer holds. Nothing there: `{}`.
fn file_data(task: &TaskView, path: &str, target: &Target) -> Response {
    let number = |name| target.query(name).map_or(Ok(-1), str::parse::<i64>);
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        return Response::text(400, "offset and length are whole numbers\n");
    };
    let part = || -> io::Result<Value> {
        let file = sandbox::open_file(&task.sandbox, path)?;
        let Ok(from) = u64::try_from(offset) else {
            let size = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
            return Ok(json::file_data(size, b""));
        };
        let bytes = sandbox::read_part(&file, from, u64::try_from(length).ok())?;
        Ok(json::file_data(offset, &bytes))
    };
    json_answer(&part().unwrap_or_else(|_| value!({})))
}

fn download(task: &TaskView, path: &str, name: &str) -> Option<Response> {
    let file = sandbox::open_file(&task.sandbox, path).ok()?;
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(safe).collect();
    let size = file.metadata().ok()?.len();
    let body = if size <= CHUNK_BYTES_MAX {
        Body::Bytes(sandbox::read_part(&file, 0, None).ok()?)
    } else {
        stream(file, size)
    };
    let mut answer = Response::empty(200)
        .with("content-type", "application/octet-stream")
        .with(
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        );
    answer.body = body;
    Some(answer)
}

/// The file as it is now: one that grows on is cut at its present size.
fn stream(file: File, size: u64) -> Body {
    use futures_lite::AsyncReadExt;
    Body::Stream(Box::pin(smol::Unblock::new(file).take(size)))
}

fn json_route(inner: &Inner, parts: &[&str], target: &Target) -> Option<Response> {
    let dir = &inner.work_dir();
    let meter = &inner.meter;
    match parts {
        ["task_ids", rest @ ..] => {
            let (kind, offset, count) = paged(rest)?;
            let tasks = tasks::all(dir);
            let chosen = select(&tasks, kind);
            let shown = page(&chosen, offset, count);
            Some(json_answer(&value!({
                "tasks": shown.iter().map(|t| json::summary(t, meter)).collect::<Vec<_>>(),
                "type": kind,
                "offset": offset,
                "num": shown.len(),
                "task_count": chosen.len(),
            })))
        }
        ["task_id_count"] => Some(json_answer(&Value::Object(counts(inner)))),
        ["task"] => Some(by_ids(inner, target.query("task_id")?, |t| {
            json::task(t, meter)
        })),
        ["task", id] => Some(by_ids(inner, id, |t| json::task(t, meter))),
        ["process", id, name, rest @ ..] => {
            let number = match rest {
                [] => None,
                [number] => Some(number.parse().ok()?),
                _ => return None,
            };
            let task = tasks::one(dir, id);
            let run = task.as_ref().and_then(|task| {
                let process = task.processes.get(*name)?;
                Some(json::run(task, meter, name, process, number))
            });
            Some(json_answer(&run.unwrap_or_else(|| value!({}))))
        }
        ["processes"] => Some(by_ids(inner, target.query("task_id")?, |task| {
            let all = task.processes.iter();
            Value::Object(
                all.map(|(n, p)| (n.clone(), json::run(task, meter, n, p, None)))
                    .collect(),
            )
        })),
        _ => None,
    }
}

fn by_ids(inner: &Inner, ids: &str, show: impl Fn(&TaskView) -> Value) -> Response {
    let mut found = Map::new();
    for id in ids.split(',').take(IDS_MAX) {
        match tasks::one(&inner.work_dir(), id) {
            Some(task) => found.insert(id.to_owned(), show(&task)),
            None => return Response::text(404, "no such task\n"),
        };
    }
    json_answer(&Value::Object(found))
}

fn counts(inner: &Inner) -> Map<String, Value> {
    let tasks = tasks::all(&inner.work_dir());
    let active = tasks.iter().filter(|t| t.is_active()).count();
    let mut counts = Map::new();
    counts.insert("active".to_owned(), value!(active));
    counts.insert("finished".to_owned(), value!(tasks.len() - active));
    counts.insert("all".to_owned(), value!(tasks.len()));
    counts
}

fn vars(inner: &Inner) -> Map<String, Value> {
    let mut vars = Map::new();
    if let Some(standing) = &inner.standing {
        let connected = u8::from(standing.scheduler().is_some());
        vars.insert("agent_connected".to_owned(), value!(connected));
        let draining = u8::from(standing.is_draining());
        vars.insert("agent_draining".to_owned(), value!(draining));
    }
    for (name, count) in counts(inner) {
        vars.insert(format!("observer_tasks_{name}"), count);
    }
    vars
}

fn vars_text(inner: &Inner) -> String {
    let vars = vars(inner);
    vars.iter()
        .map(|(name, value)| format!("{name} {value}\n"))
        .collect()
}

fn json_answer(value: &Value) -> Response {
    Response::bytes(200, "application/json", value.to_string())
}

fn pretty(value: &Value) -> Response {
    Response::bytes(200, "application/json", format!("{value:#}\n"))
}
