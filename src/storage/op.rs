//! Operations: every change of the tables, as data.

use super::answer::Answer;
use super::updates::UpdateOp;
use crate::base::clock::Timestamp;
use crate::model::{
    AgentId, CronJob, CronRun, HostAttributes, InstanceId, JobKey, MaintenanceRequest, NamedPorts,
    Quota, ScheduledTask, TaskConfig, TaskEvent, TaskId, UpdateKey,
};
use std::sync::Arc;
use thiserror::Error;

/// One change of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// New tasks of one description, all with the same first event.
    AddTasks {
        /// What they run.
        config: Arc<TaskConfig>,
        /// Instance and id of each.
        tasks: Vec<(InstanceId, TaskId)>,
        /// Their first event; its status is theirs.
        event: TaskEvent,
    },
    /// Gives a task to an agent.
    Assign {
        /// The task.
        task: TaskId,
        /// The agent.
        agent: AgentId,
        /// The agent's host.
        host: Arc<str>,
        /// The ports it gets.
        ports: NamedPorts,
        /// The event; its status becomes the task's.
        event: TaskEvent,
    },
    /// Drops answers given before a point in time.
    ForgetAnswers {
        /// That point.
        before: Timestamp,
    },
    /// Takes down a decision about a cron job's run, or what came of it.
    NoteCronRun {
        /// The job.
        job: JobKey,
        /// The run, which takes the place of the one of its number.
        run: CronRun,
        /// Where the job's cursor is after it. It does not go back.
        cursor: Timestamp,
    },
    /// Forgets a cron job.
    RemoveCronJob {
        /// Its key.
        job: JobKey,
    },
    /// Forgets a task.
    RemoveTask {
        /// The task.
        task: TaskId,
    },
    /// A task takes the place of one that ended: same description and instance.
    ReplaceTask {
        /// The one that ended.
        ancestor: TaskId,
        /// The new task's id.
        task: TaskId,
        /// Its first event; its status is the task's.
        event: TaskEvent,
    },
    /// Puts a whole task back, from a snapshot.
    RestoreTask(Arc<ScheduledTask>),
    /// Keeps an answer for repeats of its request.
    SetAnswer {
        /// The request's id.
        request: String,
        /// The answer.
        answer: Answer,
    },
    /// Stores a cron job.
    SetCronJob(Arc<CronJob>),
    /// Stores the id under which a Mesos master knows us.
    SetFrameworkId(String),
    /// Stores what is known of a machine.
    SetHost(Arc<HostAttributes>),
    /// Sets a role's quota.
    SetQuota {
        /// The role.
        role: String,
        /// Its quota.
        quota: Quota,
    },
    /// A task changes its state.
    SetStatus {
        /// The task.
        task: TaskId,
        /// The event; its status becomes the task's.
        event: TaskEvent,
        /// Whether this counts as a failure.
        failed: bool,
    },
    /// A scheduler leads, and says where it is.
    SetLeader(Leader),
    /// A machine is drained no more.
    RemoveMaintenance {
        /// The machine's name.
        host: String,
    },
    /// A machine is to be drained.
    SetMaintenance(Arc<MaintenanceRequest>),
    /// Changes job updates.
    Update(UpdateOp),
}

/// A scheduler that leads, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The round of the ballot it leads by.
    pub term: u64,
    /// Its `host:port` for clients.
    pub http: String,
    /// Its `host:port` for agents.
    pub agents: String,
}

/// An operation does not fit the tables: the log and the tables have come apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// There is no such cron job.
    #[error("cron job {0} does not exist")]
    UnknownCronJob(JobKey),
    /// A task of this id is there already.
    #[error("task {0} exists already")]
    TaskExists(TaskId),
    /// There is no such task.
    #[error("task {0} does not exist")]
    UnknownTask(TaskId),
    /// There is no such update.
    #[error("update {0} does not exist")]
    UnknownUpdate(UpdateKey),
    /// An update of this name is there already.
    #[error("update {0} exists already")]
    UpdateExists(UpdateKey),
}
