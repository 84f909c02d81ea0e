//! `/vars` and `/vars.json`.

use super::state::Shared;
use crate::base::clock;
use crate::base::stats::Value;
use crate::model::ScheduleStatus;
use crate::scheduler::{Lifecycle, View};
use crate::storage::Tables;
use serde_json::{Map, Number};
use std::collections::BTreeMap;
use tide::{Request, Response};

/// Every variable by name.
pub(super) fn collect(app: &Shared) -> BTreeMap<String, Value> {
    let start = clock::now();
    let (view, tables) = (app.config.source.view(), app.config.source.tables());
    let mut out = BTreeMap::new();
    show_tables(&tables, &mut out);
    show_view(&view, &mut out);
    out.append(&mut app.config.stats.snapshot());
    app.process.show(&mut out);
    let took = clock::now().since(start);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let scrapes = app.config.stats.sliding("variable_scrape", "micros");
    scrapes.record(micros);
    out
}

fn show_tables(tables: &Tables, out: &mut BTreeMap<String, Value>) {
    for status in ScheduleStatus::ALL {
        out.insert(
            format!("task_store_{status}"),
            Value::Int(tables.count(status)),
        );
    }
    let mut put = |name: &str, count: usize| {
        out.insert(name.to_owned(), Value::Count(count as u64));
    };
    put("mem_storage_attribute_size", tables.hosts().count());
    put("mem_storage_cron_size", tables.cron_jobs().count());
    put("mem_storage_update_size", tables.updates().count());
    put(
        "mem_storage_maintenance_size",
        tables.maintenance_requests().count(),
    );
    put("mem_storage_quota_size", tables.quotas().count());
    put("task_store_index_job_items", tables.jobs().count());
    out.insert(
        "storage_committed_entries".to_owned(),
        Value::Count(tables.version()),
    );
}

fn show_view(view: &View, out: &mut BTreeMap<String, Value>) {
    for lifecycle in Lifecycle::ALL {
        let here = i64::from(lifecycle == view.lifecycle);
        out.insert(format!("scheduler_lifecycle_{lifecycle}"), Value::Int(here));
    }
    let registered = i64::from(view.lifecycle == Lifecycle::Active);
    out.insert("framework_registered".to_owned(), Value::Int(registered));
    let offers = view.agents.iter().filter(|agent| agent.connected).count();
    out.insert("outstanding_offers".to_owned(), Value::Count(offers as u64));
    // What the engine counts by itself is nearer to the truth than what is derived here.
    for (name, value) in &view.counters {
        out.insert(name.clone(), Value::Int(*value));
    }
}

pub(super) async fn text(request: Request<Shared>) -> tide::Result {
    let mut lines: Vec<String> = collect(request.state())
        .into_iter()
        .map(|(name, value)| format!("{name} {}", one_line(&value)))
        .collect();
    lines.sort();
    Ok(super::probe::plain(200, lines.join("\n")))
}

fn one_line(value: &Value) -> String {
    value.to_string().replace(['\n', '\r'], " ")
}

pub(super) async fn json(request: Request<Shared>) -> tide::Result {
    let vars: Map<String, serde_json::Value> = collect(request.state())
        .into_iter()
        .map(|(name, value)| (name, json_of(value)))
        .collect();
    json_response(&request, &serde_json::Value::Object(vars))
}

fn json_of(value: Value) -> serde_json::Value {
    match value {
        Value::Count(value) => value.into(),
        Value::Float(value) => Number::from_f64(value).into(),
        Value::Int(value) => value.into(),
        Value::Text(value) => value.into(),
    }
}

/// A JSON answer, indented if the query asks for `pretty=true`.
pub(super) fn json_response(request: &Request<Shared>, value: &serde_json::Value) -> tide::Result {
    let pretty = super::path::query(request, "pretty").as_deref() == Some("true");
    let text = match pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    }?;
    let mut response = Response::new(200);
    response.set_body(text.into_bytes());
    response.insert_header("content-type", "application/json");
    response.insert_header("cache-control", "no-store");
    Ok(response)
}
