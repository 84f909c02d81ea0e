//! What a run does when it is due.

use crate::model::CronCollisionPolicy;

/// What is done about a run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing, as what runs now goes on.
    Cancel,
    /// What runs now is killed, and its tasks are started once that has ended.
    KillFirst,
    /// Nothing, as an earlier run still waits for its turn.
    Overtake,
    /// Nothing, as runs may not overlap.
    RefuseOverlap,
    /// Its tasks are started.
    Start,
}

/// Decides about a run that is due.
///
/// `waits`: an earlier run waits for the one before it to end. `active`: tasks of the job are active.
pub fn collide(policy: CronCollisionPolicy, waits: bool, active: bool) -> Verdict {
    match policy {
        _ if waits => Verdict::Overtake,
        _ if !active => Verdict::Start,
        CronCollisionPolicy::CancelNew => Verdict::Cancel,
        CronCollisionPolicy::KillExisting => Verdict::KillFirst,
        // Only jobs of old logs have it.
        CronCollisionPolicy::RunOverlap => Verdict::RefuseOverlap,
    }
}
