//! What people may do to an update that is under way.

use super::super::step::Step;
use super::{is_unvouched, patience, set_status};
use crate::domain::update::{awaiting, can_go, paused, resumed};
use crate::model::{PulseStatus, UpdateKey, UpdateStatus};
use crate::scheduler::handle::Reply;
use crate::scheduler::update::UpdateChange;
use crate::storage::ReplyResult;

/// Pauses, resumes, aborts or rolls back. What changes nothing is well.
pub(super) fn change(
    step: &mut Step<'_>,
    key: &UpdateKey,
    change: UpdateChange,
    message: Option<&str>,
    user: &str,
) -> Result<Reply, Reply> {
    let Some(record) = step.tables.updates().get(key) else {
        // Upstream words this one alone with a colon.
        let colon = match change {
            UpdateChange::Resume => ":",
            UpdateChange::Abort | UpdateChange::Pause | UpdateChange::Rollback => "",
        };
        return Err(Reply::invalid(format!(
            "Update does not exist{colon} {key}"
        )));
    };
    let from = record.status();
    let unvouched = is_unvouched(record.update(), &step.means.pulses, step.now);
    let to = match change {
        UpdateChange::Abort => UpdateStatus::Aborted,
        UpdateChange::Pause => paused(from),
        UpdateChange::Resume if unvouched && !from.is_rolling() => awaiting(from),
        UpdateChange::Resume => resumed(from),
        UpdateChange::Rollback => UpdateStatus::RollingBack,
    };
    if from == to {
        return Ok(Reply::ok());
    }
    if !can_go(from, to) {
        let message = format!("Cannot transition update from {from} to {to}");
        return Err(Reply::invalid(message));
    }
    set_status(step, key, to, Some(user), message);
    Ok(Reply::ok())
}

/// Somebody vouches for an update. One that waited for that goes on.
pub(super) fn pulse(step: &mut Step<'_>, key: &UpdateKey) -> Reply {
    let record = step.tables.updates().get(key);
    let status = record
        .filter(|record| patience(record.update()).is_some())
        .map(|record| record.status())
        .filter(|status| status.is_active());
    let Some(status) = status else {
        return Reply::ok().telling(ReplyResult::Pulse(PulseStatus::Finished));
    };
    step.means.pulses.insert(key.clone(), step.now.mono);
    if status.is_awaiting_pulse() {
        set_status(step, key, resumed(status), None, None);
    }
    Reply::ok().telling(ReplyResult::Pulse(PulseStatus::Ok))
}
