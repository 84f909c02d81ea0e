//! What replicas say to one another, as values. How they look on a wire is not known here.

use super::ballot::{Ballot, Incarnation, Member};
use super::entry::{Configuration, Configured, Position, Run};
use super::status::Status;
use std::sync::Arc;

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
        /// What the sender has learned and holds durably.
        learned: Position,
    },
    /// Please send what is learned from this position on.
    CatchUp {
        /// The first position wanted.
        from: Position,
    },
    /// Those who have no ensemble yet form this one.
    Form {
        /// Its members, its cluster id and its quorum.
        configuration: Arc<Configuration>,
    },
    /// The coordinator is there; entries of its ballot up to `learned` are chosen.
    Heartbeat {
        /// The coordinator's watermark.
        learned: Position,
        /// The newest round of reads: whoever answers with it still followed when it began.
        round: u64,
    },
    /// The sender may not vote.
    Ignored {
        /// What it is instead.
        status: Status,
    },
    /// The sender has no seat, or not in its present incarnation, and asks to be fed.
    Join(Join),
    /// These values are chosen, whatever the receiver holds.
    Learn {
        /// The first position the sender still keeps.
        first_kept: Position,
        /// The newest configuration that the sender has learned. A receiver that skips entries
        /// cannot learn it from them.
        configured: Option<Configured>,
        /// Chosen entries, in order.
        runs: Vec<Run>,
    },
    /// Asks for a promise for every position.
    Prepare,
    /// Asks whether a candidacy with the message's ballot would be welcome. Binds nobody.
    PreVote,
    /// The answer to `PreVote`.
    PreVoteReply {
        /// Whether the sender has no leader either, and would promise.
        is_granted: bool,
        /// The sender's promise, to go above.
        promised: Ballot,
    },
    /// How far the sender is: the answer to a heartbeat and to learned entries.
    Progress {
        /// The newest feature level that the sender can read.
        feature_level: u32,
        /// What the sender has learned and holds durably.
        learned: Position,
        /// The round of the heartbeat that is answered; zero if none is.
        round: u64,
        /// Whether it votes.
        status: Status,
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
    /// The leader hands over: the receiver stands for election at once.
    TimeoutNow,
    /// The answer to a `Join` that asked for a new incarnation.
    Welcome {
        /// The incarnation to take. None before has had it.
        incarnation: Incarnation,
        /// The nonce of the `Join`.
        nonce: u64,
    },
    /// Asks to accept a run of the message's ballot.
    Write {
        /// The values and where they stand.
        run: Run,
        /// The coordinator's watermark.
        learned: Position,
    },
}

/// Who wants to be fed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// `host:port` where the sender's peers reach it.
    pub address: Arc<str>,
    /// The newest feature level that it can read.
    pub feature_level: u32,
    /// What it has learned and holds durably.
    pub learned: Position,
    /// Whether it cannot prove what it held, and asks for a new incarnation.
    pub needs_incarnation: bool,
    /// Random; a `Welcome` gives it back. So no answer to an earlier life is taken for one to this.
    pub nonce: u64,
    /// Whether it votes.
    pub status: Status,
}
