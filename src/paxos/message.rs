//! What replicas say to one another, as values. How they look on a wire is not known here.

use super::ballot::{Ballot, Member};
use super::entry::{Position, Run};
use super::replica::Status;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it, in which incarnation.
    pub from: Member,
    /// The term it belongs to: the coordinator's, also in answers to it.
    pub ballot: Ballot,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The write of these positions under the message's ballot is durable here.
    Accepted {
        /// The first position of the run.
        first: Position,
        /// The last position of the run.
        last: Position,
        /// What the sender has learned.
        learned: Position,
    },
    /// Please send what is learned from this position on.
    CatchUp {
        /// The first position wanted.
        from: Position,
    },
    /// The coordinator is there; entries of its ballot up to `learned` are chosen.
    Heartbeat {
        /// The coordinator's watermark.
        learned: Position,
    },
    /// The sender may not vote.
    Ignored {
        /// What it is instead.
        status: Status,
    },
    /// These values are chosen, whatever the receiver holds.
    Learn {
        /// The first position the sender still keeps.
        first_kept: Position,
        /// Chosen entries, in order.
        runs: Vec<Run>,
    },
    /// Asks for a promise for every position.
    Prepare,
    /// How far the sender is: the answer to a heartbeat and to learned entries.
    Progress {
        /// What the sender has learned.
        learned: Position,
    },
    /// No lower ballot will be accepted; this is what may have been chosen.
    Promise {
        /// What the sender has learned: all chosen.
        learned: Position,
        /// What it has accepted above that.
        accepted: Vec<Run>,
    },
    /// The message's ballot is too low.
    Reject {
        /// The promise that stands against it.
        promised: Ballot,
    },
    /// Asks to accept a run of the message's ballot.
    Write {
        /// The values and where they stand.
        run: Run,
        /// The coordinator's watermark.
        learned: Position,
    },
}
