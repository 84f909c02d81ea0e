//! The rules of promising and accepting: the kernel that safety rests on.

use super::ballot::Ballot;
use super::entry::{Entry, Position, Run};
use super::status::Status;
use crate::base::mistake;
use std::collections::VecDeque;

/// What an acceptor holds, as if everything asked to be made durable were.
///
/// Invariant: every ballot in `accepted` is at most `promised`.
/// Invariant: the runs in `accepted` are in order, none is empty, no two overlap, every position is
/// above `learned`, and `first <= learned + 1`.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    pub(super) status: Status,
    /// No ballot below this one is accepted.
    pub(super) promised: Ballot,
    /// The first position that is kept.
    pub(super) first: Position,
    /// Everything up to here is chosen and held.
    pub(super) learned: Position,
    accepted: VecDeque<Run>,
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
            accepted: VecDeque::new(),
            accepted_bytes: 0,
        };
        let mut runs: Vec<&Run> = runs.iter().collect();
        // The higher ballot comes later, and holds.
        runs.sort_by_key(|run| (run.ballot, run.first));
        for run in runs {
            if let Some(run) = run.part(learned.next(), Position(u64::MAX)) {
                acceptor.put(run);
            }
        }
        acceptor
    }

    /// Takes a run in, in place of whatever is held at its positions.
    fn put(&mut self, run: Run) {
        self.accepted_bytes += run.size_bytes();
        if self.accepted.back().is_none_or(|b| b.last() < run.first) {
            return self.accepted.push_back(run);
        }
        let (before, behind) = (run.first.before(), run.last().next());
        let from = self
            .accepted
            .partition_point(|held| held.last() < run.first);
        let to = self.accepted.partition_point(|held| held.first < behind);
        // What is left of those that it overlaps: something before it, or behind it, or both.
        let mut pieces = vec![run];
        for held in self.accepted.drain(from..to) {
            self.accepted_bytes -= held.size_bytes();
            let left = [
                held.part(Position::ZERO, before),
                held.part(behind, Position(u64::MAX)),
            ];
            for piece in left.into_iter().flatten() {
                self.accepted_bytes += piece.size_bytes();
                pieces.push(piece);
            }
        }
        pieces.sort_by_key(|piece| piece.first);
        for (piece, at) in pieces.into_iter().zip(from..) {
            self.accepted.insert(at, piece);
        }
    }

    /// The ballot held at a position above the watermark.
    fn ballot_at(&self, position: Position) -> Option<Ballot> {
        let index = self.accepted.partition_point(|run| run.last() < position);
        let run = self.accepted.get(index)?;
        (run.first <= position).then_some(run.ballot)
    }

    /// The entries of `run` above the watermark that are not held under its very ballot.
    fn new_of(&self, run: &Run) -> Vec<Run> {
        if run.first > self.end() {
            return vec![run.clone()];
        }
        let is_new = |entry: &Entry| {
            entry.position > self.learned && self.ballot_at(entry.position) != Some(run.ballot)
        };
        Run::collect(run.entries().filter(is_new))
    }

    /// Asks for a promise. `Ok(true)` if it is new and has to be made durable.
    ///
    /// A ballot belongs to one replica: meeting the promised one again is its owner asking twice.
    /// Another ballot of the same round is refused too, though it may be higher: so no two terms
    /// share a round, and the round alone orders them for whoever is given orders by coordinators.
    pub(super) fn promise(&mut self, ballot: Ballot) -> Result<bool, Refusal> {
        if self.status != Status::Voting && !mistake::is_on("promise-while-not-voting") {
            return Err(Refusal::Ignored(self.status));
        }
        let is_low = ballot != self.promised && ballot.round <= self.promised.round;
        let is_low = is_low && !(mistake::is_on("share-a-round") && ballot > self.promised);
        if is_low && !mistake::is_on("promise-lower-ballot") {
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
        if self.status != Status::Voting && !mistake::is_on("accept-while-not-voting") {
            return Err(Refusal::Ignored(self.status));
        }
        if run.ballot < self.promised && !mistake::is_on("accept-lower-ballot") {
            return Err(Refusal::Reject(self.promised));
        }
        // The classic rule, which the Mesos log misses: to accept is to promise.
        let is_promise_raised = run.ballot > self.promised;
        if !mistake::is_on("accept-without-promise") {
            self.promised = run.ballot;
        }
        let runs = self.new_of(run);
        for run in &runs {
            self.put(run.clone());
        }
        Ok(Accepted {
            runs,
            is_promise_raised,
        })
    }

    /// What is accepted from `from` on, in order.
    pub(super) fn accepted_from(&self, from: Position) -> impl Iterator<Item = Run> + '_ {
        let index = self.accepted.partition_point(|run| run.last() < from);
        let runs = self.accepted.range(index..);
        runs.filter_map(move |run| run.part(from, Position(u64::MAX)))
    }

    /// The last position that holds anything.
    pub(super) fn end(&self) -> Position {
        self.accepted.back().map_or(self.learned, Run::last)
    }

    /// Bytes accepted and not learned.
    pub(super) fn accepted_bytes(&self) -> usize {
        self.accepted_bytes
    }

    /// Moves the watermark up to `to`, as far as entries of `ballot` are held without a gap, and
    /// gives those entries.
    pub(super) fn learn_accepted(&mut self, ballot: Ballot, to: Position) -> Vec<Run> {
        let mut runs = Vec::new();
        while let Some(run) = self.accepted.front()
            && run.first == self.learned.next()
            && run.first <= to
            && (run.ballot == ballot || mistake::is_on("learn-any-ballot"))
        {
            let last = run.last().min(to);
            runs.extend(run.part(run.first, last));
            self.learned = last;
            self.drop_learned();
        }
        runs
    }

    /// Lets go of what is accepted up to the watermark.
    fn drop_learned(&mut self) {
        while let Some(run) = self.accepted.front_mut()
            && run.first <= self.learned
        {
            let bytes = run.size_bytes();
            match run.part(self.learned.next(), Position(u64::MAX)) {
                Some(rest) => {
                    self.accepted_bytes -= bytes - rest.size_bytes();
                    *run = rest;
                }
                None => {
                    self.accepted_bytes -= bytes;
                    self.accepted.pop_front();
                }
            }
        }
    }

    /// Takes chosen entries that continue the watermark. Gives those, and among them the ones that
    /// were not held under the same ballot: only they have to be made durable.
    pub(super) fn learn_chosen(&mut self, runs: &[Run]) -> (Vec<Run>, Vec<Run>) {
        let (mut learned, mut new) = (Vec::new(), Vec::new());
        for run in runs {
            if run.first > self.learned.next() && !mistake::is_on("learn-over-a-gap") {
                break;
            }
            let Some(run) = run.part(self.learned.next(), Position(u64::MAX)) else {
                continue;
            };
            if !mistake::is_on("learn-without-storing") {
                new.extend(self.new_of(&run));
            }
            self.learned = run.last();
            self.drop_learned();
            learned.push(run);
        }
        (learned, new)
    }

    /// Forgets everything below `first`, also what was never learned here: it is gone everywhere.
    pub(super) fn skip_to(&mut self, first: Position) {
        self.first = first;
        self.learned = self.learned.max(first.before());
        self.drop_learned();
    }

    /// Panics on a broken invariant. Of many runs only the newest are looked at: this is called with
    /// every message of a simulation.
    pub(super) fn check_invariants(&self) {
        const RUNS_MAX: usize = 32;
        assert!(
            self.first <= self.learned.next(),
            "first {} learned {}",
            self.first,
            self.learned
        );
        let skipped = self.accepted.len().saturating_sub(RUNS_MAX);
        let mut above = match skipped.checked_sub(1).and_then(|at| self.accepted.get(at)) {
            Some(run) => run.last().max(self.learned),
            None => self.learned,
        };
        for run in self.accepted.range(skipped..) {
            assert!(!run.values.is_empty(), "an empty run at {}", run.first);
            assert!(run.first > above, "{} is not above {above}", run.first);
            above = run.last();
            assert!(
                run.ballot <= self.promised,
                "{} at {} over promise {}",
                run.ballot,
                run.first,
                self.promised
            );
        }
        if skipped == 0 {
            let bytes: usize = self.accepted.iter().map(Run::size_bytes).sum();
            assert_eq!(bytes, self.accepted_bytes);
        }
    }
}
