//! What is asked of job updates.

use crate::model::{Metadata, TaskConfig, UpdateKey, UpdateSettings};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An update as it is asked for. Settings and description have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRequest {
    /// What the instances are to run; names the job.
    pub config: Arc<TaskConfig>,
    /// How many instances there are to be.
    pub instance_count: u32,
    /// How it proceeds.
    pub settings: UpdateSettings,
    /// What the starter notes.
    pub metadata: BTreeSet<Metadata>,
}

/// What is done to an update that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpdateChange {
    /// Ends it where it stands.
    Abort,
    /// Stops it.
    Pause,
    /// Lets it go on.
    Resume,
    /// Undoes it.
    Rollback,
}

/// A command about an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateCommand {
    /// Changes the state of one.
    Change {
        /// The update.
        key: UpdateKey,
        /// How.
        change: UpdateChange,
        /// Why, for its history.
        message: Option<String>,
        /// Who asks.
        user: String,
    },
    /// Vouches for one.
    Pulse {
        /// The update.
        key: UpdateKey,
    },
    /// Starts one.
    Start {
        /// What is asked for.
        request: Box<UpdateRequest>,
        /// Why, for its history.
        message: Option<String>,
        /// Who asks.
        user: String,
    },
}
