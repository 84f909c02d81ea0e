//! Who belongs to the ensemble: forming it, changing it, coming back to it.
//!
//! **One at a time, alone.** A change is appended when nothing else is in flight, and nothing is
//! appended behind it until it is learned. It is chosen when quorums of the old and of the new
//! configuration have accepted it, each member of them holding everything before it. So whoever
//! stands for election under either meets it, and begins again under the newer
//! ([`super::coordinator`]).
//!
//! **Incarnations.** What a member has acknowledged before it lost its state must not be counted
//! once it has come back: it would be counted for entries that it does not hold. The entry that
//! names the new incarnation is chosen by a quorum of the others. From its proposing on no quorum
//! rests on the older incarnation, and the member votes only when it has learned that very entry,
//! so everything that its older acknowledgements had helped to choose. That it promised something
//! before the loss is harmless for the same reason: a candidate that counts on such a promise meets
//! a member of the quorum that chose the entry, either before (and is refused) or behind it (and
//! learns of the entry, hence that the promise does not count).

use super::ballot::{Ballot, Incarnation, Member, ReplicaId};
use super::change::{Change, ChangeError};
use super::coordinator::{Leader, Role};
use super::effect::{Effect, Record};
use super::entry::{Configuration, Configured, Position, Value};
use super::message::{Body, Join};
use super::peer::Peer;
use super::quorum;
use super::read::Asker;
use super::replica::Replica;
use super::status::Status;
use crate::base::clock::Instant;
use crate::base::mistake;
use crate::base::rng::Rng;
use std::sync::Arc;

/// A change that waits to be appended.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) change: Change,
    /// Whether the ensemble asked for it itself.
    pub(super) is_own: bool,
    /// When it is given up if the newcomer is not up to date.
    until: Instant,
    /// Whether nothing else is proposed until it is appended.
    pub(super) drains: bool,
}

impl Replica {
    /// Most replicas without a seat that a leader feeds.
    const LEARNERS_MAX: usize = 8;
    /// How many entries behind a newcomer may be when it gets its seat.
    const LAG_MAX: u64 = 1024;
    /// After how many election timeouts of silence a member's seat goes to a replica that has come
    /// up at its address. Half as many if it has never spoken in this term.
    const ABSENCE_TIMEOUTS: u32 = 8;
    /// For how many election timeouts a change waits for the newcomer.
    const CATCH_UP_TIMEOUTS: u32 = 240;

    /// Forms an ensemble of replicas that have none yet, this one among them.
    ///
    /// The owner calls it on the replica with the lowest id, when every named peer is connected,
    /// initialised, belongs to no ensemble, and names the same peers. Nothing happens if this
    /// replica is bound to an ensemble already, or if two quorums of the given size need not share
    /// a member.
    pub fn form(&mut self, now: Instant, configuration: Configuration, rng: &mut Rng) {
        let is_first = configuration.members.keys().next() == Some(&self.me.id);
        if is_first && self.bind(Arc::new(configuration)) {
            self.invite(None);
            // They have to agree before they vote.
            self.deadline = now + self.options.timing.heartbeat;
        }
        self.settle(now, rng);
    }

    /// Agrees to form an ensemble. For good: another one that counted on this replica's votes could
    /// be formed without it noticing.
    fn bind(&mut self, configuration: Arc<Configuration>) -> bool {
        let is_fit = self.acceptor.status == Status::Starting
            && configuration.is_sound()
            && configuration.members.len() > 1
            && configuration.counts(self.me);
        if !is_fit || self.is_bound() {
            return false;
        }
        self.configured = Configured {
            position: Position::ZERO,
            configuration: Arc::clone(&configuration),
        };
        if !mistake::is_on("form-without-storing") {
            self.persist(vec![Record::Forming(configuration)]);
        }
        self.become_status(Status::Voting);
        true
    }

    /// Sends the configuration to be formed to one member, or to all of them.
    fn invite(&mut self, only: Option<ReplicaId>) {
        let configuration = Arc::clone(&self.configured.configuration);
        for id in configuration.members.keys().copied() {
            if id == self.me.id || only.is_some_and(|only| only != id) {
                continue;
            }
            let body = Body::Form {
                configuration: Arc::clone(&configuration),
            };
            // DURABILITY: nobody else may form what this replica could forget.
            self.persist_then(Vec::new(), id, self.acceptor.promised, body);
        }
    }

    pub(super) fn on_form(
        &mut self,
        now: Instant,
        from: Member,
        configuration: Arc<Configuration>,
        rng: &mut Rng,
    ) {
        let is_first = configuration.members.keys().next() == Some(&from.id);
        if is_first && configuration.counts(from) && self.bind(configuration) {
            self.expect_leader(now, rng);
        }
    }

    /// Whether this replica is one of several to be and has not agreed to any ensemble.
    pub(super) fn must_form_first(&self) -> bool {
        self.options.has_peers && !self.is_bound()
    }

    /// Whether it has no seat to vote from, and has to ask to be fed.
    pub(super) fn is_seatless(&self) -> bool {
        match self.acceptor.status {
            Status::Recovering | Status::Starting => true,
            Status::Voting => self.is_formed() && !self.configuration().counts(self.me),
            Status::Empty => false,
        }
    }

    /// Asks whoever leads to be fed, and for a new incarnation if one is needed.
    pub(super) fn ask_to_join(&mut self) {
        let join = Join {
            address: Arc::clone(&self.options.address),
            feature_level: self.options.feature_level,
            learned: self.held(),
            needs_incarnation: self.needs_incarnation,
            nonce: self.nonce,
            status: self.acceptor.status,
        };
        let message = self.message(self.acceptor.promised, Body::Join(join));
        self.effects.push_back(Effect::Broadcast { message });
    }

    /// Asks for a change of the ensemble. It is appended when a newcomer is nearly up to date and
    /// everything in flight is learned; [`Effect::Configured`] tells that it is in force,
    /// [`Effect::Settled`] that whoever it has left out may go, and [`Effect::ChangeFailed`] that it
    /// was given up. If the term ends first its outcome is unknown.
    ///
    /// # Errors
    ///
    /// Nothing is done: see [`ChangeError`].
    pub fn change(
        &mut self,
        now: Instant,
        ballot: Ballot,
        change: Change,
        rng: &mut Rng,
    ) -> Result<(), ChangeError> {
        if self.leading() != Some(ballot) {
            return Err(ChangeError::NotLeader);
        }
        let asked = self.ask_for_change(now, change, false);
        self.settle(now, rng);
        asked
    }

    fn ask_for_change(
        &mut self,
        now: Instant,
        change: Change,
        is_own: bool,
    ) -> Result<(), ChangeError> {
        let next = change.apply(&self.configured.configuration)?;
        if !next.counts(self.me) && next.members.contains_key(&self.me.id) {
            // It leads, so its state is not lost.
            return Err(ChangeError::AlreadyMember(self.me.id));
        }
        let until = now + self.options.timing.election * Self::CATCH_UP_TIMEOUTS;
        let Role::Leader(leader) = &mut self.role else {
            return Err(ChangeError::NotLeader);
        };
        let is_free = leader
            .change
            .as_ref()
            .is_none_or(|c| c.is_own && !c.drains && !is_own);
        if !is_free || leader.is_closed() {
            return Err(ChangeError::Busy);
        }
        check_feature_level(leader, self.me.id, self.options.feature_level, &next)?;
        if change.newcomer(&self.configured.configuration).is_none() {
            self.check_ready(now, &change, &next)?;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.change = Some(Pending {
                change,
                is_own,
                until,
                drains: false,
            });
        }
        Ok(())
    }

    /// Whether a change could be chosen now: without a quorum it would hold up the log for good.
    fn check_ready(
        &self,
        now: Instant,
        change: &Change,
        next: &Configuration,
    ) -> Result<(), ChangeError> {
        let Role::Leader(leader) = &self.role else {
            return Err(ChangeError::NotLeader);
        };
        let patience = self.options.timing.election * 2;
        let is_up = |peer: &Peer| now.since(peer.heard) < patience && peer.learned.is_some();
        if let Some(newcomer) = change.newcomer(&self.configured.configuration) {
            let peer = leader.peers.get(&newcomer.id);
            // One that comes back votes when it has its seat, a new one before.
            let may_wait = matches!(change, Change::Rejoin { .. });
            let is_ready = peer.is_some_and(|peer| {
                is_up(peer)
                    && (peer.is_voting || may_wait)
                    && peer.incarnation == newcomer.incarnation
                    && peer.lag(self.acceptor.learned) <= Self::LAG_MAX
            });
            if !is_ready {
                return Err(ChangeError::NotReady(newcomer.id));
            }
        }
        for configuration in [&self.configured.configuration, next] {
            let votes = |(id, seat): &(&ReplicaId, &super::entry::Seat)| {
                let peer = leader.peers.get(id);
                **id == self.me.id
                    || peer.is_some_and(|peer| {
                        is_up(peer)
                            && peer.is_voting
                            && peer.incarnation == seat.incarnation
                            && peer.lag(self.acceptor.learned) <= Self::LAG_MAX
                    })
            };
            let up = configuration.members.iter().filter(votes).count();
            if up < configuration.quorum as usize {
                let needed = configuration.quorum;
                return Err(ChangeError::NoQuorum { up, needed });
            }
        }
        Ok(())
    }

    /// Takes a pending change one step further.
    pub(super) fn poll_change(&mut self, now: Instant) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let Some(Pending {
            change,
            is_own,
            until,
            drains,
        }) = leader.change.clone()
        else {
            return;
        };
        let is_drained = leader.is_drained(self.acceptor.learned);
        let next = match change.apply(&self.configured.configuration) {
            Ok(next) => next,
            Err(error) => return self.give_up_change(is_own, error),
        };
        if !leader.is_announced || (drains && !is_drained) {
            return;
        }
        match self.check_ready(now, &change, &next) {
            Ok(()) => {}
            Err(ChangeError::NotReady(_)) if !drains && now < until => return,
            Err(error) => return self.give_up_change(is_own, error),
        }
        let position = self.configured.position;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        // At any time the quorums of two configurations matter, and of no more.
        if leader.settled < position && !mistake::is_on("change-before-settled") {
            return;
        }
        if !is_drained {
            if let Some(pending) = &mut leader.change {
                pending.drains = true;
            }
            return;
        }
        leader.change = None;
        let configuration = Arc::new(next);
        leader.write_to_members_of(now, leader.next, &configuration);
        self.write(vec![Value::Configure(configuration)]);
    }

    fn give_up_change(&mut self, is_own: bool, error: ChangeError) {
        if let Role::Leader(leader) = &mut self.role {
            leader.change = None;
        }
        if !is_own {
            self.effects.push_back(Effect::ChangeFailed { error });
        }
    }

    /// A configuration is learned.
    pub(super) fn configure(&mut self, now: Instant, ballot: Ballot, configured: Configured) {
        if let Role::Leader(leader) = &mut self.role {
            leader
                .unlearned
                .retain(|c| c.position > configured.position);
        }
        // One behind a truncation came with the news of it already.
        if configured.position < self.configured.position {
            return;
        }
        // What was promised under the same configuration holds.
        self.restarts |= *self.configured.configuration != *configured.configuration;
        self.configured = configured.clone();
        self.riding.push(Record::Configuration(configured.clone()));
        if let Role::Leader(leader) = &mut self.role {
            leader.seat_peers(now, &configured.configuration);
        }
        self.effects.push_back(Effect::Configured(configured));
        self.take_seat(ballot);
    }

    /// Makes a configuration that has just been learned durable, as one that is in force.
    ///
    /// DURABILITY: entries need not be known as chosen by many, a later term finds them. But this one
    /// takes from the older members their say: if all who know that it is chosen forgot so, the older
    /// members would be needed once more, and they may be gone for good. So whoever says that it has
    /// learned a configuration does not forget it ([`Replica::poll_settled`]).
    ///
    /// Not before the entries themselves are asked to be made durable. Tells the leader when it is
    /// done, unless that is this replica.
    pub(super) fn keep_configuration(&mut self, ballot: Ballot) {
        let is_new = |record: &Record| matches!(record, Record::Configuration(_));
        if !self.riding.iter().any(is_new) || mistake::is_on("let-configurations-ride") {
            return;
        }
        self.persist(Vec::new());
        if ballot.replica != self.me.id {
            let body = Body::Progress {
                feature_level: self.options.feature_level,
                learned: self.acceptor.learned,
                round: 0,
                status: self.acceptor.status,
            };
            self.persist_then(Vec::new(), ballot.replica, ballot, body);
        }
    }

    /// Whether a quorum of the members in force holds the configuration durably as chosen, as far as
    /// this leader knows: then no member that it has left out is ever needed again.
    fn can_settle(&self) -> bool {
        let Configured {
            position,
            configuration,
        } = &self.configured;
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        quorum::is_reached(configuration, |id, incarnation| {
            if id == self.me.id {
                return self.held() >= *position;
            }
            let peer = leader.peers.get(&id);
            peer.is_some_and(|peer| {
                peer.incarnation == incarnation && peer.learned >= Some(*position)
            })
        })
    }

    /// Tells the owner once that the configuration in force is settled.
    pub(super) fn poll_settled(&mut self) {
        let position = self.configured.position;
        let is_due = |leader: &Leader| leader.is_announced && leader.settled < position;
        if !matches!(&self.role, Role::Leader(leader) if is_due(leader)) || !self.can_settle() {
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.settled = position;
            self.effects.push_back(Effect::Settled { position });
        }
    }

    /// Looks whether this replica's votes count by the configuration it has learned, whose entry
    /// was chosen under `ballot`.
    pub(super) fn take_seat(&mut self, ballot: Ballot) {
        let configured = self.configured.clone();
        self.check_superseded(&configured);
        if self.acceptor.learned < configured.position {
            return;
        }
        let is_counted =
            configured.configuration.counts(self.me) || mistake::is_on("vote-before-the-seat");
        // In its first life it has never voted, so it has nothing to remember, and votes even before
        // it has a seat: if it did not, an ensemble that has just taken it in would be short of a
        // vote until it learns so.
        let is_fresh = self.me.incarnation == Incarnation::default() && self.is_formed();
        match self.acceptor.status {
            Status::Recovering | Status::Starting
                if (is_fresh || is_counted) && !self.needs_incarnation =>
            {
                // The promises of earlier lives are forgotten; those that still matter were met by
                // the quorum that chose this entry, under this ballot. Where the rounds of a log of its
                // own would have begun was promised to nobody, and would cost the leader its term.
                if self.acceptor.promised.is_nobodys() {
                    self.acceptor.promised = Ballot::ZERO;
                }
                if ballot > self.acceptor.promised {
                    self.acceptor.promised = ballot;
                    self.seen = self.seen.max(ballot);
                    self.riding.push(Record::Promise(ballot));
                }
                self.become_status(Status::Voting);
                self.riding.push(Record::Status(Status::Voting));
            }
            Status::Empty | Status::Recovering | Status::Starting | Status::Voting => {}
        }
    }

    fn become_status(&mut self, status: Status) {
        // The owner is told at the end of the call.
        self.acceptor.status = status;
    }

    /// Whether a newer incarnation of this replica has a seat: then its own state is an old one, and
    /// its votes count no more.
    pub(super) fn check_superseded(&mut self, configured: &Configured) {
        let seat = configured.configuration.members.get(&self.me.id);
        let is_newer = seat.is_some_and(|seat| seat.incarnation > self.me.incarnation);
        if is_newer && !self.needs_incarnation && self.acceptor.status != Status::Empty {
            self.needs_incarnation = true;
            self.end_term();
            self.become_status(Status::Recovering);
            self.persist(vec![
                Record::NeedsIncarnation,
                Record::Status(Status::Recovering),
            ]);
        }
    }

    pub(super) fn on_ignored(&mut self, now: Instant, from: Member, status: Status) {
        if status == Status::Starting && !self.is_formed() && self.is_bound() {
            self.invite(Some(from.id));
        }
        // It may vote later; until then the timers ask again.
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&from.id)
            && peer.hears(now, from.incarnation)
        {
            peer.is_voting = status == Status::Voting;
        }
    }

    /// Tells a replica that its seat belongs to a newer incarnation of it.
    pub(super) fn tell_superseded(&mut self, to: Member) {
        let body = Body::Learn {
            first_kept: Position::ZERO,
            configured: self.is_formed().then(|| self.configured.clone()),
            runs: Vec::new(),
        };
        self.send(to.id, self.acceptor.promised, body);
    }

    pub(super) fn on_join(&mut self, now: Instant, from: Member, join: Join) {
        if self.leading().is_none() {
            // Where nobody leads, what it lacks may be what is missing for somebody to lead: the entry
            // that gives it its seat.
            if self.leader.is_none() && !join.needs_incarnation && join.learned < self.readable {
                self.on_catch_up(from, join.learned.next());
            }
            return;
        }
        if join.needs_incarnation {
            let Join { nonce, .. } = join;
            // An incarnation must not be given out by a leader that has been overtaken, and does
            // not know that it has been given out already.
            return self.ask_quorum(Asker::Joiner {
                member: from,
                nonce,
            });
        }
        let (learned, level) = (self.acceptor.learned, join.feature_level);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let configuration = &self.configured.configuration;
        let learners = leader.peers.keys();
        let learners = learners.filter(|id| !configuration.members.contains_key(id));
        let is_known = leader.peers.contains_key(&from.id);
        if !is_known && learners.count() >= Self::LEARNERS_MAX {
            return;
        }
        let newcomer = || Peer::new(now, from.incarnation, Position::ZERO, learned);
        let peer = leader.peers.entry(from.id).or_insert_with(newcomer);
        if !peer.hears(now, from.incarnation) {
            return self.tell_superseded(from);
        }
        peer.feature_level = Some(level);
        peer.joins = Some(Arc::clone(&join.address));
        peer.says(join.status, join.learned, learned);
        peer.progressed(join.learned, learned);
        self.offer_seat(now, from, &join.address);
        if self.deadline == Instant::FAR {
            self.deadline = self.next_tick(now);
        }
        self.stream(from.id);
    }

    /// Gives a newcomer the seat that is its own, or that of a member which is gone.
    fn offer_seat(&mut self, now: Instant, from: Member, address: &Arc<str>) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let members = &self.configured.configuration.members;
        let absence = self.options.timing.election * Self::ABSENCE_TIMEOUTS;
        let change = match members.get(&from.id) {
            Some(seat) if seat.incarnation < from.incarnation => Change::Rejoin {
                id: from.id,
                incarnation: from.incarnation,
            },
            Some(_) => return,
            None => {
                let holder = members.iter().find(|(id, seat)| {
                    **id != self.me.id && !address.is_empty() && seat.address == *address
                });
                let Some((old, _)) = holder else {
                    // An operator has to say that it belongs here.
                    return;
                };
                // One that is alive answers the first word of a term: whoever has not been heard in this
                // one need not be waited for as long.
                let is_near = leader.peers.get(old).is_some_and(|peer| {
                    let has_spoken = peer.learned.is_some();
                    let patience = if has_spoken { absence } else { absence / 2 };
                    now.since(peer.heard) < patience
                });
                if is_near {
                    return;
                }
                Change::Replace {
                    old: *old,
                    member: from,
                    address: Arc::clone(address),
                }
            }
        };
        // If another change is under way it asks again.
        self.ask_for_change(now, change, true).ok();
    }

    /// A quorum has confirmed that this replica leads, so that it knows every incarnation.
    pub(super) fn welcome(&mut self, member: Member, nonce: u64) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let newest = leader.unlearned.last().unwrap_or(&self.configured);
        let Some(seat) = newest.configuration.members.get(&member.id) else {
            // Its seat is gone: it has to be added as a new member.
            return;
        };
        // Above what was seated, and above what it may have been given but not been seated with.
        let highest = seat.incarnation.max(member.incarnation);
        let incarnation = Incarnation(highest.0.saturating_add(1));
        let ballot = leader.ballot;
        self.send(member.id, ballot, Body::Welcome { incarnation, nonce });
    }

    pub(super) fn on_welcome(&mut self, now: Instant, incarnation: Incarnation, nonce: u64) {
        let is_answer = nonce == self.nonce && self.needs_incarnation;
        if !is_answer || incarnation <= self.me.incarnation {
            return;
        }
        self.me.incarnation = incarnation;
        self.needs_incarnation = false;
        // DURABILITY: if this is lost again, so is the disk, and the next life asks for another.
        self.persist(vec![Record::Member(self.me)]);
        // Soon, to ask for the seat.
        self.deadline = self.deadline.min(now + self.options.timing.heartbeat);
    }

    /// Looks after the ensemble at every tick: lets go of those who need nothing more, and raises
    /// the feature level when everybody can read the next.
    pub(super) fn tend_ensemble(&mut self, now: Instant) {
        let configuration = Arc::clone(&self.configured.configuration);
        let position = self.configured.position;
        let absence = self.options.timing.election * Self::ABSENCE_TIMEOUTS;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let under_way = leader
            .unlearned
            .last()
            .map(|c| Arc::clone(&c.configuration));
        leader.peers.retain(|id, peer| {
            let members = &configuration.members;
            let is_coming = under_way
                .as_ref()
                .is_some_and(|c| c.members.contains_key(id));
            let is_gone = now.since(peer.heard) > absence
                || (peer.joins.is_none() && peer.learned >= Some(position));
            members.contains_key(id) || is_coming || !is_gone
        });
        let levels = configuration.members.keys().map(|id| {
            if *id == self.me.id {
                return self.options.feature_level;
            }
            let peer = leader.peers.get(id);
            peer.and_then(|peer| peer.feature_level).unwrap_or(0)
        });
        let level = levels.min().unwrap_or(0);
        let has_waited = now.since(leader.began) >= self.options.feature_level_delay;
        if level > configuration.feature_level && has_waited && self.leading().is_some() {
            // If another change is under way the next tick asks again.
            let change = Change::FeatureLevel { level };
            self.ask_for_change(now, change, true).ok();
        }
    }
}

/// Every member must be able to read what the configuration allows to be written.
fn check_feature_level(
    leader: &Leader,
    me: ReplicaId,
    own: u32,
    next: &Configuration,
) -> Result<(), ChangeError> {
    for id in next.members.keys() {
        let peer = leader.peers.get(id).and_then(|peer| peer.feature_level);
        let reads = if *id == me { Some(own) } else { peer };
        if let Some(reads) = reads
            && reads < next.feature_level
        {
            return Err(ChangeError::FeatureLevel {
                level: next.feature_level,
                id: *id,
                reads,
            });
        }
    }
    Ok(())
}

impl Leader {
    /// Has a peer for every member, and for nobody else who has not asked to be fed.
    fn seat_peers(&mut self, now: Instant, configuration: &Configuration) {
        for (id, seat) in &configuration.members {
            let sent = self.next.before();
            let peer = self
                .peers
                .entry(*id)
                .or_insert_with(|| Peer::new(now, seat.incarnation, Position::ZERO, sent));
            peer.joins = None;
        }
    }
}
