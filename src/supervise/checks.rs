//! The list of a task's status checks: which is due, and what all of them say together.

use super::definition::StatusCheck;
use super::health::{Health, Verdict};
use crate::base::clock::Instant;

/// The place of a check in the task's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckId(pub usize);

/// Where a check stands between its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Begins at this instant.
    Due(Instant),
    /// No process has started yet.
    Idle,
    /// Its result is awaited.
    UnderWay,
}

#[derive(Clone, Debug)]
struct Check {
    failure: &'static str,
    health: Health,
    round: Round,
    is_good: bool,
}

/// What follows from the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// All of them are good, for the first time.
    AllGood,
    /// A round of this one begins.
    Begin(CheckId),
    /// One of them ends the task, with this message.
    Bad(String),
}

/// All checks of a task. Any bad one counts; else all have to be good.
#[derive(Clone, Debug)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    pub(super) fn new(checks: &[StatusCheck]) -> Self {
        let check = |it: &StatusCheck| Check {
            failure: it.failure,
            health: Health::new(it.policy),
            round: Round::Idle,
            is_good: false,
        };
        Self(checks.iter().map(check).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A process has started: those that have not begun do.
    pub(super) fn begin(&mut self, now: Instant) {
        for check in &mut self.0 {
            if check.round == Round::Idle {
                check.round = Round::Due(now);
            }
        }
    }

    /// When the next round begins.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |check: &Check| match check.round {
            Round::Due(due) => Some(due),
            Round::Idle | Round::UnderWay => None,
        };
        self.0.iter().filter_map(due).min()
    }

    /// Takes what is due.
    pub(super) fn poll(&mut self, now: Instant) -> Option<News> {
        let due = |check: &Check| matches!(check.round, Round::Due(due) if due <= now);
        let at = self.0.iter().position(due)?;
        let check = &mut self.0[at];
        check.round = Round::UnderWay;
        Some(match check.health.begin() {
            Verdict::Unhealthy(reason) => News::Bad(format!("{}{reason}", check.failure)),
            Verdict::Healthy | Verdict::Undecided => News::Begin(CheckId(at)),
        })
    }

    /// A round has ended: without a reason, well. One that is not under way says nothing.
    pub(super) fn handle_checked(
        &mut self,
        now: Instant,
        id: CheckId,
        failure: Option<String>,
    ) -> Option<News> {
        let check = self.0.get_mut(id.0)?;
        if check.round != Round::UnderWay {
            return None;
        }
        check.round = Round::Due(now + check.health.policy().interval);
        match check.health.handle_checked(failure) {
            Verdict::Undecided => None,
            Verdict::Unhealthy(reason) => Some(News::Bad(format!("{}{reason}", check.failure))),
            Verdict::Healthy => {
                check.is_good = true;
                let all = self.0.iter().all(|check| check.is_good);
                all.then_some(News::AllGood)
            }
        }
    }

    /// Ends all of them. Gives whether there were any.
    pub(super) fn stop(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}
