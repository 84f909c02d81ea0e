//! Methods that concern cron jobs.

use super::change::refused;
use super::{Api, Outcome, UNSECURE, respond, validate};
use crate::scheduler::Command;
use crate::thrift::api;

impl Api {
    /// `scheduleCronJob`, and `replaceCronTemplate` if `replace`.
    pub(super) async fn schedule_cron_job(
        &self,
        request_id: Option<&str>,
        description: Option<&api::JobConfiguration>,
        replace: bool,
    ) -> Outcome {
        let Some(description) = description else {
            return refused(respond::error("description is not set"));
        };
        if let Err(refusal) = respond::asserted_key(description.key.as_ref()) {
            return refused(refusal);
        }
        let job = match validate::job(&self.config.rules, description) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        let user = UNSECURE.to_owned();
        let command = Command::ScheduleCronJob { job, replace, user };
        self.submit(request_id, command).await
    }

    pub(super) async fn deschedule_cron_job(
        &self,
        request_id: Option<&str>,
        job: Option<&api::JobKey>,
    ) -> Outcome {
        let job = match respond::asserted_key(job) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        let user = UNSECURE.to_owned();
        self.submit(request_id, Command::DescheduleCronJob { job, user })
            .await
    }

    pub(super) async fn start_cron_job(
        &self,
        request_id: Option<&str>,
        job: Option<&api::JobKey>,
    ) -> Outcome {
        let job = match respond::asserted_key(job) {
            Ok(job) => job,
            Err(invalid) => return refused(invalid),
        };
        let user = UNSECURE.to_owned();
        self.submit(request_id, Command::StartCronJob { job, user })
            .await
    }
}
