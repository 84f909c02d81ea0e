//! Why a replica does not open, is not made, or takes no entry.

use super::disk::DiskError;
use crate::paxos::Position;
use std::path::PathBuf;
use thiserror::Error;

/// Why a replica was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path holds something that is no replica.
    #[error(
        "{path} holds '{found}' and no replica of the log; give -native_log_file_path another \
         directory, or move what is there away and run: aurora-log initialize --path={path}",
        path = path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// One thing that is there.
        found: String,
    },
    /// Another process has the replica open.
    #[error("the replica in {path} is in use by another process", path = path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("the replica in {path} cannot be opened: {cause}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The path is a file.
    #[error("{path} is not a directory", path = path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The quorum size does not fit the ensemble.
    #[error(
        "-native_log_quorum_size={given} does not fit this replica: its ensemble has {members} \
         member(s) and a quorum of {stored}; start it with -native_log_quorum_size={stored}"
    )]
    Quorum {
        /// What the flag says.
        given: u32,
        /// What the log says.
        stored: u32,
        /// How many vote.
        members: usize,
    },
    /// The replica cannot prove that it holds everything it has acknowledged.
    #[error(
        "the replica in {path} cannot prove that it still holds everything it has acknowledged, \
         and has no peers to recover from, so it does not start: {cause}. The disk may be failing, \
         or files were removed, restored or copied by hand. Keep a copy of the directory. If you \
         have it complete, as it was when the scheduler last ran, put it back. Otherwise move it \
         away, run: aurora-log initialize --path={path} then start the scheduler and restore the \
         newest backup with: aurora_admin scheduler_restore <cluster> <backup>",
        path = path.display()
    )]
    Unproven {
        /// The path.
        path: PathBuf,
        /// What does not match.
        cause: DiskError,
    },
}

/// Why a replica was not initialised. Nothing has been changed, but for `Io`.
#[derive(Debug, Error)]
pub enum InitializeError {
    /// There is a replica already.
    #[error(
        "The log is not empty: {path} has been initialized before; nothing was changed",
        path = path.display()
    )]
    AlreadyInitialized {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error(
        "{path} is not empty: it holds '{found}', which is no part of a log; nothing was changed",
        path = path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// One thing that is there.
        found: String,
    },
    /// A scheduler runs on it.
    #[error(
        "The log is not empty: {path} is in use by a running process; nothing was changed",
        path = path.display()
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The disk says no. What was begun is not taken for a replica, and can be begun again.
    #[error("failed to initialize the log in {path}: {cause}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The path is a file.
    #[error("{path} is not a directory; nothing was changed", path = path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
}

/// Why an entry was not taken. It has not been appended and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Entries that do not exist yet cannot be truncated.
    #[error("truncation to {to} is beyond the last learned entry at {learned}")]
    BeyondEnd {
        /// What was asked.
        to: Position,
        /// The watermark.
        learned: Position,
    },
    /// The log has been closed, or has failed.
    #[error("the log is closed")]
    Closed,
    /// The ballot's term has ended, or never was this replica's.
    #[error("not the coordinator of this ballot")]
    NotCoordinator,
    /// One entry is at most [`super::ENTRY_BYTES_MAX`] long.
    #[error("an entry of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
