//! Job updates.

use crate::thrift::api::{JobUpdateDetails, JobUpdateSummary, Metadata};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// A time as ISO writes it, to the second, in UTC.
fn iso(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// An update in short, with what was left out filled in.
struct Row {
    job: String,
    id: String,
    status: &'static str,
    user: String,
    started: i64,
    modified: i64,
}

impl Row {
    fn new(cluster: &str, summary: &JobUpdateSummary) -> Self {
        let key = summary.key.clone().unwrap_or_default();
        let job = key.job.unwrap_or_default();
        let text = Option::unwrap_or_default;
        let (role, environment, name) = (text(job.role), text(job.environment), text(job.name));
        let state = summary.state.clone().unwrap_or_default();
        Self {
            job: format!("{cluster}/{role}/{environment}/{name}"),
            id: text(key.id),
            status: state.status.map_or("", |status| status.name()),
            user: text(summary.user.clone()),
            started: state.created_timestamp_ms,
            modified: state.last_modified_timestamp_ms,
        }
    }
}

/// Updates as lines of a table; nothing if there are none.
pub fn table(cluster: &str, summaries: &[JobUpdateSummary]) -> Vec<String> {
    let line = |cells: [&str; 6]| {
        let [job, id, status, user, started, modified] = cells;
        let line = format!("{job:47} {id:36} {status:15} {user:11} {started:19} {modified:19}");
        line.trim_end().to_owned()
    };
    if summaries.is_empty() {
        return Vec::new();
    }
    let head = [
        "JOB",
        "UPDATE ID",
        "STATUS",
        "CREATED BY",
        "STARTED",
        "LAST MODIFIED",
    ];
    let rows = summaries.iter().map(|summary| {
        let row = Row::new(cluster, summary);
        let (started, modified) = (iso(row.started), iso(row.modified));
        line([
            &row.job, &row.id, row.status, &row.user, &started, &modified,
        ])
    });
    std::iter::once(line(head)).chain(rows).collect()
}

/// Updates as JSON.
pub fn table_json(cluster: &str, summaries: &[JobUpdateSummary]) -> String {
    let row = |summary: &JobUpdateSummary| {
        let row = Row::new(cluster, summary);
        json!({
            "job": row.job,
            "id": row.id,
            "user": row.user,
            "started": iso(row.started),
            "last_modified": iso(row.modified),
            "status": row.status,
        })
    };
    let rows: Vec<Value> = summaries.iter().map(row).collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

fn summary(details: &JobUpdateDetails) -> JobUpdateSummary {
    let update = details.update.as_ref();
    update.and_then(|u| u.summary.clone()).unwrap_or_default()
}

fn pairs(metadata: &[Metadata]) -> Vec<(String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut pairs: Vec<_> = metadata
        .iter()
        .map(|m| (text(&m.key), text(&m.value)))
        .collect();
    pairs.sort();
    pairs
}

/// All of an update as text.
pub fn info(cluster: &str, details: &JobUpdateDetails) -> String {
    let summary = summary(details);
    let row = Row::new(cluster, &summary);
    let mut out = format!("Job: {}, UpdateID: {}\n", row.job, row.id);
    let (started, modified) = (iso(row.started), iso(row.modified));
    let mut line = |text: String| writeln!(out, "{text}").expect("strings take all");
    line(format!("Started {started}, last activity: {modified}"));
    line(format!("Current status: {}", row.status));
    line("Update events:".to_owned());
    for event in &details.update_events {
        let status = event.status.map_or("", |status| status.name());
        line(format!("  Status: {status} at {}", iso(event.timestamp_ms)));
        if let Some(message) = &event.message {
            line(format!("      message: {message}"));
        }
    }
    line("Instance events:".to_owned());
    for event in &details.instance_events {
        let action = event.action.map_or("", |action| action.name());
        let (instance, at) = (event.instance_id, iso(event.timestamp_ms));
        line(format!("  Instance {instance} at {at}: {action}"));
    }
    let metadata = pairs(&summary.metadata);
    if !metadata.is_empty() {
        line("Metadata:".to_owned());
        for (key, value) in metadata {
            line(format!("  {key}: {value}"));
        }
    }
    out.trim_end().to_owned()
}

/// All of an update as JSON.
pub fn info_json(cluster: &str, details: &JobUpdateDetails) -> String {
    let summary = summary(details);
    let row = Row::new(cluster, &summary);
    let events = details.update_events.iter().map(|event| {
        let mut fields = Map::new();
        let status = event.status.map_or("", |status| status.name());
        fields.insert("status".to_owned(), status.into());
        fields.insert("timestampMs".to_owned(), event.timestamp_ms.into());
        if let Some(message) = &event.message {
            fields.insert("message".to_owned(), message.as_str().into());
        }
        Value::Object(fields)
    });
    let instances = details.instance_events.iter().map(|event| {
        json!({
            "instance": event.instance_id,
            "timestamp": event.timestamp_ms,
            "action": event.action.map_or("", |action| action.name()),
        })
    });
    let mut value = json!({
        "updateId": row.id,
        "job": row.job,
        "started": row.started,
        "last_modified": iso(row.modified),
        "status": row.status,
        "update_events": events.collect::<Vec<_>>(),
        "instance_update_events": instances.collect::<Vec<_>>(),
    });
    let metadata = pairs(&summary.metadata);
    if !metadata.is_empty() {
        let pair = |(key, value): (String, String)| {
            Value::Object(Map::from_iter([(key, Value::from(value))]))
        };
        value["metadata"] = metadata.into_iter().map(pair).collect();
    }
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
