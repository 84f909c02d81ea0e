//! From the order to what is run: reads the job's JSON, fills in ports and names.

use super::json::{self, Field, JsonError};
use super::logger::Logger;
use super::mustache::{ReferenceError, Values};
use super::order::Order;
use crate::supervise::{HealthPolicy, Lifecycle, ProcessDefinition, StatusCheck, TaskDefinition};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// Why an order cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderDataError {
    /// It is not JSON.
    #[error("executor data is not JSON: {0}")]
    NotJson(String),
    /// It does not have the shape of a job.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It asks for what this executor does not have.
    #[error("{0} are not supported by this agent yet")]
    Unsupported(&'static str),
    /// It names something that this machine does not have.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// What is asked to learn whether the task is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HealthProbe {
    Http(HttpProbe),
    Shell(String),
}

/// A request to the task and what has to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpProbe {
    pub(super) port: u16,
    pub(super) path: String,
    /// Compared with the trimmed lower-case body, unless empty.
    pub(super) response: String,
    /// Compared with the status, unless zero.
    pub(super) code: u16,
}

/// How one status check is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeDefinition {
    pub(super) probe: HealthProbe,
    /// After this time it has failed.
    pub(super) timeout: Duration,
    /// Whether the snooze file makes it good unseen.
    pub(super) can_snooze: bool,
}

/// The task's own shutdown endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShutdownEndpoints {
    pub(super) port: u16,
    pub(super) quit: String,
    pub(super) abort: String,
}

/// All that an executor runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) task: TaskDefinition,
    /// How each process logs.
    pub(super) loggers: Vec<Logger>,
    /// How each of the task's status checks is made.
    pub(super) probes: Vec<ProbeDefinition>,
    pub(super) endpoints: Option<ShutdownEndpoints>,
}

impl Definition {
    /// Processes that do not say how they log do it as `logger` says.
    ///
    /// # Errors
    ///
    /// The place in the JSON, or the reference, that is wrong.
    pub(super) fn parse(order: &Order, logger: Logger) -> Result<Self, OrderDataError> {
        let job: Value = serde_json::from_str(&order.data)
            .map_err(|error| OrderDataError::NotJson(error.to_string()))?;
        check_container(&job)?;
        let ports = resolve_ports(order, &job);
        let values = values(order, &ports);
        let filled = |name: &str| -> Result<Value, ReferenceError> {
            let mut value = job.get(name).cloned().unwrap_or(Value::Null);
            json::map_strings(&mut value, &mut |text| values.fill(text))?;
            Ok(value)
        };
        let (task, health, lifecycle) = (
            filled("task")?,
            filled("health_check_config")?,
            filled("lifecycle")?,
        );
        let (probe, policy, timeout) =
            read_health(&Field::new("health_check_config", &health), &ports)?;
        let (endpoints, lifecycle) = read_lifecycle(&Field::new("lifecycle", &lifecycle), &ports)?;
        let task = Field::new("task", &task);
        let mut loggers = Vec::new();
        for process in task.required("processes")?.items()? {
            loggers.push(Logger::read(&process, logger)?);
        }
        let mut task = read_task(&task)?;
        task.kill_wait = Duration::from_millis(order.kill_wait_ms);
        let mut probes = Vec::new();
        if let Some(probe) = probe {
            task.checks.push(StatusCheck {
                failure: "Failed health check! ",
                policy,
            });
            probes.push(ProbeDefinition {
                probe,
                timeout,
                can_snooze: true,
            });
        }
        task.lifecycle = lifecycle;
        Ok(Self {
            task,
            loggers,
            probes,
            endpoints,
        })
    }
}

/// A task that asks for a file system of its own must not run in that of the machine.
fn check_container(job: &Value) -> Result<(), OrderDataError> {
    let Some(container) = job.get("container").and_then(Value::as_object) else {
        return Ok(());
    };
    let is_set = |name: &str| container.get(name).is_some_and(|it| !it.is_null());
    if is_set("docker") || is_set("image") {
        return Err(OrderDataError::Unsupported("container images"));
    }
    let volumes = container.get("volumes").and_then(Value::as_array);
    if volumes.is_some_and(|it| !it.is_empty()) {
        return Err(OrderDataError::Unsupported("volumes"));
    }
    Ok(())
}

/// The assigned ports, and over them what `announce.portmap` names, as far as it leads to a number.
fn resolve_ports(order: &Order, job: &Value) -> BTreeMap<String, u16> {
    let mut ports: BTreeMap<String, u16> = order.ports.iter().cloned().collect();
    let portmap = job.get("announce").and_then(|it| it.get("portmap"));
    let Some(aliases) = portmap.and_then(Value::as_object) else {
        return ports;
    };
    // Each round resolves at least one alias or is the last.
    for _ in 0..aliases.len() {
        for (name, target) in aliases {
            let number = match target {
                Value::String(text) => match text.parse() {
                    Ok(number) => Some(number),
                    Err(_) => ports.get(text).copied(),
                },
                other => other.as_u64().and_then(|n| u16::try_from(n).ok()),
            };
            if let Some(number) = number
                && !ports.contains_key(name)
            {
                ports.insert(name.clone(), number);
            }
        }
    }
    ports
}

fn values(order: &Order, ports: &BTreeMap<String, u16>) -> Values {
    let mut values: BTreeMap<String, String> = ports
        .iter()
        .map(|(name, number)| (format!("thermos.ports[{name}]"), number.to_string()))
        .collect();
    for (name, value) in [
        ("thermos.task_id", order.task.clone()),
        ("thermos.user", order.identity.user.clone()),
        ("mesos.instance", order.instance.to_string()),
        ("mesos.hostname", order.hostname.clone()),
        ("mesos.role", order.role.clone()),
    ] {
        values.insert(name.to_owned(), value);
    }
    Values(values)
}

fn read_task(task: &Field<'_>) -> Result<TaskDefinition, JsonError> {
    let processes = task
        .required("processes")?
        .items()?
        .iter()
        .map(read_process)
        .collect::<Result<Vec<_>, _>>()?;
    let mut orders = Vec::new();
    if let Some(constraints) = task.optional("constraints")? {
        for constraint in constraints.items()? {
            if let Some(order) = constraint.optional("order")? {
                let names = order.items()?;
                orders.push(names.iter().map(Field::text).collect::<Result<_, _>>()?);
            }
        }
    }
    Ok(TaskDefinition {
        processes,
        orders,
        max_failures: task.count_or("max_failures", 1)?,
        max_concurrency: task.count_or("max_concurrency", 0)? as usize,
        finalization_wait: task.seconds_or("finalization_wait", 30.0)?,
        kill_wait: Duration::ZERO,
        lifecycle: None,
        checks: Vec::new(),
    })
}

fn read_process(process: &Field<'_>) -> Result<ProcessDefinition, JsonError> {
    Ok(ProcessDefinition {
        name: process.required("name")?.text()?,
        cmdline: process.required("cmdline")?.text()?,
        max_failures: process.count_or("max_failures", 1)?,
        daemon: process.flag_or("daemon", false)?,
        ephemeral: process.flag_or("ephemeral", false)?,
        min_duration: process.seconds_or("min_duration", 5.0)?,
        is_final: process.flag_or("final", false)?,
    })
}

type Health = (Option<HealthProbe>, HealthPolicy, Duration);

fn read_health(config: &Field<'_>, ports: &BTreeMap<String, u16>) -> Result<Health, JsonError> {
    let interval = config.seconds_or("interval_secs", 10.0)?;
    let initial = config.seconds_or("initial_interval_secs", 15.0)?;
    let policy = HealthPolicy {
        // Without an interval checks would never pause.
        interval: interval.max(Duration::from_millis(10)),
        grace_checks: match interval.is_zero() {
            true => 0,
            false => initial.div_duration_f64(interval).ceil() as u32,
        },
        max_consecutive_failures: config.count_or("max_consecutive_failures", 0)?,
        min_consecutive_successes: config.count_or("min_consecutive_successes", 1)?.max(1),
    };
    let timeout = config.seconds_or("timeout_secs", 1.0)?;
    let checker = config.optional("health_checker")?;
    if let Some(shell) = checker
        .as_ref()
        .map(|it| it.optional("shell"))
        .transpose()?
        .flatten()
    {
        let command = shell.required("shell_command")?.text()?;
        return Ok((Some(HealthProbe::Shell(command)), policy, timeout));
    }
    let Some(port) = ports.get("health").copied() else {
        return Ok((None, policy, timeout));
    };
    let empty = Value::Null;
    let http = match checker
        .as_ref()
        .map(|it| it.optional("http"))
        .transpose()?
        .flatten()
    {
        Some(http) => http,
        None => Field::new("health_check_config.health_checker.http", &empty),
    };
    let probe = HttpProbe {
        port,
        path: http.text_or("endpoint", "/health")?,
        response: http
            .text_or("expected_response", "ok")?
            .trim()
            .to_lowercase(),
        code: u16::try_from(http.count_or("expected_response_code", 0)?).unwrap_or(u16::MAX),
    };
    Ok((Some(HealthProbe::Http(probe)), policy, timeout))
}

type Endpoints = (Option<ShutdownEndpoints>, Option<Lifecycle>);

fn read_lifecycle(
    lifecycle: &Field<'_>,
    ports: &BTreeMap<String, u16>,
) -> Result<Endpoints, JsonError> {
    let empty = Value::Null;
    let http = match lifecycle.optional("http")? {
        Some(http) => http,
        // A job without the field has the default, one with an empty field has none.
        None if lifecycle.is_absent() => Field::new("lifecycle.http", &empty),
        None => return Ok((None, None)),
    };
    let Some(port) = ports.get(&http.text_or("port", "health")?).copied() else {
        return Ok((None, None));
    };
    let endpoints = ShutdownEndpoints {
        port,
        quit: http.text_or("graceful_shutdown_endpoint", "/quitquitquit")?,
        abort: http.text_or("shutdown_endpoint", "/abortabortabort")?,
    };
    let waits = Lifecycle {
        graceful_wait: http.seconds_or("graceful_shutdown_wait_secs", 5.0)?,
        shutdown_wait: http.seconds_or("shutdown_wait_secs", 5.0)?,
    };
    Ok((Some(endpoints), Some(waits)))
}

#[cfg(test)]
mod tests {
    use super::super::logger::Destination;
    use super::super::order::tests::order;
    use super::*;

    const JOB: &str = r#"{
        "announce": {"portmap": {"aurora": "http", "health": "aurora"}, "primary_port": "http"},
        "health_check_config": {"initial_interval_secs": 15.0, "interval_secs": 10.0,
            "max_consecutive_failures": 2, "health_checker": {"http": {"endpoint": "/up"}}},
        "lifecycle": {"http": {"port": "http", "graceful_shutdown_wait_secs": 7}},
        "unknown": [1],
        "task": {"constraints": [{"order": ["fetch", "serve"]}], "finalization_wait": 3,
            "processes": [
                {"name": "fetch", "cmdline": "get {{mesos.instance}}"},
                {"name": "serve", "cmdline": "run {{thermos.ports[http]}}", "daemon": true,
                 "max_failures": 0, "min_duration": 1}]}}"#;

    #[test]
    fn a_job_reads_with_its_defaults_and_its_values() {
        let definition = Definition::parse(&order(JOB), Logger::default()).unwrap();
        let task = &definition.task;
        assert_eq!(task.orders, [["fetch", "serve"]]);
        assert_eq!(task.processes[0].cmdline, "get 3");
        assert_eq!(task.processes[0].max_failures, 1);
        assert_eq!(task.processes[0].min_duration, Duration::from_secs(5));
        assert_eq!(task.processes[1].cmdline, "run 31000");
        assert!(task.processes[1].daemon);
        assert_eq!(task.finalization_wait, Duration::from_secs(3));
        assert_eq!(task.checks[0].policy.grace_checks, 2);
        let Some(HealthProbe::Http(probe)) = definition.probes.first().map(|it| &it.probe) else {
            panic!("no http probe");
        };
        assert_eq!((probe.port, probe.path.as_str()), (31_000, "/up"));
        assert_eq!(
            task.lifecycle.unwrap().graceful_wait,
            Duration::from_secs(7)
        );
        assert_eq!(definition.endpoints.unwrap().abort, "/abortabortabort");
    }

    #[test]
    fn every_field_of_a_job_is_read() {
        let data = r#"{
            "health_check_config": {"initial_interval_secs": 21, "interval_secs": 7, "timeout_secs": 3,
                "max_consecutive_failures": 4, "min_consecutive_successes": 5,
                "health_checker": {"shell": {"shell_command": "ask"}}},
            "lifecycle": {"http": {"port": "http", "graceful_shutdown_endpoint": "/q",
                "shutdown_endpoint": "/a", "graceful_shutdown_wait_secs": 8, "shutdown_wait_secs": 9}},
            "task": {"max_failures": 6, "max_concurrency": 2, "finalization_wait": 11, "processes": [
                {"name": "a", "cmdline": "b", "max_failures": 12, "daemon": true, "ephemeral": true,
                 "min_duration": 13},
                {"name": "c", "cmdline": "d", "final": true}]}}"#;
        let mut order = order(data);
        order.kill_wait_ms = 14_000;
        let definition = Definition::parse(&order, Logger::default()).unwrap();
        let seconds = Duration::from_secs;
        let process = |name: &str, cmdline: &str| ProcessDefinition {
            name: name.to_owned(),
            cmdline: cmdline.to_owned(),
            max_failures: 1,
            daemon: false,
            ephemeral: false,
            min_duration: seconds(5),
            is_final: false,
        };
        let expected = TaskDefinition {
            processes: vec![
                ProcessDefinition {
                    max_failures: 12,
                    daemon: true,
                    ephemeral: true,
                    min_duration: seconds(13),
                    ..process("a", "b")
                },
                ProcessDefinition {
                    is_final: true,
                    ..process("c", "d")
                },
            ],
            orders: Vec::new(),
            max_failures: 6,
            max_concurrency: 2,
            finalization_wait: seconds(11),
            kill_wait: seconds(14),
            lifecycle: Some(Lifecycle {
                graceful_wait: seconds(8),
                shutdown_wait: seconds(9),
            }),
            checks: vec![StatusCheck {
                failure: "Failed health check! ",
                policy: HealthPolicy {
                    interval: seconds(7),
                    grace_checks: 3,
                    max_consecutive_failures: 4,
                    min_consecutive_successes: 5,
                },
            }],
        };
        assert_eq!(definition.task, expected);
        let probe = ProbeDefinition {
            probe: HealthProbe::Shell("ask".to_owned()),
            timeout: seconds(3),
            can_snooze: true,
        };
        assert_eq!(definition.probes, [probe]);
        let endpoints = ShutdownEndpoints {
            port: 31_000,
            quit: "/q".to_owned(),
            abort: "/a".to_owned(),
        };
        assert_eq!(definition.endpoints, Some(endpoints));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (data, text) in [
            ("", "not JSON"),
            ("{}", "task.processes: is missing"),
            (
                r#"{"container": {"image": "x"}}"#,
                "container images are not",
            ),
            (r#"{"container": {"volumes": [{}]}}"#, "volumes are not"),
            (
                r#"{"task": {"processes": 1}}"#,
                "task.processes: has to be a list",
            ),
            (
                r#"{"task": {"processes": [{"name": "a"}]}}"#,
                "task.processes[0].cmdline: is missing",
            ),
            (
                r#"{"task": {"processes": [{"name": "a", "cmdline": "{{thermos.ports[x]}}"}]}}"#,
                "thermos.ports[x]",
            ),
            (
                r#"{"task": {"processes": [{"name": "a", "cmdline": "b", "logger": {"mode": "x"}}]}}"#,
                "task.processes[0].logger.mode: has to be standard",
            ),
            (
                r#"{"task": {"processes": [{"name": "a", "cmdline": "b",
                    "logger": {"mode": "rotate", "rotate": {"log_size": 0}}}]}}"#,
                "task.processes[0].logger.rotate.log_size: has to be",
            ),
            (
                r#"{"task": {"max_failures": -1, "processes": []}}"#,
                "task.max_failures: has to be",
            ),
        ] {
            let error = Definition::parse(&order(data), Logger::default());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(text), "{data}: {error}");
        }
    }

    #[test]
    fn the_logger_of_a_process_counts_as_a_whole() {
        let data = r#"{"task": {"processes": [
            {"name": "a", "cmdline": "b"},
            {"name": "c", "cmdline": "d", "logger": {"mode": "rotate", "rotate": {"backups": 2}}}
        ]}}"#;
        let default = Logger {
            destination: Destination::Both,
            log_bytes: 7,
            ..Logger::default()
        };
        let definition = Definition::parse(&order(data), default).unwrap();
        let own = Logger {
            rotates: true,
            backups: 2,
            ..Logger::default()
        };
        assert_eq!(definition.loggers, [default, own]);
    }
}
