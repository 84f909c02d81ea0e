//! The table of transitions.

use super::{Effect, Facts};
use crate::model::ScheduleStatus;
use ScheduleStatus::{
    Assigned, Draining, Failed, Finished, Init, Killed, Killing, Lost, Partitioned, Pending,
    Preempting, Restarting, Running, Starting, Throttled,
};

/// What a legal transition does, before the facts of the task are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Forget the task.
    Delete,
    /// Store it as failed; run it again if it is a service or may fail again.
    Fail,
    /// Not legal, but it must not run.
    JustKill,
    /// Store it.
    Save,
    /// Store it and kill it.
    SaveKill,
    /// Store it and run it again.
    SaveReschedule,
    /// Store it and run it again if it is a service that nobody killed.
    SaveRescheduleService,
    /// Store it, run it again and kill what may be left of it.
    SaveRescheduleKill,
    /// Store it and kill it; run it again unless someone wanted it killed.
    SaveRescheduleKillUnlessKilled,
    /// Store it and go on to LOST.
    SaveThenLost,
}

impl Rule {
    pub(super) fn effects(self, facts: Facts) -> Vec<Effect> {
        use Effect::{IncrementFailures, Kill, Reschedule, SaveState, TransitionToLost};
        let fails_on = facts.is_service || facts.may_fail_again;
        match self {
            Self::Delete => vec![Effect::Delete],
            Self::Fail if fails_on => vec![IncrementFailures, SaveState, Reschedule],
            Self::Fail => vec![IncrementFailures, SaveState],
            Self::JustKill => vec![Kill],
            Self::Save => vec![SaveState],
            Self::SaveKill => vec![SaveState, Kill],
            Self::SaveReschedule => vec![SaveState, Reschedule],
            Self::SaveRescheduleService if facts.is_service && !facts.was_killed => {
                vec![SaveState, Reschedule]
            }
            Self::SaveRescheduleService => vec![SaveState],
            Self::SaveRescheduleKill => vec![SaveState, Reschedule, Kill],
            Self::SaveRescheduleKillUnlessKilled if facts.was_killed => vec![SaveState, Kill],
            Self::SaveRescheduleKillUnlessKilled => vec![SaveState, Reschedule, Kill],
            Self::SaveThenLost => vec![SaveState, TransitionToLost],
        }
    }
}

type Row = (
    &'static [Option<ScheduleStatus>],
    &'static [Option<ScheduleStatus>],
    Rule,
);

const WAITING: &[Option<ScheduleStatus>] = &[Some(Pending), Some(Throttled)];
const ON_MACHINE: &[Option<ScheduleStatus>] = &[Some(Assigned), Some(Starting), Some(Running)];
const LEAVING: &[Option<ScheduleStatus>] = &[Some(Preempting), Some(Restarting), Some(Draining)];
const ASKED_TO_LEAVE: &[Option<ScheduleStatus>] = &[
    Some(Killing),
    Some(Preempting),
    Some(Restarting),
    Some(Draining),
];
const ENDED: &[Option<ScheduleStatus>] = &[Some(Finished), Some(Failed), Some(Killed), Some(Lost)];
const ENDED_OR_GONE: &[Option<ScheduleStatus>] =
    &[Some(Finished), Some(Failed), Some(Killed), Some(Lost), None];

/// Every transition that exists: from any of the first to any of the second, with what it does.
///
/// What is not here is illegal and does nothing.
const TABLE: &[Row] = &[
    // A new task.
    (&[Some(Init)], WAITING, Rule::Save),
    (&[Some(Throttled)], &[Some(Pending)], Rule::Save),
    (&[Some(Pending)], &[Some(Assigned)], Rule::Save),
    (WAITING, &[Some(Killing)], Rule::Delete),
    // On its way to running.
    (
        &[Some(Assigned)],
        &[Some(Starting), Some(Running)],
        Rule::Save,
    ),
    (&[Some(Starting)], &[Some(Running)], Rule::Save),
    // A machine is cut off. One that was only assigned waits for its time limit instead.
    (
        &[Some(Starting), Some(Running)],
        &[Some(Partitioned)],
        Rule::Save,
    ),
    // The machine says that it ended.
    (ON_MACHINE, &[Some(Finished)], Rule::SaveRescheduleService),
    (ON_MACHINE, &[Some(Failed)], Rule::Fail),
    (ON_MACHINE, &[Some(Killed)], Rule::SaveReschedule),
    // The launch may still be under way, so that one is killed as well.
    (&[Some(Assigned)], &[Some(Lost)], Rule::SaveRescheduleKill),
    (
        &[Some(Starting), Some(Running)],
        &[Some(Lost)],
        Rule::SaveReschedule,
    ),
    // Someone wants it to end.
    (ON_MACHINE, ASKED_TO_LEAVE, Rule::SaveKill),
    // It was asked to make room, and will run again.
    (
        LEAVING,
        &[Some(Finished), Some(Failed), Some(Killed)],
        Rule::SaveReschedule,
    ),
    (LEAVING, &[Some(Lost)], Rule::SaveRescheduleKill),
    (LEAVING, &[Some(Killing)], Rule::Save),
    (LEAVING, &[Some(Partitioned)], Rule::SaveThenLost),
    (LEAVING, ON_MACHINE, Rule::JustKill),
    // It was killed, and will not run again.
    (&[Some(Killing)], ENDED, Rule::Save),
    (&[Some(Killing)], &[Some(Partitioned)], Rule::SaveThenLost),
    (&[Some(Killing)], &[None], Rule::Delete),
    (&[Some(Killing)], ON_MACHINE, Rule::JustKill),
    // Cut off: it comes back, or it does not.
    (&[Some(Partitioned)], ON_MACHINE, Rule::Save),
    (
        &[Some(Partitioned)],
        &[Some(Finished)],
        Rule::SaveRescheduleService,
    ),
    (&[Some(Partitioned)], &[Some(Failed)], Rule::Fail),
    (
        &[Some(Partitioned)],
        &[Some(Lost)],
        Rule::SaveRescheduleKillUnlessKilled,
    ),
    (&[Some(Partitioned)], ASKED_TO_LEAVE, Rule::SaveThenLost),
    // The end, and what must not come back from it.
    (ENDED, &[None], Rule::Delete),
    (ENDED_OR_GONE, ON_MACHINE, Rule::JustKill),
];

pub(super) fn rule(from: Option<ScheduleStatus>, to: Option<ScheduleStatus>) -> Option<Rule> {
    let row = TABLE
        .iter()
        .find(|(f, t, _)| f.contains(&from) && t.contains(&to));
    row.map(|(_, _, rule)| *rule)
}
