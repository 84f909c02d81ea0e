//! Calls to a scheduler: what is repeated, for how long, and what the user is told.
//!
//! A call that only reads may be repeated at will. A call that changes something carries a request id; a
//! scheduler that keeps these ids does the work once however often it is asked, and says so in its
//! replies. Against any other scheduler such a call is repeated only while it surely was not received.

use super::exit::{CommandError, Exit};
use super::world::World;
use crate::base::rng::Rng;
use crate::base::secret::hide;
use crate::thrift::api::{Response, ResponseCode, ResponseResult};
use crate::thrift::service::{Access, Request};
use std::time::Duration;
use thiserror::Error;

/// How long a call is tried, all in all.
const TRY_FOR: Duration = Duration::from_secs(600);
/// The pauses between tries; the last one repeats.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The scheduler surely did not take the call.
    #[error("{0}")]
    NotSent(String),
    /// Nobody knows what became of the call.
    #[error("{0}")]
    Broken(String),
    /// The scheduler does not accept who calls.
    #[error("{0}")]
    Denied(String),
    /// The reply is not one of a scheduler, or another try would end the same.
    #[error("{0}")]
    Refused(String),
}

/// A reply, and what the scheduler said of itself.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer.
    pub response: Response,
    /// Whether the scheduler keeps request ids.
    pub keeps_ids: bool,
}

/// Carries one call to a scheduler and its reply back.
pub trait Transport {
    /// Sends `request` once.
    ///
    /// # Errors
    ///
    /// No reply, with what is known of the call.
    fn exchange(&mut self, request: &Request, id: Option<&str>) -> Result<Reply, TransportError>;
}

/// Whether a call that broke off is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It only reads, or doing it twice is like doing it once.
    Always,
    /// Only towards a scheduler that keeps request ids.
    ById,
}

/// A scheduler to call.
pub struct Scheduler {
    transport: Box<dyn Transport>,
    uri: String,
    rng: Rng,
    keeps_ids: bool,
}

impl Scheduler {
    /// The scheduler at the other end of `transport`; `uri` is for messages.
    pub fn new(transport: Box<dyn Transport>, uri: String, rng: Rng) -> Self {
        Self {
            transport,
            uri: hide(&uri).into_owned(),
            rng,
            keeps_ids: false,
        }
    }

    /// Calls, again and again where `repeat` allows it, and gives the reply whatever its code.
    ///
    /// # Errors
    ///
    /// No reply: status 7 (broke off), 9 (took too long), 20 (no reply of a scheduler), 30 (denied).
    pub fn call(
        &mut self,
        world: &mut World<'_>,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Response, CommandError> {
        let id = (request.access() != Access::Open).then(|| self.rng.uuid());
        let start = world.time().now();
        let mut tries = 0;
        loop {
            world.debug(&format!("calling {} at {}", request.name(), self.uri));
            let trouble = match self.transport.exchange(request, id.as_deref()) {
                Ok(reply) => {
                    self.keeps_ids |= reply.keeps_ids;
                    if reply.response.response_code != Some(ResponseCode::ErrorTransient) {
                        return Ok(reply.response);
                    }
                    let said = details(&reply.response);
                    format!("The scheduler at {} is not ready: {said}", self.uri)
                }
                Err(error) => self.judge(request, repeat, error)?,
            };
            if world.time().now().since(start) >= TRY_FOR {
                return Err(CommandError::new(
                    Exit::Timeout,
                    format!(
                        "{trouble}; gave up after {} minutes",
                        TRY_FOR.as_secs() / 60
                    ),
                ));
            }
            if tries == 0 {
                let minutes = TRY_FOR.as_secs() / 60;
                world.warn(&format!(
                    "{trouble}; trying again for up to {minutes} minutes"
                ));
            } else {
                world.debug(&trouble);
            }
            world.time().sleep(PAUSES[tries.min(PAUSES.len() - 1)]);
            tries += 1;
        }
    }

    /// Says what to tell the user before another try, or that there will be none.
    fn judge(
        &self,
        request: &Request,
        repeat: Repeat,
        error: TransportError,
    ) -> Result<String, CommandError> {
        let (uri, method) = (&self.uri, request.name());
        match error {
            TransportError::NotSent(reason) => {
                Ok(format!("Cannot reach the scheduler at {uri}: {reason}"))
            }
            TransportError::Broken(reason)
                if repeat == Repeat::Always || (repeat == Repeat::ById && self.keeps_ids) =>
            {
                Ok(format!(
                    "Lost the connection to the scheduler at {uri}: {reason}"
                ))
            }
            TransportError::Broken(reason) => Err(CommandError::new(
                Exit::Network,
                format!("Lost the connection to the scheduler at {uri} during {method}: {reason}"),
            )),
            TransportError::Denied(reason) => Err(CommandError::new(
                Exit::Auth,
                format!("The scheduler at {uri} refused {method}: {reason}"),
            )),
            TransportError::Refused(reason) => Err(CommandError::new(
                Exit::Unknown,
                format!("No scheduler answers at {uri}: {reason}"),
            )),
        }
    }
}

/// All that the reply says in words.
pub fn details(response: &Response) -> String {
    let text = |d: &crate::thrift::api::ResponseDetail| {
        d.message
            .clone()
            .unwrap_or_else(|| "Unknown error".to_owned())
    };
    response
        .details
        .iter()
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Lets an OK pass, with its words logged; makes anything else an error under `heading`.
///
/// # Errors
///
/// The reply is not OK: status `exit`.
pub fn expect_ok(
    world: &mut World<'_>,
    response: Response,
    exit: Exit,
    heading: &str,
) -> Result<Option<ResponseResult>, CommandError> {
    let said = details(&response);
    match response.response_code {
        Some(ResponseCode::Ok) => {
            if !said.is_empty() {
                world.info(&format!("Response from scheduler: OK (message: {said})"));
            }
            Ok(response.result)
        }
        code => {
            let said = if said.is_empty() {
                "Unknown error"
            } else {
                &said
            };
            let mut message = format!("{heading}\n\t{said}");
            if code == Some(ResponseCode::JobUpdatingError) {
                message.push_str(
                    "\nThe job is being updated.\n\
                     Wait until the update ends, or end it by \"aurora update abort\".",
                );
            }
            Err(CommandError::new(exit, message))
        }
    }
}

/// The heading of an error where a command has none of its own.
pub const COMMAND_FAILURE: &str = "Command failure:";
