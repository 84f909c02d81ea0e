//! Leading: writing, streaming to peers, feeding those that are behind, learning.

use super::ballot::{Ballot, Member, ReplicaId};
use super::coordinator::Role;
use super::effect::{Effect, Record};
use super::entry::{Position, Run, Value};
use super::message::Body;
use super::replica::Replica;
use super::status::Status;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::sync::Arc;

/// What a peer answers a leader with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// It holds a run durably.
    Accepted { first: Position, last: Position },
    /// It has been heard.
    Progress {
        feature_level: u32,
        round: u64,
        status: Status,
    },
}

impl Replica {
    /// When to speak again. Nobody has to hear from a leader without peers, which only raises the
    /// feature level when it is time.
    pub(super) fn next_tick(&self, now: Instant) -> Instant {
        let soon = now + self.options.timing.heartbeat;
        match &self.role {
            Role::Leader(leader) if leader.peers.keys().all(|id| *id == self.me.id) => {
                if self.configuration().feature_level >= self.options.feature_level {
                    return Instant::FAR;
                }
                soon.max(leader.began + self.options.feature_level_delay)
            }
            Role::Candidate(_) | Role::Follower | Role::Leader(_) | Role::PreCandidate(_) => soon,
        }
    }

    /// Writes values under this replica's ballot: to itself, and to every peer that has all before.
    pub(super) fn write(&mut self, values: Vec<Value>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let first = leader.next;
        leader.next = first.plus(values.len() as u64);
        let ballot = leader.ballot;
        for run in Run::cut(ballot, first, values) {
            let accepted = self.acceptor.write(&run);
            let accepted = accepted.expect("a leader votes and has promised its own ballot");
            let body = Body::Accepted {
                first: run.first,
                last: run.last(),
                learned: self.acceptor.learned,
            };
            let records: Vec<Record> = accepted.runs.into_iter().map(Record::Run).collect();
            self.persist_then(records, self.me.id, ballot, body);
        }
        for id in self.others() {
            self.stream(id);
        }
    }

    /// Every replica that this leader writes to or feeds.
    pub(super) fn others(&self) -> Vec<ReplicaId> {
        match &self.role {
            Role::Leader(leader) => {
                let ids = leader.peers.keys().copied();
                ids.filter(|id| *id != self.me.id).collect()
            }
            Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => Vec::new(),
        }
    }

    /// Sends a peer what it has not been sent: learned entries from the disk, and those in flight.
    pub(super) fn stream(&mut self, id: ReplicaId) {
        if id == self.me.id {
            return;
        }
        self.feed(id);
        let learned = self.acceptor.learned;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let (ballot, end) = (leader.ballot, leader.next.before());
        let Some(peer) = leader.peers.get_mut(&id) else {
            return;
        };
        if peer.sent < learned {
            // It is behind what is in flight: that much has to come from the disk.
            peer.sent = learned;
            peer.feed_to = learned;
        }
        // One that is too far behind has no room for what is in flight.
        let is_near = peer
            .learned
            .is_none_or(|at| end.0 - at.0.min(end.0) <= Self::AHEAD_MAX);
        if peer.sent >= end || !peer.is_voting || !is_near {
            return;
        }
        let from = peer.sent.next();
        peer.sent = end;
        let runs: Vec<Run> = self.acceptor.accepted_from(from).collect();
        for run in runs {
            self.send(id, ballot, Body::Write { run, learned });
        }
    }

    /// How far beyond what it has learned a peer is written to. It has room for more.
    const AHEAD_MAX: u64 = 2 * Self::IN_FLIGHT_MAX;

    /// Asks for what a peer needs from the disk, if nothing is on its way to it.
    fn feed(&mut self, id: ReplicaId) {
        let learned = self.acceptor.learned;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&id) else {
            return;
        };
        let Some(has) = peer.learned else {
            return;
        };
        let to = if peer.is_voting {
            peer.feed_to.min(learned)
        } else {
            learned
        };
        if peer.feeding.is_some() || has >= to {
            return;
        }
        let from = has.next();
        if from.max(self.acceptor.first) > self.readable {
            // DURABILITY: the disk may still hold what an older ballot wrote there.
            return self.flush();
        }
        peer.feeding = Some(from);
        self.effects.push_back(Effect::Read {
            peer: id,
            from: from.max(self.acceptor.first),
            through: self.readable,
        });
    }

    /// Feeds those who wait for something to become readable.
    pub(super) fn feed_waiting(&mut self) {
        if let Role::Leader(leader) = &self.role
            && leader.peers.len() > 1
        {
            for id in self.others() {
                self.feed(id);
            }
        }
    }

    /// What [`Effect::Read`] asked for: learned entries from `from` on, in order.
    pub fn handle_read(&mut self, peer: ReplicaId, runs: Vec<Run>) {
        if runs.is_empty() {
            // Truncated meanwhile: the next tick looks again.
            return;
        }
        let body = Body::Learn {
            first_kept: self.acceptor.first,
            configured: self.is_formed().then(|| self.configured.clone()),
            runs,
        };
        self.send(peer, self.acceptor.promised, body);
    }

    /// Takes a peer's answer to this leader, of whatever term.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        learned: Position,
        answer: Answer,
    ) {
        let own = self.acceptor.learned;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let next = leader.next;
        let Some(peer) = leader.peers.get_mut(&from.id) else {
            return;
        };
        if !peer.hears(now, from.incarnation) {
            return self.tell_superseded(from);
        }
        match answer {
            Answer::Accepted { first, last } => {
                if leader.ballot != ballot {
                    return;
                }
                peer.says(Status::Voting, learned, own);
                peer.accepted(first, last, next);
            }
            Answer::Progress {
                feature_level,
                round,
                status,
            } => {
                peer.feature_level = Some(feature_level);
                peer.says(status, learned, own);
                // A replica that does not vote has nothing to refuse a newer leader with.
                if leader.ballot == ballot && status == Status::Voting {
                    peer.round = peer.round.max(round);
                }
            }
        }
        peer.progressed(learned, own);
        self.learn_as_leader(now);
        self.answer_reads();
        self.stream(from.id);
    }

    /// Learns what quorums have accepted under this ballot.
    pub(super) fn learn_as_leader(&mut self, now: Instant) {
        // A configuration takes effect when it is learned: what is behind it is counted by it.
        loop {
            let Role::Leader(leader) = &self.role else {
                return;
            };
            let ballot = leader.ballot;
            let reached = leader.reached(self.me.id, &self.configured.configuration);
            let runs = self.acceptor.learn_accepted(ballot, reached);
            if runs.is_empty() {
                return;
            }
            self.give(now, runs);
            self.keep_configuration(ballot);
            self.announce();
            if self.acceptor.learned == self.acceptor.end() {
                // Nothing in flight would carry the news.
                self.send_heartbeats();
            }
        }
    }

    fn announce(&mut self) {
        let learned = self.acceptor.learned;
        if let Role::Leader(leader) = &mut self.role
            && !leader.is_announced
            && learned >= leader.barrier
        {
            leader.is_announced = true;
            let ballot = leader.ballot;
            self.set_leader(Some(ballot));
            self.effects.push_back(Effect::Leading { ballot });
        }
    }

    /// Speaks to the peers, sends again what got lost, and steps down if nobody answers.
    pub(super) fn tick(&mut self, now: Instant, rng: &mut Rng) {
        self.deadline = self.next_tick(now);
        let (me, learned) = (self.me.id, self.acceptor.learned);
        let patience = self.options.timing.election * 2;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        // This process may have been stopped itself: then the answers still wait to be read.
        let has_slept = now.since(leader.ticked) > patience / 2;
        leader.ticked = now;
        // A leader without a quorum that votes holds up whoever still hears it.
        let configuration = Arc::clone(&self.configured.configuration);
        let is_heard = has_slept
            || leader.has_quorum(&configuration, |id, peer| {
                id == me || (peer.is_voting && now.since(peer.heard) < patience)
            });
        if !is_heard {
            return self.follow(now, rng);
        }
        let next = leader.next;
        for peer in leader.peers.values_mut() {
            peer.rewind_if_stuck(learned, next);
        }
        self.send_heartbeats();
        for id in self.others() {
            self.stream(id);
        }
        self.tend_ensemble(now);
    }
}
