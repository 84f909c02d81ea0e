//! Looking after the ensemble: forming it, inviting and changing its members, being refused.

use super::change::{core_change, describe, is_done, is_seated, member_named};
use super::{End, Runner};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::paxos::{
    self, Ballot, ChangeError, Configuration, Configured, Position, ReplicaId, Status,
};
use crate::replog::disk::Disk;
use crate::replog::handle::{Command, LogEvent};
use crate::replog::peers::{Known, PeerEvent};
use crate::replog::wire::{Answer, Change, Hello, NO_CHANGE, Pulse, Refusal, Seat};
use async_channel::{Sender, TrySendError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often the ensemble is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often the core is asked for a change that is not made yet.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a change may wait for a newcomer to come up and catch up.
const CHANGE_PATIENCE: Duration = Duration::from_secs(60);
/// How long another process may be taken for this one: its connections may be left from before.
const TWICE_PATIENCE: Duration = Duration::from_secs(4);
/// How long a hand-over may take.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(1);
/// Most replicas remembered as new.
const NEWCOMERS_MAX: usize = 64;
/// How often it is said what forming waits for.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

/// What this replica was told about its ensemble, and what it is about to change in it.
pub struct Members {
    /// Where this replica listens, as its peers name it.
    address: Arc<str>,
    /// What the flags name: all replicas, this one among them.
    peers: BTreeSet<Arc<str>>,
    /// What the flag says.
    quorum: u32,
    /// Drawn when the process started.
    boot: u64,
    feature_level: u32,
    /// Those who may become members.
    invited: BTreeSet<Arc<str>>,
    /// Replicas that were of no ensemble when they were first seen.
    newcomers: BTreeSet<ReplicaId>,
    /// Replicas that have been members: one that was removed comes back by command only.
    seated: BTreeSet<ReplicaId>,
    pending: Option<Pending>,
    /// Since when other replicas say that this one runs elsewhere.
    twice: Option<(Instant, String)>,
    /// Peers that belong to another ensemble, and what they have said.
    foreign: BTreeMap<Arc<str>, String>,
    /// What ends this replica.
    refused: Option<String>,
    due: Instant,
    said: Option<(Instant, String)>,
    /// A configuration that came into force, and when, and has not been logged.
    unsaid: Option<(Instant, Configured)>,
    now: Instant,
}

/// A change under way.
struct Pending {
    change: Change,
    answers: Vec<Sender<Answer>>,
    deadline: Instant,
    /// When the core was asked, if it has been.
    asked: Option<Instant>,
    /// Why it is not done yet.
    waits_for: String,
}

/// A hand-over under way.
pub(super) struct HandingOver {
    done: Sender<bool>,
    deadline: Instant,
}

/// The ballot of a command that is proposed.
pub(super) fn ballot_of(command: &Command) -> Option<Ballot> {
    match command {
        Command::Append { ballot, .. } | Command::Truncate { ballot, .. } => Some(*ballot),
        Command::Change { .. }
        | Command::Close { .. }
        | Command::HandOver { .. }
        | Command::Read { .. } => None,
    }
}

/// Answers what cannot be done before this replica takes part.
pub(super) fn refuse(command: Command) {
    match command {
        Command::Change { answer, .. } => tell(
            &answer,
            Answer::Later {
                text: "this replica is starting".to_owned(),
            },
        ),
        Command::HandOver { done } => tell(&done, false),
        // No term of this replica has begun, so no ballot that it names can be right.
        Command::Append { .. }
        | Command::Close { .. }
        | Command::Read { .. }
        | Command::Truncate { .. } => {}
    }
}

/// Gives an answer to somebody who may have gone away.
pub(super) fn tell<T>(to: &Sender<T>, answer: T) {
    match to.try_send(answer) {
        Ok(()) | Err(TrySendError::Full(_)) => {}
        Err(TrySendError::Closed(_)) => log::debug!("nobody waits for an answer any more"),
    }
}

impl Members {
    /// What the flags say. `boot` tells this process from every other one.
    pub fn new(
        address: Arc<str>,
        peers: BTreeSet<Arc<str>>,
        quorum: u32,
        feature_level: u32,
        rng: &mut Rng,
    ) -> Self {
        Self {
            address,
            peers,
            quorum,
            boot: rng.next_u64(),
            feature_level,
            invited: BTreeSet::new(),
            newcomers: BTreeSet::new(),
            seated: BTreeSet::new(),
            pending: None,
            twice: None,
            foreign: BTreeMap::new(),
            refused: None,
            due: Instant::FAR,
            said: None,
            unsaid: None,
            now: Instant::ZERO,
        }
    }

    /// When the ensemble is looked at next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn note_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// Where this replica listens.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Everybody that the flags name.
    pub fn peers(&self) -> &BTreeSet<Arc<str>> {
        &self.peers
    }

    /// What is said of a replica that has just been opened.
    pub fn first_hello(&self, disk: &Disk, recovered: &paxos::Recovered) -> Hello {
        let pulse = Pulse {
            sequence: disk.sequence(),
            promised: disk.promised(),
            status: recovered.status,
            is_leading: false,
            first: recovered.first,
            learned: recovered.learned,
            end: recovered.learned,
        };
        let is_bound =
            recovered.configured > Position::ZERO || recovered.configuration.members.len() > 1;
        self.hello(recovered.me, &recovered.configuration, is_bound, pulse)
    }

    /// What is said of a replica with this configuration.
    pub fn hello(
        &self,
        member: paxos::Member,
        configuration: &Configuration,
        is_formed: bool,
        pulse: Pulse,
    ) -> Hello {
        let mut seats = Vec::new();
        if is_formed {
            seats.extend(configuration.members.iter().map(|(id, seat)| Seat {
                member: paxos::Member {
                    id: *id,
                    incarnation: seat.incarnation,
                },
                address: Arc::clone(&seat.address),
            }));
            seats.extend(self.invited.iter().map(|address| Seat {
                member: paxos::Member::default(),
                address: Arc::clone(address),
            }));
        }
        Hello {
            cluster: configuration.cluster,
            is_formed,
            member,
            address: Arc::clone(&self.address),
            boot: self.boot,
            uptime_ms: 0,
            peers: self.peers.clone(),
            quorum: self.quorum,
            feature_level: self.feature_level,
            seats,
            pulse,
        }
    }

    /// Takes in that a peer does not talk with this replica.
    pub(super) fn refused_by(&mut self, now: Instant, by: &Arc<str>, refusal: Refusal) {
        match refusal {
            Refusal::Duplicate | Refusal::Yourself => {}
            Refusal::Foreign(why) => {
                self.foreign.insert(Arc::clone(by), why);
            }
            Refusal::RolledBack(why) => self.refused = Some(why),
            Refusal::Twice(why) => {
                self.twice.get_or_insert((now, why));
            }
        }
    }

    /// Why this replica must not go on, if that is so.
    fn verdict(&self, now: Instant, shares_cluster: bool) -> Option<String> {
        if let Some((since, why)) = &self.twice
            && now.since(*since) > TWICE_PATIENCE
        {
            return Some(why.clone());
        }
        let others = self.peers.len().saturating_sub(1);
        if !shares_cluster && others > 0 && self.foreign.len() * 2 >= others {
            return self.foreign.values().next().cloned();
        }
        self.refused.clone()
    }

    /// Says what is waited for, but not all the time.
    fn say(&mut self, now: Instant, text: String) {
        let is_new = self
            .said
            .as_ref()
            .is_none_or(|(at, said)| *said != text || now.since(*at) > SAY_INTERVAL);
        if is_new {
            log::info!("{text}");
            self.said = Some((now, text));
        }
    }
}

impl Runner {
    /// Begins to talk with the other replicas.
    pub(super) fn join_network(&mut self) {
        self.renew_hello();
        if let Some(wires) = &self.wires {
            wires.network.listen(wires.incoming.clone());
            self.members.due = Instant::ZERO;
        }
        let configuration = Arc::new(self.core.configuration().clone());
        self.members.note_seats(&configuration);
        let mut shown = self.shared.lock();
        shown.ensemble.configuration = Some(configuration);
        shown.ensemble.is_formed = self.core.is_formed();
        shown.ensemble.address = Arc::clone(&self.members.address);
    }

    /// Says of this replica what has changed, and dials whom it should.
    fn renew_hello(&mut self) {
        let Some(wires) = &self.wires else {
            return;
        };
        let configuration = self.core.configuration();
        let is_formed = self.core.is_bound();
        let pulse = self.pulse();
        let hello = self
            .members
            .hello(self.core.me(), configuration, is_formed, pulse);
        wires.network.set_hello(hello);
        let mut addresses = self.members.peers.clone();
        if is_formed {
            let seats = configuration.members.values();
            addresses.extend(seats.map(|seat| Arc::clone(&seat.address)));
            addresses.extend(self.members.invited.iter().cloned());
        }
        addresses.retain(|address| !address.is_empty());
        wires.network.dial(&addresses);
    }

    /// News of a peer.
    pub(super) fn hear(&mut self, news: PeerEvent) {
        let now = crate::base::clock::now();
        match news {
            PeerEvent::Message(message) => {
                self.core.handle_message(now, message, &mut self.rng);
            }
            PeerEvent::Gone(id) => {
                self.core.handle_disconnected(now, id, &mut self.rng);
                self.members.due = now;
            }
            PeerEvent::Hello(hello) => {
                self.members.foreign.remove(&hello.address);
                self.members.twice = None;
                self.members.due = now;
            }
            PeerEvent::Refused { address, refusal } => {
                self.members.refused_by(now, &address, refusal);
                self.members.due = now;
            }
            PeerEvent::Room => self.read_wanted(),
        }
    }

    /// What has to be done from time to time.
    pub(super) fn look_after_members(&mut self, now: Instant) -> Option<End> {
        if now < self.members.due {
            return None;
        }
        let Some(wires) = &self.wires else {
            self.members.due = Instant::FAR;
            return None;
        };
        let network = wires.network.clone();
        self.members.due = now + LOOK_INTERVAL;
        let mut known = network.known();
        known.retain(|_, known| known.is_connected);
        let cluster = self.core.configuration().cluster;
        let shares_cluster = known
            .values()
            .any(|known| known.hello.is_formed && known.hello.cluster == cluster);
        if let Some(why) = self.members.verdict(now, shares_cluster) {
            log::error!("{why}");
            return Some(End::Refused(why));
        }
        if self
            .handing_over
            .as_ref()
            .is_some_and(|h| now >= h.deadline)
        {
            self.handed_over(false);
        }
        if !self.core.is_bound() {
            self.try_to_form(now, &known);
        }
        self.members.note_newcomers(&known);
        self.say_configured(now);
        if self.core.leading().is_some() {
            self.members
                .look_for_newcomers(self.core.configuration(), &known, now);
            self.go_on_with_change(now, &known);
            self.readdress(now, &known);
        } else {
            self.give_up_change("this replica does not lead any more");
        }
        self.renew_hello();
        None
    }

    /// Forms the ensemble if everybody is there and of one mind, and this one has the lowest id.
    fn try_to_form(&mut self, now: Instant, known: &BTreeMap<ReplicaId, Known>) {
        let me = self.core.me();
        let peers = self.members.peers.clone();
        if peers.len() < 2 || self.core.status() != Status::Starting {
            return;
        }
        let mut members = vec![(me, Arc::clone(&self.members.address))];
        for address in &peers {
            if *address == self.members.address {
                continue;
            }
            let at = known.values().find(|known| known.hello.address == *address);
            let Some(known) = at else {
                let text = format!("forming the ensemble waits for the replica at {address}");
                return self.members.say(now, text);
            };
            let hello = &known.hello;
            if hello.is_formed {
                // It may be that one which this replica is to join.
                return;
            }
            let why = if known.pulse.status == Status::Empty {
                "to be initialised: run aurora-log initialize there, and start it again"
            } else if hello.peers != peers {
                "to have the same -native_log_peers as this one"
            } else if hello.quorum != self.members.quorum {
                "to have the same -native_log_quorum_size as this one"
            } else {
                members.push((hello.member, Arc::clone(address)));
                continue;
            };
            let text = format!("forming the ensemble waits for the replica at {address} {why}");
            return self.members.say(now, text);
        }
        if members.iter().any(|(member, _)| member.id < me.id) {
            return;
        }
        let cluster = self.core.configuration().cluster;
        log::info!(
            "forming the ensemble {cluster:032x} of {} replicas",
            members.len()
        );
        let seats = members.into_iter().map(|(member, address)| {
            let seat = paxos::Seat {
                incarnation: member.incarnation,
                address,
            };
            (member.id, seat)
        });
        let configuration = Configuration {
            quorum: self.members.quorum,
            ..Configuration::majority(cluster, seats)
        };
        self.core.form(now, configuration, &mut self.rng);
    }

    /// Another configuration is in force.
    pub(super) fn configured(&mut self, configured: &Configured) {
        let configuration = &configured.configuration;
        self.members.unsaid = Some((crate::base::clock::now(), configured.clone()));
        if self.core.leading().is_some() {
            self.say_configured(Instant::FAR);
        }
        let mut shown = self.shared.lock();
        shown.ensemble.configuration = Some(Arc::clone(configuration));
        shown.ensemble.is_formed = self.core.is_formed();
        drop(shown);
        self.members
            .invited
            .retain(|address| !is_seated(configuration, address));
        self.members.note_seats(configuration);
        self.members.due = Instant::ZERO;
        self.renew_hello();
    }

    /// Says which configuration is in force, if that is news. Whoever catches up passes many that are over:
    /// it says only the one that it stays with.
    fn say_configured(&mut self, now: Instant) {
        let is_due = |(since, _): &mut (Instant, Configured)| now.since(*since) >= LOOK_INTERVAL;
        let Some((_, configured)) = self.members.unsaid.take_if(is_due) else {
            return;
        };
        let configuration = &configured.configuration;
        log::info!(
            "ensemble {:032x}, by entry {}: {}",
            configuration.cluster,
            configured.position,
            describe(configuration)
        );
        let me = self.core.me().id;
        if configured.position == Position::ZERO || configuration.members.contains_key(&me) {
            return;
        }
        if self.members.seated.contains(&me) {
            log::warn!(
                "this replica is no member of the ensemble any more: it follows, but does not vote"
            );
        } else {
            log::info!(
                "this replica is no member of the ensemble yet: it follows, but does not vote"
            );
        }
    }

    /// The configuration in force is settled: what has been left out may be switched off.
    pub(super) fn settled(&mut self) {
        self.members.due = Instant::ZERO;
        self.answer_change_if_done();
    }

    fn answer_change_if_done(&mut self) {
        let configuration = self.core.configuration();
        if let Some(pending) = &self.members.pending
            && self.core.is_settled()
            && is_done(configuration, &pending.change)
        {
            let text = describe(configuration);
            self.answer_change(&Answer::Done { text });
        }
    }

    fn answer_change(&mut self, answer: &Answer) {
        if let Some(pending) = self.members.pending.take() {
            for asked in pending.answers {
                tell(&asked, answer.clone());
            }
        }
        self.members.invited.clear();
        self.renew_hello();
    }

    fn give_up_change(&mut self, why: &str) {
        if self.members.pending.is_some() {
            // Asking again shows whether it was done.
            let text = why.to_owned();
            self.answer_change(&Answer::Later { text });
        }
    }

    /// The core has given up a change.
    pub(super) fn change_failed(&mut self, error: &ChangeError) {
        let now = self.members.now;
        let Some(pending) = &mut self.members.pending else {
            return;
        };
        pending.waits_for = error.to_string();
        let may_pass = matches!(error, ChangeError::NotReady(_) | ChangeError::Busy);
        if may_pass && now < pending.deadline {
            pending.asked = None;
        } else {
            let text = error.to_string();
            self.answer_change(&Answer::Failed { text });
        }
    }

    /// An operator wants the ensemble changed.
    pub(super) fn asked_to_change(&mut self, change: Change, answer: Sender<Answer>) {
        let configuration = self.core.configuration();
        if self.core.leading().is_none() {
            return tell(&answer, self.redirection());
        }
        let has_happened = is_done(configuration, &change);
        if has_happened && self.core.is_settled() {
            let text = format!("{NO_CHANGE}{}", describe(configuration));
            return tell(&answer, Answer::Done { text });
        }
        if let Change::Remove { member } | Change::Replace { member, .. } = &change
            && member_named(configuration, member).is_none()
            && !has_happened
        {
            let text = format!("{member} is no member: {}", describe(configuration));
            return tell(&answer, Answer::Failed { text });
        }
        match &mut self.members.pending {
            Some(pending) if pending.change == change => pending.answers.push(answer),
            Some(_) => tell(
                &answer,
                Answer::Later {
                    text: "another change of the ensemble is under way".to_owned(),
                },
            ),
            None => {
                self.members
                    .begin(change, vec![answer], crate::base::clock::now());
                self.members.due = Instant::ZERO;
            }
        }
    }

    /// Who can do what only a leader can.
    fn redirection(&self) -> Answer {
        let leader = self.core.leader().map(|ballot| ballot.replica);
        let seat = leader.and_then(|id| self.core.configuration().members.get(&id));
        match seat.filter(|seat| !seat.address.is_empty()) {
            Some(seat) if leader != Some(self.core.me().id) => Answer::Redirect {
                address: seat.address.to_string(),
            },
            Some(_) | None => Answer::Later {
                text: "no replica is known to lead at this time".to_owned(),
            },
        }
    }

    /// Corrects the address of a seat whose replica listens elsewhere by now; a lone node has none at
    /// first.
    fn readdress(&mut self, now: Instant, known: &BTreeMap<ReplicaId, Known>) {
        let Some(ballot) = self.core.leading() else {
            return;
        };
        if self.members.pending.is_some() {
            return;
        }
        let me = self.core.me().id;
        let own = (me, &self.members.address);
        let others = known.iter().map(|(id, known)| (*id, &known.hello.address));
        let moved = std::iter::once(own).chain(others).find(|(id, address)| {
            let seat = self.core.configuration().members.get(id);
            !address.is_empty() && seat.is_some_and(|seat| seat.address != **address)
        });
        if let Some((id, address)) = moved {
            let address = Arc::clone(address);
            let change = paxos::Change::Move { id, address };
            if let Err(error) = self.core.change(now, ballot, change, &mut self.rng) {
                log::debug!("the address of {id} is not changed now: {error}");
            }
        }
    }

    /// Asks the core for the pending change as soon as that is possible.
    fn go_on_with_change(&mut self, now: Instant, known: &BTreeMap<ReplicaId, Known>) {
        self.answer_change_if_done();
        let configuration = self.core.configuration();
        let Some(pending) = &mut self.members.pending else {
            return;
        };
        if now >= pending.deadline {
            let text = format!("given up after {CHANGE_PATIENCE:?}: {}", pending.waits_for);
            return self.answer_change(&Answer::Failed { text });
        }
        if is_done(configuration, &pending.change) {
            pending.waits_for = "a quorum of the new members has not confirmed it".to_owned();
            return;
        }
        // The core may have dropped it for a change of its own. Asking again while it is under way does
        // nothing.
        if pending.asked.is_some_and(|at| now.since(at) < ASK_INTERVAL) {
            return;
        }
        let Some(ballot) = self.core.leading() else {
            return;
        };
        let asked = match core_change(configuration, &pending.change, known) {
            Ok(change) => {
                pending.asked = Some(now);
                self.core.change(now, ballot, change, &mut self.rng)
            }
            Err(waits_for) => {
                pending.waits_for = waits_for;
                return;
            }
        };
        if let Err(error) = asked {
            self.change_failed(&error);
        }
    }

    /// Asks for a read, behind what was learned.
    pub(super) fn asked_to_read(&mut self, ballot: Ballot, token: u64) {
        if self.core.leading() == Some(ballot) {
            self.core
                .read(crate::base::clock::now(), token, &mut self.rng);
        } else {
            self.outbox.push_back(LogEvent::ReadFailed { token });
        }
    }

    /// Lets another replica lead.
    pub(super) fn asked_to_hand_over(&mut self, done: Sender<bool>) {
        let now = crate::base::clock::now();
        if self.core.leading().is_none() || self.core.is_alone() {
            return tell(&done, false);
        }
        if !self.core.hand_over(now, &mut self.rng) {
            return tell(&done, false);
        }
        self.handing_over = Some(HandingOver {
            done,
            deadline: now + HAND_OVER_PATIENCE,
        });
    }

    fn handed_over(&mut self, is_done: bool) {
        if let Some(handing_over) = self.handing_over.take() {
            tell(&handing_over.done, is_done);
        }
    }

    /// Another replica leads, or nobody.
    pub(super) fn leader_changed(&mut self, leader: Option<Ballot>) {
        let me = self.core.me().id;
        match leader {
            Some(ballot) if ballot.replica == me => log::info!("leading, by ballot {ballot}"),
            Some(ballot) => log::info!("following, ballot {ballot}"),
            None => log::info!("no replica is known to lead"),
        }
        if leader.is_none_or(|ballot| ballot.replica != me) {
            self.handed_over(true);
        }
    }
}

impl Members {
    fn begin(&mut self, change: Change, answers: Vec<Sender<Answer>>, now: Instant) {
        if let Change::Add { address } | Change::Replace { address, .. } = &change {
            self.invited.insert(address.as_str().into());
        }
        self.pending = Some(Pending {
            change,
            answers,
            deadline: now + CHANGE_PATIENCE,
            asked: None,
            waits_for: "it has just begun".to_owned(),
        });
    }

    /// Remembers who is new. One that waits for its turn is fed meanwhile, and calls itself formed
    /// from then on, as a member does that was removed.
    fn note_newcomers(&mut self, connected: &BTreeMap<ReplicaId, Known>) {
        for (id, known) in connected {
            if !known.hello.is_formed && self.newcomers.len() < NEWCOMERS_MAX {
                self.newcomers.insert(*id);
            }
        }
    }

    fn note_seats(&mut self, configuration: &Configuration) {
        for id in configuration.members.keys() {
            self.newcomers.remove(id);
            self.seated.insert(*id);
        }
    }

    /// Begins to add one more member where the operator has prepared for it by the flags.
    ///
    /// That the seat of one that is gone goes to whoever listens at its address is the core's part.
    fn look_for_newcomers(
        &mut self,
        configuration: &Configuration,
        connected: &BTreeMap<ReplicaId, Known>,
        now: Instant,
    ) {
        if self.pending.is_some() {
            return;
        }
        for (id, newcomer) in connected {
            let address = &newcomer.hello.address;
            let is_new = !configuration.members.contains_key(id)
                && !address.is_empty()
                && !is_seated(configuration, address);
            let is_fresh = self.newcomers.contains(id) && !self.seated.contains(id);
            if is_new && is_fresh && self.is_prepared_for(configuration, &newcomer.hello) {
                log::info!("the replica {id} at {address} has come up and becomes a member");
                let address = address.to_string();
                return self.begin(Change::Add { address }, Vec::new(), now);
            }
        }
    }

    /// Whether the operator has prepared for this newcomer, as the procedure for changing the
    /// quorum size says: the same, higher quorum size on both sides.
    fn is_prepared_for(&self, configuration: &Configuration, newcomer: &Hello) -> bool {
        let members = configuration.members.len();
        let prepared_for = (2 * self.quorum as usize).saturating_sub(1);
        let is_free = !newcomer.is_formed || newcomer.cluster == configuration.cluster;
        members < prepared_for && newcomer.quorum == self.quorum && is_free
    }
}
