//! Between the states of the model and those on disk.

use super::checkpoint::TaskStateRecord;
use crate::model::TaskState;

/// The state as it is recorded.
pub fn to_record(state: TaskState) -> TaskStateRecord {
    match state {
        TaskState::Failed => TaskStateRecord::Failed,
        TaskState::Finished => TaskStateRecord::Finished,
        TaskState::Killed => TaskStateRecord::Killed,
        TaskState::Lost => TaskStateRecord::Lost,
        TaskState::Running => TaskStateRecord::Running,
        TaskState::Starting => TaskStateRecord::Starting,
    }
}

/// The state that was recorded.
pub fn from_record(state: TaskStateRecord) -> TaskState {
    match state {
        TaskStateRecord::Failed => TaskState::Failed,
        TaskStateRecord::Finished => TaskState::Finished,
        TaskStateRecord::Killed => TaskState::Killed,
        TaskStateRecord::Lost => TaskState::Lost,
        TaskStateRecord::Running => TaskState::Running,
        TaskStateRecord::Starting => TaskState::Starting,
    }
}
