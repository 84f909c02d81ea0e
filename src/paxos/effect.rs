//! What a replica asks of its owner.

use super::ballot::{Ballot, Member, ReplicaId};
use super::change::ChangeError;
use super::entry::{Configuration, Configured, Position, Run};
use super::message::Message;
use super::status::Status;
use std::sync::Arc;

/// Orders requests for durability. Rises by one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One durable fact. Later records of the same kind replace earlier ones, but for runs: every run
/// is kept until it is truncated, and at each position the highest ballot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The configuration in force, and the entry that brought it.
    Configuration(Configured),
    /// Entries below this position may be forgotten.
    First(Position),
    /// The ensemble that this replica helps to form: its configuration, brought by no entry yet.
    Forming(Arc<Configuration>),
    /// Entries up to here are chosen and held.
    Learned(Position),
    /// Who this replica is from here on: it needs no new incarnation any more.
    Member(Member),
    /// Votes of this replica's present incarnation count no more: it has to ask for a new one.
    NeedsIncarnation,
    /// No lower ballot is accepted.
    Promise(Ballot),
    /// Entries accepted.
    Run(Run),
    /// Whether the replica votes.
    Status(Status),
}

/// One request to the owner. They are carried out in the order they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message to every replica there is a connection to, whether a member or not.
    Broadcast {
        /// What.
        message: Message,
    },
    /// A change that was asked for is given up: nothing was appended for it.
    ChangeFailed {
        /// Why.
        error: ChangeError,
    },
    /// Another configuration is in force.
    Configured(Configured),
    /// This replica's term has ended. What it had in flight may or may not be chosen.
    Discarded {
        /// The term.
        ballot: Ballot,
    },
    /// Who is believed to lead has changed: the owner of this ballot, or nobody.
    Leader(Option<Ballot>),
    /// This replica leads: every earlier entry has been given as `Learned` before.
    Leading {
        /// The term.
        ballot: Ballot,
    },
    /// Entries are chosen. Each is given once, in order, without gaps but for `Skipped`.
    Learned(Run),
    /// Make all of `records` durable, or none, after those of lower tickets; then call
    /// `handle_persisted`. Failing is final: the owner stops.
    Persist {
        /// Names the request.
        ticket: Ticket,
        /// What to keep.
        records: Vec<Record>,
    },
    /// Read entries that are durable and learned from `from` on, as many as are convenient; then
    /// call `handle_read`.
    Read {
        /// For whom: handed back.
        peer: ReplicaId,
        /// The first position wanted.
        from: Position,
        /// The last position that may be given.
        through: Position,
    },
    /// A read cannot be answered: this replica does not lead, or may have been overtaken.
    ReadFailed {
        /// Names the read.
        token: u64,
    },
    /// A read may be answered from everything learned up to `position`: nothing that was
    /// acknowledged before it was asked for is missing.
    ReadReady {
        /// Names the read.
        token: u64,
        /// Has been given as `Learned` before.
        position: Position,
    },
    /// Send a message. It may be lost, doubled, delayed or overtaken.
    Send {
        /// To whom.
        to: ReplicaId,
        /// What.
        message: Message,
    },
    /// The configuration in force is known to be chosen by a quorum of its members, who will not
    /// forget it: the members that it has left out are never needed again. Only a leader is told.
    Settled {
        /// The entry that brought it.
        position: Position,
    },
    /// Entries below `first` are gone everywhere; the next `Learned` is at `first`.
    Skipped {
        /// The first position that is kept.
        first: Position,
    },
    /// What is shown of the replica has changed: see [`super::Replica::shown_status`].
    Status(Status),
}
