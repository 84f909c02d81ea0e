//! The proposer's side of a replica: standing for election, writing, streaming to peers, learning.

use super::ballot::{Ballot, ReplicaId};
use super::coordinator::{Candidate, Leader, Next, Role};
use super::effect::{Effect, Record};
use super::entry::{Entry, Position, Run, Value};
use super::message::Body;
use super::quorum;
use super::replica::Replica;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::sync::Arc;

impl Replica {
    pub(super) fn campaign(&mut self, now: Instant, rng: &mut Rng) {
        let ballot = self.seen.max(self.acceptor.promised).above(self.me.id);
        self.seen = ballot;
        self.role = Role::Candidate(Candidate::new(ballot));
        self.expect_leader(now, rng);
        let members: Vec<ReplicaId> = self.configuration.members.keys().copied().collect();
        for id in members {
            self.send(id, ballot, Body::Prepare);
        }
    }

    pub(super) fn try_to_lead(&mut self, now: Instant) {
        let Role::Candidate(candidate) = &self.role else {
            return;
        };
        let ballot = candidate.ballot;
        let learned = self.acceptor.learned;
        match candidate.next(&self.configuration, learned) {
            Next::Wait => {}
            Next::CatchUp(id) => {
                let from = learned.next();
                self.send(id, ballot, Body::CatchUp { from });
            }
            Next::Lead(values) => self.lead(now, ballot, values),
        }
    }

    /// Begins a term: settles what earlier ones may have chosen, then an entry of its own.
    fn lead(&mut self, now: Instant, ballot: Ballot, mut values: Vec<Value>) {
        let learned = self.acceptor.learned;
        let is_forming = |value: &Value| matches!(value, Value::Configure(_));
        values.push(if self.is_formed || values.iter().any(is_forming) {
            Value::Nop
        } else {
            Value::Configure(Arc::clone(&self.configuration))
        });
        let mut leader = Leader::new(ballot, self.me.id, &self.configuration, learned);
        leader.barrier = learned.plus(values.len() as u64);
        self.role = Role::Leader(leader);
        self.deadline = self.next_tick(now);
        self.write(values);
    }

    /// Nobody has to hear from a leader without peers.
    fn next_tick(&self, now: Instant) -> Instant {
        if self.configuration.members.len() == 1 {
            return Instant::FAR;
        }
        now + self.timing.heartbeat
    }

    /// Writes values under this replica's ballot: to itself, and to every peer that has all before.
    pub(super) fn write(&mut self, values: Vec<Value>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let first = leader.next;
        leader.next = first.plus(values.len() as u64);
        let ballot = leader.ballot;
        let entries = values.into_iter().zip(first.0..).map(|(value, at)| Entry {
            position: Position(at),
            ballot,
            value,
        });
        for run in Run::collect(entries) {
            let accepted = self.acceptor.write(&run);
            let accepted = accepted.expect("a leader votes and has promised its own ballot");
            let records: Vec<Record> = accepted.runs.into_iter().map(Record::Run).collect();
            let body = Body::Accepted {
                first: run.first,
                last: run.last(),
                learned: self.acceptor.learned,
            };
            self.persist_then(records, self.me.id, ballot, body);
        }
        for peer in self.peers() {
            self.stream(peer);
        }
    }

    fn peers(&self) -> Vec<ReplicaId> {
        match &self.role {
            Role::Leader(leader) => leader.peers.keys().copied().collect(),
            Role::Candidate(_) | Role::Follower => Vec::new(),
        }
    }

    /// Sends a peer what it has not been sent: learned entries from the disk, then those in flight.
    pub(super) fn stream(&mut self, id: ReplicaId) {
        let learned = self.acceptor.learned;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let (ballot, end) = (leader.ballot, leader.next.before());
        let Some(peer) = leader.peers.get_mut(&id) else {
            return;
        };
        if peer.is_reading || peer.sent >= end {
            return;
        }
        if peer.sent < learned {
            let from = peer.sent.next().max(self.acceptor.first);
            if from > self.readable {
                // DURABILITY: the disk may still hold what an older ballot wrote there.
                return self.flush();
            }
            peer.is_reading = true;
            self.effects.push_back(Effect::Read {
                peer: id,
                from,
                through: self.readable,
            });
            return;
        }
        let from = peer.sent.next();
        peer.sent = end;
        for run in Run::collect(self.acceptor.accepted_from(from)) {
            self.send(id, ballot, Body::Write { run, learned });
        }
    }

    /// Learns what a quorum has accepted under this ballot.
    pub(super) fn learn_as_leader(&mut self) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let (ballot, barrier) = (leader.ballot, leader.barrier);
        let reached = quorum::watermark(&self.configuration, &leader.matched);
        let entries = self.acceptor.learn_accepted(ballot, reached);
        if entries.is_empty() {
            return;
        }
        self.give(entries);
        let learned = self.acceptor.learned;
        if let Role::Leader(leader) = &mut self.role
            && !leader.is_announced
            && learned >= barrier
        {
            leader.is_announced = true;
            self.effects.push_back(Effect::Leading { ballot });
        }
        if learned == self.acceptor.end() {
            // Nothing in flight would carry the news.
            for peer in self.peers() {
                self.send(peer, ballot, Body::Heartbeat { learned });
            }
        }
    }

    /// Speaks to the peers, and sends again what got lost.
    pub(super) fn tick(&mut self, now: Instant) {
        self.deadline = self.next_tick(now);
        for id in self.peers() {
            if let Role::Leader(leader) = &mut self.role {
                leader.rewind_if_stuck(id);
                let ballot = leader.ballot;
                let learned = self.acceptor.learned;
                self.send(id, ballot, Body::Heartbeat { learned });
                self.stream(id);
            }
        }
    }
}
