//! Why files cannot be fetched.

use std::io;
use thiserror::Error;

/// Why a file is not there, without its name.
#[derive(Debug, Error)]
pub(super) enum Cause {
    #[error("the task was killed")]
    Cancelled,
    #[error("{0}")]
    Http(Box<ureq::Error>),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the archive holds '{name}': {why}")]
    Member { name: String, why: &'static str },
    #[error("'{0}' cannot name a file in the sandbox")]
    Name(String),
    #[error("the task's user may not read it")]
    NotReadable,
    #[error("it took longer than {0} s")]
    Late(u64),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("it is larger than the {0} MiB that the task may fetch")]
    TooLarge(u64),
    #[error("only absolute paths, file, http and https can be fetched")]
    UnknownScheme,
}

impl Cause {
    /// Whether it may go better when it is tried again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => matches!(
                **error,
                ureq::Error::ConnectionFailed
                    | ureq::Error::HostNotFound
                    | ureq::Error::Io(_)
                    | ureq::Error::Protocol(_)
                    | ureq::Error::Timeout(_)
            ),
            Self::Io(_) => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500 | 502..=504),
            Self::Cancelled
            | Self::Late(_)
            | Self::Member { .. }
            | Self::Name(_)
            | Self::NotReadable
            | Self::TooLarge(_)
            | Self::UnknownScheme => false,
        }
    }
}

/// Why a task has not got its files.
#[derive(Debug, Error)]
pub(in crate::agent) enum FetchError {
    /// One of them.
    #[error("Failed to fetch '{uri}': {cause}")]
    File {
        /// Which.
        uri: String,
        /// Why.
        cause: String,
    },
    /// The sandbox itself.
    #[error("Failed to prepare the sandbox: {0}")]
    Sandbox(#[from] io::Error),
}
