//! `/agents` and `/agents/HOST`.

use super::super::path::parameter;
use super::super::state::Shared;
use super::job::task_table;
use super::layout::{Context, Page, missing, render};
use super::text;
use crate::model::{Attribute, MaintenanceMode, Resources, ScheduledTask};
use crate::scheduler::handle::AgentView;
use maud::{Markup, html};
use std::collections::BTreeSet;
use std::sync::Arc;
use tide::Request;

/// How many ended tasks a machine's page shows.
const ENDED_MAX: usize = 50;

/// All machines with what is used of them.
pub(in super::super) async fn machines(request: Request<Shared>) -> tide::Result {
    render(request, |context| {
        let agents = &context.view.agents;
        let total = agents.iter().filter(|agent| agent.connected).fold(
            (Resources::default(), Resources::default()),
            |(total, used), agent| (total.plus(agent.total), used.plus(used_of(agent))),
        );
        let body = html! {
            h1 { "Machines" small { (agents.len()) } }
            div.tiles { (meters(total.0, total.1)) }
            h2 { "Agents" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "Host" } th { "Agent ID" } th { "State" } th { "Maintenance" }
                            th.number { "Tasks" } th { "Cores" } th { "Memory" } th { "Disk" }
                            th { "Attributes" }
                        }
                    }
                    tbody { @for agent in agents { (agent_row(context, agent)) } }
                }
            }
            @if agents.is_empty() {
                div.empty-state {
                    h1 { "No machine has offered itself" }
                    p { "Start " code { "aurora-agent" } " with the cluster's agent key." }
                }
            }
            (silent(context))
        };
        Page {
            status: 200,
            title: "Machines".to_owned(),
            crumbs: Vec::new(),
            body,
        }
    })
    .await
}

/// What is taken of a machine, executors included.
fn used_of(agent: &AgentView) -> Resources {
    agent.total.minus(agent.free)
}

fn agent_row(context: &Context, agent: &AgentView) -> Markup {
    let used = used_of(agent);
    let tasks = context.tables.tasks_on_agent(&agent.agent).count();
    html! {
        tr {
            td { (context.host_link(&agent.host)) }
            td.mono { (agent.agent) }
            td { (connection(agent)) }
            td { (mode(agent.mode)) }
            td.number { (tasks) }
            @for (_, meter) in three_meters(used, agent.total) { td { (meter) } }
            td { (attributes(&agent.attributes)) }
        }
    }
}

fn connection(agent: &AgentView) -> Markup {
    match agent.connected {
        true => html! { span.chip.good { "UP" } },
        false => html! { span.chip.bad { "AWAY" } },
    }
}

/// Upstream's words.
const fn mode_name(mode: MaintenanceMode) -> &'static str {
    match mode {
        MaintenanceMode::Drained => "DRAINED",
        MaintenanceMode::Draining => "DRAINING",
        MaintenanceMode::None => "NONE",
        MaintenanceMode::Scheduled => "SCHEDULED",
    }
}

fn mode(mode: MaintenanceMode) -> Markup {
    let class = match mode {
        MaintenanceMode::None => "soft",
        MaintenanceMode::Drained | MaintenanceMode::Draining | MaintenanceMode::Scheduled => {
            "chip waiting"
        }
    };
    html! { span class=(class) { (mode_name(mode)) } }
}

/// `name=[v1, v2]` for each, by name.
fn attributes(list: &[Attribute]) -> String {
    let mut shown: Vec<String> = list
        .iter()
        .map(|attribute| {
            let values: Vec<&str> = attribute.values.iter().map(String::as_str).collect();
            format!("{}=[{}]", attribute.name, values.join(", "))
        })
        .collect();
    shown.sort();
    shown.join(", ")
}

/// Used of total, in words and as a bar that warns when it is nearly full.
fn meter(used: &str, total: &str, part: i64, whole: i64) -> Markup {
    let percent = text::percent(part, whole);
    let class = if percent >= 90 { "waiting" } else { "good" };
    html! {
        span.nowrap { (used) span.soft { " of " (total) } }
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.empty width="100" height="6" {}
            rect class=(class) width=(percent) height="6" {}
        }
    }
}

/// Cores, memory and disk.
fn three_meters(used: Resources, total: Resources) -> [(&'static str, Markup); 3] {
    let sized = |used, total| meter(&text::size(used), &text::size(total), used, total);
    let (used_cores, all_cores) = (text::cores(used.cpus), text::cores(total.cpus));
    [
        (
            "Cores",
            meter(&used_cores, &all_cores, used.cpus.0, total.cpus.0),
        ),
        ("Memory", sized(used.ram_mb, total.ram_mb)),
        ("Disk", sized(used.disk_mb, total.disk_mb)),
    ]
}

fn meters(total: Resources, used: Resources) -> Markup {
    html! {
        @for (label, meter) in three_meters(used, total) {
            div.tile { span { (label) " " } (meter) }
        }
    }
}

/// Machines that are stored but have not spoken to this leader.
fn silent(context: &Context) -> Markup {
    let seen: BTreeSet<&str> = context
        .view
        .agents
        .iter()
        .map(|agent| agent.host.as_str())
        .collect();
    let silent: Vec<_> = context
        .tables
        .hosts()
        .filter(|host| !seen.contains(host.host.as_str()))
        .collect();
    html! {
        @if !silent.is_empty() {
            h2 { "Known, but not heard of since the start" small { (silent.len()) } }
            div.scroll {
                table {
                    thead { tr { th { "Host" } th { "Agent ID" } th { "Maintenance" } th { "Attributes" } } }
                    tbody {
                        @for host in silent {
                            tr {
                                td { (context.host_link(&host.host)) }
                                td.mono { (host.agent) }
                                td { (mode(host.mode)) }
                                td { (attributes(&host.attributes)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One machine with its tasks.
pub(in super::super) async fn machine(request: Request<Shared>) -> tide::Result {
    let host = parameter(&request, "host")?;
    render(request, move |context| machine_page(context, &host)).await
}

fn machine_page(context: &Context, host: &str) -> Page {
    let crumbs = vec![
        ("Machines".to_owned(), Some("/agents".to_owned())),
        (host.to_owned(), None),
    ];
    let agent = context.view.agents.iter().find(|agent| agent.host == host);
    let tasks: Vec<Arc<ScheduledTask>> = context.tables.tasks_on_host(host).cloned().collect();
    if agent.is_none() && tasks.is_empty() && context.tables.host(host).is_none() {
        return missing("No machine of this name is known.", crumbs);
    }
    let (active, mut ended): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(|task| task.status.is_active());
    ended.sort_by_key(|task| std::cmp::Reverse(task.last_event_at()));
    ended.truncate(ENDED_MAX);
    let port = context.app.config.observer_port;
    let body = html! {
        h1 {
            (host)
            small { a href={ "http://" (host) ":" (port) "/" } { "the agent's own pages" } }
        }
        @if let Some(agent) = agent {
            p {
                (connection(agent)) " " (mode(agent.mode)) " "
                span.soft { "agent " code { (agent.agent) } " session " code { (agent.session.0) } }
            }
            div.tiles { (meters(agent.total, used_of(agent))) }
            @if !agent.attributes.is_empty() { p.soft { (attributes(&agent.attributes)) } }
        }
        h2 { "Tasks here" small { (active.len()) } }
        (task_table(context, &active, true))
        @if !ended.is_empty() {
            h2 { "Ended here" small { "latest " (ended.len()) } }
            (task_table(context, &ended, true))
        }
    };
    Page {
        status: 200,
        title: host.to_owned(),
        crumbs,
        body,
    }
}
