//! `/scheduler`, `/scheduler/ROLE` and `/scheduler/ROLE/ENVIRONMENT`.

use super::super::path::{self, parameter};
use super::super::state::Shared;
use super::figures::{self, Counts, JobRow, Mood, RoleRow, Stage};
use super::layout::{Context, Page, bar, chip, count_cells, count_headings, missing, render};
use super::text;
use crate::model::{JobKey, Resources, ScheduleStatus};
use crate::scheduler::handle::PendingGroup;
use maud::{Markup, html};
use std::collections::BTreeMap;
use tide::Request;

/// How many waiting groups and how many failures the first page shows.
const EXTRACT: usize = 15;

/// The address of a job's page.
pub(super) fn job_path(job: &JobKey) -> String {
    format!(
        "/scheduler/{}/{}/{}",
        path::encode(job.role()),
        path::encode(job.environment()),
        path::encode(job.name())
    )
}

fn role_path(role: &str) -> String {
    format!("/scheduler/{}", path::encode(role))
}

/// All roles.
pub(in super::super) async fn roles(request: Request<Shared>) -> tide::Result {
    render(request, |context| {
        let rows = figures::roles(&context.tables);
        let body = html! {
            h1 { "Roles" }
            (tiles(context))
            (waiting(&context.view.pending))
            (role_table(&rows))
            (failures(context))
        };
        Page {
            status: 200,
            title: "Roles".to_owned(),
            crumbs: Vec::new(),
            body,
        }
    })
    .await
}

fn tiles(context: &Context) -> Markup {
    let tables = &context.tables;
    let of = |mood: Mood| -> i64 {
        let statuses = ScheduleStatus::ALL.into_iter();
        let alike = statuses.filter(|status| Mood::of(*status) == mood && status.is_active());
        alike.map(|status| tables.count(status)).sum()
    };
    let connected = context
        .view
        .agents
        .iter()
        .filter(|agent| agent.connected)
        .count();
    let lost = context.view.agents.len() - connected;
    let tile = |number: i64, mood: Mood, label: &str| {
        let class = if number == 0 { "quiet" } else { mood.class() };
        html! { div class={ "tile " (class) } { b { (number) } span { (label) } } }
    };
    html! {
        div.tiles {
            (tile(of(Mood::Good), Mood::Good, "tasks running"))
            (tile(of(Mood::Moving), Mood::Moving, "tasks moving"))
            (tile(of(Mood::Waiting), Mood::Waiting, "tasks pending"))
            (tile(of(Mood::Bad), Mood::Bad, "tasks cut off"))
            a.tile href="/agents" { b { (connected) } span { "machines up" } }
            @if lost > 0 { (tile(lost as i64, Mood::Bad, "machines away")) }
        }
    }
}

/// What waits for a machine, and why.
fn waiting(groups: &[PendingGroup]) -> Markup {
    html! {
        @if !groups.is_empty() {
            h2 { "Waiting for a machine" }
            div.scroll {
                table {
                    thead { tr { th { "Job" } th.number { "Tasks" } th { "Why" } } }
                    tbody {
                        @for group in groups.iter().take(EXTRACT) {
                            tr {
                                td { a href=(job_path(&group.config.job)) { (group.config.job) } }
                                td.number { (group.tasks.len()) }
                                td.reason { (reasons(group)) }
                            }
                        }
                    }
                }
            }
            @if groups.len() > EXTRACT {
                p.soft {
                    (groups.len() - EXTRACT) " more in " a href="/pendingtasks" { "/pendingtasks" }
                }
            }
        }
    }
}

fn reasons(group: &PendingGroup) -> String {
    match group.reasons.is_empty() {
        true => "No machine has been tried yet".to_owned(),
        false => group.reasons.join(", "),
    }
}

fn role_table(rows: &BTreeMap<String, RoleRow>) -> Markup {
    if rows.is_empty() {
        return html! {
            div.empty-state {
                h1 { "No jobs yet" }
                p {
                    "Create the first one with "
                    code { "aurora job create CLUSTER/ROLE/ENV/NAME FILE.aurora" }
                }
            }
        };
    }
    html! {
        h2 { "Roles" small { (rows.len()) } }
        div.scroll {
            table {
                thead {
                    tr {
                        th { "Role" } th.number { "Jobs" } th.number { "Cron jobs" }
                        (count_headings()) th { "Active" } th.number { "Cores" } th.number { "Memory" }
                    }
                }
                tbody {
                    @for (role, row) in rows {
                        tr {
                            td { a href=(role_path(role)) { (role) } }
                            td.number { (row.jobs) }
                            td.number { (row.cron_jobs) }
                            (count_cells(&row.counts))
                            td { (bar(&row.counts)) }
                            (used_cells(row.counts.used))
                        }
                    }
                }
            }
        }
    }
}

fn used_cells(used: Resources) -> Markup {
    html! {
        td.number { (text::cores(used.cpus)) }
        td.number { (text::size(used.ram_mb)) }
    }
}

fn failures(context: &Context) -> Markup {
    let tasks = figures::latest_failures(&context.tables, EXTRACT);
    html! {
        @if !tasks.is_empty() {
            h2 { "Latest failures" }
            div.scroll {
                table {
                    thead {
                        tr { th { "Task" } th { "State" } th { "Ago" } th { "Machine" } th { "Why" } }
                    }
                    tbody {
                        @for task in &tasks {
                            @let last = task.events.last();
                            tr {
                                td { a href=(job_path(task.job())) { (task.job()) "/" (task.instance) } }
                                td { (chip(task.status)) }
                                td.nowrap { @if let Some(event) = last { (context.ago(event.at)) } }
                                td { @if let Some(host) = &task.host { (context.host_link(host)) } }
                                td { (last.and_then(|event| event.message.as_deref()).unwrap_or("")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One role.
pub(in super::super) async fn role(request: Request<Shared>) -> tide::Result {
    let role = parameter(&request, "role")?;
    render(request, move |context| jobs_page(context, &role, None)).await
}

/// One role's environment.
pub(in super::super) async fn environment(request: Request<Shared>) -> tide::Result {
    let role = parameter(&request, "role")?;
    let environment = parameter(&request, "environment")?;
    render(request, move |context| {
        jobs_page(context, &role, Some(&environment))
    })
    .await
}

fn jobs_page(context: &Context, role: &str, environment: Option<&str>) -> Page {
    let mut crumbs = vec![("Roles".to_owned(), Some("/scheduler".to_owned()))];
    let rows = figures::jobs(&context.tables, role, environment);
    let quota = context.tables.quota(role);
    match environment {
        Some(environment) => {
            crumbs.push((role.to_owned(), Some(role_path(role))));
            crumbs.push((environment.to_owned(), None));
        }
        None => crumbs.push((role.to_owned(), None)),
    }
    if rows.is_empty() && quota.is_none() {
        return missing("This role has no jobs.", crumbs);
    }
    let title = environment.unwrap_or(role).to_owned();
    let body = html! {
        h1 { (title) small { (rows.len()) " jobs" } }
        (totals(&rows, quota))
        @for stage in Stage::ALL { (stage_table(stage, &rows)) }
    };
    Page {
        status: 200,
        title,
        crumbs,
        body,
    }
}

/// The jobs of one stage, if there are any.
fn stage_table(stage: Stage, rows: &[JobRow]) -> Markup {
    let rows: Vec<&JobRow> = rows.iter().filter(|row| row.stage() == stage).collect();
    html! {
        @if !rows.is_empty() {
            h2 { (stage.heading()) small { (rows.len()) } }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "Environment" } th { "Job" } th { "Kind" } (count_headings())
                            th { "Active" } th.number { "Cores" } th.number { "Memory" }
                        }
                    }
                    tbody { @for row in rows { (job_row(row)) } }
                }
            }
        }
    }
}

fn job_row(row: &JobRow) -> Markup {
    let environment = row.key.environment();
    html! {
        tr {
            td {
                a href={ (role_path(row.key.role())) "/" (path::encode(environment)) } { (environment) }
            }
            td { a href=(job_path(&row.key)) { (row.key.name()) } }
            td.soft { (row.kind.name()) }
            (count_cells(&row.counts))
            td { (bar(&row.counts)) }
            (used_cells(row.counts.used))
        }
    }
}

fn totals(rows: &[JobRow], quota: Option<Resources>) -> Markup {
    let mut sum = Counts::default();
    for row in rows {
        sum.good += row.counts.good;
        sum.waiting += row.counts.waiting;
        sum.used = sum.used.plus(row.counts.used);
    }
    html! {
        div.tiles {
            div.tile { b { (sum.good) } span { "tasks running" } }
            div.tile { b { (sum.waiting) } span { "tasks pending" } }
            div.tile { b { (text::cores(sum.used.cpus)) } span { "cores in use" } }
            div.tile { b { (text::size(sum.used.ram_mb)) } span { "memory in use" } }
            @if let Some(quota) = quota {
                div.tile {
                    b { (text::cores(quota.cpus)) }
                    span { "cores of quota, " (text::size(quota.ram_mb)) " memory, " (text::size(quota.disk_mb)) " disk" }
                }
            }
        }
    }
}
