//! What a leader knows about one replica that it writes to.

use super::ballot::Incarnation;
use super::entry::Position;
use super::status::Status;
use crate::base::clock::Instant;
use crate::base::mistake;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far a replica is, in the incarnation it was last heard in.
///
/// It gets entries in two ways. What is in flight is written to it as it comes. What is learned
/// already, and was not written to it or got lost, is fed to it from the disk, one batch at a time,
/// the next when it has learned the last.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) incarnation: Incarnation,
    /// How far it has durably accepted under this ballot, without a gap.
    pub(super) matched: Position,
    /// What it has accepted behind a gap: the last position by the first, each as it was told.
    ahead: BTreeMap<Position, Position>,
    /// Everything in flight up to here has been written to it.
    pub(super) sent: Position,
    /// Everything up to here has to be fed to it, unless it has learned it.
    pub(super) feed_to: Position,
    /// Where the batch begins that it is being fed.
    pub(super) feeding: Option<Position>,
    /// What it says it has learned and holds durably, once it has spoken.
    pub(super) learned: Option<Position>,
    /// When it was last heard in this term, or the term's beginning.
    pub(super) heard: Instant,
    /// The newest round of reads that it has answered.
    pub(super) round: u64,
    /// Whether it votes, as far as it has said: one that does not is fed only.
    pub(super) is_voting: bool,
    /// The newest feature level that it says it can read.
    pub(super) feature_level: Option<u32>,
    /// Set for one that has asked to be fed: the address it gives for itself.
    pub(super) joins: Option<Arc<str>>,
    fed: Stagnation,
    written: Stagnation,
}

impl Peer {
    /// `matched` needs no acknowledgement from it; everything up to `sent` is fed, not written.
    pub(super) fn new(
        now: Instant,
        incarnation: Incarnation,
        matched: Position,
        sent: Position,
    ) -> Self {
        Self {
            incarnation,
            matched,
            ahead: BTreeMap::new(),
            sent,
            feed_to: sent,
            feeding: None,
            learned: None,
            heard: now,
            round: 0,
            is_voting: true,
            feature_level: None,
            joins: None,
            fed: Stagnation::default(),
            written: Stagnation::default(),
        }
    }

    /// Takes note of who speaks. False if it is an older life than has been heard already.
    ///
    /// What an older life has acknowledged is gone with its disk: it counts no more, from the first
    /// word of the newer one on.
    pub(super) fn hears(&mut self, now: Instant, incarnation: Incarnation) -> bool {
        if incarnation < self.incarnation && !mistake::is_on("hear-older-incarnations") {
            return false;
        }
        if incarnation > self.incarnation {
            let (joins, sent) = (self.joins.take(), self.sent);
            *self = Self::new(now, incarnation, Position::ZERO, sent);
            self.joins = joins;
        }
        self.heard = now;
        true
    }

    /// Takes an acknowledgement of `first..=last`. `next` is the position that has not been
    /// written.
    ///
    /// They come in any order after a link was lost. What is behind a gap is kept until it is
    /// filled: if it were not, each loss would cost a round of sending everything behind it again.
    pub(super) fn accepted(&mut self, first: Position, last: Position, next: Position) {
        if last >= next || last < first {
            return;
        }
        if first <= self.matched.next() || mistake::is_on("acknowledge-over-a-gap") {
            self.matched = last.max(self.matched);
            self.close_gaps();
        } else if self.ahead.len() < Self::AHEAD_MAX || self.ahead.contains_key(&first) {
            let held = self.ahead.entry(first).or_insert(last);
            *held = last.max(*held);
        }
    }

    /// Most acknowledgements kept behind a gap. More are forgotten, and asked for again.
    const AHEAD_MAX: usize = 1024;

    /// Moves on over what was accepted behind a gap that is filled by now.
    fn close_gaps(&mut self) {
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() <= self.matched.next()
        {
            self.matched = entry.remove().max(self.matched);
        }
    }

    /// Takes the peer's watermark. What it has learned is chosen, hence need not be acknowledged.
    ///
    /// But only as far as this leader has learned it too (`own`): beyond that a later term may have
    /// chosen something else than this one has written.
    pub(super) fn progressed(&mut self, learned: Position, own: Position) {
        self.learned = Some(learned);
        let is_bounded = !mistake::is_on("count-what-others-learned");
        let known = if is_bounded {
            learned.min(own)
        } else {
            learned
        };
        self.sent = self.sent.max(known);
        self.matched = self.matched.max(known);
        self.close_gaps();
        if self.feeding.is_some_and(|from| learned >= from) {
            self.feeding = None;
        }
    }

    /// Takes note of whether it votes. What it was written while it did not is lost on it: everything is
    /// written again but what it has learned, and that too beyond this leader's own watermark (`own`), since
    /// it does not count there (see [`Peer::progressed`]).
    pub(super) fn says(&mut self, status: Status, learned: Position, own: Position) {
        let is_voting = status == Status::Voting;
        if is_voting && !self.is_voting {
            let known = self.learned.unwrap_or_default().max(learned);
            self.sent = known.min(own);
            self.feed_to = self.feed_to.max(learned);
        }
        self.is_voting = is_voting;
    }

    /// How many entries it is behind `learned`.
    pub(super) fn lag(&self, learned: Position) -> u64 {
        let own = self.learned.unwrap_or_default();
        learned.0.saturating_sub(own.0)
    }

    /// Sends again what seems lost: what is fed if the peer has not learned more for a few ticks,
    /// and what is in flight if it has not accepted more. `learned` is the leader's watermark.
    ///
    /// Each is judged by itself: a peer that accepts what is in flight may still wait for a batch.
    pub(super) fn rewind_if_stuck(&mut self, learned: Position, next: Position) {
        let Some(own) = self.learned else {
            return;
        };
        let is_fed = self.feeding.is_some() || own < self.feed_to.min(learned);
        if self.fed.is_stuck(own, is_fed) {
            self.feeding = None;
        }
        let has_all = self.matched.next() >= next || !self.is_voting;
        if self.written.is_stuck(self.matched, !has_all) {
            self.feeding = None;
            self.feed_to = learned;
            // What is acknowledged is there. What it has learned beyond this leader's watermark is not
            // counted (see `progressed`), so it has to be written, and acknowledged, all the same.
            self.sent = self.sent.min(learned.max(self.matched));
        }
    }
}

/// Finds out that something does not move.
#[derive(Clone, Copy, Debug, Default)]
struct Stagnation {
    at: Position,
    ticks: u32,
}

impl Stagnation {
    /// Ticks without progress before something is sent again.
    const TICKS: u32 = 3;

    /// Looks once a tick. True once every few ticks for as long as `at` stays the same, though it
    /// `should_move`.
    fn is_stuck(&mut self, at: Position, should_move: bool) -> bool {
        if self.at != at || !should_move {
            *self = Self { at, ticks: 0 };
            return false;
        }
        self.ticks = (self.ticks + 1) % Self::TICKS;
        self.ticks == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_that_come_out_of_order_count_once_the_gap_is_filled() {
        let at = Position;
        let mut peer = Peer::new(Instant::ZERO, Incarnation(0), at(4), at(4));
        for (first, last) in [(7, 7), (9, 12), (8, 8), (12, 12)] {
            peer.accepted(at(first), at(last), at(20));
            assert_eq!(peer.matched, at(4));
        }
        // What was never written cannot be there.
        peer.accepted(at(13), at(20), at(20));
        peer.accepted(at(5), at(6), at(20));
        assert_eq!(peer.matched, at(12));
        assert!(peer.ahead.is_empty());
        for first in 100..5000 {
            peer.accepted(at(2 * first), at(2 * first), at(20_000));
        }
        assert_eq!(peer.ahead.len(), Peer::AHEAD_MAX);
        // A newer life has none of it.
        assert!(peer.hears(Instant::ZERO, Incarnation(1)));
        assert!(peer.ahead.is_empty());
        assert_eq!(peer.matched, Position::ZERO);
    }

    #[test]
    fn whoever_begins_to_vote_is_written_what_it_has_learned_beyond_the_leader() {
        let at = Position;
        let mut peer = Peer::new(Instant::ZERO, Incarnation(0), at(4), at(4));
        peer.says(Status::Recovering, at(2), at(4));
        peer.sent = at(9);
        peer.says(Status::Voting, at(8), at(4));
        assert_eq!(peer.sent, at(4));
        // Once it votes, what was sent stays sent.
        peer.sent = at(9);
        peer.says(Status::Voting, at(8), at(4));
        assert_eq!(peer.sent, at(9));
    }

    #[test]
    fn what_a_peer_has_learned_beyond_the_leader_is_written_to_it_again() {
        let at = Position;
        let mut peer = Peer::new(Instant::ZERO, Incarnation(0), at(4), at(4));
        // Everything up to 9 was written and got lost; meanwhile others have told it what is chosen.
        peer.sent = at(9);
        peer.progressed(at(8), at(4));
        assert_eq!(peer.matched, at(4));
        for _ in 0..=Stagnation::TICKS {
            peer.rewind_if_stuck(at(4), at(10));
        }
        assert_eq!(peer.sent, at(4));
    }
}
