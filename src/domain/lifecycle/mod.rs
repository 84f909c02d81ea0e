//! The life of a task: every state, every event, and what follows, as one table.
//!
//! The table differs from upstream's in one place: a service that is reported FINISHED while
//! PARTITIONED is run again, as it is from any other state. Upstream lost such services for good.

mod table;
#[cfg(test)]
mod tests;

use crate::model::{ScheduleStatus, ScheduledTask};

/// Something that a transition makes happen. Effects happen in the order of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The task has failed once more.
    IncrementFailures,
    /// The new state is stored and becomes part of the history.
    SaveState,
    /// Another task takes its place.
    Reschedule,
    /// The task goes on to LOST in the same step.
    TransitionToLost,
    /// Its machine is told to end it.
    Kill,
    /// The task is forgotten.
    Delete,
}

/// How the request for a transition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Not a transition that exists; nothing happens.
    Illegal,
    /// Not a transition that exists, but something must be done about it.
    IllegalWithSideEffects,
    /// The task is in that state already.
    Noop,
    /// The transition is made.
    Success,
}

/// What a request for a transition comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ends.
    pub outcome: Outcome,
    /// What happens, in order.
    pub effects: Vec<Effect>,
}

/// What transitions depend on besides the states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The task is a service.
    pub is_service: bool,
    /// One more failure is still below the limit.
    pub may_fail_again: bool,
    /// Someone wanted it killed: KILLING is in its history.
    pub was_killed: bool,
}

impl Facts {
    /// The facts about a task before the transition.
    pub fn of(task: &ScheduledTask) -> Self {
        let limit = task.config.max_task_failures;
        Self {
            is_service: task.config.is_service,
            may_fail_again: limit == -1 || task.failure_count < limit.saturating_sub(1),
            was_killed: task
                .events
                .iter()
                .any(|e| e.status == ScheduleStatus::Killing),
        }
    }
}

/// What it comes to if a task in state `from` is to take state `to`. `None` is a task that is not there.
pub fn decide(from: Option<ScheduleStatus>, to: Option<ScheduleStatus>, facts: Facts) -> Verdict {
    if from == to {
        return Verdict {
            outcome: Outcome::Noop,
            effects: Vec::new(),
        };
    }
    let Some(rule) = table::rule(from, to) else {
        return Verdict {
            outcome: Outcome::Illegal,
            effects: Vec::new(),
        };
    };
    let effects = rule.effects(facts);
    let legal = effects
        .iter()
        .any(|e| matches!(e, Effect::SaveState | Effect::Delete));
    Verdict {
        outcome: match legal {
            true => Outcome::Success,
            false => Outcome::IllegalWithSideEffects,
        },
        effects,
    }
}
