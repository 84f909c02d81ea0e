//! The tasks of jobs as `job status` shows them.

use super::to_json;
use crate::client::key::{ClusterJob, PartialKey};
use crate::client::session::instance_of;
use crate::thrift::api::{ACTIVE_STATES, Mode, Resource, ScheduledTask, TaskConfig, TaskEvent};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fmt::Write;

const STRINGS: &str = "strings take all that is written";

/// A job and its tasks, those that are active apart, each group in the order of its instances.
#[derive(Clone, Debug)]
pub struct JobTasks {
    key: ClusterJob,
    active: Vec<ScheduledTask>,
    inactive: Vec<ScheduledTask>,
}

impl JobTasks {
    /// Sorts the tasks of a job.
    pub fn new(key: ClusterJob, mut tasks: Vec<ScheduledTask>) -> Self {
        for task in &mut tasks {
            task.task_events.sort_by_key(|e| e.timestamp);
        }
        tasks.sort_by_key(|task| (instance_of(task), born(task)));
        let is_active =
            |task: &ScheduledTask| task.status.is_some_and(|s| ACTIVE_STATES.contains(&s));
        let (active, inactive) = tasks.into_iter().partition(is_active);
        Self {
            key,
            active,
            inactive,
        }
    }
}

fn born(task: &ScheduledTask) -> Option<i64> {
    task.task_events.first().map(|e| e.timestamp)
}

/// The text, without an end of line; times are of `zone`.
pub fn text(job: &JobTasks, zone: &TimeZone) -> String {
    let mut out = String::new();
    for (name, tasks) in [("Active", &job.active), ("Inactive", &job.inactive)] {
        if !out.is_empty() {
            out.push('\n');
        }
        write!(out, "{name} tasks ({}):", tasks.len()).expect(STRINGS);
        for task in tasks {
            self::task(&mut out, task, zone);
        }
    }
    out
}

fn task(out: &mut String, task: &ScheduledTask, zone: &TimeZone) {
    let assigned = task.assigned_task.clone().unwrap_or_default();
    let config = assigned.task.clone().unwrap_or_default();
    let job = config.job.clone().unwrap_or_default();
    let or_none = |text: Option<&str>| text.unwrap_or("None").to_owned();
    let mut line = |text: String| write!(out, "\n\t{text}").expect(STRINGS);
    let place = assigned
        .slave_host
        .as_deref()
        .map(|host| format!(" on {host}"));
    line(format!(
        "Task role: {}, env: {}, name: {}, instance: {}, status: {}{}",
        or_none(job.role.as_deref()),
        or_none(job.environment.as_deref()),
        or_none(job.name.as_deref()),
        assigned.instance_id,
        or_none(task.status.map(|s| s.name())),
        place.unwrap_or_default(),
    ));
    line(format!("  {}", resources(&config)));
    if !assigned.assigned_ports.is_empty() {
        let ports = assigned.assigned_ports.iter();
        let ports: Vec<String> = ports
            .map(|(name, port)| format!("u'{name}': {port}"))
            .collect();
        line(format!("  assigned ports: {{{}}}", ports.join(", ")));
        let (count, max) = (task.failure_count, config.max_task_failures);
        line(format!("  failure count: {count} (max {max})"));
    }
    line("  events:".to_owned());
    for event in &task.task_events {
        line(format!("   {}", self::event(event, zone)));
    }
    if !config.metadata.is_empty() {
        line("  metadata:".to_owned());
        for pair in &config.metadata {
            let (key, value) = (pair.key.as_deref(), pair.value.as_deref());
            line(format!(
                "\t  (key: '{}', value: '{}')",
                or_none(key),
                or_none(value)
            ));
        }
    }
}

fn resources(config: &TaskConfig) -> String {
    let shown = |resource: &Resource| match resource {
        Resource::NumCpus(n) => (0, format!("CPU: {n} core(s)")),
        Resource::RamMb(n) => (1, format!("RAM: {n} MB")),
        Resource::DiskMb(n) => (2, format!("Disk: {n} MB")),
        Resource::NamedPort(name) => (3, format!("Port: {name}")),
        Resource::NumGpus(n) => (4, format!("GPU: {n} GPU(s)")),
    };
    let mut all: Vec<(u8, String)> = config.resources.iter().map(shown).collect();
    all.sort();
    all.into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(", ")
}

fn event(event: &TaskEvent, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(event.timestamp).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = at
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    let status = event.status.map_or("None", |s| s.name());
    match &event.message {
        Some(message) => format!("{at} {status}: {message}"),
        None => format!("{at} {status}: None"),
    }
}

/// The jobs as JSON.
pub fn json(jobs: &[JobTasks]) -> String {
    let group = |tasks: &[ScheduledTask]| tasks.iter().map(task_json).collect::<Vec<_>>();
    let all: Vec<Value> = jobs
        .iter()
        .map(|job| {
            json!({
                "job": job.key.to_string(),
                "active": group(&job.active),
                "inactive": group(&job.inactive),
            })
        })
        .collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

/// What is said where no job matches.
pub fn nothing_json(key: &PartialKey) -> String {
    json!({"jobspec": key.to_string(), "error": "No matching jobs found"}).to_string()
}

fn task_json(task: &ScheduledTask) -> Value {
    let mut value = to_json(task);
    if let Some(config) = value.pointer_mut("/assignedTask/task") {
        as_numbers(config);
        if let Some(config) = config.as_object_mut() {
            // Their data was not asked for, and a name alone says nothing.
            config.shift_remove("executorConfig");
            for flag in ["isService", "production"] {
                if let Some(number) = config.get(flag).and_then(Value::as_i64) {
                    config.insert(flag.to_owned(), Value::Bool(number != 0));
                }
            }
        }
    }
    value
}

/// Truth values and enums as the numbers that they are on the wire: so upstream's scripts know them.
fn as_numbers(value: &mut Value) {
    match value {
        Value::Bool(on) => *value = Value::from(u8::from(*on)),
        Value::Array(items) => items.iter_mut().for_each(as_numbers),
        Value::Object(fields) => {
            for (name, field) in fields {
                let mode = field.as_str().and_then(Mode::from_name);
                match mode {
                    Some(mode) if name == "mode" => *field = Value::from(mode.number()),
                    _ => as_numbers(field),
                }
            }
        }
        Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::api::{AssignedTask, JobKey, Metadata, ScheduleStatus};

    fn sample() -> ScheduledTask {
        let text = |text: &str| Some(text.to_owned());
        ScheduledTask {
            assigned_task: Some(AssignedTask {
                task_id: text("id"),
                slave_host: text("host1"),
                task: Some(TaskConfig {
                    job: Some(JobKey {
                        role: text("www"),
                        environment: text("prod"),
                        name: text("hello"),
                    }),
                    is_service: true,
                    max_task_failures: 1,
                    resources: vec![
                        Resource::NamedPort("http".to_owned()),
                        Resource::DiskMb(4096),
                        Resource::NumCpus(0.5),
                        Resource::RamMb(2048),
                    ],
                    metadata: vec![Metadata {
                        key: text("k"),
                        value: text("v"),
                    }],
                    ..TaskConfig::default()
                }),
                assigned_ports: [("http".to_owned(), 31000)].into(),
                instance_id: 3,
                ..AssignedTask::default()
            }),
            status: Some(ScheduleStatus::Running),
            task_events: vec![
                TaskEvent {
                    timestamp: 1_577_934_246_000,
                    status: Some(ScheduleStatus::Running),
                    ..TaskEvent::default()
                },
                TaskEvent {
                    timestamp: 1_577_934_245_000,
                    status: Some(ScheduleStatus::Pending),
                    message: text("waits"),
                    ..TaskEvent::default()
                },
            ],
            ..ScheduledTask::default()
        }
    }

    #[test]
    fn a_running_task_with_ports_and_metadata() {
        let job = JobTasks::new("west/www/prod/hello".parse().unwrap(), vec![sample()]);
        let expected = "Active tasks (1):
\tTask role: www, env: prod, name: hello, instance: 3, status: RUNNING on host1
\t  CPU: 0.5 core(s), RAM: 2048 MB, Disk: 4096 MB, Port: http
\t  assigned ports: {u'http': 31000}
\t  failure count: 0 (max 1)
\t  events:
\t   2020-01-02 03:04:05 PENDING: waits
\t   2020-01-02 03:04:06 RUNNING: None
\t  metadata:
\t\t  (key: 'k', value: 'v')
Inactive tasks (0):";
        assert_eq!(text(&job, &TimeZone::UTC), expected);
    }

    #[test]
    fn json_has_names_for_states_and_truth_for_two_fields() {
        let job = JobTasks::new("west/www/prod/hello".parse().unwrap(), vec![sample()]);
        let value: Value = serde_json::from_str(&json(&[job])).unwrap();
        let task = &value[0]["active"][0];
        assert_eq!(task["status"], "RUNNING");
        assert_eq!(task["taskEvents"][0]["status"], "PENDING");
        assert_eq!(task["assignedTask"]["task"]["isService"], true);
        assert_eq!(task["assignedTask"]["task"]["production"], false);
        assert_eq!(task["assignedTask"]["assignedPorts"]["http"], 31000);
        assert!(task["assignedTask"]["task"].get("executorConfig").is_none());
        assert_eq!(value[0]["job"], "west/www/prod/hello");
    }
}
