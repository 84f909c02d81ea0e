//! The states of an update and the ways between them.

use crate::model::UpdateStatus;
use UpdateStatus as S;

/// Every way between states: from the first to any of the second.
const TABLE: &[(S, &[S])] = &[
    (
        S::RollingForward,
        &[
            S::RollingBack,
            S::RollForwardPaused,
            S::RollForwardAwaitingPulse,
            S::RolledForward,
            S::Aborted,
            S::Failed,
            S::Error,
        ],
    ),
    (
        S::RollingBack,
        &[
            S::RollBackPaused,
            S::RollBackAwaitingPulse,
            S::RolledBack,
            S::Aborted,
            S::Failed,
            S::Error,
        ],
    ),
    (
        S::RollForwardPaused,
        &[
            S::RollingBack,
            S::RollingForward,
            S::RollForwardAwaitingPulse,
            S::Aborted,
            S::Error,
        ],
    ),
    (
        S::RollBackPaused,
        &[
            S::RollingBack,
            S::RollBackAwaitingPulse,
            S::Aborted,
            S::Error,
        ],
    ),
    (
        S::RollForwardAwaitingPulse,
        &[
            S::RollingBack,
            S::RollingForward,
            S::RollForwardPaused,
            S::Aborted,
            S::Error,
        ],
    ),
    (
        S::RollBackAwaitingPulse,
        &[S::RollingBack, S::RollBackPaused, S::Aborted, S::Error],
    ),
];

/// Whether an update may go from one state to another. Staying is no way.
pub fn can_go(from: UpdateStatus, to: UpdateStatus) -> bool {
    TABLE
        .iter()
        .any(|(state, ways)| *state == from && ways.contains(&to))
}

/// The state after a pause; that of the way forward for an update that has ended, to name in the refusal.
pub fn paused(status: UpdateStatus) -> UpdateStatus {
    match status {
        S::RollingBack | S::RollBackPaused | S::RollBackAwaitingPulse => S::RollBackPaused,
        S::RollingForward | S::RollForwardPaused | S::RollForwardAwaitingPulse => {
            S::RollForwardPaused
        }
        S::RolledForward | S::RolledBack | S::Aborted | S::Error | S::Failed => {
            S::RollForwardPaused
        }
    }
}

/// The state that a pause or a missing pulse interrupted; as with [`paused`] for an ended update.
pub fn resumed(status: UpdateStatus) -> UpdateStatus {
    match paused(status) {
        S::RollBackPaused => S::RollingBack,
        _ => S::RollingForward,
    }
}

/// The state in which an update waits for a pulse instead.
pub fn awaiting(status: UpdateStatus) -> UpdateStatus {
    match resumed(status) {
        S::RollingBack => S::RollBackAwaitingPulse,
        _ => S::RollForwardAwaitingPulse,
    }
}

/// The state after too many failures.
pub fn failed(status: UpdateStatus, rollback_on_failure: bool) -> UpdateStatus {
    match (status, rollback_on_failure) {
        (S::RollingForward, true) => S::RollingBack,
        _ => S::Failed,
    }
}
