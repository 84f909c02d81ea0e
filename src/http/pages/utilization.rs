//! `/utilization`: what active tasks use, in all, by role and by job. Executors are not counted.

use super::super::path;
use super::super::probe::plain;
use super::super::state::Shared;
use super::layout::{Page, render};
use crate::domain::quota;
use crate::model::{Resources, ScheduledTask};
use crate::storage::Tables;
use maud::html;
use std::collections::BTreeMap;
use tide::Request;

/// What is counted, by the names in paths.
const METRICS: [(&str, &str); 4] = [
    ("total_consumed", "Total consumed"),
    ("dedicated_consumed", "Dedicated consumed"),
    ("quota_consumed", "Quota consumed"),
    ("free_pool_consumed", "Free pool consumed"),
];

/// Whether a task counts under a metric. Production work on shared machines is what quota limits.
fn counts(metric: &str, task: &ScheduledTask) -> bool {
    let dedicated = quota::is_dedicated(&task.config);
    let production = task.config.production;
    match metric {
        "dedicated_consumed" => dedicated,
        "quota_consumed" => !dedicated && production,
        "free_pool_consumed" => !dedicated && !production,
        _ => true,
    }
}

/// Sums of active tasks under a metric, by what `name` gives.
fn sums(
    tables: &Tables,
    metric: &str,
    name: impl Fn(&ScheduledTask) -> Option<String>,
) -> BTreeMap<String, Resources> {
    let mut sums: BTreeMap<String, Resources> = BTreeMap::new();
    let active = tables.tasks().filter(|task| task.status.is_active());
    for task in active.filter(|task| counts(metric, task)) {
        if let Some(name) = name(task) {
            let sum = sums.entry(name).or_default();
            *sum = sum.plus(task.config.resources);
        }
    }
    sums
}

/// A row: what it is of, where it leads, and how much.
struct Row {
    name: String,
    link: Option<String>,
    sum: Resources,
}

fn page(title: &str, rows: &[Row]) -> Page {
    let body = html! {
        h1 { (title) }
        div.scroll {
            table {
                thead {
                    tr {
                        th { "" } th.number { "CPU" } th.number { "RAM (MB)" } th.number { "Disk (MB)" }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            td {
                                @match &row.link {
                                    Some(link) => { a href=(link) { (row.name) } },
                                    None => { (row.name) },
                                }
                            }
                            td.number { (row.sum.cpus.0 / 1000) }
                            td.number { (row.sum.ram_mb) }
                            td.number { (row.sum.disk_mb) }
                        }
                    }
                }
            }
        }
    };
    Page {
        status: 200,
        title: title.to_owned(),
        crumbs: Vec::new(),
        body,
    }
}

pub(in super::super) async fn utilization(request: Request<Shared>) -> tide::Result {
    render(request, |context| {
        let all = METRICS.map(|(metric, title)| {
            let sums = sums(&context.tables, metric, |_| Some(String::new()));
            Row {
                name: title.to_owned(),
                link: Some(format!("/utilization/{metric}")),
                sum: sums.into_values().next().unwrap_or_default(),
            }
        });
        page("Utilization", &all)
    })
    .await
}

fn metric_of(request: &Request<Shared>) -> tide::Result<Option<(&'static str, &'static str)>> {
    let asked = path::parameter(request, "metric")?.to_ascii_lowercase();
    Ok(METRICS.into_iter().find(|(metric, _)| *metric == asked))
}

pub(in super::super) async fn utilization_by_role(request: Request<Shared>) -> tide::Result {
    let Some((metric, title)) = metric_of(&request)? else {
        return Ok(plain(400, "Invalid metric type.\n"));
    };
    render(request, move |context| {
        let role = |task: &ScheduledTask| Some(task.job().role().to_owned());
        let sums = sums(&context.tables, metric, role).into_iter();
        let rows = sums.map(|(name, sum)| Row {
            link: Some(format!("/utilization/{metric}/{}", path::encode(&name))),
            name,
            sum,
        });
        page(title, &rows.collect::<Vec<_>>())
    })
    .await
}

pub(in super::super) async fn utilization_by_job(request: Request<Shared>) -> tide::Result {
    let Some((metric, title)) = metric_of(&request)? else {
        return Ok(plain(400, "Invalid metric type.\n"));
    };
    let role = path::parameter(&request, "role")?;
    render(request, move |context| {
        let job = |task: &ScheduledTask| {
            let key = task.job();
            (key.role() == role).then(|| key.name().to_owned())
        };
        let sums = sums(&context.tables, metric, job).into_iter();
        let rows = sums.map(|(name, sum)| Row {
            name,
            link: None,
            sum,
        });
        page(&format!("{title} by {role}"), &rows.collect::<Vec<_>>())
    })
    .await
}
