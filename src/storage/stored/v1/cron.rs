//! Frozen copies of cron jobs and their runs.

use super::config::JobKeyV1;
use super::pool::{Reader, Writer, impossible};
use crate::base::clock::Timestamp;
use crate::model::{
    CronCollisionPolicy, CronJob, CronOutcome, CronRun, CronTrigger, JobConfiguration,
};
use crate::storage::stored::StoredError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CronJobV1 {
    key: JobKeyV1,
    owner: Option<String>,
    schedule: Option<String>,
    collision_policy: u8,
    config: u32,
    instances: u32,
    zone: String,
    version: u64,
    cursor_ms: i64,
    runs: Vec<CronRunV1>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CronRunV1 {
    number: u64,
    user: Option<String>,
    at_ms: i64,
    decided_ms: i64,
    outcome: OutcomeV1,
}

#[derive(Debug, Serialize, Deserialize)]
enum OutcomeV1 {
    Cancelled,
    Ended {
        started_ms: i64,
        ended_ms: i64,
        failed: u32,
    },
    Missed {
        first_ms: i64,
        count: u32,
    },
    Overtaken,
    Started {
        at_ms: i64,
        instances: u32,
    },
    Waiting,
    WouldOverlap,
}

impl CronJobV1 {
    pub(super) fn of(cron: &CronJob, writer: &mut Writer) -> Self {
        let job = &cron.job;
        Self {
            key: JobKeyV1::of(&job.key),
            owner: job.owner.clone(),
            schedule: job.cron_schedule.clone(),
            collision_policy: match job.cron_collision_policy {
                CronCollisionPolicy::KillExisting => 0,
                CronCollisionPolicy::CancelNew => 1,
                CronCollisionPolicy::RunOverlap => 2,
            },
            config: writer.config(&job.task),
            instances: job.instance_count,
            zone: cron.zone.to_string(),
            version: cron.version,
            cursor_ms: cron.cursor.0,
            runs: cron.runs.iter().map(CronRunV1::of).collect(),
        }
    }

    pub(super) fn into_model(self, reader: &Reader) -> Result<CronJob, StoredError> {
        let job = JobConfiguration {
            key: self.key.into_model()?,
            owner: self.owner,
            cron_schedule: self.schedule,
            cron_collision_policy: match self.collision_policy {
                0 => CronCollisionPolicy::KillExisting,
                1 => CronCollisionPolicy::CancelNew,
                2 => CronCollisionPolicy::RunOverlap,
                other => return Err(impossible("collision policy", other)),
            },
            task: reader.config(self.config)?,
            instance_count: self.instances,
        };
        Ok(CronJob {
            job: Arc::new(job),
            zone: self.zone.into(),
            version: self.version,
            cursor: Timestamp(self.cursor_ms),
            runs: self.runs.into_iter().map(CronRunV1::into_model).collect(),
        })
    }
}

impl CronRunV1 {
    pub(super) fn of(run: &CronRun) -> Self {
        Self {
            number: run.number,
            user: match &run.trigger {
                CronTrigger::Schedule => None,
                CronTrigger::User(user) => Some(user.clone()),
            },
            at_ms: run.at.0,
            decided_ms: run.decided.0,
            outcome: match run.outcome {
                CronOutcome::Cancelled => OutcomeV1::Cancelled,
                CronOutcome::Ended {
                    started,
                    ended,
                    failed,
                } => OutcomeV1::Ended {
                    started_ms: started.0,
                    ended_ms: ended.0,
                    failed,
                },
                CronOutcome::Missed { first, count } => OutcomeV1::Missed {
                    first_ms: first.0,
                    count,
                },
                CronOutcome::Overtaken => OutcomeV1::Overtaken,
                CronOutcome::Started { at, instances } => OutcomeV1::Started {
                    at_ms: at.0,
                    instances,
                },
                CronOutcome::Waiting => OutcomeV1::Waiting,
                CronOutcome::WouldOverlap => OutcomeV1::WouldOverlap,
            },
        }
    }

    pub(super) fn into_model(self) -> CronRun {
        CronRun {
            number: self.number,
            trigger: self.user.map_or(CronTrigger::Schedule, CronTrigger::User),
            at: Timestamp(self.at_ms),
            decided: Timestamp(self.decided_ms),
            outcome: match self.outcome {
                OutcomeV1::Cancelled => CronOutcome::Cancelled,
                OutcomeV1::Ended {
                    started_ms,
                    ended_ms,
                    failed,
                } => CronOutcome::Ended {
                    started: Timestamp(started_ms),
                    ended: Timestamp(ended_ms),
                    failed,
                },
                OutcomeV1::Missed { first_ms, count } => CronOutcome::Missed {
                    first: Timestamp(first_ms),
                    count,
                },
                OutcomeV1::Overtaken => CronOutcome::Overtaken,
                OutcomeV1::Started { at_ms, instances } => CronOutcome::Started {
                    at: Timestamp(at_ms),
                    instances,
                },
                OutcomeV1::Waiting => CronOutcome::Waiting,
                OutcomeV1::WouldOverlap => CronOutcome::WouldOverlap,
            },
        }
    }
}
