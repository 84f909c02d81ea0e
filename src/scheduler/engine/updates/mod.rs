//! Job updates at work.
//!
//! The tables say which updates there are and what became of them; [`Live`] holds what can be made of
//! that again: an updater for each update that rolls, the instances to look at, and what is due later.
//! Whatever changes a job's tasks marks instances; before the engine looks for machines it lets the
//! updaters of marked jobs decide, each in a step of its own, in which events, kills, new tasks and the
//! update's next state are one change.

mod change;
mod live;
mod prune;
mod start;
mod turn;

pub(super) use live::Live;

use super::step::Step;
use crate::base::clock::{Instant, Now};
use crate::model::{JobUpdate, UpdateAction, UpdateEvent, UpdateKey, UpdateStatus};
use crate::scheduler::handle::Reply;
use crate::scheduler::update::UpdateCommand;
use crate::storage::{Op, UpdateOp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When updates were last vouched for. In memory only; see [`recovered`] for what a new leader assumes.
pub(super) type Pulses = BTreeMap<UpdateKey, Instant>;

/// Carries out a command about an update.
pub(super) fn run(step: &mut Step<'_>, command: &UpdateCommand) -> Result<Reply, Reply> {
    match command {
        UpdateCommand::Change {
            key,
            change: to,
            message,
            user,
        } => change::change(step, key, *to, message.as_deref(), user),
        UpdateCommand::Pulse { key } => Ok(change::pulse(step, key)),
        UpdateCommand::Start {
            request,
            message,
            user,
        } => start::start(step, request, message.as_deref(), user),
    }
}

/// How long an update may go on after a pulse; `None` if it needs none.
fn patience(update: &JobUpdate) -> Option<Duration> {
    let ms = u64::try_from(update.settings.block_if_no_pulses_after_ms).unwrap_or(0);
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// Until when an update may go on without another pulse; `None` if it needs none.
fn pulse_ends(update: &JobUpdate, pulses: &Pulses) -> Option<Instant> {
    let patience = patience(update)?;
    let last = pulses.get(&update.key);
    Some(last.map_or(Instant::ZERO, |last| *last + patience))
}

/// Whether an update needs a pulse and has none that is fresh.
fn is_unvouched(update: &JobUpdate, pulses: &Pulses, now: Now) -> bool {
    pulse_ends(update, pulses).is_some_and(|ends| ends <= now.mono)
}

/// The last pulse of an update as far as its events tell: the last one counts as one, unless it says
/// that there was none.
fn recovered(event: &UpdateEvent, now: Now) -> Option<Instant> {
    let ago = u64::try_from(now.wall.since(event.at).as_nanos()).unwrap_or(u64::MAX);
    let at = Instant::from_nanos(now.mono.as_nanos().saturating_sub(ago));
    (!event.status.is_awaiting_pulse()).then_some(at)
}

/// Takes an update to another state. Its events never stand before earlier ones.
fn set_status(
    step: &mut Step<'_>,
    key: &UpdateKey,
    status: UpdateStatus,
    user: Option<&str>,
    message: Option<&str>,
) {
    let record = step.tables.updates().get(key);
    let last = record.map(|record| record.modified()).unwrap_or_default();
    let event = UpdateEvent {
        at: step.now.wall.max(last + Duration::from_millis(1)),
        status,
        user: user.map(Arc::from),
        message: message.map(Arc::from),
    };
    let key = key.clone();
    step.means.count(transition_counter(status), 1);
    step.apply(Op::Update(UpdateOp::Event { key, event }));
}

/// The counter of updates that took a state.
pub(super) fn transition_counter(status: UpdateStatus) -> &'static str {
    match status {
        UpdateStatus::RollingForward => "update_transition_ROLLING_FORWARD",
        UpdateStatus::RollingBack => "update_transition_ROLLING_BACK",
        UpdateStatus::RollForwardPaused => "update_transition_ROLL_FORWARD_PAUSED",
        UpdateStatus::RollBackPaused => "update_transition_ROLL_BACK_PAUSED",
        UpdateStatus::RolledForward => "update_transition_ROLLED_FORWARD",
        UpdateStatus::RolledBack => "update_transition_ROLLED_BACK",
        UpdateStatus::Aborted => "update_transition_ABORTED",
        UpdateStatus::Error => "update_transition_ERROR",
        UpdateStatus::Failed => "update_transition_FAILED",
        UpdateStatus::RollForwardAwaitingPulse => "update_transition_ROLL_FORWARD_AWAITING_PULSE",
        UpdateStatus::RollBackAwaitingPulse => "update_transition_ROLL_BACK_AWAITING_PULSE",
    }
}

/// The counter of instances of which something was said.
pub(super) fn instance_counter(action: UpdateAction) -> &'static str {
    match action {
        UpdateAction::Updated => "update_instance_transition_INSTANCE_UPDATED",
        UpdateAction::RolledBack => "update_instance_transition_INSTANCE_ROLLED_BACK",
        UpdateAction::Updating => "update_instance_transition_INSTANCE_UPDATING",
        UpdateAction::RollingBack => "update_instance_transition_INSTANCE_ROLLING_BACK",
        UpdateAction::UpdateFailed => "update_instance_transition_INSTANCE_UPDATE_FAILED",
        UpdateAction::RollbackFailed => "update_instance_transition_INSTANCE_ROLLBACK_FAILED",
    }
}

/// Counters that are there from the start.
pub(super) fn standing() -> impl Iterator<Item = &'static str> {
    let states = UpdateStatus::ALL.into_iter().map(transition_counter);
    let actions = UpdateAction::ALL.into_iter().map(instance_counter);
    states.chain(actions).chain(["job_updates_pruned"])
}
