//! Methods that change something: each becomes one command.

use super::respond::{self, Refusal};
use super::{Api, Outcome, UNSECURE, update_changes, validate};
use crate::scheduler::{Command, SubmitError};
use crate::thrift::convert;
use crate::thrift::service::{AddInstances, CreateJob, KillTasks, RestartShards};

pub(super) fn refused(refusal: impl Into<Refusal>) -> Outcome {
    let Refusal(response) = refusal.into();
    Outcome::Answer(response)
}

impl Api {
    pub(super) async fn submit(&self, request_id: Option<&str>, command: Command) -> Outcome {
        let request = request_id.map(str::to_owned);
        match self.scheduler.submit(request, command).await {
            Ok(reply) => Outcome::Answer(Box::new(respond::replied(reply))),
            Err(error @ (SubmitError::Busy | SubmitError::NotReady)) => {
                refused(respond::transient(error.to_string()))
            }
            Err(SubmitError::Unknown) => Outcome::Unknown,
        }
    }

    pub(super) async fn create_job(&self, request_id: Option<&str>, args: CreateJob) -> Outcome {
        let Some(description) = &args.description else {
            return refused(respond::error("description is not set"));
        };
        let job = match validate::job(&self.config.rules, description) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        if job.cron_schedule.is_some() {
            return refused(respond::invalid(
                "Cron jobs may only be created/updated by calling scheduleCronJob.",
            ));
        }
        let user = UNSECURE.to_owned();
        self.submit(request_id, Command::CreateJob { job, user })
            .await
    }

    pub(super) async fn add_instances(
        &self,
        request_id: Option<&str>,
        args: AddInstances,
    ) -> Outcome {
        let Some(key) = &args.key else {
            return refused(respond::error("key is not set"));
        };
        let job = match respond::asserted_key(key.job_key.as_ref()) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        if args.count <= 0 {
            return refused(respond::invalid("Instance count must be positive."));
        }
        let command = Command::AddInstances {
            job,
            instance: key.instance_id.cast_unsigned(),
            count: args.count,
            user: UNSECURE.to_owned(),
        };
        self.submit(request_id, command).await
    }

    pub(super) async fn kill_tasks(&self, request_id: Option<&str>, args: KillTasks) -> Outcome {
        let job = match respond::asserted_key(args.job.as_ref()) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        let message = match update_changes::message(args.message) {
            Ok(message) => message,
            Err(refusal) => return refused(refusal),
        };
        let command = Command::KillTasks {
            job,
            instances: convert::instance_ids(&args.instances),
            message,
            user: UNSECURE.to_owned(),
        };
        self.submit(request_id, command).await
    }

    pub(super) async fn restart_shards(
        &self,
        request_id: Option<&str>,
        args: RestartShards,
    ) -> Outcome {
        let job = match respond::asserted_key(args.job.as_ref()) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        if args.shard_ids.is_empty() {
            return refused(respond::error("shardIds must not be empty"));
        }
        let command = Command::RestartShards {
            job,
            shards: convert::instance_ids(&args.shard_ids),
            user: UNSECURE.to_owned(),
        };
        self.submit(request_id, command).await
    }
}
