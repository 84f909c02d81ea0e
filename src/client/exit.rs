//! How a command ends: exit statuses and the error that carries one.

use thiserror::Error;

/// The client's exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// A job file breaks a rule, or the client cannot work here at all.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A job file or the cluster file cannot be used.
    InvalidConfiguration = 3,
    /// The command did not do all that was asked.
    CommandFailure = 4,
    /// The command is not available.
    InvalidCommand = 5,
    /// There is no such job, instance or value.
    InvalidParameter = 6,
    /// A call broke off, and must not be repeated blindly.
    Network = 7,
    /// It took too long.
    Timeout = 9,
    /// The scheduler refused.
    Api = 10,
    /// Something that should not happen.
    Unknown = 20,
    /// The scheduler does not accept who calls.
    Auth = 30,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What ended a command: the status, and what stderr is told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CommandError {
    /// The status.
    pub exit: Exit,
    /// For stderr; empty if everything has been said already.
    pub message: String,
}

impl CommandError {
    /// An error with its text.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// A value that the user gave does not fit: status 6.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(Exit::InvalidParameter, message)
    }

    /// The command line is wrong: status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

/// What every command gives.
pub type Outcome = Result<Exit, CommandError>;
