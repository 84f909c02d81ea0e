//! Standing for election: asking whether it is welcome, gathering promises, settling what earlier
//! terms may have chosen.
//!
//! A follower that has not heard its leader for an election timeout first asks the others
//! ([`Body::PreVote`]): whoever hears the leader says no, so that one replica with a broken link
//! demotes nobody. Only a candidate whom a quorum would welcome raises its ballot.

use super::acceptor::Refusal;
use super::ballot::{Ballot, Member, ReplicaId};
use super::coordinator::{Candidate, Leader, Next, PreCandidate, Role};
use super::effect::{Effect, Record};
use super::entry::{Position, Run, Value};
use super::message::Body;
use super::replica::Replica;
use super::status::Status;
use crate::base::clock::Instant;
use crate::base::mistake;
use crate::base::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl Replica {
    /// The deadline has passed. Harmless before.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if now < self.deadline {
            return;
        }
        match &mut self.role {
            Role::Leader(_) => self.tick(now, rng),
            Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => {
                if !self.is_seatless() || !self.pulse.is_alive(now, self.election_timeout()) {
                    self.set_leader(None);
                }
                self.has_stood_again = false;
                if matches!(self.role, Role::Candidate(_)) {
                    self.in_vain = self.in_vain.saturating_add(1);
                }
                self.role = Role::Follower;
                self.expect_leader(now, rng);
                if self.is_seatless() {
                    self.ask_to_join();
                } else if self.may_stand() {
                    self.ask_for_welcome(now, rng);
                }
            }
        }
        self.settle(now, rng);
    }

    /// The connection to a peer has broken: its process has ended, most likely. If it led, there is
    /// no need to wait for its silence.
    pub fn handle_disconnected(&mut self, now: Instant, peer: ReplicaId, rng: &mut Rng) {
        let led = self.leader.is_some_and(|ballot| ballot.replica == peer);
        if led && peer != self.me.id && matches!(self.role, Role::Follower) {
            self.set_leader(None);
            self.stand_soon(now, Some(peer), rng);
        }
        self.settle(now, rng);
    }

    /// Nobody leads, since `gone` has gone. Those who are left do not stand all together, which may come to
    /// nothing and costs a timeout then: one after the other, each a heartbeat later, for as long as none of
    /// them is heard to stand.
    pub(super) fn stand_soon(&mut self, now: Instant, gone: Option<ReplicaId>, rng: &mut Rng) {
        let heartbeat = self.options.timing.heartbeat;
        let ids = self.configuration().members.keys();
        let before = ids.filter(|id| **id < self.me.id && Some(**id) != gone);
        let turn = u32::try_from(before.take(Self::TURNS).count()).unwrap_or(0);
        let wait = heartbeat * turn + rng.duration(heartbeat / 10, heartbeat / 5);
        self.deadline = self.deadline.min(now + wait);
    }

    /// In a large ensemble the last ones stand together.
    const TURNS: usize = 3;

    /// How long a leader may be silent.
    pub(super) fn election_timeout(&self) -> Duration {
        self.pulse.timeout(self.options.timing.election)
    }

    /// A candidacy is given at most this many election timeouts.
    const PATIENCE_MAX: u32 = 4;

    pub(super) fn expect_leader(&mut self, now: Instant, rng: &mut Rng) {
        let timeout = match self.leader {
            Some(_) => self.election_timeout(),
            // However late the last one was heard, nobody is waited for; but a candidacy that comes to
            // nothing may have needed longer.
            None => {
                self.options.timing.election
                    * self.in_vain.saturating_add(1).min(Self::PATIENCE_MAX)
            }
        };
        self.deadline = now + rng.duration(timeout, timeout * 2);
    }

    /// Takes note of who leads. `None` also forgets when a leader was last heard.
    pub(super) fn set_leader(&mut self, leader: Option<Ballot>) {
        if leader.is_none() {
            self.pulse.stop();
        }
        if self.leader != leader {
            self.leader = leader;
            self.effects.push_back(Effect::Leader(leader));
        }
    }

    /// Whether this replica may lead: it votes, it has a seat in the newest configuration it knows,
    /// and has learned the entry that brought it, hence all configurations before it; and its owner is
    /// ready.
    ///
    /// A program that cannot read what the ensemble writes accepts it, but does not lead.
    pub(super) fn may_stand(&self) -> bool {
        self.acceptor.status == Status::Voting
            && self.is_warm
            && (self.configuration().counts(self.me) || mistake::is_on("stand-without-a-seat"))
            && self.acceptor.learned >= self.configured.position
            && self.configuration().feature_level <= self.options.feature_level
    }

    fn next_ballot(&self) -> Ballot {
        if mistake::is_on("reuse-a-ballot") {
            return Ballot::ZERO.above(self.me.id);
        }
        self.seen.max(self.acceptor.promised).above(self.me.id)
    }

    /// Asks the others whether they have a leader.
    pub(super) fn ask_for_welcome(&mut self, now: Instant, rng: &mut Rng) {
        if self.is_alone() {
            return self.campaign(now, rng);
        }
        let ballot = self.next_ballot();
        let grants = BTreeMap::from([(self.me.id, self.me.incarnation)]);
        self.role = Role::PreCandidate(PreCandidate { ballot, grants });
        self.expect_leader(now, rng);
        for id in self.members() {
            if id != self.me.id {
                self.send(id, ballot, Body::PreVote);
            }
        }
    }

    fn members(&self) -> Vec<ReplicaId> {
        self.configuration().members.keys().copied().collect()
    }

    pub(super) fn on_pre_vote(&mut self, now: Instant, from: Member, ballot: Ballot) {
        if self.acceptor.status != Status::Voting {
            return self.refuse(from, ballot, Refusal::Ignored(self.acceptor.status));
        }
        let promised = self.acceptor.promised;
        let follows_another = self.leader.is_some_and(|led| led.replica != from.id)
            && (matches!(self.role, Role::Leader(_))
                || self.pulse.is_alive(now, self.options.timing.election));
        let leads = matches!(self.role, Role::Leader(_));
        let is_granted = !follows_another && !leads && ballot.round > promised.round;
        let body = Body::PreVoteReply {
            is_granted,
            promised,
        };
        self.send(from.id, ballot, body);
    }

    pub(super) fn on_pre_vote_reply(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        (is_granted, promised): (bool, Ballot),
        rng: &mut Rng,
    ) {
        self.seen = self.seen.max(promised);
        let Role::PreCandidate(asking) = &mut self.role else {
            return;
        };
        if asking.ballot != ballot {
            return;
        }
        if is_granted {
            asking.grants.insert(from.id, from.incarnation);
            if asking.is_welcome(&self.configured.configuration) {
                self.campaign(now, rng);
            }
        } else if promised.round >= ballot.round && !self.has_stood_again {
            self.has_stood_again = true;
            self.ask_for_welcome(now, rng);
        }
    }

    /// Stands for election.
    pub(super) fn campaign(&mut self, now: Instant, rng: &mut Rng) {
        let ballot = self.next_ballot();
        self.seen = ballot;
        self.set_leader(None);
        self.role = Role::Candidate(Candidate::new(ballot));
        self.expect_leader(now, rng);
        self.prepare(self.members());
    }

    /// Asks for promises.
    fn prepare(&mut self, ids: Vec<ReplicaId>) {
        let Role::Candidate(candidate) = &mut self.role else {
            return;
        };
        let ballot = candidate.ballot;
        candidate.asked.extend(&ids);
        for id in ids {
            self.send(id, ballot, Body::Prepare);
        }
    }

    /// The candidacy has caught up with a configuration that it did not know. Its promises are from
    /// members of an older one: it begins again.
    pub(super) fn stand_again_under_newer_configuration(&mut self, now: Instant, rng: &mut Rng) {
        if !matches!(self.role, Role::Candidate(_)) {
            return;
        }
        if self.may_stand() {
            self.campaign(now, rng);
        } else {
            self.follow(now, rng);
        }
    }

    pub(super) fn on_prepare(&mut self, now: Instant, from: Member, ballot: Ballot, rng: &mut Rng) {
        let is_new = match self.acceptor.promise(ballot) {
            Ok(is_new) => is_new,
            Err(refusal) => return self.refuse(from, ballot, refusal),
        };
        if from.id != self.me.id {
            self.follow(now, rng);
            self.set_leader(None);
            if !self.is_seatless() {
                self.expect_leader(now, rng);
            }
        }
        let body = Body::Promise {
            learned: self.acceptor.learned,
            accepted: match mistake::is_on("promise-without-entries") {
                true => Vec::new(),
                false => self.acceptor.accepted_from(Position::ZERO).collect(),
            },
        };
        // DURABILITY: a promise binds only once it cannot be forgotten. One given before rests on
        // an earlier ticket, which may still be under way.
        let records = if is_new && !mistake::is_on("promise-without-storing") {
            vec![Record::Promise(ballot)]
        } else {
            Vec::new()
        };
        self.persist_then(records, from.id, ballot, body);
    }

    pub(super) fn on_promise(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        (learned, accepted): (Position, Vec<Run>),
    ) {
        if let Role::Candidate(candidate) = &mut self.role
            && candidate.ballot == ballot
        {
            // Whether it counts depends on the configurations that turn up.
            candidate.add(from, learned, accepted);
            self.try_to_lead(now);
        }
    }

    pub(super) fn try_to_lead(&mut self, now: Instant) {
        let Role::Candidate(candidate) = &self.role else {
            return;
        };
        if self.restarts {
            return;
        }
        let ballot = candidate.ballot;
        let learned = self.acceptor.learned;
        match candidate.next(&self.configured.configuration, learned) {
            Next::Wait => {}
            Next::Ask(ids) => self.prepare(ids),
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
        values.push(if self.is_formed() || values.iter().any(is_forming) {
            Value::Nop
        } else {
            Value::Configure(Arc::clone(&self.configured.configuration))
        });
        let configuration = &self.configured.configuration;
        let mut leader = Leader::new(now, ballot, configuration, learned);
        leader.barrier = learned.plus(values.len() as u64);
        if let Role::Candidate(candidate) = &self.role {
            candidate.introduce(&mut leader);
        }
        for (value, at) in values.iter().zip(leader.next.0..) {
            if let Value::Configure(configuration) = value {
                leader.write_to_members_of(now, Position(at), configuration);
            }
        }
        self.in_vain = 0;
        self.role = Role::Leader(Box::new(leader));
        self.deadline = self.next_tick(now);
        self.write(values);
    }

    pub(super) fn on_reject(
        &mut self,
        now: Instant,
        ballot: Ballot,
        promised: Ballot,
        rng: &mut Rng,
    ) {
        self.seen = self.seen.max(promised);
        if promised.round < ballot.round || promised == ballot || mistake::is_on("ignore-refusals")
        {
            return;
        }
        match &self.role {
            Role::Leader(leader) if leader.ballot == ballot => self.follow(now, rng),
            Role::Candidate(candidate) if candidate.ballot == ballot => {
                self.follow(now, rng);
                // At once, but once: two candidates that outbid each other need their timers.
                if !self.has_stood_again && self.may_stand() {
                    self.has_stood_again = true;
                    self.campaign(now, rng);
                }
            }
            // An answer to a term that has ended.
            Role::Leader(_) | Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => {}
        }
    }

    /// Ends any term of its own, and waits for a leader to be heard.
    ///
    /// A replica without a seat has its timer to ask for one, which no leader puts off.
    pub(super) fn follow(&mut self, now: Instant, rng: &mut Rng) {
        self.end_term();
        if !self.is_seatless() {
            self.expect_leader(now, rng);
        }
    }

    /// Ends any term of its own.
    pub(super) fn end_term(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            let ballot = leader.ballot;
            let waiting = std::mem::take(&mut leader.reads.waiting);
            self.effects.push_back(Effect::Discarded { ballot });
            self.fail_reads(waiting);
            self.set_leader(None);
        }
        self.role = Role::Follower;
    }
}
