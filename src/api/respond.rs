//! Answers in the form that every method gives them.

use crate::domain::validate::Invalid;
use crate::model;
use crate::scheduler::NotReady;
use crate::storage::{Reply, ReplyCode};
use crate::thrift::api::{
    JobKey, JobUpdateKey, Response, ResponseCode, ResponseDetail, ResponseResult,
};
use crate::thrift::convert::{self, ConvertError};

/// A response that says why not.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Box<Response>);

/// What was asked for, or why not.
pub(super) type Answer = Result<Response, Refusal>;

/// A response with these messages and no payload.
pub(super) fn with(code: ResponseCode, messages: impl IntoIterator<Item = String>) -> Response {
    let detail = |message| ResponseDetail {
        message: Some(message),
    };
    Response {
        response_code: Some(code),
        details: messages.into_iter().map(detail).collect(),
        ..Response::default()
    }
}

/// Success with a payload.
pub(super) fn found(result: ResponseResult) -> Response {
    Response {
        result: Some(result),
        ..with(ResponseCode::Ok, [])
    }
}

fn refuse(code: ResponseCode, messages: impl IntoIterator<Item = String>) -> Refusal {
    Refusal(Box::new(with(code, messages)))
}

/// The request cannot be done as it is.
pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    refuse(ResponseCode::InvalidRequest, [message.into()])
}

/// The request makes no sense, or something of ours failed.
pub(super) fn error(message: impl Into<String>) -> Refusal {
    refuse(ResponseCode::Error, [message.into()])
}

/// Nothing was done, and the same request may succeed later.
pub(super) fn transient(message: impl Into<String>) -> Refusal {
    refuse(ResponseCode::ErrorTransient, [message.into()])
}

/// The job that an argument of its own names.
///
/// COMPAT: a key that is none is an error of the call here, as upstream has it, and an invalid request only
/// within the description of a job (`keys_that_are_none_are_errors_but_within_descriptions`).
pub(super) fn asserted_key(key: Option<&JobKey>) -> Result<model::JobKey, Refusal> {
    convert::job_key(key).map_err(|none| error(none.to_string()))
}

/// The update that an argument of its own names; see [`asserted_key`].
pub(super) fn asserted_update(key: Option<&JobUpdateKey>) -> Result<model::UpdateKey, Refusal> {
    convert::update_key(key).map_err(|none| error(none.to_string()))
}

/// A method that the interface has and this version does not.
pub(super) fn unsupported(method: &str) -> Refusal {
    error(format!(
        "{method} is not supported yet by this version of aurora"
    ))
}

/// The answer to a command.
pub(super) fn replied(reply: Reply) -> Response {
    let code = match reply.code {
        ReplyCode::Error => ResponseCode::Error,
        ReplyCode::InvalidRequest => ResponseCode::InvalidRequest,
        ReplyCode::JobUpdatingError => ResponseCode::JobUpdatingError,
        ReplyCode::Ok => ResponseCode::Ok,
    };
    with(code, reply.messages)
}

impl From<NotReady> for Refusal {
    fn from(not_ready: NotReady) -> Self {
        transient(not_ready.to_string())
    }
}

impl From<ConvertError> for Refusal {
    fn from(error: ConvertError) -> Self {
        invalid(error.to_string())
    }
}

impl From<Invalid> for Refusal {
    fn from(Invalid(message): Invalid) -> Self {
        invalid(message)
    }
}
