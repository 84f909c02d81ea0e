//! Between what is on the wire and what the program works with; the way in checks everything.

use super::{
    AgentMessage, Hello, Order, ProtoError, REPORTS_PER_MESSAGE, SchedulerMessage,
    TASKS_PER_RECONCILE, TEXT_BYTES_MAX, v1,
};
use crate::base::clock::Timestamp;
use crate::model::{
    AgentId, AgentSession, Attribute, ExecutorSetup, FetcherUri, JobKey, LaunchOrder, MilliCpus,
    PortRange, Ports, Resources, TaskId, TaskReport, TaskState,
};
use std::collections::BTreeSet;

/// Longest name of a task, an agent, a host, an attribute or a value of one.
const NAME_BYTES_MAX: usize = 1_024;

/// How many attributes a machine may have, values of one attribute, and ranges of ports.
const ITEMS_MAX: usize = 1_000;

fn check(good: bool, what: &'static str) -> Result<(), ProtoError> {
    if good {
        Ok(())
    } else {
        Err(ProtoError::Invalid { what })
    }
}

fn check_name(text: &str, what: &'static str) -> Result<(), ProtoError> {
    let good = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    check(good, what)
}

fn task_id(text: &str) -> Result<TaskId, ProtoError> {
    check_name(text, "task id")?;
    Ok(TaskId::new(text))
}

/// The beginning of `text` that may be sent.
fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl From<&AgentMessage> for v1::AgentMessage {
    fn from(message: &AgentMessage) -> Self {
        match message {
            AgentMessage::Heartbeat => Self::Heartbeat,
            AgentMessage::Hello(hello) => Self::Hello(hello.into()),
            AgentMessage::Report(report) => Self::Report(report.into()),
            AgentMessage::Tasks { last, reports } => Self::Tasks {
                last: *last,
                reports: reports.iter().map(Into::into).collect(),
            },
        }
    }
}

impl TryFrom<v1::AgentMessage> for AgentMessage {
    type Error = ProtoError;
    fn try_from(message: v1::AgentMessage) -> Result<Self, ProtoError> {
        Ok(match message {
            v1::AgentMessage::Heartbeat => Self::Heartbeat,
            v1::AgentMessage::Hello(hello) => Self::Hello(hello.try_into()?),
            v1::AgentMessage::Report(report) => Self::Report(report.try_into()?),
            v1::AgentMessage::Tasks { last, reports } => {
                check(reports.len() <= REPORTS_PER_MESSAGE, "number of reports")?;
                let reports: Result<_, _> = reports.into_iter().map(TryInto::try_into).collect();
                Self::Tasks {
                    last,
                    reports: reports?,
                }
            }
        })
    }
}

impl From<&Hello> for v1::Hello {
    fn from(hello: &Hello) -> Self {
        let range = |r: &PortRange| v1::PortRange {
            first: r.first,
            last: r.last,
        };
        let attribute = |a: &Attribute| v1::Attribute {
            name: a.name.clone(),
            values: a.values.iter().cloned().collect(),
        };
        Self {
            version: hello.version,
            agent: hello.agent.as_str().to_owned(),
            session: hello.session.0,
            place: hello.place.clone(),
            host: hello.host.clone(),
            total: hello.total.into(),
            ports: hello.ports.0.iter().map(range).collect(),
            attributes: hello.attributes.iter().map(attribute).collect(),
            highest_ballot: hello.highest_ballot,
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = ProtoError;
    fn try_from(hello: v1::Hello) -> Result<Self, ProtoError> {
        check_name(&hello.agent, "agent id")?;
        check_name(&hello.host, "host name")?;
        check_name(&hello.place, "place")?;
        let ports = ports(&hello.ports)?;
        let total = Resources {
            ports: ports.count(),
            ..hello.total.try_into()?
        };
        check(hello.attributes.len() <= ITEMS_MAX, "number of attributes")?;
        let attributes: Result<_, _> = hello.attributes.into_iter().map(attribute).collect();
        Ok(Self {
            version: hello.version,
            agent: AgentId::new(&hello.agent),
            session: AgentSession(hello.session),
            place: hello.place,
            host: hello.host,
            total,
            ports,
            attributes: attributes?,
            highest_ballot: hello.highest_ballot,
        })
    }
}

/// Ranges in rising order that do not touch upside down or overlap.
fn ports(ranges: &[v1::PortRange]) -> Result<Ports, ProtoError> {
    check(ranges.len() <= ITEMS_MAX, "number of port ranges")?;
    let rising = ranges.is_sorted_by(|a, b| a.last < b.first);
    let upright = ranges.iter().all(|r| r.first <= r.last);
    check(rising && upright, "port range")?;
    let range = |r: &v1::PortRange| PortRange {
        first: r.first,
        last: r.last,
    };
    Ok(Ports(ranges.iter().map(range).collect()))
}

fn attribute(attribute: v1::Attribute) -> Result<Attribute, ProtoError> {
    check_name(&attribute.name, "attribute")?;
    let count = attribute.values.len();
    check(
        (1..=ITEMS_MAX).contains(&count),
        "number of values of an attribute",
    )?;
    for value in &attribute.values {
        check_name(value, "value of an attribute")?;
    }
    Ok(Attribute {
        name: attribute.name,
        values: BTreeSet::from_iter(attribute.values),
    })
}

impl From<Resources> for v1::Resources {
    fn from(resources: Resources) -> Self {
        Self {
            milli_cpus: resources.cpus.0,
            ram_mb: resources.ram_mb,
            disk_mb: resources.disk_mb,
            ports: resources.ports,
            gpus: resources.gpus,
        }
    }
}

impl TryFrom<v1::Resources> for Resources {
    type Error = ProtoError;
    fn try_from(resources: v1::Resources) -> Result<Self, ProtoError> {
        let amounts = [
            resources.milli_cpus,
            resources.ram_mb,
            resources.disk_mb,
            resources.gpus,
        ];
        check(amounts.iter().all(|a| *a >= 0), "amount of a resource")?;
        Ok(Self {
            cpus: MilliCpus(resources.milli_cpus),
            ram_mb: resources.ram_mb,
            disk_mb: resources.disk_mb,
            ports: resources.ports,
            gpus: resources.gpus,
        })
    }
}

impl From<&TaskReport> for v1::Report {
    fn from(report: &TaskReport) -> Self {
        Self {
            task: report.task.as_str().to_owned(),
            sequence: report.sequence,
            state: match report.state {
                TaskState::Starting => v1::State::Starting,
                TaskState::Running => v1::State::Running,
                TaskState::Finished => v1::State::Finished,
                TaskState::Failed => v1::State::Failed,
                TaskState::Killed => v1::State::Killed,
                TaskState::Lost => v1::State::Lost,
            },
            message: report.message.as_deref().map(cut),
            at_ms: report.at.as_ms(),
        }
    }
}

impl TryFrom<v1::Report> for TaskReport {
    type Error = ProtoError;
    fn try_from(report: v1::Report) -> Result<Self, ProtoError> {
        let length = report.message.as_ref().map_or(0, String::len);
        check(length <= TEXT_BYTES_MAX, "length of a report's message")?;
        Ok(Self {
            task: task_id(&report.task)?,
            sequence: report.sequence,
            state: match report.state {
                v1::State::Starting => TaskState::Starting,
                v1::State::Running => TaskState::Running,
                v1::State::Finished => TaskState::Finished,
                v1::State::Failed => TaskState::Failed,
                v1::State::Killed => TaskState::Killed,
                v1::State::Lost => TaskState::Lost,
            },
            message: report.message,
            at: Timestamp(report.at_ms),
        })
    }
}

impl From<&SchedulerMessage> for v1::SchedulerMessage {
    fn from(message: &SchedulerMessage) -> Self {
        match message {
            SchedulerMessage::Heartbeat => Self::Heartbeat,
            SchedulerMessage::Order { ballot, order } => order_to_wire(*ballot, order),
            SchedulerMessage::Refuse { leader, reason } => Self::Refuse {
                leader: leader.clone(),
                reason: cut(reason),
            },
            SchedulerMessage::Welcome { ballot } => Self::Welcome { ballot: *ballot },
        }
    }
}

fn order_to_wire(ballot: u64, order: &Order) -> v1::SchedulerMessage {
    match order {
        Order::Acknowledge { sequence, task } => v1::SchedulerMessage::Acknowledge {
            ballot,
            task: task.as_str().to_owned(),
            sequence: *sequence,
        },
        Order::Kill { task } => v1::SchedulerMessage::Kill {
            ballot,
            task: task.as_str().to_owned(),
        },
        Order::Launch { order, session } => v1::SchedulerMessage::Launch {
            ballot,
            session: session.0,
            order: Box::new(order.as_ref().into()),
        },
        Order::Reconcile { tasks } => v1::SchedulerMessage::Reconcile {
            ballot,
            tasks: tasks.iter().map(|t| t.as_str().to_owned()).collect(),
        },
    }
}

impl TryFrom<v1::SchedulerMessage> for SchedulerMessage {
    type Error = ProtoError;
    fn try_from(message: v1::SchedulerMessage) -> Result<Self, ProtoError> {
        let (ballot, order) = match message {
            v1::SchedulerMessage::Heartbeat => return Ok(Self::Heartbeat),
            v1::SchedulerMessage::Welcome { ballot } => return Ok(Self::Welcome { ballot }),
            v1::SchedulerMessage::Refuse { leader, reason } => {
                leader
                    .as_deref()
                    .map_or(Ok(()), |l| check_name(l, "leader"))?;
                check(reason.len() <= TEXT_BYTES_MAX, "length of a reason")?;
                return Ok(Self::Refuse { leader, reason });
            }
            v1::SchedulerMessage::Acknowledge {
                ballot,
                task,
                sequence,
            } => {
                let task = task_id(&task)?;
                (ballot, Order::Acknowledge { sequence, task })
            }
            v1::SchedulerMessage::Kill { ballot, task } => {
                let task = task_id(&task)?;
                (ballot, Order::Kill { task })
            }
            v1::SchedulerMessage::Launch {
                ballot,
                session,
                order,
            } => {
                let order = Box::new((*order).try_into()?);
                let session = AgentSession(session);
                (ballot, Order::Launch { order, session })
            }
            v1::SchedulerMessage::Reconcile { ballot, tasks } => {
                check(tasks.len() <= TASKS_PER_RECONCILE, "number of tasks")?;
                let tasks: Result<_, _> = tasks.iter().map(|t| task_id(t)).collect();
                (ballot, Order::Reconcile { tasks: tasks? })
            }
        };
        Ok(Self::Order { ballot, order })
    }
}

impl From<&LaunchOrder> for v1::LaunchOrder {
    fn from(order: &LaunchOrder) -> Self {
        Self {
            task: order.task.as_str().to_owned(),
            role: order.job.role().to_owned(),
            environment: order.job.environment().to_owned(),
            job: order.job.name().to_owned(),
            instance: order.instance,
            executor: order.executor.clone(),
            data: order.data.clone(),
            resources: order.resources.into(),
            ports: order.ports.clone(),
            metadata: order.metadata.clone(),
            executor_flags: order.setup.flags.clone(),
            executor_path: order.setup.path.clone(),
            executor_resources: order.setup.resources.clone(),
            uris: order.uris.iter().map(Into::into).collect(),
        }
    }
}

impl From<&FetcherUri> for v1::FetcherUri {
    fn from(uri: &FetcherUri) -> Self {
        Self {
            value: uri.value.clone(),
            extract: uri.extract,
            cache: uri.cache,
            output_file: uri.output_file.clone(),
        }
    }
}

impl From<v1::FetcherUri> for FetcherUri {
    fn from(uri: v1::FetcherUri) -> Self {
        Self {
            value: uri.value,
            extract: uri.extract,
            cache: uri.cache,
            output_file: uri.output_file,
        }
    }
}

impl TryFrom<v1::LaunchOrder> for LaunchOrder {
    type Error = ProtoError;
    fn try_from(order: v1::LaunchOrder) -> Result<Self, ProtoError> {
        let job = JobKey::new(&order.role, &order.environment, &order.job);
        check(order.uris.len() <= ITEMS_MAX, "number of URIs")?;
        let resources = order.executor_resources.len();
        check(resources <= ITEMS_MAX, "number of executor resources")?;
        Ok(Self {
            task: task_id(&order.task)?,
            job: job.map_err(|_| ProtoError::Invalid { what: "job key" })?,
            instance: order.instance,
            executor: order.executor,
            data: order.data,
            resources: order.resources.try_into()?,
            ports: order.ports,
            metadata: order.metadata,
            setup: ExecutorSetup {
                flags: order.executor_flags,
                path: order.executor_path,
                resources: order.executor_resources,
            },
            uris: order.uris.into_iter().map(Into::into).collect(),
        })
    }
}
