//! The rules of promising and accepting: the kernel that safety rests on.

use super::ballot::Ballot;
use super::entry::{Entry, Position, Run, Value};
use super::replica::Status;
use std::collections::BTreeMap;

/// What an acceptor holds, as if everything asked to be made durable were.
///
/// Invariant: every ballot in `accepted` is at most `promised`.
/// Invariant: every position in `accepted` is above `learned`, and `first <= learned + 1`.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) status: Status,
    /// No ballot below this one is accepted.
    pub(super) promised: Ballot,
    /// The first position that is kept.
    pub(super) first: Position,
    /// Everything up to here is chosen and held.
    pub(super) learned: Position,
    accepted: BTreeMap<Position, (Ballot, Value)>,
    accepted_bytes: usize,
}

/// Why nothing was promised or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The replica may not vote.
    Ignored(Status),
    /// A higher ballot has been promised.
    Reject(Ballot),
}

/// What a write has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// What is new and has to be made durable.
    pub(super) runs: Vec<Run>,
    /// Whether the promise was raised, which has to be made durable too.
    pub(super) is_promise_raised: bool,
}

impl Acceptor {
    /// Most positions that may be accepted above the watermark.
    pub(super) const WINDOW: u64 = 64 * 1024;
    /// Most bytes that may be accepted above the watermark before a peer's writes wait.
    pub(super) const WINDOW_BYTES: usize = 128 << 20;

    pub(super) fn new(
        status: Status,
        promised: Ballot,
        first: Position,
        learned: Position,
        runs: &[Run],
    ) -> Self {
        let mut acceptor = Self {
            status,
            promised,
            first,
            learned,
            accepted: BTreeMap::new(),
            accepted_bytes: 0,
        };
        for entry in runs.iter().flat_map(Run::entries) {
            let held = acceptor.accepted.get(&entry.position);
            if entry.position > learned && held.is_none_or(|(ballot, _)| *ballot < entry.ballot) {
                acceptor.put(entry);
            }
        }
        acceptor
    }

    fn put(&mut self, entry: Entry) {
        self.accepted_bytes += entry.value.size_bytes();
        let old = self
            .accepted
            .insert(entry.position, (entry.ballot, entry.value));
        if let Some((_, value)) = old {
            self.accepted_bytes -= value.size_bytes();
        }
    }

    fn take(&mut self, position: Position) -> Option<(Ballot, Value)> {
        let (ballot, value) = self.accepted.remove(&position)?;
        self.accepted_bytes -= value.size_bytes();
        Some((ballot, value))
    }

    /// Asks for a promise. `Ok(true)` if it is new and has to be made durable.
    ///
    /// A ballot belongs to one replica: meeting the promised one again is its owner asking twice.
    /// Another ballot of the same round is refused too, though it may be higher: so no two terms
    /// share a round, and the round alone orders them for whoever is given orders by coordinators.
    pub(super) fn promise(&mut self, ballot: Ballot) -> Result<bool, Refusal> {
        if self.status != Status::Voting {
            return Err(Refusal::Ignored(self.status));
        }
        if ballot != self.promised && ballot.round <= self.promised.round {
            return Err(Refusal::Reject(self.promised));
        }
        let is_new = ballot > self.promised;
        self.promised = ballot;
        Ok(is_new)
    }

    /// Whether a peer's `run` may be taken in: bounds what a coordinator can make this replica
    /// hold.
    pub(super) fn has_room_for(&self, run: &Run) -> bool {
        run.last().0 <= self.learned.0.saturating_add(Self::WINDOW)
            && self.accepted_bytes <= Self::WINDOW_BYTES
    }

    /// Asks to accept `run`. Positions that are learned, or accepted under this ballot, change
    /// nothing.
    pub(super) fn write(&mut self, run: &Run) -> Result<Accepted, Refusal> {
        if self.status != Status::Voting {
            return Err(Refusal::Ignored(self.status));
        }
        if run.ballot < self.promised {
            return Err(Refusal::Reject(self.promised));
        }
        // The classic rule, which the Mesos log misses: to accept is to promise.
        let is_promise_raised = run.ballot > self.promised;
        self.promised = run.ballot;
        let mut new = Vec::with_capacity(run.values.len());
        for entry in run.entries() {
            let held = self.accepted.get(&entry.position);
            if entry.position <= self.learned || held.is_some_and(|(held, _)| *held == run.ballot) {
                continue;
            }
            new.push(entry.clone());
            self.put(entry);
        }
        Ok(Accepted {
            runs: Run::collect(new),
            is_promise_raised,
        })
    }

    /// What is accepted from `from` on, in order.
    pub(super) fn accepted_from(&self, from: Position) -> impl Iterator<Item = Entry> + '_ {
        self.accepted
            .range(from..)
            .map(|(position, (ballot, value))| Entry {
                position: *position,
                ballot: *ballot,
                value: value.clone(),
            })
    }

    /// The last position that holds anything.
    pub(super) fn end(&self) -> Position {
        self.accepted
            .last_key_value()
            .map_or(self.learned, |(position, _)| *position)
    }

    /// Bytes accepted and not learned.
    pub(super) fn accepted_bytes(&self) -> usize {
        self.accepted_bytes
    }

    /// Moves the watermark up to `to`, as far as entries of `ballot` are held without a gap, and
    /// gives those entries.
    pub(super) fn learn_accepted(&mut self, ballot: Ballot, to: Position) -> Vec<Entry> {
        let mut entries = Vec::new();
        while self.learned < to {
            let position = self.learned.next();
            match self.accepted.get(&position) {
                Some((held, _)) if *held == ballot => {}
                Some(_) | None => break,
            }
            let (ballot, value) = self.take(position).expect("it was just seen");
            self.learned = position;
            entries.push(Entry {
                position,
                ballot,
                value,
            });
        }
        entries
    }

    /// Takes chosen entries that continue the watermark. Gives those, and among them the ones that
    /// were not held under the same ballot: only they have to be made durable.
    pub(super) fn learn_chosen(&mut self, runs: &[Run]) -> (Vec<Entry>, Vec<Entry>) {
        let mut entries = Vec::new();
        let mut new = Vec::new();
        for entry in runs.iter().flat_map(Run::entries) {
            if entry.position != self.learned.next() {
                continue;
            }
            let held = self.take(entry.position);
            if held.is_none_or(|(ballot, _)| ballot != entry.ballot) {
                new.push(entry.clone());
            }
            self.learned = entry.position;
            entries.push(entry);
        }
        (entries, new)
    }

    /// Forgets everything below `first`, also what was never learned here: it is gone everywhere.
    pub(super) fn skip_to(&mut self, first: Position) {
        self.first = first;
        self.learned = self.learned.max(first.before());
        while let Some((&position, _)) = self.accepted.first_key_value() {
            if position > self.learned {
                break;
            }
            self.take(position);
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(
            self.first <= self.learned.next(),
            "first {} learned {}",
            self.first,
            self.learned
        );
        for (position, (ballot, _)) in &self.accepted {
            assert!(*position > self.learned, "{position} is learned");
            assert!(
                *ballot <= self.promised,
                "{ballot} at {position} over promise {}",
                self.promised
            );
        }
    }
}
