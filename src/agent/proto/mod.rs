//! What agents and schedulers say to each other.
//!
//! The agent dials, on the peers' port, with the agents' key. It says [`AgentMessage::Hello`]; the
//! scheduler answers [`SchedulerMessage::Welcome`] with the leader's ballot, or
//! [`SchedulerMessage::Refuse`] and closes. Then the agent sends all its tasks as
//! [`AgentMessage::Tasks`], after which both sides may say anything else at any time. Both send
//! heartbeats when they have nothing to say.
//!
//! Every order carries the leader's ballot. An agent that has stored a higher one refuses it, so that a
//! leader that was deposed without noticing cannot start or kill anything.
//!
//! On the wire each message is one frame holding a postcard `Envelope::V1` of the frozen types in `v1`.
//! What comes is checked before it becomes a value: names, lengths, amounts, ranges.

mod convert;
mod v1;

use crate::model::{
    AgentId, AgentSession, Attribute, LaunchOrder, Ports, Resources, TaskId, TaskReport,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The version of the protocol that this program speaks.
pub const VERSION: u32 = 1;

/// Largest message in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// How many reports go into one [`AgentMessage::Tasks`] at most.
pub const REPORTS_PER_MESSAGE: usize = 1_000;

/// How many tasks go into one [`Order::Reconcile`] at most.
pub const TASKS_PER_RECONCILE: usize = 2_000;

/// How many bytes of a report's message or of a refusal's reason are sent at most.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// The sequence of a report that says that a task is not known: nothing of it can follow.
pub const UNKNOWN_TASK_SEQUENCE: u64 = u64::MAX;

/// What an agent is: its first words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version it speaks.
    pub version: u32,
    /// Its name.
    pub agent: AgentId,
    /// Its present run.
    pub session: AgentSession,
    /// Tells copies of one work directory apart: the boot of the machine and the directory's inode.
    pub place: String,
    /// The machine's name.
    pub host: String,
    /// All that the machine gives to tasks.
    pub total: Resources,
    /// The ports it gives out.
    pub ports: Ports,
    /// Its properties.
    pub attributes: Vec<Attribute>,
    /// The highest ballot it has stored: it obeys nobody below.
    pub highest_ballot: u64,
}

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentMessage {
    /// I am still here.
    Heartbeat,
    /// The first words.
    Hello(Hello),
    /// News of a task.
    Report(TaskReport),
    /// The latest report of each task, in one or several messages, right after the welcome.
    Tasks {
        /// Whether these are the last ones.
        last: bool,
        /// The reports.
        reports: Vec<TaskReport>,
    },
}

/// What a scheduler says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchedulerMessage {
    /// I am still here.
    Heartbeat,
    /// Something to do.
    Order {
        /// The leader's ballot.
        ballot: u64,
        /// What to do.
        order: Order,
    },
    /// Not here, or not you.
    Refuse {
        /// Where the leader listens for agents, `host:port`, if that is known.
        leader: Option<String>,
        /// Why, for people.
        reason: String,
    },
    /// You are heard.
    Welcome {
        /// The leader's ballot.
        ballot: u64,
    },
}

/// What a scheduler wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A report is stored.
    Acknowledge {
        /// Its number.
        sequence: u64,
        /// Its task.
        task: TaskId,
    },
    /// End a task; if it is not known, say that it is lost.
    Kill {
        /// The task.
        task: TaskId,
    },
    /// Start a task.
    Launch {
        /// What to run.
        order: Box<LaunchOrder>,
        /// The session it was planned for.
        session: AgentSession,
    },
    /// Report these tasks again; those that are not known are lost.
    Reconcile {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtoError {
    /// They follow the format, but a value in them may not be.
    #[error("message with an invalid {what}")]
    Invalid {
        /// What may not be.
        what: &'static str,
    },
    /// Bytes follow the message.
    #[error("message ends at byte {at} and {rest} bytes follow")]
    Trailing {
        /// Where it ends.
        at: usize,
        /// How many follow.
        rest: usize,
    },
    /// They do not follow the format of any version that is known here.
    #[error("message of {length} bytes is not readable: {cause}")]
    Unreadable {
        /// How many bytes came.
        length: usize,
        /// What the decoder says.
        cause: postcard::Error,
    },
}

impl AgentMessage {
    /// The bytes to send, or `None` if they would be over [`MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        encode(&v1::AgentEnvelope::V1(self.into()))
    }

    /// The message in these bytes.
    ///
    /// # Errors
    ///
    /// Anything that the other side would not send.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtoError> {
        let v1::AgentEnvelope::V1(message) = decode(bytes)?;
        message.try_into()
    }
}

impl SchedulerMessage {
    /// The bytes to send, or `None` if they would be over [`MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        encode(&v1::SchedulerEnvelope::V1(self.into()))
    }

    /// The message in these bytes.
    ///
    /// # Errors
    ///
    /// Anything that the other side would not send.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtoError> {
        let v1::SchedulerEnvelope::V1(message) = decode(bytes)?;
        message.try_into()
    }
}

fn encode(envelope: &impl Serialize) -> Option<Vec<u8>> {
    let bytes = postcard::to_allocvec(envelope).expect("all types of the protocol can be written");
    (bytes.len() <= MESSAGE_BYTES_MAX).then_some(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProtoError> {
    let (value, rest) =
        postcard::take_from_bytes(bytes).map_err(|cause| ProtoError::Unreadable {
            length: bytes.len(),
            cause,
        })?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(ProtoError::Trailing {
        at: bytes.len() - rest.len(),
        rest: rest.len(),
    })
}

#[cfg(test)]
mod tests;
