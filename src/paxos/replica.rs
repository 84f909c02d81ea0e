//! One replica: acceptor, learner and coordinator behind one queue of effects.

use super::acceptor::{Accepted, Acceptor, Refusal};
use super::ballot::{Ballot, Member, ReplicaId};
use super::coordinator::Role;
use super::effect::{Effect, Record, Ticket};
use super::entry::{Configuration, Entry, Position, Run, Value};
use super::message::{Body, Message};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Whether a replica takes part. The numbers are those of the Mesos log, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not initialised: knows nothing, does nothing.
    Empty,
    /// Initialised; what it holds is being checked.
    Starting,
    /// Learns what it has missed, and does not vote.
    Recovering,
    /// Votes.
    Voting,
}

/// How long a replica waits for others.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A follower that hears nothing for this long, or up to twice as long, stands for election.
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

/// What a replica knows when it opens: the durable records, merged.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Who it is.
    pub me: Member,
    /// Whether it votes.
    pub status: Status,
    /// Its promise.
    pub promised: Ballot,
    /// The first position it keeps.
    pub first: Position,
    /// Its watermark.
    pub learned: Position,
    /// The ensemble it belongs to, or may form.
    pub configuration: Configuration,
    /// Whether the ensemble has been formed: its configuration is an entry of the log.
    pub is_formed: bool,
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
    /// Too much is in flight.
    #[error("too many entries in flight")]
    Full,
    /// The term is not this replica's, or has ended, or has not begun.
    #[error("not the coordinator of this ballot")]
    NotCoordinator,
}

/// A replica of the log. See the module for how to drive it.
#[derive(Debug)]
pub struct Replica {
    pub(super) me: Member,
    pub(super) configuration: Arc<Configuration>,
    pub(super) is_formed: bool,
    pub(super) acceptor: Acceptor,
    pub(super) role: Role,
    /// The highest ballot met anywhere: the next candidacy goes above it.
    pub(super) seen: Ballot,
    /// Whether a rejection has been answered by standing again at once since the last timeout.
    has_stood_again: bool,
    pub(super) effects: VecDeque<Effect>,
    /// The last ticket given out.
    asked: Ticket,
    /// The last ticket known to be durable.
    persisted: Ticket,
    /// Answers that rest on records not yet durable, in the order of their tickets.
    withheld: VecDeque<(Ticket, ReplicaId, Message)>,
    /// Records that nothing waits for: they go with the next that are asked for.
    riding: Vec<Record>,
    /// Messages to itself, handled before a call ends.
    inbox: VecDeque<Message>,
    /// The watermark last asked to be made durable, and the requests that are under way.
    asked_learned: Position,
    learned_under_way: VecDeque<(Ticket, Position)>,
    /// Everything up to here can be read back: it is durable, and known to be chosen.
    pub(super) readable: Position,
    pub(super) timing: Timing,
    pub(super) deadline: Instant,
}

impl Replica {
    /// Most entries a coordinator has in flight.
    pub const IN_FLIGHT_MAX: u64 = 16 * 1024;
    /// Most bytes a coordinator has in flight, give or take one proposal.
    pub const IN_FLIGHT_BYTES: usize = 32 << 20;

    /// A replica as its disk describes it. Does nothing until [`Replica::start`].
    pub fn new(recovered: Recovered, timing: Timing) -> Self {
        let acceptor = Acceptor::new(
            recovered.status,
            recovered.promised,
            recovered.first,
            recovered.learned,
            &recovered.accepted,
        );
        Self {
            me: recovered.me,
            configuration: Arc::new(recovered.configuration),
            is_formed: recovered.is_formed,
            seen: acceptor.promised,
            acceptor,
            role: Role::Follower,
            has_stood_again: false,
            effects: VecDeque::new(),
            asked: Ticket(0),
            persisted: Ticket(0),
            withheld: VecDeque::new(),
            riding: Vec::new(),
            inbox: VecDeque::new(),
            asked_learned: recovered.learned,
            learned_under_way: VecDeque::new(),
            readable: recovered.learned,
            timing,
            deadline: Instant::FAR,
        }
    }

    /// Begins. A replica without peers stands for election at once.
    pub fn start(&mut self, now: Instant, rng: &mut Rng) {
        self.expect_leader(now, rng);
        if self.configuration.members.len() == 1 && self.acceptor.status == Status::Voting {
            self.campaign(now, rng);
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

    /// The ensemble it belongs to.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
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

    /// The last position that holds anything.
    pub fn end(&self) -> Position {
        self.acceptor.end()
    }

    /// The term this replica leads, once it may propose.
    pub fn leading(&self) -> Option<Ballot> {
        match &self.role {
            Role::Leader(leader) if leader.is_announced => Some(leader.ballot),
            Role::Leader(_) | Role::Candidate(_) | Role::Follower => None,
        }
    }

    /// Appends `values` at consecutive positions and gives the first of them.
    ///
    /// Each comes back as [`Effect::Learned`], in this order; or the term ends by
    /// [`Effect::Discarded`] and their outcome is unknown.
    ///
    /// # Errors
    ///
    /// Nothing is taken: see [`ProposeError`].
    pub fn propose(
        &mut self,
        now: Instant,
        ballot: Ballot,
        values: Vec<Value>,
        rng: &mut Rng,
    ) -> Result<Position, ProposeError> {
        if self.leading() != Some(ballot) {
            return Err(ProposeError::NotCoordinator);
        }
        let first = match &self.role {
            Role::Leader(leader) => leader.next,
            Role::Candidate(_) | Role::Follower => return Err(ProposeError::NotCoordinator),
        };
        if !self.has_room() {
            return Err(ProposeError::Full);
        }
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
        while let Some((waits_for, ..)) = self.withheld.front()
            && *waits_for <= ticket
        {
            if let Some((_, to, message)) = self.withheld.pop_front() {
                self.send_message(to, message);
            }
        }
        self.settle(now, rng);
    }

    /// The deadline has passed. Harmless before.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if now < self.deadline {
            return;
        }
        match &mut self.role {
            Role::Leader(_) => self.tick(now),
            Role::Candidate(_) | Role::Follower => {
                self.has_stood_again = false;
                self.expect_leader(now, rng);
                if self.acceptor.status == Status::Voting && self.configuration.counts(self.me) {
                    self.campaign(now, rng);
                }
            }
        }
        self.settle(now, rng);
    }

    /// What [`Effect::Read`] asked for: learned entries from `from` on, in order.
    pub fn handle_read(&mut self, peer: ReplicaId, runs: Vec<Run>) {
        let Some(last) = runs.last().map(Run::last) else {
            // Truncated meanwhile: the next tick looks again.
            return;
        };
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&peer)
        {
            peer.is_reading = false;
            // What was truncated meanwhile is skipped: the peer is told by `first_kept`.
            peer.sent = peer.sent.max(last);
        }
        let body = Body::Learn {
            first_kept: self.acceptor.first,
            runs,
        };
        self.send(peer, self.acceptor.promised, body);
        self.stream(peer);
    }

    /// A message has come. Whatever it says, it cannot make this replica break the protocol's
    /// rules.
    pub fn handle_message(&mut self, now: Instant, message: Message, rng: &mut Rng) {
        if self.is_plausible(&message) {
            self.seen = self.seen.max(message.ballot);
            self.dispatch(now, message, rng);
        }
        self.settle(now, rng);
    }

    /// Bounds what a peer can make this replica believe: no run of elections is that long, and no
    /// acceptor holds that much above its watermark.
    fn is_plausible(&self, message: &Message) -> bool {
        let mut round = message.ballot.round;
        if let Body::Reject { promised } = &message.body {
            round = round.max(promised.round);
        }
        let is_near = |learned: Position, run: &Run| {
            run.last().0 <= learned.0.saturating_add(2 * Acceptor::WINDOW)
        };
        let is_bounded = match &message.body {
            Body::Promise { learned, accepted } => accepted.iter().all(|r| is_near(*learned, r)),
            _ => true,
        };
        round <= self.seen.round.saturating_add(u64::from(u32::MAX)) && is_bounded
    }

    /// Panics on a broken invariant.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.acceptor.check_invariants();
        assert!(self.seen >= self.acceptor.promised);
        if let Role::Leader(leader) = &self.role {
            assert_eq!(leader.ballot, self.acceptor.promised, "led past a promise");
            assert!(leader.barrier < leader.next);
        }
    }

    fn dispatch(&mut self, now: Instant, message: Message, rng: &mut Rng) {
        let Message { from, ballot, body } = message;
        match body {
            // Only a ballot's owner speaks for it.
            Body::Prepare | Body::Write { .. } | Body::Heartbeat { .. }
                if ballot.replica != from.id => {}
            Body::Prepare => self.on_prepare(now, from, ballot, rng),
            Body::Write { run, learned } => {
                // A write's ballot is the run's: a message that says otherwise is nonsense.
                if run.ballot == ballot && run.first > Position::ZERO && !run.values.is_empty() {
                    self.on_write(now, from, &run, learned, rng);
                }
            }
            Body::Heartbeat { learned } => self.on_heartbeat(now, from, ballot, learned, rng),
            Body::Promise { learned, accepted } => {
                if self.configuration.counts(from)
                    && let Role::Candidate(candidate) = &mut self.role
                    && candidate.ballot == ballot
                {
                    candidate.add(from.id, learned, accepted);
                    self.try_to_lead(now);
                }
            }
            Body::Accepted {
                first,
                last,
                learned,
            } => {
                if self.configuration.counts(from)
                    && let Role::Leader(leader) = &mut self.role
                    && leader.ballot == ballot
                {
                    leader.accepted(from, first, last);
                    leader.progressed(from, learned);
                    self.learn_as_leader();
                    self.stream(from.id);
                }
            }
            Body::Progress { learned } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.progressed(from, learned);
                    self.stream(from.id);
                }
            }
            Body::Reject { promised } => self.on_reject(now, ballot, promised, rng),
            // It may vote later; until then the timers ask again.
            Body::Ignored { status: _ } => {}
            Body::CatchUp { from: position } => {
                if position <= self.readable {
                    self.effects.push_back(Effect::Read {
                        peer: from.id,
                        from: position.max(self.acceptor.first),
                        through: self.readable,
                    });
                } else {
                    // Nothing yet: the asker's timer asks again.
                    self.flush();
                }
            }
            Body::Learn { first_kept, runs } => self.on_learn(now, from, ballot, first_kept, runs),
        }
    }

    fn on_prepare(&mut self, now: Instant, from: Member, ballot: Ballot, rng: &mut Rng) {
        let is_new = match self.acceptor.promise(ballot) {
            Ok(is_new) => is_new,
            Err(refusal) => return self.refuse(from, ballot, refusal),
        };
        if from.id != self.me.id {
            self.follow(now, rng);
        }
        let accepted = Run::collect(self.acceptor.accepted_from(Position::ZERO));
        let body = Body::Promise {
            learned: self.acceptor.learned,
            accepted,
        };
        // DURABILITY: a promise binds only once it cannot be forgotten. One given before rests on
        // an earlier ticket, which may still be under way.
        let records = if is_new {
            vec![Record::Promise(ballot)]
        } else {
            Vec::new()
        };
        self.persist_then(records, from.id, ballot, body);
    }

    fn on_write(
        &mut self,
        now: Instant,
        from: Member,
        run: &Run,
        learned: Position,
        rng: &mut Rng,
    ) {
        if !self.acceptor.has_room_for(run) {
            // Silence makes the coordinator send again, after its watermark has made room here.
            return self.hear_watermark(run.ballot, learned);
        }
        let Accepted {
            runs,
            is_promise_raised,
        } = match self.acceptor.write(run) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse(from, run.ballot, refusal),
        };
        self.follow(now, rng);
        self.hear_watermark(run.ballot, learned);
        let mut records: Vec<Record> = Vec::with_capacity(runs.len() + 1);
        if is_promise_raised {
            records.push(Record::Promise(run.ballot));
        }
        records.extend(runs.into_iter().map(Record::Run));
        let body = Body::Accepted {
            first: run.first,
            last: run.last(),
            learned: self.acceptor.learned,
        };
        self.persist_then(records, from.id, run.ballot, body);
    }

    fn on_heartbeat(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        learned: Position,
        rng: &mut Rng,
    ) {
        if ballot < self.acceptor.promised {
            return self.refuse(from, ballot, Refusal::Reject(self.acceptor.promised));
        }
        self.follow(now, rng);
        self.hear_watermark(ballot, learned);
        let learned = self.acceptor.learned;
        self.send(from.id, ballot, Body::Progress { learned });
    }

    /// Learns what is held of `ballot` up to its coordinator's watermark.
    fn hear_watermark(&mut self, ballot: Ballot, learned: Position) {
        let entries = self.acceptor.learn_accepted(ballot, learned);
        self.give(entries);
    }

    fn on_learn(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        first_kept: Position,
        runs: Vec<Run>,
    ) {
        if self.acceptor.status == Status::Empty || matches!(self.role, Role::Leader(_)) {
            return;
        }
        if first_kept > self.acceptor.learned.next() {
            self.acceptor.skip_to(first_kept);
            self.effects
                .push_back(Effect::Skipped { first: first_kept });
            self.persist(vec![Record::First(first_kept)]);
        }
        let (entries, new) = self.acceptor.learn_chosen(&runs);
        let new = Run::collect(new).into_iter();
        let records: Vec<Record> = new.map(Record::Run).collect();
        self.give(entries);
        let learned = self.acceptor.learned;
        self.persist_then(records, from.id, ballot, Body::Progress { learned });
        self.try_to_lead(now);
    }

    fn on_reject(&mut self, now: Instant, ballot: Ballot, promised: Ballot, rng: &mut Rng) {
        self.seen = self.seen.max(promised);
        if promised.round < ballot.round || promised == ballot {
            return;
        }
        match &self.role {
            Role::Leader(leader) if leader.ballot == ballot => self.follow(now, rng),
            Role::Candidate(candidate) if candidate.ballot == ballot => {
                self.follow(now, rng);
                // At once, but once: two candidates that outbid each other need their timers.
                if !self.has_stood_again {
                    self.has_stood_again = true;
                    self.campaign(now, rng);
                }
            }
            // An answer to a term that has ended.
            Role::Leader(_) | Role::Candidate(_) | Role::Follower => {}
        }
    }

    fn refuse(&mut self, to: Member, ballot: Ballot, refusal: Refusal) {
        let body = match refusal {
            Refusal::Ignored(status) => Body::Ignored { status },
            Refusal::Reject(promised) => Body::Reject { promised },
        };
        self.send(to.id, ballot, body);
    }

    /// Ends any term of its own, and waits for a leader to be heard.
    pub(super) fn follow(&mut self, now: Instant, rng: &mut Rng) {
        if let Role::Leader(leader) = &self.role {
            let ballot = leader.ballot;
            self.effects.push_back(Effect::Discarded { ballot });
        }
        self.role = Role::Follower;
        self.expect_leader(now, rng);
    }

    pub(super) fn expect_leader(&mut self, now: Instant, rng: &mut Rng) {
        let election = self.timing.election;
        self.deadline = now + rng.duration(election, election * 2);
    }

    /// Gives learned entries to the owner, and takes from them what is meant for the log itself.
    pub(super) fn give(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match &entry.value {
                Value::Append(_) | Value::Nop => {}
                Value::Truncate { to } => {
                    let to = (*to).min(entry.position);
                    if to > self.acceptor.first {
                        self.acceptor.first = to;
                        self.riding.push(Record::First(to));
                    }
                }
                Value::Configure(configuration) => {
                    self.configuration = Arc::clone(configuration);
                    self.is_formed = true;
                    let record = Record::Configuration(Arc::clone(configuration));
                    self.riding.push(record);
                    if self.acceptor.status == Status::Recovering && configuration.counts(self.me) {
                        self.acceptor.status = Status::Voting;
                        self.riding.push(Record::Status(Status::Voting));
                        self.effects.push_back(Effect::Status(Status::Voting));
                    }
                }
            }
            self.effects.push_back(Effect::Learned(entry));
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
        let rides = self
            .riding
            .iter()
            .any(|record| matches!(record, Record::Status(_)));
        if !records.is_empty() || rides {
            self.persist(records);
        }
        if self.asked > self.persisted {
            let message = self.message(ballot, body);
            self.withheld.push_back((self.asked, to, message));
        } else {
            self.send(to, ballot, body);
        }
    }

    fn message(&self, ballot: Ballot, body: Body) -> Message {
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
    fn settle(&mut self, now: Instant, rng: &mut Rng) {
        while let Some(message) = self.inbox.pop_front() {
            self.dispatch(now, message, rng);
        }
        debug_assert!({
            self.check_invariants();
            true
        });
    }
}
