//! How the programs end: one line for the person, one status for the script.

use super::flags::FlagError;
use thiserror::Error;

/// Ended as asked.
pub const OK: u8 = 0;
/// Bad flags, or something that the line on stderr names.
pub const FAILED: u8 = 1;
/// The log failed to write or sync: the replica must recover by a restart.
pub const LOG_POISONED: u8 = 70;
/// Leadership was lost; a supervisor starts the scheduler again as a follower.
pub const NOT_LEADER: u8 = 71;
/// The other replicas of the log refuse this one: its disk is a copy, is older than what it has
/// acknowledged, or belongs to another ensemble. Starting it again does not help.
pub const LOG_REFUSED: u8 = 72;

/// Why a program ends without having done what it was asked.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    /// A failure with the general status.
    pub fn new(text: String) -> Self {
        Self {
            text,
            status: FAILED,
        }
    }

    /// A failure with a status of its own.
    pub fn with_status(text: String, status: u8) -> Self {
        Self { text, status }
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
