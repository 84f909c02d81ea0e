//! Remembers what one replica, in one incarnation, has said to others: it must be durable when it is
//! said, and must never be taken back.

use cores::paxos::{Ballot, Body, Message, Position, Record, Recovered};
use std::collections::BTreeMap;

/// The memory of one incarnation's word.
#[derive(Debug, Default)]
pub struct Witness {
    /// The highest ballot promised to anybody.
    promised: Ballot,
    /// Under which ballot each position was acknowledged. Without those learned for good.
    acknowledged: BTreeMap<Position, Ballot>,
    /// What its disk has been told and has reported done.
    durable: Durable,
}

#[derive(Debug, Default)]
struct Durable {
    promised: Ballot,
    learned: Position,
    accepted: BTreeMap<Position, Ballot>,
}

/// Forgets everything up to `last`. Of many entries few are dropped at a time.
fn drop_through(last: Position, entries: &mut BTreeMap<Position, Ballot>) {
    while let Some(first) = entries.first_entry()
        && *first.key() <= last
    {
        first.remove();
    }
}

impl Witness {
    /// The disk has said that these are durable.
    pub fn persisted(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Promise(ballot) => {
                    self.durable.promised = self.durable.promised.max(*ballot);
                }
                Record::Learned(learned) => {
                    self.durable.learned = self.durable.learned.max(*learned);
                    drop_through(self.durable.learned, &mut self.durable.accepted);
                    drop_through(self.durable.learned, &mut self.acknowledged);
                }
                Record::Run(run) => {
                    for at in run.first.0..=run.last().0 {
                        let held = self.durable.accepted.entry(Position(at));
                        let held = held.or_insert(run.ballot);
                        *held = run.ballot.max(*held);
                    }
                }
                Record::Configuration(_)
                | Record::First(_)
                | Record::Forming(_)
                | Record::Member(_)
                | Record::NeedsIncarnation
                | Record::Status(_) => {}
            }
        }
    }

    /// Whether it has promised this ballot or a higher one.
    pub fn has_promised(&self, ballot: Ballot) -> bool {
        self.promised >= ballot
    }

    /// Whether it has ever known durably that everything up to `at` is chosen.
    pub fn has_learned(&self, at: Position) -> bool {
        self.durable.learned >= at
    }

    /// Whether it has ever held the entry at `at` durably, under this ballot or a higher one.
    pub fn has_held(&self, at: Position, ballot: Ballot) -> bool {
        let held = self.durable.accepted.get(&at);
        self.durable.learned >= at || held.is_some_and(|held| *held >= ballot)
    }

    /// The replica says something to another. `given` is what it has given to its owner.
    pub fn said(&mut self, message: &Message, given: Position) {
        let (from, ballot) = (message.from.id, message.ballot);
        match &message.body {
            Body::Promise { .. } => {
                assert!(
                    self.durable.promised >= ballot,
                    "{from} promised {ballot} before the sync"
                );
                assert!(
                    ballot >= self.promised,
                    "{from} promised {ballot} after {}",
                    self.promised
                );
                self.promised = ballot;
            }
            Body::Accepted { first, last, .. } => {
                assert!(
                    ballot >= self.promised,
                    "{from} accepted {ballot} after it had promised {}",
                    self.promised
                );
                // To accept is to promise.
                self.promised = ballot;
                for at in (first.0..=last.0).map(Position) {
                    // What is learned is safe at a quorum, durable here or not.
                    if at <= given {
                        continue;
                    }
                    let held = self.durable.accepted.get(&at);
                    assert!(
                        held.is_some_and(|held| *held >= ballot),
                        "{from} acknowledged {at} before the sync"
                    );
                    self.acknowledged.insert(at, ballot);
                }
            }
            _ => {}
        }
    }

    /// The replica has opened its disk again and says that it is all there.
    pub fn opened(&mut self, recovered: &Recovered) {
        let me = recovered.me.id;
        assert!(
            recovered.promised >= self.promised,
            "{me} has forgotten its promise of {}: it knows {}",
            self.promised,
            recovered.promised
        );
        assert!(
            recovered.learned >= self.durable.learned,
            "{me} has forgotten what it learned up to {}: it knows {}",
            self.durable.learned,
            recovered.learned
        );
        let mut accepted: BTreeMap<Position, Ballot> = BTreeMap::new();
        for run in &recovered.accepted {
            for at in (run.first.0..=run.last().0).map(Position) {
                let held = accepted.entry(at).or_insert(run.ballot);
                *held = run.ballot.max(*held);
            }
        }
        for (at, ballot) in &self.acknowledged {
            if *at <= recovered.learned {
                continue;
            }
            let held = accepted.get(at);
            assert!(
                held.is_some_and(|held| held >= ballot),
                "{me} has forgotten {at}, which it acknowledged under {ballot}"
            );
        }
        // What reached the disk without a word counts from here on.
        self.durable = Durable {
            promised: recovered.promised,
            learned: recovered.learned,
            accepted,
        };
    }
}
