//! Why a host of tasks cannot do what it was asked.

use crate::model::TaskId;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why the work directory cannot be used.
#[derive(Debug, Error)]
pub enum HostError {
    /// A file or directory cannot be made, read or written.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent has it open.
    #[error("work directory {0} is used by another agent")]
    InUse(PathBuf),
    /// A file does not hold what this program writes there.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        what: String,
    },
}

/// Why a task was not taken. Nothing of it was started, and nothing ever will be.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The task ran here before.
    #[error("task {0} has ended here before")]
    Ended(TaskId),
    /// The id cannot name a directory.
    #[error("task id '{0}' cannot name a directory")]
    UnsafeId(TaskId),
    /// It could not be written down.
    #[error("cannot store task {task}")]
    Storage {
        /// Which.
        task: TaskId,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The host does not know the task, or has forgotten it after its end was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("task {0} is not known here")]
pub struct UnknownTask(pub TaskId);
