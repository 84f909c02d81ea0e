//! Frozen copies of records and ops.

use super::config::{JobKeyV1, ResourcesV1};
use super::cron::{CronJobV1, CronRunV1};
use super::maintenance::MaintenanceV1;
use super::pool::{PoolV1, Reader, Writer, impossible};
use super::update::{ReplyResultV1, UpdateOpV1};
use crate::base::clock::Timestamp;
use crate::model::{
    AgentId, Attribute, HostAttributes, MaintenanceMode, ScheduleStatus, ScheduledTask, TaskEvent,
    TaskId,
};
use crate::storage::answer::{Answer, Reply, ReplyCode};
use crate::storage::op::{Leader, Op};
use crate::storage::stored::{Chunk, Record, StoredError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::storage::stored) struct RecordV1<'a> {
    kind: KindV1,
    pool: PoolV1,
    #[serde(borrow)]
    ops: Vec<OpV1<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum KindV1 {
    Ops {
        term: u64,
        version: u64,
    },
    Snapshot {
        version: u64,
        attempt: u64,
        index: u32,
        last: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct EventV1 {
    at_ms: i64,
    status: u8,
    message: u32,
    scheduler: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct TaskV1<'a> {
    id: &'a str,
    config: u32,
    instance: u32,
    status: u8,
    failure_count: i32,
    times_partitioned: i32,
    #[serde(borrow)]
    ancestor: Option<&'a str>,
    agent: u32,
    host: u32,
    ports: Vec<(String, u16)>,
    events: Vec<EventV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HostV1 {
    host: String,
    agent: String,
    attributes: Vec<(String, Vec<String>)>,
    mode: u8,
}

#[derive(Debug, Serialize, Deserialize)]
enum OpV1<'a> {
    AddTasks {
        config: u32,
        #[serde(borrow)]
        tasks: Vec<(u32, &'a str)>,
        event: EventV1,
    },
    Assign {
        task: &'a str,
        agent: u32,
        host: u32,
        ports: Vec<(String, u16)>,
        event: EventV1,
    },
    ForgetAnswers {
        before_ms: i64,
    },
    RemoveCronJob {
        job: JobKeyV1,
    },
    RemoveTask {
        task: &'a str,
    },
    ReplaceTask {
        ancestor: &'a str,
        task: &'a str,
        event: EventV1,
    },
    #[serde(borrow)]
    RestoreTask(TaskV1<'a>),
    SetAnswer {
        request: String,
        at_ms: i64,
        code: u8,
        messages: Vec<String>,
        result: Option<ReplyResultV1>,
    },
    SetCronJob(CronJobV1),
    SetFrameworkId(String),
    SetHost(HostV1),
    SetQuota {
        role: String,
        quota: ResourcesV1,
    },
    SetStatus {
        task: &'a str,
        event: EventV1,
        failed: bool,
    },
    SetLeader {
        term: u64,
        http: String,
        agents: String,
    },
    RemoveMaintenance {
        host: String,
    },
    SetMaintenance(MaintenanceV1),
    Update(UpdateOpV1),
    NoteCronRun {
        job: JobKeyV1,
        run: CronRunV1,
        cursor_ms: i64,
    },
}

pub(in crate::storage::stored) fn encode(record: &Record) -> RecordV1<'_> {
    let (kind, ops) = match record {
        Record::Ops { term, version, ops } => {
            let (term, version) = (*term, *version);
            (KindV1::Ops { term, version }, ops)
        }
        Record::Snapshot(chunk) => (
            KindV1::Snapshot {
                version: chunk.version,
                attempt: chunk.attempt,
                index: chunk.index,
                last: chunk.last,
            },
            &chunk.ops,
        ),
    };
    let mut writer = Writer::default();
    let ops = ops.iter().map(|op| writer.op(op)).collect();
    RecordV1 {
        kind,
        pool: writer.pool,
        ops,
    }
}

pub(in crate::storage::stored) fn decode(record: RecordV1<'_>) -> Result<Record, StoredError> {
    let reader = Reader::new(record.pool)?;
    let ops: Result<Vec<Op>, _> = record.ops.into_iter().map(|op| reader.op(op)).collect();
    let ops = ops?;
    Ok(match record.kind {
        KindV1::Ops { term, version } => Record::Ops { term, version, ops },
        KindV1::Snapshot {
            version,
            attempt,
            index,
            last,
        } => Record::Snapshot(Chunk {
            version,
            attempt,
            index,
            last,
            ops,
        }),
    })
}

impl Writer {
    fn event(&mut self, event: &TaskEvent) -> EventV1 {
        EventV1 {
            at_ms: event.at.0,
            status: event.status as u8,
            message: self.optional(event.message.as_deref()),
            scheduler: self.optional(event.scheduler.as_deref()),
        }
    }

    fn task<'a>(&mut self, task: &'a ScheduledTask) -> TaskV1<'a> {
        TaskV1 {
            id: task.id.as_str(),
            config: self.config(&task.config),
            instance: task.instance,
            status: task.status as u8,
            failure_count: task.failure_count,
            times_partitioned: task.times_partitioned,
            ancestor: task.ancestor.as_ref().map(TaskId::as_str),
            agent: self.optional(task.agent.as_ref().map(AgentId::as_str)),
            host: self.optional(task.host.as_deref()),
            ports: task.ports.iter().map(|(n, p)| (n.clone(), *p)).collect(),
            events: task.events.iter().map(|e| self.event(e)).collect(),
        }
    }

    fn op<'a>(&mut self, op: &'a Op) -> OpV1<'a> {
        match op {
            Op::AddTasks {
                config,
                tasks,
                event,
            } => OpV1::AddTasks {
                config: self.config(config),
                tasks: tasks.iter().map(|(i, id)| (*i, id.as_str())).collect(),
                event: self.event(event),
            },
            Op::Assign {
                task,
                agent,
                host,
                ports,
                event,
            } => OpV1::Assign {
                task: task.as_str(),
                agent: self.text(agent.as_str()),
                host: self.text(host),
                ports: ports.iter().map(|(n, p)| (n.clone(), *p)).collect(),
                event: self.event(event),
            },
            Op::ForgetAnswers { before } => OpV1::ForgetAnswers {
                before_ms: before.0,
            },
            Op::NoteCronRun { job, run, cursor } => OpV1::NoteCronRun {
                job: JobKeyV1::of(job),
                run: CronRunV1::of(run),
                cursor_ms: cursor.0,
            },
            Op::RemoveCronJob { job } => OpV1::RemoveCronJob {
                job: JobKeyV1::of(job),
            },
            Op::RemoveTask { task } => OpV1::RemoveTask {
                task: task.as_str(),
            },
            Op::ReplaceTask {
                ancestor,
                task,
                event,
            } => OpV1::ReplaceTask {
                ancestor: ancestor.as_str(),
                task: task.as_str(),
                event: self.event(event),
            },
            Op::RestoreTask(task) => OpV1::RestoreTask(self.task(task)),
            Op::SetAnswer { request, answer } => OpV1::SetAnswer {
                request: request.clone(),
                at_ms: answer.at.0,
                code: code_number(answer.reply.code),
                messages: answer.reply.messages.clone(),
                result: answer.reply.result.as_ref().map(ReplyResultV1::of),
            },
            Op::SetCronJob(job) => OpV1::SetCronJob(CronJobV1::of(job, self)),
            Op::SetFrameworkId(id) => OpV1::SetFrameworkId(id.clone()),
            Op::SetHost(host) => OpV1::SetHost(host_v1(host)),
            Op::SetQuota { role, quota } => OpV1::SetQuota {
                role: role.clone(),
                quota: ResourcesV1::of(quota),
            },
            Op::SetStatus {
                task,
                event,
                failed,
            } => OpV1::SetStatus {
                task: task.as_str(),
                event: self.event(event),
                failed: *failed,
            },
            Op::SetLeader(leader) => OpV1::SetLeader {
                term: leader.term,
                http: leader.http.clone(),
                agents: leader.agents.clone(),
            },
            Op::RemoveMaintenance { host } => OpV1::RemoveMaintenance { host: host.clone() },
            Op::SetMaintenance(request) => OpV1::SetMaintenance(MaintenanceV1::of(request)),
            Op::Update(op) => OpV1::Update(self.update_op(op)),
        }
    }
}

impl Reader {
    fn event(&self, event: EventV1) -> Result<TaskEvent, StoredError> {
        Ok(TaskEvent {
            at: Timestamp(event.at_ms),
            status: status(event.status)?,
            message: self.optional(event.message)?.map(|m| m.to_string()),
            scheduler: self.optional(event.scheduler)?,
        })
    }

    fn task(&self, task: TaskV1<'_>) -> Result<ScheduledTask, StoredError> {
        let events: Result<_, _> = task.events.into_iter().map(|e| self.event(e)).collect();
        Ok(ScheduledTask {
            id: TaskId::new(task.id),
            config: self.config(task.config)?,
            instance: task.instance,
            status: status(task.status)?,
            failure_count: task.failure_count,
            times_partitioned: task.times_partitioned,
            ancestor: task.ancestor.map(TaskId::new),
            agent: self.optional(task.agent)?.map(AgentId::from),
            host: self.optional(task.host)?,
            ports: task.ports.into_iter().collect(),
            events: events?,
        })
    }

    fn op(&self, op: OpV1<'_>) -> Result<Op, StoredError> {
        Ok(match op {
            OpV1::AddTasks {
                config,
                tasks,
                event,
            } => Op::AddTasks {
                config: self.config(config)?,
                tasks: tasks.iter().map(|(i, id)| (*i, TaskId::new(id))).collect(),
                event: self.event(event)?,
            },
            OpV1::Assign {
                task,
                agent,
                host,
                ports,
                event,
            } => Op::Assign {
                task: TaskId::new(task),
                agent: AgentId::from(self.text(agent)?),
                host: self.text(host)?,
                ports: ports.into_iter().collect(),
                event: self.event(event)?,
            },
            OpV1::ForgetAnswers { before_ms } => Op::ForgetAnswers {
                before: Timestamp(before_ms),
            },
            OpV1::RemoveCronJob { job } => Op::RemoveCronJob {
                job: job.into_model()?,
            },
            OpV1::RemoveTask { task } => Op::RemoveTask {
                task: TaskId::new(task),
            },
            OpV1::ReplaceTask {
                ancestor,
                task,
                event,
            } => Op::ReplaceTask {
                ancestor: TaskId::new(ancestor),
                task: TaskId::new(task),
                event: self.event(event)?,
            },
            OpV1::RestoreTask(task) => Op::RestoreTask(Arc::new(self.task(task)?)),
            OpV1::SetAnswer {
                request,
                at_ms,
                code,
                messages,
                result,
            } => Op::SetAnswer {
                request,
                answer: Answer {
                    at: Timestamp(at_ms),
                    reply: Reply {
                        code: reply_code(code)?,
                        messages,
                        result: result.map(ReplyResultV1::into_model).transpose()?,
                    },
                },
            },
            OpV1::SetCronJob(job) => Op::SetCronJob(Arc::new(job.into_model(self)?)),
            OpV1::SetFrameworkId(id) => Op::SetFrameworkId(id),
            OpV1::SetHost(host) => Op::SetHost(Arc::new(host_model(host)?)),
            OpV1::SetQuota { role, quota } => Op::SetQuota {
                role,
                quota: quota.into_model(),
            },
            OpV1::SetStatus {
                task,
                event,
                failed,
            } => Op::SetStatus {
                task: TaskId::new(task),
                event: self.event(event)?,
                failed,
            },
            OpV1::SetLeader { term, http, agents } => Op::SetLeader(Leader { term, http, agents }),
            OpV1::RemoveMaintenance { host } => Op::RemoveMaintenance { host },
            OpV1::SetMaintenance(request) => Op::SetMaintenance(Arc::new(request.into_model())),
            OpV1::Update(op) => Op::Update(self.update_op(op)?),
            OpV1::NoteCronRun {
                job,
                run,
                cursor_ms,
            } => Op::NoteCronRun {
                job: job.into_model()?,
                run: run.into_model(),
                cursor: Timestamp(cursor_ms),
            },
        })
    }
}

fn status(number: u8) -> Result<ScheduleStatus, StoredError> {
    let status = ScheduleStatus::from_number(i32::from(number));
    status.ok_or_else(|| impossible("task state", number))
}

fn code_number(code: ReplyCode) -> u8 {
    match code {
        ReplyCode::Ok => 0,
        ReplyCode::InvalidRequest => 1,
        ReplyCode::JobUpdatingError => 2,
        ReplyCode::Error => 3,
    }
}

fn reply_code(number: u8) -> Result<ReplyCode, StoredError> {
    Ok(match number {
        0 => ReplyCode::Ok,
        1 => ReplyCode::InvalidRequest,
        2 => ReplyCode::JobUpdatingError,
        3 => ReplyCode::Error,
        other => return Err(impossible("reply code", other)),
    })
}

fn host_v1(host: &HostAttributes) -> HostV1 {
    let attribute = |a: &Attribute| (a.name.clone(), a.values.iter().cloned().collect());
    HostV1 {
        host: host.host.clone(),
        agent: host.agent.to_string(),
        attributes: host.attributes.iter().map(attribute).collect(),
        mode: match host.mode {
            MaintenanceMode::None => 0,
            MaintenanceMode::Scheduled => 1,
            MaintenanceMode::Draining => 2,
            MaintenanceMode::Drained => 3,
        },
    }
}

fn host_model(host: HostV1) -> Result<HostAttributes, StoredError> {
    let attribute = |(name, values): (String, Vec<String>)| Attribute {
        name,
        values: values.into_iter().collect(),
    };
    Ok(HostAttributes {
        host: host.host,
        agent: AgentId::new(&host.agent),
        attributes: host.attributes.into_iter().map(attribute).collect(),
        mode: match host.mode {
            0 => MaintenanceMode::None,
            1 => MaintenanceMode::Scheduled,
            2 => MaintenanceMode::Draining,
            3 => MaintenanceMode::Drained,
            other => return Err(impossible("maintenance mode", other)),
        },
    })
}
