//! One replica: acceptor, learner and coordinator behind one queue of effects.

use super::acceptor::Acceptor;
use super::ballot::{Ballot, Member, ReplicaId};
use super::coordinator::Role;
use super::effect::{Effect, Record, Ticket};
use super::entry::{Configuration, Configured, Position, Run, Value};
use super::message::{Body, Message};
use super::pulse::Pulse;
use super::status::{PeerStatus, Status};
use crate::base::clock::Instant;
use crate::base::mistake;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How long a replica waits for others.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A follower that hears nothing for this long, or up to twice as long, asks whether it should
    /// stand for election. It waits longer where heartbeats have come late.
    pub election: Duration,
    /// A leader speaks at least this often, and sends again what was not acknowledged.
    pub heartbeat: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            election: Duration::from_millis(250),
            heartbeat: Duration::from_millis(50),
        }
    }
}

/// What a replica is told by its owner when it opens.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it waits.
    pub timing: Timing,
    /// `host:port` where peers reach it. Empty if they do not.
    pub address: Arc<str>,
    /// The newest feature level that this program can read.
    pub feature_level: u32,
    /// How long a term lasts before it raises the feature level, so that programs which cannot read it
    /// may come back until then.
    pub feature_level_delay: Duration,
    /// Whether it is to be one of several: then it forms no ensemble by itself.
    pub has_peers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            address: Arc::default(),
            feature_level: 1,
            feature_level_delay: Duration::ZERO,
            has_peers: false,
        }
    }
}

/// What a replica knows when it opens: the durable records, merged.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Who it is.
    pub me: Member,
    /// Whether it votes.
    pub status: Status,
    /// Whether it cannot prove what it held, and must ask for a new incarnation before it votes.
    pub needs_incarnation: bool,
    /// Its promise.
    pub promised: Ballot,
    /// The first position it keeps.
    pub first: Position,
    /// Its watermark.
    pub learned: Position,
    /// The ensemble it belongs to, or may form.
    pub configuration: Configuration,
    /// The entry that brought the configuration: zero if the ensemble has not been formed.
    pub configured: Position,
    /// Every run with a position above the watermark.
    pub accepted: Vec<Run>,
}

/// Why values were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Entries beyond the end cannot be truncated.
    #[error("truncation to {to} is beyond the end of the log at {end}")]
    BeyondEnd {
        /// What was asked.
        to: Position,
        /// The position the truncation itself would have had.
        end: Position,
    },
    /// Too much is in flight, or the ensemble is being changed or handed over.
    #[error("too many entries in flight")]
    Full,
    /// The term is not this replica's, or has ended, or has not begun.
    #[error("not the coordinator of this ballot")]
    NotCoordinator,
}

/// A replica of the log. See the module for how to drive it.
///
/// It can be cloned so that a search can go on from one state in several ways; two clones that both
/// talk to others are a copied disk.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) me: Member,
    pub(super) options: Options,
    /// The newest configuration known to be chosen, or the one this replica helps to form.
    pub(super) configured: Configured,
    /// Whether votes of this incarnation count no more, and a new one has to be asked for.
    pub(super) needs_incarnation: bool,
    /// Random in each life of the process.
    pub(super) nonce: u64,
    pub(super) acceptor: Acceptor,
    /// Whether the owner could lead at once: see [`Replica::set_warm`].
    pub(super) is_warm: bool,
    pub(super) role: Role,
    /// The highest ballot met anywhere: the next candidacy goes above it.
    pub(super) seen: Ballot,
    /// Whether a rejection has been answered by standing again at once since the last timeout.
    pub(super) has_stood_again: bool,
    /// How many candidacies have come to nothing since a leader was last heard.
    pub(super) in_vain: u32,
    /// Whether a candidacy has met a newer configuration and has to begin again under it.
    pub(super) restarts: bool,
    /// What the owner was last told of whether this replica votes.
    told: Status,
    /// Who is believed to lead.
    pub(super) leader: Option<Ballot>,
    /// How regularly it is heard.
    pub(super) pulse: Pulse,
    pub(super) effects: VecDeque<Effect>,
    /// The last ticket given out.
    asked: Ticket,
    /// The last ticket known to be durable.
    persisted: Ticket,
    /// Answers that rest on records not yet durable, in the order of their tickets.
    withheld: VecDeque<(Ticket, ReplicaId, Message)>,
    /// Records that nothing waits for: they go with the next that are asked for.
    pub(super) riding: Vec<Record>,
    /// Messages to itself, handled before a call ends.
    inbox: VecDeque<Message>,
    /// The watermark last asked to be made durable, and the requests that are under way.
    asked_learned: Position,
    learned_under_way: VecDeque<(Ticket, Position)>,
    /// Everything up to here can be read back: it is durable, and known to be chosen.
    pub(super) readable: Position,
    /// The watermark at the time of each request under way, and of the last one done: what was
    /// learned by then is durable with it, as entries if not as a watermark.
    held_under_way: VecDeque<(Ticket, Position)>,
    held: Position,
    /// Who waits for what is learned here to become readable, and from where on.
    pub(super) catching_up: BTreeMap<ReplicaId, Position>,
    pub(super) deadline: Instant,
}

impl Replica {
    /// Most entries a coordinator has in flight.
    pub const IN_FLIGHT_MAX: u64 = 16 * 1024;
    /// Most bytes a coordinator has in flight, give or take one proposal.
    pub const IN_FLIGHT_BYTES: usize = 32 << 20;

    /// A replica as its disk describes it. Does nothing until [`Replica::start`].
    pub fn new(recovered: Recovered, options: Options) -> Self {
        // Where the rounds of its own log would have begun binds no member of another's: they may be lower.
        let is_bound = recovered.configured == Position::ZERO || !recovered.promised.is_nobodys();
        let promised = if is_bound {
            recovered.promised
        } else {
            Ballot::ZERO
        };
        let acceptor = Acceptor::new(
            recovered.status,
            promised,
            recovered.first,
            recovered.learned,
            &recovered.accepted,
        );
        let mut replica = Self {
            me: recovered.me,
            options,
            configured: Configured {
                position: recovered.configured,
                configuration: Arc::new(recovered.configuration),
            },
            needs_incarnation: recovered.needs_incarnation,
            nonce: 0,
            seen: recovered.promised,
            acceptor,
            is_warm: true,
            role: Role::Follower,
            has_stood_again: false,
            in_vain: 0,
            restarts: false,
            told: Status::Empty,
            leader: None,
            pulse: Pulse::default(),
            effects: VecDeque::new(),
            asked: Ticket(0),
            persisted: Ticket(0),
            withheld: VecDeque::new(),
            riding: Vec::new(),
            inbox: VecDeque::new(),
            asked_learned: recovered.learned,
            learned_under_way: VecDeque::new(),
            readable: recovered.learned,
            held_under_way: VecDeque::new(),
            held: recovered.learned,
            catching_up: BTreeMap::new(),
            deadline: Instant::FAR,
        };
        let is_hasty = mistake::is_on("vote-unformed");
        if !is_hasty && replica.must_form_first() && replica.acceptor.status == Status::Voting {
            replica.acceptor.status = Status::Starting;
        }
        if replica.needs_incarnation && replica.acceptor.status == Status::Voting {
            // Whoever opened the disk could not prove it.
            replica.acceptor.status = Status::Recovering;
        }
        replica.told = replica.shown_status();
        replica
    }

    /// Begins. A replica without peers stands for election at once.
    pub fn start(&mut self, now: Instant, rng: &mut Rng) {
        self.nonce = rng.next_u64();
        self.expect_leader(now, rng);
        if self.is_seatless() {
            self.ask_to_join();
        } else if self.is_alone() && self.may_stand() {
            self.campaign(now, rng);
        }
        self.settle(now, rng);
    }

    /// Tells whether the owner has what it takes to lead at once: it has taken what it was given. A replica
    /// votes and accepts all the same, but does not stand for election while its owner is behind: another
    /// one may be ready, and if none is, the first that becomes so stands.
    ///
    /// They are taken for ready until something else is said.
    pub fn set_warm(&mut self, now: Instant, is_warm: bool, rng: &mut Rng) {
        let becomes_warm = is_warm && !self.is_warm;
        self.is_warm = is_warm;
        if !becomes_warm {
            return;
        }
        if self.leader.is_none() && matches!(self.role, Role::Follower) && self.may_stand() {
            if self.is_alone() {
                self.campaign(now, rng);
            } else {
                self.stand_soon(now, None, rng);
            }
        }
        self.settle(now, rng);
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Replica::handle_timeout`] is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Who this replica is.
    pub fn me(&self) -> Member {
        self.me
    }

    /// Whether it votes.
    pub fn status(&self) -> Status {
        self.acceptor.status
    }

    /// How it is, for people: a replica whose votes nobody counts, because it has no seat, has yet to
    /// recover, whatever its acceptor would answer.
    pub fn shown_status(&self) -> Status {
        match self.acceptor.status {
            Status::Voting if self.is_seatless() => Status::Recovering,
            status => status,
        }
    }

    /// The ensemble it belongs to.
    pub fn configuration(&self) -> &Configuration {
        &self.configured.configuration
    }

    /// The entry that brought the configuration: zero if the ensemble has not been formed.
    pub fn configured(&self) -> Position {
        self.configured.position
    }

    /// Whether the ensemble has been formed: its configuration is an entry of the log.
    pub fn is_formed(&self) -> bool {
        self.configured.position > Position::ZERO
    }

    /// Whether this replica leads, and has told by [`Effect::Settled`] that the configuration in
    /// force is settled.
    pub fn is_settled(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.settled >= self.configured.position)
    }

    /// Whether this replica belongs to an ensemble for good: it has been formed, or this replica
    /// has agreed to form it. A peer that is bound to another cluster must be refused.
    pub fn is_bound(&self) -> bool {
        self.is_formed() || self.configuration().members.len() > 1
    }

    /// Whether it cannot prove what it held, and waits for a new incarnation.
    pub fn needs_incarnation(&self) -> bool {
        self.needs_incarnation
    }

    /// Whether no other replica is a member, or is about to become one.
    pub fn is_alone(&self) -> bool {
        let newest = match &self.role {
            Role::Leader(leader) => leader.unlearned.last(),
            Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => None,
        };
        let others = |c: &Configuration| c.members.keys().any(|id| *id != self.me.id);
        !others(self.configuration()) && !newest.is_some_and(|c| others(&c.configuration))
    }

    /// Its promise: no lower ballot is accepted.
    pub fn promised(&self) -> Ballot {
        self.acceptor.promised
    }

    /// The first position kept.
    pub fn first(&self) -> Position {
        self.acceptor.first
    }

    /// The watermark: everything up to here is chosen and held.
    pub fn learned(&self) -> Position {
        self.acceptor.learned
    }

    /// Everything up to here can be read back from the disk.
    pub fn readable(&self) -> Position {
        self.readable
    }

    /// The last position that holds anything.
    pub fn end(&self) -> Position {
        self.acceptor.end()
    }

    /// The term this replica leads, once it may propose.
    pub fn leading(&self) -> Option<Ballot> {
        match &self.role {
            Role::Leader(leader) if leader.is_announced => Some(leader.ballot),
            Role::Leader(_) | Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => None,
        }
    }

    /// The term of the replica that is believed to lead, this one or another.
    pub fn leader(&self) -> Option<Ballot> {
        self.leader
    }

    /// What a leader knows of the others; nothing on others.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let Role::Leader(leader) = &self.role else {
            return Vec::new();
        };
        let peers = leader.peers.iter().filter(|(id, _)| **id != self.me.id);
        let status = peers.map(|(id, peer)| PeerStatus {
            id: *id,
            incarnation: peer.incarnation,
            is_member: self.configuration().members.contains_key(id),
            is_voting: peer.is_voting,
            sent: peer.sent,
            matched: peer.matched,
            learned: peer.learned.unwrap_or_default(),
            heard: peer.heard,
        });
        status.collect()
    }

    /// Appends `values` at consecutive positions and gives the first of them.
    ///
    /// Each comes back in [`Effect::Learned`], in this order; or the term ends by
    /// [`Effect::Discarded`] and their outcome is unknown.
    ///
    /// # Errors
    ///
    /// Nothing is taken: see [`ProposeError`].
    ///
    /// # Panics
    ///
    /// On a configuration: those are proposed by [`Replica::change`] alone.
    pub fn propose(
        &mut self,
        now: Instant,
        ballot: Ballot,
        values: Vec<Value>,
        rng: &mut Rng,
    ) -> Result<Position, ProposeError> {
        let first = match &self.role {
            Role::Leader(leader)
                if leader.is_announced
                    && (leader.ballot == ballot || mistake::is_on("reuse-a-stale-handle")) =>
            {
                leader.next
            }
            Role::Leader(_) | Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => {
                return Err(ProposeError::NotCoordinator);
            }
        };
        let is_last = first.0.checked_add(values.len() as u64 + 1).is_none();
        if !self.has_room() || is_last {
            return Err(ProposeError::Full);
        }
        let is_change = |value: &Value| matches!(value, Value::Configure(_));
        assert!(
            !values.iter().any(is_change),
            "the ensemble is changed by proposing"
        );
        for (value, end) in values.iter().zip(first.0..) {
            if let Value::Truncate { to } = value
                && to.0 > end
            {
                let end = Position(end);
                return Err(ProposeError::BeyondEnd { to: *to, end });
            }
        }
        self.write(values);
        self.settle(now, rng);
        Ok(first)
    }

    /// Whether the window takes more proposals.
    pub fn has_room(&self) -> bool {
        if let Role::Leader(leader) = &self.role
            && leader.is_closed()
        {
            return false;
        }
        self.end().0 - self.learned().0 < Self::IN_FLIGHT_MAX
            && self.acceptor.accepted_bytes() < Self::IN_FLIGHT_BYTES
    }

    /// Asks to make the watermark durable, so that less has to be settled at the next start.
    pub fn flush(&mut self) {
        if self.acceptor.learned > self.asked_learned || !self.riding.is_empty() {
            self.persist(Vec::new());
        }
    }

    /// Everything up to `ticket` is durable.
    pub fn handle_persisted(&mut self, now: Instant, ticket: Ticket, rng: &mut Rng) {
        self.persisted = self.persisted.max(ticket);
        while let Some((waits_for, learned)) = self.learned_under_way.front().copied()
            && waits_for <= ticket
        {
            self.learned_under_way.pop_front();
            self.readable = learned;
        }
        while let Some((waits_for, held)) = self.held_under_way.front().copied()
            && waits_for <= ticket
        {
            self.held_under_way.pop_front();
            self.held = held;
        }
        while let Some((waits_for, ..)) = self.withheld.front()
            && (*waits_for <= ticket || mistake::is_on("release-later-tickets"))
        {
            if let Some((_, to, message)) = self.withheld.pop_front() {
                self.send_message(to, message);
            }
        }
        self.serve_catching_up();
        self.feed_waiting();
        self.settle(now, rng);
    }

    /// What is learned here and would survive a crash, if not as learned then as accepted.
    pub(super) fn held(&self) -> Position {
        if self.asked == self.persisted {
            return self.acceptor.learned;
        }
        self.held
    }

    /// Panics on a broken invariant.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.acceptor.check_invariants();
        assert!(self.seen >= self.acceptor.promised);
        assert!(self.held() <= self.acceptor.learned);
        if let Role::Leader(leader) = &self.role {
            assert_eq!(leader.ballot, self.acceptor.promised, "led past a promise");
            assert!(leader.barrier < leader.next);
        }
    }

    /// Asks to make `records` durable, and with them what rides along: the watermark, and facts
    /// that follow from learned entries.
    pub(super) fn persist(&mut self, mut records: Vec<Record>) {
        records.append(&mut self.riding);
        if self.acceptor.learned > self.asked_learned {
            self.asked_learned = self.acceptor.learned;
            records.push(Record::Learned(self.acceptor.learned));
        }
        self.asked = Ticket(self.asked.0 + 1);
        if self.asked_learned > self.readable {
            let mark = (self.asked, self.asked_learned);
            self.learned_under_way.push_back(mark);
        }
        let held = (self.asked, self.acceptor.learned);
        self.held_under_way.push_back(held);
        self.effects.push_back(Effect::Persist {
            ticket: self.asked,
            records,
        });
    }

    /// Sends `body` once `records`, and everything asked for before, are durable.
    pub(super) fn persist_then(
        &mut self,
        records: Vec<Record>,
        to: ReplicaId,
        ballot: Ballot,
        body: Body,
    ) {
        // What has become of this replica must not be forgotten once it has been acted upon.
        let binds = |record: &Record| match record {
            Record::Forming(_)
            | Record::Member(_)
            | Record::NeedsIncarnation
            | Record::Promise(_)
            | Record::Status(_) => true,
            // Whoever says that it has learned one must not forget so: see `keep_configuration`.
            Record::Configuration(_) => !mistake::is_on("let-configurations-ride"),
            Record::First(_) | Record::Learned(_) | Record::Run(_) => false,
        };
        if !records.is_empty() || self.riding.iter().any(binds) {
            self.persist(records);
        }
        let is_own = to == self.me.id && mistake::is_on("count-own-vote-before-sync");
        let is_hasty = is_own || mistake::is_on("answer-before-sync");
        if self.asked > self.persisted && !is_hasty {
            let message = self.message(ballot, body);
            self.withheld.push_back((self.asked, to, message));
        } else {
            self.send(to, ballot, body);
        }
    }

    pub(super) fn message(&self, ballot: Ballot, body: Body) -> Message {
        Message {
            from: self.me,
            ballot,
            body,
        }
    }

    /// Sends now: nothing in `body` rests on records that are not durable.
    pub(super) fn send(&mut self, to: ReplicaId, ballot: Ballot, body: Body) {
        let message = self.message(ballot, body);
        self.send_message(to, message);
    }

    fn send_message(&mut self, to: ReplicaId, message: Message) {
        if to == self.me.id {
            self.inbox.push_back(message);
        } else {
            self.effects.push_back(Effect::Send { to, message });
        }
    }

    /// Handles what this replica has said to itself, until it is silent.
    pub(super) fn settle(&mut self, now: Instant, rng: &mut Rng) {
        loop {
            while let Some(message) = self.inbox.pop_front() {
                self.dispatch(now, message, rng);
            }
            if !std::mem::take(&mut self.restarts) {
                break;
            }
            // A candidacy has met a newer configuration.
            self.stand_again_under_newer_configuration(now, rng);
        }
        self.poll_settled();
        self.poll_change(now);
        self.poll_hand_over(now, rng);
        let status = self.shown_status();
        if self.told != status {
            self.told = status;
            self.effects.push_back(Effect::Status(status));
        }
        debug_assert!({
            self.check_invariants();
            true
        });
    }
}
