//! Answers to commands, kept for a while so that a repeated request gets the first answer again.

use crate::base::clock::Timestamp;
use crate::model::{PulseStatus, UpdateKey};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplyCode {
    /// Failed for a reason of our own.
    Error,
    /// The request cannot be done as it is.
    InvalidRequest,
    /// The job is being updated.
    JobUpdatingError,
    /// Done.
    Ok,
}

/// What an answer tells besides words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyResult {
    /// What became of a pulse.
    Pulse(PulseStatus),
    /// The update that was started, or that stands in the way.
    Update(UpdateKey),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub code: ReplyCode,
    /// What to say, one message each.
    pub messages: Vec<String>,
    /// What it tells besides.
    pub result: Option<ReplyResult>,
}

impl Reply {
    /// Success without a word.
    pub fn ok() -> Self {
        Self {
            code: ReplyCode::Ok,
            messages: Vec::new(),
            result: None,
        }
    }

    /// An answer with one message.
    pub fn with(code: ReplyCode, message: impl Into<String>) -> Self {
        Self {
            code,
            messages: vec![message.into()],
            result: None,
        }
    }

    /// The same answer with something besides.
    #[must_use]
    pub fn telling(self, result: ReplyResult) -> Self {
        Self {
            result: Some(result),
            ..self
        }
    }

    /// A refusal: the request cannot be done as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::with(ReplyCode::InvalidRequest, message)
    }
}

/// An answer that was given, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Timestamp,
    /// What was answered.
    pub reply: Reply,
}
