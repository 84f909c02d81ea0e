//! What a proposer keeps: a candidate's promises, a leader's progress.

use super::ballot::{Ballot, Incarnation, Member, ReplicaId};
use super::entry::{Configuration, Configured, Entry, Position, Run, Value};
use super::membership::Pending;
use super::peer::Peer;
use super::quorum;
use super::read::Reads;
use crate::base::clock::Instant;
use crate::base::mistake;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a replica is doing beyond accepting.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Candidate(Candidate),
    Follower,
    /// Boxed: the others are small, and one role replaces another.
    Leader(Box<Leader>),
    PreCandidate(PreCandidate),
}

/// Asks whether a candidacy would be welcome, before it disturbs anybody.
#[derive(Clone, Debug)]
pub(super) struct PreCandidate {
    pub(super) ballot: Ballot,
    pub(super) grants: BTreeMap<ReplicaId, Incarnation>,
}

impl PreCandidate {
    /// Whether a quorum would promise.
    pub(super) fn is_welcome(&self, configuration: &Configuration) -> bool {
        quorum::is_reached(configuration, |id, incarnation| {
            self.grants.get(&id) == Some(&incarnation)
        })
    }
}

/// Gathers promises for one ballot.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) ballot: Ballot,
    promises: BTreeMap<ReplicaId, Promised>,
    /// Who has been asked.
    pub(super) asked: BTreeSet<ReplicaId>,
}

#[derive(Clone, Debug)]
struct Promised {
    incarnation: Incarnation,
    learned: Position,
    accepted: Vec<Run>,
}

/// What a candidate has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Members of a configuration that may have been chosen have to promise too.
    Ask(Vec<ReplicaId>),
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
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, from: Member, learned: Position, accepted: Vec<Run>) {
        let promised = Promised {
            incarnation: from.incarnation,
            learned,
            accepted,
        };
        self.promises.insert(from.id, promised);
    }

    fn has_quorum(&self, configuration: &Configuration) -> bool {
        quorum::is_reached(configuration, |id, incarnation| {
            let promised = self.promises.get(&id);
            let counts = |life| life == incarnation || mistake::is_on("count-any-incarnation");
            promised.is_some_and(|promised| counts(promised.incarnation))
        })
    }

    /// Tells a new leader what its voters have learned.
    pub(super) fn introduce(&self, leader: &mut Leader) {
        // Nothing is written yet.
        let own = leader.next.before();
        for (id, promised) in &self.promises {
            if let Some(peer) = leader.peers.get_mut(id)
                && peer.incarnation == promised.incarnation
            {
                peer.progressed(promised.learned, own);
            }
        }
    }

    /// Decides by the promises so far. `learned` is the candidate's own watermark, and
    /// `configuration` the one in force behind it.
    ///
    /// At each position above it the accepted value of the highest ballot may have been chosen;
    /// where no promiser has accepted anything, nothing can have been.
    ///
    /// A configuration among those values may have been chosen, and what stands behind it by its
    /// quorum alone, which need not share a member with the quorum of the one before. So its
    /// members have to promise too. By induction over the configurations above the watermark, in
    /// their order: the promises hold a quorum of the configuration that each position was chosen
    /// under, hence show whatever was chosen there.
    ///
    /// The candidate's own promise must be among them, so that it holds nothing that they leave
    /// out.
    pub(super) fn next(&self, configuration: &Configuration, learned: Position) -> Next {
        let is_enough = self.has_quorum(configuration) || mistake::is_on("lead-without-quorum");
        if !is_enough || !self.promises.contains_key(&self.ballot.replica) {
            return Next::Wait;
        }
        let furthest = self.promises.iter().max_by_key(|(_, p)| p.learned);
        if let Some((id, promised)) = furthest
            && promised.learned > learned
            && !mistake::is_on("lead-without-catching-up")
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
            let is_higher = |held: Ballot| held < ballot && !mistake::is_on("keep-any-ballot");
            if position > learned && held.is_none_or(|(held, _)| is_higher(*held)) {
                best.insert(position, (ballot, value));
            }
        }
        let mut is_joint = true;
        let mut ask = BTreeSet::new();
        for (_, value) in best.values() {
            if let Value::Configure(later) = value
                && !self.has_quorum(later)
            {
                is_joint = false;
                ask.extend(later.members.keys().filter(|id| !self.asked.contains(id)));
            }
        }
        if !ask.is_empty() {
            return Next::Ask(ask.into_iter().collect());
        }
        if !is_joint {
            return Next::Wait;
        }
        if mistake::is_on("settle-nothing") {
            best.clear();
        }
        let end = best.last_key_value().map_or(learned, |(at, _)| *at);
        let values = (learned.0 + 1..=end.0)
            .map(|at| best.remove(&Position(at)).map_or(Value::Nop, |(_, v)| v))
            .collect();
        Next::Lead(values)
    }
}

/// A term that has been won.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) ballot: Ballot,
    /// When the term began.
    pub(super) began: Instant,
    /// The entry that ends the settling of earlier terms.
    pub(super) barrier: Position,
    /// Whether the owner has been told.
    pub(super) is_announced: bool,
    /// The position the next value gets.
    pub(super) next: Position,
    /// Every replica that is written to, this one included.
    pub(super) peers: BTreeMap<ReplicaId, Peer>,
    /// Configurations written and not learned, in order.
    pub(super) unlearned: Vec<Configured>,
    /// The configuration that a quorum of its members is known to hold durably as chosen.
    pub(super) settled: Position,
    /// A change that waits to be appended.
    pub(super) change: Option<Pending>,
    /// Reads that wait for a quorum to say that it still follows.
    pub(super) reads: Reads,
    /// Set while this term is being handed over.
    pub(super) hand_over: Option<HandOver>,
    /// When the last tick was.
    pub(super) ticked: Instant,
}

/// A term that is given to another replica.
#[derive(Clone, Debug)]
pub(super) struct HandOver {
    /// When it is given up, and this replica goes on leading.
    pub(super) until: Instant,
    /// Who has been told to stand for election, of those that could.
    pub(super) told: BTreeSet<ReplicaId>,
    /// When the next one is told: those told so far may not be ready to lead.
    pub(super) next: Instant,
}

impl Leader {
    pub(super) fn new(
        now: Instant,
        ballot: Ballot,
        configuration: &Configuration,
        learned: Position,
    ) -> Self {
        let mut leader = Self {
            ballot,
            began: now,
            barrier: learned,
            is_announced: false,
            next: learned.next(),
            peers: BTreeMap::new(),
            unlearned: Vec::new(),
            settled: Position::ZERO,
            change: None,
            reads: Reads::default(),
            hand_over: None,
            ticked: now,
        };
        for (id, seat) in &configuration.members {
            // What is learned needs no acknowledgement.
            let peer = Peer::new(now, seat.incarnation, learned, learned);
            leader.peers.insert(*id, peer);
        }
        leader
    }

    /// Writes to the members of a configuration that has been written but not learned.
    pub(super) fn write_to_members_of(
        &mut self,
        now: Instant,
        position: Position,
        configuration: &Arc<Configuration>,
    ) {
        for (id, seat) in &configuration.members {
            self.peers.entry(*id).or_insert_with(|| {
                Peer::new(now, seat.incarnation, Position::ZERO, position.before())
            });
        }
        self.unlearned.push(Configured {
            position,
            configuration: Arc::clone(configuration),
        });
    }

    /// How far quorums have accepted, counted in the configuration in force and, up to the next one
    /// that is under way, in that one too.
    pub(super) fn reached(&self, me: ReplicaId, configuration: &Configuration) -> Position {
        let Some(change) = self.unlearned.first() else {
            return quorum::watermark(configuration, |id, incarnation| {
                self.matched(id, incarnation)
            });
        };
        // Whoever helps to choose a configuration has learned everything before it. So a quorum of
        // the new one holds all that was chosen under the old, which its members need not have
        // been asked about.
        let counted = |id: ReplicaId, incarnation| {
            let matched = self.matched(id, incarnation)?;
            let peer = self.peers.get(&id)?;
            let before = change.position.before();
            if matched > before && id != me && peer.learned < Some(before) {
                return Some(before);
            }
            Some(matched)
        };
        if mistake::is_on("count-new-members-only") {
            return quorum::watermark(&change.configuration, |id, incarnation| {
                self.matched(id, incarnation)
            });
        }
        let old = quorum::watermark(configuration, counted);
        if mistake::is_on("count-old-members-only") {
            return old;
        }
        let new = quorum::watermark(&change.configuration, counted);
        old.min(new).min(change.position)
    }

    /// How far a member has accepted in the incarnation that counts.
    fn matched(&self, id: ReplicaId, incarnation: Incarnation) -> Option<Position> {
        let peer = self.peers.get(&id)?;
        let counts = peer.incarnation == incarnation || mistake::is_on("count-any-incarnation");
        counts.then_some(peer.matched)
    }

    /// Whether those for which `holds` does are a quorum of the configuration in force, and of each
    /// that is under way.
    pub(super) fn has_quorum(
        &self,
        configuration: &Configuration,
        holds: impl Fn(ReplicaId, &Peer) -> bool,
    ) -> bool {
        let under_way = self.unlearned.iter().map(|c| c.configuration.as_ref());
        under_way.chain([configuration]).all(|configuration| {
            quorum::is_reached(configuration, |id, incarnation| {
                let peer = self.peers.get(&id);
                peer.is_some_and(|peer| peer.incarnation == incarnation && holds(id, peer))
            })
        })
    }

    /// Whether proposals have to wait: the ensemble is being changed, or the term handed over.
    pub(super) fn is_closed(&self) -> bool {
        if mistake::is_on("propose-during-a-change") {
            return false;
        }
        let drains = self.change.as_ref().is_some_and(|change| change.drains);
        !self.unlearned.is_empty() || drains || self.hand_over.is_some()
    }

    /// Whether nothing is in flight.
    pub(super) fn is_drained(&self, learned: Position) -> bool {
        self.next == learned.next()
    }
}
