//! `/updates` and `/scheduler/ROLE/ENVIRONMENT/JOB/update/ID`.

use super::super::path::{self, parameter};
use super::super::state::Shared;
use super::figures::Mood;
use super::layout::{Context, Page, missing, render};
use super::roles::job_path;
use super::text;
use crate::model::{
    InstanceConfig, InstanceId, InstanceRange, JobKey, UpdateAction, UpdateKey, UpdateStatus,
    UpdateStrategy,
};
use crate::storage::UpdateRecord;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;
use tide::Request;

/// How many updates a list shows.
const LISTED: usize = 100;
/// How many events of instances a page shows.
const EVENTS: usize = 500;

/// The updates of all jobs.
pub(in super::super) async fn updates(request: Request<Shared>) -> tide::Result {
    render(request, |context| {
        let all = newest(context.tables.updates().all());
        let active = all.iter().filter(|record| record.status().is_active());
        let active: Vec<_> = active.cloned().collect();
        let ended = all.iter().filter(|record| !record.status().is_active());
        let ended: Vec<_> = ended.take(LISTED).cloned().collect();
        Page {
            status: 200,
            title: "Updates".to_owned(),
            crumbs: vec![("Updates".to_owned(), None)],
            body: html! {
                h1 { "Updates" }
                h2 { "Under way" small { (active.len()) } }
                @if active.is_empty() { p.soft { "No job is being updated." } }
                @else { (table(context, &active, true)) }
                @if !ended.is_empty() { h2 { "Ended" } (table(context, &ended, true)) }
            },
        }
    })
    .await
}

/// One update.
pub(in super::super) async fn update(request: Request<Shared>) -> tide::Result {
    let (role, environment, name) = (
        parameter(&request, "role")?,
        parameter(&request, "environment")?,
        parameter(&request, "job")?,
    );
    let id = parameter(&request, "id")?;
    render(request, move |context| {
        let job = JobKey::new(&role, &environment, &name);
        let record = job.ok().and_then(|job| {
            let id = Arc::from(id.as_str());
            let key = UpdateKey { job, id };
            context.tables.updates().get(&key).cloned()
        });
        match record {
            Some(record) => page(context, &record),
            None => missing("No such update, or it is forgotten.", Vec::new()),
        }
    })
    .await
}

/// The updates of a job, for its page; nothing if there are none.
pub(super) fn of_job(context: &Context, job: &JobKey) -> Markup {
    let all = newest(context.tables.updates().of_job(job));
    html! {
        @if !all.is_empty() {
            h2 id="updates" { "Updates" small { "latest first" } }
            (table(context, &all[..all.len().min(LISTED)], false))
        }
    }
}

fn newest<'a>(all: impl Iterator<Item = &'a Arc<UpdateRecord>>) -> Vec<Arc<UpdateRecord>> {
    let mut all: Vec<Arc<UpdateRecord>> = all.cloned().collect();
    all.sort_by_key(|record| std::cmp::Reverse(record.modified()));
    all
}

fn update_path(key: &UpdateKey) -> String {
    format!("{}/update/{}", job_path(&key.job), path::encode(&key.id))
}

fn mood(status: UpdateStatus) -> Mood {
    match status {
        UpdateStatus::RollingForward | UpdateStatus::RollingBack => Mood::Moving,
        UpdateStatus::RollForwardPaused
        | UpdateStatus::RollBackPaused
        | UpdateStatus::RollForwardAwaitingPulse
        | UpdateStatus::RollBackAwaitingPulse => Mood::Waiting,
        UpdateStatus::RolledForward => Mood::Good,
        UpdateStatus::RolledBack | UpdateStatus::Failed | UpdateStatus::Error => Mood::Bad,
        UpdateStatus::Aborted => Mood::Done,
    }
}

fn chip(status: UpdateStatus) -> Markup {
    html! { span class={ "chip " (mood(status).class()) } { (status.name()) } }
}

fn table(context: &Context, records: &[Arc<UpdateRecord>], with_job: bool) -> Markup {
    html! {
        table {
            thead { tr {
                @if with_job { th { "Job" } }
                th { "Update" } th { "State" } th { "By" } th { "Started" } th { "Last change" }
            } }
            tbody { @for record in records { tr {
                @if with_job {
                    td { a href=(job_path(&record.key().job)) { (record.key().job) } }
                }
                td { a href=(update_path(record.key())) { code { (record.key().id) } } }
                td { (chip(record.status())) }
                td { (record.update().user) }
                td { (context.ago(record.created())) }
                td { (context.ago(record.modified())) }
            } } }
        }
    }
}

fn page(context: &Context, record: &UpdateRecord) -> Page {
    let (update, key) = (record.update(), record.key());
    let role = format!("/scheduler/{}", path::encode(key.job.role()));
    let environment = format!("{role}/{}", path::encode(key.job.environment()));
    let body = html! {
        h1 { "Update of " (key.job.name()) small { (chip(record.status())) } }
        p {
            "Started by " b { (update.user) } ", " (context.ago(record.created()))
            "; last change " (context.ago(record.modified())) "."
        }
        (settings(record))
        (progress(record))
        h2 { "History" }
        ol.timeline {
            @for event in record.events().iter().rev() { li {
                b class=(mood(event.status).class()) { (event.status) }
                time { (text::stamp(event.at)) }
                @if let Some(user) = &event.user { span.soft { "by " (user) } }
                @if let Some(message) = &event.message { " \u{b7} " (message) }
            } }
        }
        (instance_events(record))
    };
    Page {
        status: 200,
        title: format!("Update of {}", key.job),
        crumbs: vec![
            ("Roles".to_owned(), Some("/scheduler".to_owned())),
            (key.job.role().to_owned(), Some(role)),
            (key.job.environment().to_owned(), Some(environment)),
            (key.job.name().to_owned(), Some(job_path(&key.job))),
            (format!("update {}", key.id), None),
        ],
        body,
    }
}

fn settings(record: &UpdateRecord) -> Markup {
    let update = record.update();
    let settings = &update.settings;
    let strategy = match &settings.strategy {
        UpdateStrategy::Batch { group_size, .. } => format!("batches of {group_size}"),
        UpdateStrategy::Queue { group_size } => format!("{group_size} at a time"),
        UpdateStrategy::VariableBatch { group_sizes, .. } => format!("batches of {group_sizes:?}"),
    };
    let instances = |group: &InstanceConfig| ranges(&group.instances);
    let before: Vec<String> = update.initial.iter().map(instances).collect();
    let after = update.desired.as_ref().map_or("none".to_owned(), instances);
    let seconds = settings.min_wait_in_running_ms / 1_000;
    html! {
        div.card { p {
            "Instances that change or go: " (before.join("; ")) ". Instances that come or change: " (after) "."
        } p {
            "In " (strategy) ", each up for " (seconds) " s; an instance may fail "
            (settings.max_per_instance_failures) " times, " (settings.max_failed_instances)
            " instances may fail."
            @if settings.rollback_on_failure { " It is undone if it fails." }
            @if settings.block_if_no_pulses_after_ms > 0 {
                " It needs a pulse every " (settings.block_if_no_pulses_after_ms / 1_000) " s."
            }
        }
        @for pair in &update.metadata { p.soft { (pair.key) ": " (pair.value) } } }
    }
}

fn ranges(ranges: &[InstanceRange]) -> String {
    let range = |range: &InstanceRange| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    };
    let all: Vec<String> = ranges.iter().map(range).collect();
    all.join(", ")
}

/// How many instances are where, by what was last said of each.
fn progress(record: &UpdateRecord) -> Markup {
    let mut last: BTreeMap<InstanceId, UpdateAction> = BTreeMap::new();
    for event in record.instance_events() {
        last.insert(event.instance, event.action);
    }
    let mut counts: BTreeMap<UpdateAction, usize> = BTreeMap::new();
    for action in last.into_values() {
        *counts.entry(action).or_default() += 1;
    }
    html! {
        @if !counts.is_empty() { p {
            @for (action, count) in &counts { span.chip { (action.name()) " " (count) } " " }
        } }
    }
}

fn instance_events(record: &UpdateRecord) -> Markup {
    let events = record.instance_events();
    html! {
        @if !events.is_empty() {
            h2 { "Instances" small { "latest " (events.len().min(EVENTS)) " of " (events.len()) " events" } }
            ol.timeline { @for event in events.iter().rev().take(EVENTS) { li {
                a href={ (job_path(&record.key().job)) "/" (event.instance) } { (event.instance) }
                " " b { (event.action) } " " time { (text::stamp(event.at)) }
                @if let Some(message) = &event.message { " \u{b7} " (message) }
            } } }
        }
    }
}
