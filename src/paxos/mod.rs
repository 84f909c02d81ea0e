//! The replicated log's decisions: Multi-Paxos without input or output.
//!
//! A [`Replica`] is acceptor, learner and coordinator in one. It is told what happened
//! ([`Replica::handle_message`], [`Replica::handle_timeout`], [`Replica::handle_persisted`],
//! [`Replica::handle_read`], [`Replica::handle_disconnected`]) and what its owner wants
//! ([`Replica::propose`], [`Replica::read`], [`Replica::change`], [`Replica::hand_over`],
//! [`Replica::form`]), and answers with one ordered queue of effects ([`Replica::poll_effect`]) and
//! the time of its next timeout ([`Replica::deadline`]).
//!
//! **Durability.** [`Effect::Persist`] asks for records to be made durable, all of them or none, in
//! the order of their tickets. Whatever rests on them (a promise, an acknowledgement, an entry
//! counted as learned) is withheld here until `handle_persisted` names that ticket or a later one.
//! The owner may send everything that it is given at once.
//!
//! **The protocol**, in the words of the literature. A [`Ballot`] belongs to one replica, so two
//! coordinators never share one. A candidate asks for promises for every position above what it has
//! learned; a quorum of promises names what may have been chosen, which it writes again under its
//! own ballot, with a no-op in each hole, followed by an entry of its own. Only when that entry is
//! learned does it lead. Entries then flow as *runs*: consecutive positions of one ballot.
//! *Learned* is a watermark: a follower takes the coordinator's watermark as far as it holds
//! entries of that very ballot, and asks for the rest. The coordinator that meets a higher ballot
//! is demoted at once.
//!
//! **Elections** are asked for before they are held: who hears a leader says no. A leader that no
//! quorum answers steps down. A read is answered when a quorum has said, after it was asked for,
//! that it still follows.
//!
//! **The ensemble** is an entry of the log. Each change of it is appended alone and needs quorums of
//! the old and of the new members. A member that has lost its state comes back as a new
//! incarnation. The rules and their reasons stand in `membership` and `coordinator`.
//!
//! Where this departs from the Mesos log: accepting a write raises the promise; a replica that may
//! not vote says so; a rejected candidate goes above the ballot it was told; a demoted coordinator
//! can never write again; truncating beyond the end is refused.
//!
//! This module must not know what an entry means, what a disk or a socket is, or what time it is.

mod acceptor;
mod ballot;
mod change;
mod coordinator;
mod effect;
mod elect;
mod entry;
mod hand_over;
mod lead;
mod membership;
mod message;
mod peer;
mod pulse;
mod quorum;
mod read;
mod receive;
mod replica;
mod status;

pub use ballot::{Ballot, Incarnation, Member, ReplicaId};
pub use change::{Change, ChangeError};
pub use effect::{Effect, Record, Ticket};
pub use entry::{Configuration, Configured, Entry, Position, Run, Seat, Value};
pub use message::{Body, Join, Message};
pub use replica::{Options, ProposeError, Recovered, Replica, Timing};
pub use status::{PeerStatus, Status};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
