//! Methods that start and change job updates.

use super::respond::{self, Refusal};
use super::{Api, Outcome, UNSECURE, validate};
use crate::domain::update::{check_metadata, check_settings};
use crate::model::{self, UpdateKey};
use crate::scheduler::update::{UpdateChange, UpdateCommand, UpdateRequest};
use crate::scheduler::{Command, SubmitError};
use crate::storage::{Reply, ReplyResult};
use crate::thrift::api::*;
use crate::thrift::convert;
use crate::thrift::service::{PulseJobUpdate, StartJobUpdate};
use std::sync::Arc;

/// The longest message that goes with a change of an update, in characters.
const MAX_MESSAGE: usize = 1_024;

impl Api {
    pub(super) async fn start_job_update(
        &self,
        request_id: Option<&str>,
        args: StartJobUpdate,
    ) -> Outcome {
        let planned = message(args.message)
            .and_then(|message| Ok((self.update_request(args.request.as_ref(), true)?, message)));
        let (request, message) = match planned {
            Ok(planned) => planned,
            Err(refusal) => return Outcome::Answer(refusal.0),
        };
        let command = UpdateCommand::Start {
            request: Box::new(request),
            message,
            user: UNSECURE.to_owned(),
        };
        self.submit_update(request_id, command).await
    }

    pub(super) async fn change_job_update(
        &self,
        request_id: Option<&str>,
        change: UpdateChange,
        key: Option<JobUpdateKey>,
        text: Option<String>,
    ) -> Outcome {
        let meant =
            message(text).and_then(|text| Ok((respond::asserted_update(key.as_ref())?, text)));
        let (key, message) = match meant {
            Ok(meant) => meant,
            Err(refusal) => return Outcome::Answer(refusal.0),
        };
        let command = UpdateCommand::Change {
            key,
            change,
            message,
            user: UNSECURE.to_owned(),
        };
        self.submit_update(request_id, command).await
    }

    pub(super) async fn pulse_job_update(
        &self,
        request_id: Option<&str>,
        args: PulseJobUpdate,
    ) -> Outcome {
        match respond::asserted_update(args.key.as_ref()) {
            Ok(key) => {
                self.submit_update(request_id, UpdateCommand::Pulse { key })
                    .await
            }
            Err(Refusal(response)) => Outcome::Answer(response),
        }
    }

    /// A request that can be carried out as far as it says itself; unless `strict`, its settings need
    /// not be good.
    ///
    /// # Errors
    ///
    /// The sentence for the client.
    pub(super) fn update_request(
        &self,
        request: Option<&JobUpdateRequest>,
        strict: bool,
    ) -> Result<UpdateRequest, Refusal> {
        let request = request.ok_or_else(|| respond::error("request is not set"))?;
        let config = request.task_config.as_ref();
        let config = config.ok_or_else(|| respond::error("taskConfig is not set"))?;
        let settings = request.settings.clone().unwrap_or_default();
        let settings = convert::update_settings(&settings)?;
        let count = u32::try_from(request.instance_count).unwrap_or(0);
        if strict {
            let plain = convert::task_config(config)?;
            let limit = self.config.rules.max_update_failures;
            check_settings(&settings, &plain, count, limit)?;
        }
        let metadata = convert::metadata(&request.metadata);
        check_metadata(&metadata)?;
        let config = validate::task(&self.config.rules, config, count)?;
        Ok(UpdateRequest {
            config: Arc::new(config),
            instance_count: count,
            settings,
            metadata,
        })
    }

    async fn submit_update(&self, request_id: Option<&str>, command: UpdateCommand) -> Outcome {
        let request = request_id.map(str::to_owned);
        let done = self.scheduler.submit(request, Command::Update(command));
        match done.await {
            Ok(reply) => Outcome::Answer(Box::new(self.told(reply))),
            Err(error @ (SubmitError::Busy | SubmitError::NotReady)) => {
                Outcome::Answer(respond::transient(error.to_string()).0)
            }
            Err(SubmitError::Unknown) => Outcome::Unknown,
        }
    }

    /// A reply with what it tells besides words.
    fn told(&self, reply: Reply) -> Response {
        let result = reply.result.as_ref().map(|result| match result {
            ReplyResult::Pulse(status) => {
                ResponseResult::PulseJobUpdateResult(PulseJobUpdateResult {
                    status: Some(match status {
                        model::PulseStatus::Ok => JobUpdatePulseStatus::Ok,
                        model::PulseStatus::Finished => JobUpdatePulseStatus::Finished,
                    }),
                })
            }
            ReplyResult::Update(key) => ResponseResult::StartJobUpdateResult(self.started(key)),
        });
        Response {
            result,
            ..respond::replied(reply)
        }
    }

    fn started(&self, key: &UpdateKey) -> StartJobUpdateResult {
        // The reply came after these tables, or later ones, were published.
        let tables = self.scheduler.tables();
        let record = tables.updates().get(key);
        let summary = record.map(|record| convert::update_summary_to_wire(record.update()));
        StartJobUpdateResult {
            key: Some(convert::update_key_to_wire(key)),
            update_summary: summary,
        }
    }
}

pub(super) fn message(text: Option<String>) -> Result<Option<String>, Refusal> {
    let text = text.filter(|text| !text.is_empty());
    match text.as_ref().map_or(0, |text| text.chars().count()) {
        0..=MAX_MESSAGE => Ok(text),
        _ => Err(respond::error(format!(
            "A message may have at most {MAX_MESSAGE} characters."
        ))),
    }
}
