//! What a proposer keeps: a candidate's promises, a leader's progress.

use super::ballot::{Ballot, Member, ReplicaId};
use super::entry::{Configuration, Entry, Position, Run, Value};
use super::quorum;
use std::collections::BTreeMap;

/// What a replica is doing beyond accepting.
#[derive(Debug)]
pub(super) enum Role {
    Candidate(Candidate),
    Follower,
    Leader(Leader),
}

/// Gathers promises for one ballot.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) ballot: Ballot,
    promises: BTreeMap<ReplicaId, Promised>,
}

#[derive(Debug)]
struct Promised {
    learned: Position,
    accepted: Vec<Run>,
}

/// What a candidate has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A promiser has learned more: get that from it first.
    CatchUp(ReplicaId),
    /// Write these values from the watermark on, and lead.
    Lead(Vec<Value>),
    /// Wait for promises.
    Wait,
}

impl Candidate {
    pub(super) fn new(ballot: Ballot) -> Self {
        Self {
            ballot,
            promises: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, from: ReplicaId, learned: Position, accepted: Vec<Run>) {
        self.promises.insert(from, Promised { learned, accepted });
    }

    /// Decides by the promises so far. `learned` is the candidate's own watermark.
    ///
    /// At each position above it the accepted value of the highest ballot may have been chosen;
    /// where no promiser has accepted anything, nothing can have been.
    ///
    /// The candidate's own promise must be among them, so that it holds nothing that they leave
    /// out.
    pub(super) fn next(&self, configuration: &Configuration, learned: Position) -> Next {
        if !quorum::is_reached(configuration, self.promises.len())
            || !self.promises.contains_key(&self.ballot.replica)
        {
            return Next::Wait;
        }
        let furthest = self.promises.iter().max_by_key(|(_, p)| p.learned);
        if let Some((id, promised)) = furthest
            && promised.learned > learned
        {
            return Next::CatchUp(*id);
        }
        let mut best: BTreeMap<Position, (Ballot, Value)> = BTreeMap::new();
        let runs = self.promises.values().flat_map(|p| &p.accepted);
        for Entry {
            position,
            ballot,
            value,
        } in runs.flat_map(Run::entries)
        {
            let held = best.get(&position);
            if position > learned && held.is_none_or(|(held, _)| *held < ballot) {
                best.insert(position, (ballot, value));
            }
        }
        let end = best.last_key_value().map_or(learned, |(at, _)| *at);
        let values = (learned.0 + 1..=end.0)
            .map(|at| best.remove(&Position(at)).map_or(Value::Nop, |(_, v)| v))
            .collect();
        Next::Lead(values)
    }
}

/// A term that has been won.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) ballot: Ballot,
    /// The entry that ends the settling of earlier terms.
    pub(super) barrier: Position,
    /// Whether the owner has been told.
    pub(super) is_announced: bool,
    /// The position the next value gets.
    pub(super) next: Position,
    /// How far each member has durably accepted under this ballot, without a gap.
    pub(super) matched: BTreeMap<ReplicaId, Position>,
    /// The other members.
    pub(super) peers: BTreeMap<ReplicaId, Peer>,
}

/// How far a peer is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// Everything up to here has been sent.
    pub(super) sent: Position,
    /// What it says it has learned.
    pub(super) learned: Position,
    /// Whether a read for it is under way.
    pub(super) is_reading: bool,
    /// What was acknowledged at the last tick, and for how many ticks it has been that.
    at_last_tick: (Position, Position),
    stuck_ticks: u32,
}

impl Leader {
    /// Ticks without progress before a peer is sent everything again.
    const STUCK_TICKS: u32 = 3;

    pub(super) fn new(
        ballot: Ballot,
        me: ReplicaId,
        configuration: &Configuration,
        learned: Position,
    ) -> Self {
        let peer = Peer {
            sent: learned,
            ..Peer::default()
        };
        let members = || configuration.members.keys().copied();
        Self {
            ballot,
            barrier: learned,
            is_announced: false,
            next: learned.next(),
            // What is learned needs no acknowledgement.
            matched: members().map(|id| (id, learned)).collect(),
            peers: members()
                .filter(|id| *id != me)
                .map(|id| (id, peer))
                .collect(),
        }
    }

    /// Takes an acknowledgement of `first..=last`.
    pub(super) fn accepted(&mut self, from: Member, first: Position, last: Position) {
        if let Some(matched) = self.matched.get_mut(&from.id)
            && first <= matched.next()
            && last < self.next
        {
            *matched = last.max(*matched);
        }
    }

    /// Takes a peer's watermark. What it has learned is chosen, hence need not be acknowledged.
    pub(super) fn progressed(&mut self, from: Member, learned: Position) {
        if let Some(peer) = self.peers.get_mut(&from.id) {
            peer.learned = learned;
            peer.sent = peer.sent.max(learned.min(self.next.before()));
        }
    }

    /// Goes back to what a peer has learned, if it has made no progress for a few ticks.
    pub(super) fn rewind_if_stuck(&mut self, id: ReplicaId) {
        let matched = self.matched.get(&id).copied().unwrap_or_default();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let now = (matched, peer.learned);
        let is_behind = peer.learned.next() < self.next;
        if peer.at_last_tick != now || !is_behind {
            peer.at_last_tick = now;
            peer.stuck_ticks = 0;
            return;
        }
        peer.stuck_ticks += 1;
        if peer.stuck_ticks >= Self::STUCK_TICKS {
            peer.stuck_ticks = 0;
            peer.is_reading = false;
            peer.sent = peer.sent.min(peer.learned);
        }
    }
}
