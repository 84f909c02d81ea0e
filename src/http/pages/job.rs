//! `/scheduler/ROLE/ENVIRONMENT/JOB` and one instance of it.

use super::super::path::{self, parameter};
use super::super::state::Shared;
use super::cron as schedule;
use super::figures::{Counts, Kind, Mood};
use super::layout::{Context, Page, chip, missing, render};
use super::roles::job_path;
use super::{text, update};
use crate::model::{
    self, Constraint, ConstraintKind, Container, Image, InstanceId, JobKey, ScheduleStatus,
    ScheduledTask, TaskConfig, TaskEvent,
};
use maud::{Markup, html};
use std::sync::Arc;
use tide::Request;

/// How many active instances a page shows.
const PAGE_TASKS: usize = 200;
/// How many ended tasks a page shows.
const ENDED_MAX: usize = 50;
/// How many squares the overview of instances has at most.
const GRID_MAX: usize = 2000;
/// How many characters of a command line are shown.
const COMMAND_CHARS: usize = 400;

/// One job.
pub(in super::super) async fn job(request: Request<Shared>) -> tide::Result {
    let (role, environment, name) = (
        parameter(&request, "role")?,
        parameter(&request, "environment")?,
        parameter(&request, "job")?,
    );
    let from = path::query(&request, "from")
        .and_then(|from| from.parse().ok())
        .unwrap_or(0);
    render(request, move |context| {
        match JobKey::new(&role, &environment, &name) {
            Ok(key) => job_page(context, &key, from),
            Err(error) => missing(&error.to_string(), Vec::new()),
        }
    })
    .await
}

/// One instance of a job, with all that ran as it.
pub(in super::super) async fn instance(request: Request<Shared>) -> tide::Result {
    let (role, environment, name) = (
        parameter(&request, "role")?,
        parameter(&request, "environment")?,
        parameter(&request, "job")?,
    );
    let number = parameter(&request, "instance")?;
    render(request, move |context| {
        match (JobKey::new(&role, &environment, &name), number.parse()) {
            (Ok(key), Ok(number)) => instance_page(context, &key, number),
            _ => missing("No instance of this name is known.", Vec::new()),
        }
    })
    .await
}

fn crumbs(job: &JobKey, instance: Option<InstanceId>) -> Vec<(String, Option<String>)> {
    let role = format!("/scheduler/{}", path::encode(job.role()));
    let environment = format!("{role}/{}", path::encode(job.environment()));
    let mut crumbs = vec![
        ("Roles".to_owned(), Some("/scheduler".to_owned())),
        (job.role().to_owned(), Some(role)),
        (job.environment().to_owned(), Some(environment)),
    ];
    match instance {
        Some(instance) => {
            crumbs.push((job.name().to_owned(), Some(job_path(job))));
            crumbs.push((instance.to_string(), None));
        }
        None => crumbs.push((job.name().to_owned(), None)),
    }
    crumbs
}

fn job_page(context: &Context, key: &JobKey, from: usize) -> Page {
    let tables = &context.tables;
    let active: Vec<Arc<ScheduledTask>> = tables.active_tasks_of_job(key).cloned().collect();
    // What does not run comes first: that is what somebody came to see.
    let mut listed = active.clone();
    listed.sort_by_key(|task| Mood::of(task.status) == Mood::Good);
    let counts = Counts::of(tables.tasks_of_job(key));
    let cron = tables.cron_job(key);
    let updated = tables.updates().of_job(key).next().is_some();
    if tables.job(key).is_none() && cron.is_none() && !updated {
        return missing(
            "No such job, and no task of it in the history.",
            crumbs(key, None),
        );
    }
    let ended = ended_tasks(context, key);
    let from = from.min(active.len());
    let shown = &listed[from..listed.len().min(from + PAGE_TASKS)];
    let body = html! {
        h1 {
            (key.name())
            small { (Kind::of(tables, key).name()) }
            small { a href="#configuration" { "configuration" } }
            @if !ended.is_empty() { small { a href="#ended" { "ended tasks" } } }
        }
        (tiles(&counts))
        @if let Some(cron) = cron { (schedule::section(cron, context.now)) }
        (grid(key, &active))
        h2 { "Instances" small { (active.len()) " active, those that do not run first" } }
        @if active.is_empty() { p.soft { "Nothing of this job is active." } }
        @else { (task_table(context, shown, false)) }
        (pager(key, from, active.len()))
        (update::of_job(context, key))
        (configurations(&active, cron.map(|cron| &cron.job.task)))
        @if !ended.is_empty() {
            h2 id="ended" { "Ended" small { "latest " (ended.len()) } }
            (task_table(context, &ended, false))
        }
    };
    Page {
        status: 200,
        title: key.to_string(),
        crumbs: crumbs(key, None),
        body,
    }
}

/// The latest ended tasks of a job, newest first.
fn ended_tasks(context: &Context, key: &JobKey) -> Vec<Arc<ScheduledTask>> {
    let Some(job) = context.tables.job(key) else {
        return Vec::new();
    };
    let skip = job.ended_count().saturating_sub(ENDED_MAX);
    let ids = job.ended().skip(skip).map(|(_, id)| id);
    let mut tasks: Vec<_> = ids
        .filter_map(|id| context.tables.task(id).cloned())
        .collect();
    tasks.reverse();
    tasks
}

fn instance_page(context: &Context, key: &JobKey, number: InstanceId) -> Page {
    let of_instance = context
        .tables
        .tasks_of_job(key)
        .filter(|task| task.instance == number);
    let mut tasks: Vec<Arc<ScheduledTask>> = of_instance.cloned().collect();
    if tasks.is_empty() {
        return missing("This job has no such instance.", crumbs(key, Some(number)));
    }
    tasks.sort_by_key(|task| std::cmp::Reverse((task.status.is_active(), task.last_event_at())));
    let config = Arc::clone(&tasks[0].config);
    let body = html! {
        h1 { (key.name()) " / " (number) small { (tasks.len()) " tasks in the history" } }
        (task_table(context, &tasks, false))
        h2 { "Configuration" }
        div.card { (facts(&config)) }
    };
    Page {
        status: 200,
        title: format!("{key}/{number}"),
        crumbs: crumbs(key, Some(number)),
        body,
    }
}

fn tiles(counts: &Counts) -> Markup {
    let tile = |number: usize, mood: Mood, label: &str| {
        let class = if number == 0 { "quiet" } else { mood.class() };
        html! { div class={ "tile " (class) } { b { (number) } span { (label) } } }
    };
    html! {
        div.tiles {
            (tile(counts.good, Mood::Good, "running"))
            (tile(counts.moving, Mood::Moving, "moving"))
            (tile(counts.waiting, Mood::Waiting, "pending"))
            (tile(counts.away, Mood::Bad, "cut off"))
            (tile(counts.failed, Mood::Bad, "failed or lost before"))
            (tile(counts.done, Mood::Done, "ended before"))
        }
    }
}

/// One square for each active instance.
fn grid(key: &JobKey, active: &[Arc<ScheduledTask>]) -> Markup {
    html! {
        @if active.len() > 1 {
            div.grid {
                @for task in active.iter().take(GRID_MAX) {
                    a class=(Mood::of(task.status).class())
                        href={ (job_path(key)) "/" (task.instance) }
                        title={ (task.instance) " " (task.status) }
                        aria-label={ "instance " (task.instance) " " (task.status) } {}
                }
            }
        }
    }
}

fn pager(key: &JobKey, from: usize, count: usize) -> Markup {
    let at = |from: usize| format!("{}?from={from}", job_path(key));
    html! {
        @if count > PAGE_TASKS {
            div.pager {
                @if from > 0 { a href=(at(from.saturating_sub(PAGE_TASKS))) { "\u{2190} before" } }
                span.soft { (from + 1) " to " (count.min(from + PAGE_TASKS)) " of " (count) }
                @if from + PAGE_TASKS < count { a href=(at(from + PAGE_TASKS)) { "after \u{2192}" } }
            }
        }
    }
}

/// Tasks with their events; with their jobs where they are of many.
pub(super) fn task_table(
    context: &Context,
    tasks: &[Arc<ScheduledTask>],
    with_job: bool,
) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th { @if with_job { "Job" } @else { "Instance" } }
                        th { "State" } th { "For" } th { "Machine" } th { "Last event" } th { "Look" }
                    }
                }
                tbody { @for task in tasks { (task_rows(context, task, with_job)) } }
            }
        }
    }
}

fn task_rows(context: &Context, task: &ScheduledTask, with_job: bool) -> Markup {
    let last = task.events.last();
    let address = format!("{}/{}", job_path(task.job()), task.instance);
    html! {
        tr.has-more {
            td.nowrap {
                a href=(address) {
                    @if with_job { (task.job()) "/" (task.instance) } @else { (task.instance) }
                }
                @if task.failure_count > 0 {
                    " " span.count.bad title="failures of this instance so far" {
                        "\u{d7}" (task.failure_count)
                    }
                }
            }
            td { (chip(task.status)) }
            td.nowrap { @if let Some(event) = last { (context.ago(event.at)) } }
            td { @if let Some(host) = &task.host { (context.host_link(host)) } }
            td { (last_words(context, task)) }
            td.nowrap {
                @if let Some(host) = &task.host {
                    a href=(context.task_page(host, &task.id)) { "processes" } " \u{b7} "
                    a href=(context.sandbox(host, &task.id)) { "sandbox" }
                }
            }
        }
        tr.more {
            td colspan="6" {
                details {
                    summary { (events_of(task)) " \u{b7} " span.mono { (task.id) } }
                    (timeline(context, &task.events))
                    @if !task.ports.is_empty() {
                        p.soft {
                            "Ports "
                            @for (name, port) in &task.ports { code { (name) "=" (port) } " " }
                        }
                    }
                    @if let Some(ancestor) = &task.ancestor {
                        p.soft { "Took the place of " code { (ancestor) } }
                    }
                }
            }
        }
    }
}

fn events_of(task: &ScheduledTask) -> String {
    match task.events.len() {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}

/// Why it waits, or what was said last.
fn last_words(context: &Context, task: &ScheduledTask) -> Markup {
    if task.status == ScheduleStatus::Pending {
        let reason = context.view.pending_reason(task);
        if !reason.is_empty() {
            return html! { span.reason { (reason) } };
        }
    }
    let message = task
        .events
        .last()
        .and_then(|event| event.message.as_deref());
    html! { (message.unwrap_or("")) }
}

/// What happened, newest first.
fn timeline(context: &Context, events: &[TaskEvent]) -> Markup {
    html! {
        ol.timeline {
            @for (index, event) in events.iter().enumerate().rev() {
                @let until = events.get(index + 1).map_or(context.now, |next| next.at);
                li {
                    b class=(Mood::of(event.status).class()) { (event.status) }
                    time { (text::stamp(event.at)) }
                    span.soft { "for " (text::age(until, event.at)) }
                    @if let Some(message) = &event.message { " \u{b7} " (message) }
                    @if let Some(scheduler) = &event.scheduler { span.soft { " \u{b7} by " (scheduler) } }
                }
            }
        }
    }
}

/// The distinct configurations of the active instances, or that of the next cron run.
fn configurations(active: &[Arc<ScheduledTask>], next: Option<&Arc<TaskConfig>>) -> Markup {
    let groups = model::by_description(active.iter().map(|task| (task.instance, &task.config)));
    html! {
        @if !groups.is_empty() || next.is_some() { h2 id="configuration" { "Configuration" } }
        @for (config, instances) in &groups {
            div.card {
                @if groups.len() > 1 { p.soft { "Instances " (ranges(instances)) } }
                (facts(config))
            }
        }
        @if groups.is_empty() { @if let Some(config) = next { div.card { (facts(config)) } } }
    }
}

/// Ascending numbers as ranges: `0-3, 7`.
fn ranges(numbers: &[InstanceId]) -> String {
    let mut spans: Vec<(InstanceId, InstanceId)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => spans.push((*number, *number)),
        }
    }
    let shown = spans.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn facts(config: &TaskConfig) -> Markup {
    let need = &config.resources;
    let optional = |label: &str, value: Option<String>| {
        html! { @if let Some(value) = value { dt { (label) } dd { (value) } } }
    };
    html! {
        dl.facts {
            dt { "Needs" }
            dd {
                (text::cores(need.cpus)) " cores, " (text::size(need.ram_mb)) " memory, "
                (text::size(need.disk_mb)) " disk"
                @if need.gpus > 0 { ", " (need.gpus) " GPUs" }
            }
            @if !config.port_names.is_empty() {
                dt { "Ports" } dd { (config.port_names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")) }
            }
            (optional("Tier", config.tier.clone()))
            dt { "Priority" } dd { (config.priority) }
            @if !config.is_service { dt { "Failures allowed" } dd { (config.max_task_failures) } }
            (optional("Owner", config.owner.clone()))
            (optional("Contact", config.contact_email.clone()))
            @if !config.constraints.is_empty() {
                dt { "Constraints" }
                dd { @for constraint in &config.constraints { code { (demand(constraint)) } " " } }
            }
            (optional("Container", container(&config.container)))
            @for pair in &config.metadata { dt { (pair.key) } dd { (pair.value) } }
            @for (name, command) in processes(config) {
                dt { "Process " (name) }
                dd { pre.mono { (command) } }
            }
        }
    }
}

fn demand(constraint: &Constraint) -> String {
    match &constraint.kind {
        ConstraintKind::Limit(limit) => format!("{}=limit:{limit}", constraint.name),
        ConstraintKind::Value { negated, values } => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let mark = if *negated { "!" } else { "" };
            format!("{}={mark}{}", constraint.name, values.join(","))
        }
    }
}

fn container(container: &Container) -> Option<String> {
    match container {
        Container::Docker { image, .. } => Some(format!("docker {image}")),
        Container::Mesos {
            image: Some(Image::Docker { name, tag }),
            ..
        } => Some(format!("docker image {name}:{tag}")),
        Container::Mesos {
            image: Some(Image::Appc { name, image_id }),
            ..
        } => Some(format!("appc image {name} {image_id}")),
        Container::Mesos { image: None, .. } => None,
    }
}

/// Name and command line of each process, as far as the executor's input is of the usual form.
fn processes(config: &TaskConfig) -> Vec<(String, String)> {
    let data = config
        .executor
        .as_ref()
        .and_then(|executor| executor.data.as_ref());
    let Some(data) = data.and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok())
    else {
        return Vec::new();
    };
    let list = data
        .pointer("/task/processes")
        .and_then(serde_json::Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|process| {
            let text = |key| process.get(key).and_then(serde_json::Value::as_str);
            Some((
                text("name")?.to_owned(),
                text::cut(text("cmdline")?, COMMAND_CHARS),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fold_into_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
        assert_eq!(ranges(&[InstanceId::MAX]), InstanceId::MAX.to_string());
    }
}
