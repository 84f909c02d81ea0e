//! Listening to what replicas say and learn, with an eye on everybody's disk: what has to hold for a
//! promise, a vote, a term and an entry at the moment it is made.
//!
//! A loss shows only when several things go wrong together; that something could be lost shows at once.

use crate::machine::Process;
use crate::world::{Event, World, nanos};
use cores::paxos::{
    Ballot, Body, Configuration, Entry, Incarnation, Member, Message, Position, ReplicaId, Value,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What was heard of the replicas.
#[derive(Debug, Default)]
pub struct Overheard {
    /// The term that each replica was last heard to lead, and the change it has written in it.
    terms: BTreeMap<ReplicaId, (Ballot, Position)>,
    /// How often something went wrong where a change was under way.
    pub strikes: u64,
    /// How often an old life was put back.
    pub brought_back: u64,
}

/// The change of the ensemble in a run, if there is one.
fn change_in(entries: impl Iterator<Item = Entry>) -> Option<Position> {
    let mut entries = entries.filter(|entry| matches!(entry.value, Value::Configure(_)));
    entries.next().map(|entry| entry.position)
}

impl World {
    /// A replica says something to another.
    pub fn overhear(&mut self, from: usize, process: &Process, message: &Message) {
        let given = process.given;
        let who = message.from;
        match &message.body {
            Body::Promise { .. } | Body::Accepted { .. } if who.incarnation > Incarnation(0) => {
                self.ledger.votes(who, given);
            }
            Body::Prepare => self.ledger.stands(who, given),
            Body::Write { run, .. } => {
                let is_announced = process.leading == Some(message.ballot);
                let change = change_in(run.entries());
                self.check_term(who, message.ballot, given);
                let (_, pending) = self.overheard.terms[&who.id];
                if is_announced {
                    let is_alone = change.is_none_or(|at| {
                        run.values.len() == 1 && (at == given.next() || at <= given)
                    });
                    assert!(
                        is_alone,
                        "{} changes the ensemble amid other entries",
                        who.id
                    );
                    assert!(
                        pending <= given || run.last() <= pending,
                        "{} writes behind a change at {pending} that is under way",
                        who.id
                    );
                }
                if is_announced && change.is_some_and(|at| at > given) {
                    self.check_changeable(who, given);
                }
                if let Some(at) = change {
                    let term = (message.ballot, at.max(pending));
                    self.overheard.terms.insert(who.id, term);
                    self.consider_striking(from, at);
                }
            }
            _ => {}
        }
        self.machines[from].witness().said(message, given);
    }

    /// At the first word of a term a quorum stands behind it.
    fn check_term(&mut self, who: Member, ballot: Ballot, given: Position) {
        let known = self.overheard.terms.get(&who.id);
        if known.is_some_and(|(known, _)| *known == ballot) {
            return;
        }
        self.overheard
            .terms
            .insert(who.id, (ballot, Position::ZERO));
        let Some((_, configuration)) = self.ledger.in_force_behind(given) else {
            return;
        };
        let stand_behind = |member: Member| {
            member == who || self.witness_of(member, |witness| witness.has_promised(ballot))
        };
        assert!(
            is_quorum(configuration, stand_behind),
            "{} leads under {ballot} without the promises of a quorum",
            who.id
        );
    }

    /// What is given as chosen for the first time is on the disks of a quorum; a change, on those of
    /// a quorum of the new members too.
    pub fn check_chosen(&self, id: ReplicaId, entry: &Entry) {
        let (at, ballot) = (entry.position, entry.ballot);
        if self.ledger.chosen.contains_key(&at) {
            return;
        }
        let holds =
            |member: Member| self.witness_of(member, |witness| witness.has_held(at, ballot));
        if let Some((_, configuration)) = self.ledger.in_force_behind(at.before()) {
            assert!(
                is_quorum(configuration, holds),
                "{id} has learned {at} before a quorum held it durably"
            );
        }
        if let Value::Configure(next) = &entry.value {
            assert!(
                is_quorum(next, holds),
                "{id} has learned the change at {at} before a quorum of the new members held it"
            );
        }
    }

    /// What whoever was left out need never be asked about again: a quorum of the members in force knows
    /// durably that its configuration is chosen.
    pub fn check_settled(&self) {
        let at = self.ledger.configured();
        assert!(
            self.is_known_to_a_quorum(at),
            "the configuration at {at} counts as settled before a quorum knows of it durably"
        );
    }

    /// Nobody changes an ensemble that is not settled: the quorums of three configurations would matter.
    fn check_changeable(&self, who: Member, given: Position) {
        assert!(
            self.is_known_to_a_quorum(given),
            "{} changes an ensemble behind {given} that is not settled",
            who.id
        );
    }

    /// Whether a quorum of the members in force behind `at` knows durably which those are.
    fn is_known_to_a_quorum(&self, at: Position) -> bool {
        let Some((at, configuration)) = self.ledger.in_force_behind(at) else {
            return true;
        };
        let knows = |member: Member| self.witness_of(member, |witness| witness.has_learned(at));
        is_quorum(configuration, knows)
    }

    fn witness_of(&self, member: Member, says: impl Fn(&crate::checker::Witness) -> bool) -> bool {
        let mut machines = self.machines.iter();
        machines.any(|machine| machine.witnesses.get(&member).is_some_and(&says))
    }

    /// A change is in force: now and then the next is asked for before everybody knows.
    pub fn consider_changing_again(&mut self) {
        if self.is_rough && self.plan.faults.strikes && self.rng.one_in(2) {
            let wait = self.rng.duration(Duration::ZERO, Duration::from_millis(4));
            let era = self.era;
            self.at(self.now + nanos(wait), Event::ChangeAgain { era });
        }
    }

    /// A change is on its way: now and then something goes wrong just then.
    fn consider_striking(&mut self, leader: usize, at: Position) {
        if !self.is_rough || !self.plan.faults.strikes || at <= self.struck {
            return;
        }
        self.struck = at;
        if self.rng.one_in(3) {
            return;
        }
        self.overheard.strikes += 1;
        let wait = match self.rng.one_in(2) {
            true => Duration::ZERO,
            false => self.rng.duration(Duration::ZERO, Duration::from_millis(20)),
        };
        let era = self.era;
        self.at(self.now + nanos(wait), Event::Strike { era, leader });
    }
}

/// Whether those members for whom `holds` does are a quorum.
fn is_quorum(configuration: &Configuration, holds: impl Fn(Member) -> bool) -> bool {
    let members = configuration.members.iter().map(|(id, seat)| Member {
        id: *id,
        incarnation: seat.incarnation,
    });
    members.filter(|member| holds(*member)).count() >= configuration.quorum as usize
}
