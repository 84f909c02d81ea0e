//! What a leader knows about one replica that it writes to.

use super::ballot::Incarnation;
use super::entry::Position;
use super::status::Status;
use crate::base::clock::Instant;
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
    /// What was acknowledged at the last tick, and for how many ticks it has been that.
    at_last_tick: (Position, Position),
    stuck_ticks: u32,
}

impl Peer {
    /// Ticks without progress before a peer is sent everything again.
    const STUCK_TICKS: u32 = 3;

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
            sent,
            feed_to: sent,
            feeding: None,
            learned: None,
            heard: now,
            round: 0,
            is_voting: true,
            feature_level: None,
            joins: None,
            at_last_tick: (Position::ZERO, Position::ZERO),
            stuck_ticks: 0,
        }
    }

    /// Takes note of who speaks. False if it is an older life than has been heard already.
    ///
    /// What an older life has acknowledged is gone with its disk: it counts no more, from the first
    /// word of the newer one on.
    pub(super) fn hears(&mut self, now: Instant, incarnation: Incarnation) -> bool {
        if incarnation < self.incarnation {
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
    pub(super) fn accepted(&mut self, first: Position, last: Position, next: Position) {
        if first <= self.matched.next() && last < next {
            self.matched = last.max(self.matched);
        }
    }

    /// Takes the peer's watermark. What it has learned is chosen, hence need not be acknowledged.
    pub(super) fn progressed(&mut self, learned: Position, next: Position) {
        self.learned = Some(learned);
        let known = learned.min(next.before());
        self.sent = self.sent.max(known);
        self.matched = self.matched.max(known);
        if self.feeding.is_some_and(|from| learned >= from) {
            self.feeding = None;
        }
    }

    /// Takes note of whether it votes. What it was written while it did not is lost on it.
    pub(super) fn says(&mut self, status: Status, learned: Position) {
        let is_voting = status == Status::Voting;
        if is_voting && !self.is_voting {
            self.sent = self.learned.unwrap_or_default().max(learned);
            self.feed_to = self.feed_to.max(learned);
        }
        self.is_voting = is_voting;
    }

    /// How many entries it is behind `learned`.
    pub(super) fn lag(&self, learned: Position) -> u64 {
        let own = self.learned.unwrap_or_default();
        learned.0.saturating_sub(own.0)
    }

    /// Sends everything again from what the peer has learned on, if it has made no progress for a
    /// few ticks. `learned` is the leader's watermark.
    pub(super) fn rewind_if_stuck(&mut self, learned: Position, next: Position) {
        let own = self.learned.unwrap_or_default();
        let now = (self.matched, own);
        if self.at_last_tick != now || own.next() >= next {
            self.at_last_tick = now;
            self.stuck_ticks = 0;
            return;
        }
        self.stuck_ticks += 1;
        if self.stuck_ticks >= Self::STUCK_TICKS {
            self.stuck_ticks = 0;
            self.feeding = None;
            self.feed_to = learned;
            self.sent = self.sent.min(learned.max(own));
        }
    }
}
