//! Giving the term to another replica: in one round trip, where a crash takes a timeout.

use super::ballot::{Ballot, ReplicaId};
use super::coordinator::{HandOver, Role};
use super::message::Body;
use super::replica::Replica;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::collections::BTreeSet;

impl Replica {
    /// Takes no more proposals, waits for those in flight, and tells the replica that is furthest to
    /// stand for election at once; if it does not, because it is not ready or was not reached, the next, and
    /// after the last the first again. False if there is nobody to hand over to.
    ///
    /// The term ends by [`super::Effect::Discarded`] when the other stands. If it has not after two
    /// election timeouts, this replica goes on leading.
    pub fn hand_over(&mut self, now: Instant, rng: &mut Rng) -> bool {
        let until = now + self.options.timing.election * 2;
        let has_heir = self.leading().is_some() && self.heir(now, &BTreeSet::new()).is_some();
        if let Role::Leader(leader) = &mut self.role
            && has_heir
            && leader.hand_over.is_none()
        {
            leader.change = None;
            leader.hand_over = Some(HandOver {
                until,
                told: BTreeSet::new(),
                next: now,
            });
        }
        self.settle(now, rng);
        has_heir
    }

    /// The member that can lead soonest, other than `told`.
    fn heir(&self, now: Instant, told: &BTreeSet<ReplicaId>) -> Option<ReplicaId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let configuration = &self.configured.configuration;
        let patience = self.options.timing.election * 2;
        let peers = leader.peers.iter().filter(|(id, peer)| {
            let seat = configuration.members.get(id);
            **id != self.me.id
                && !told.contains(id)
                && seat.is_some_and(|seat| seat.incarnation == peer.incarnation)
                && peer.is_voting
                && now.since(peer.heard) < patience
        });
        let furthest = peers.max_by_key(|(_, peer)| (peer.learned, peer.matched, peer.heard));
        furthest.map(|(id, _)| *id)
    }

    pub(super) fn poll_hand_over(&mut self, now: Instant, rng: &mut Rng) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        if leader.hand_over.is_none() && self.configured.configuration.counts(self.me) {
            return;
        }
        let none = BTreeSet::new();
        let told = leader.hand_over.as_ref().map_or(&none, |h| &h.told);
        let untold = self.heir(now, told);
        // Once all have been told they are told again: one that was not ready may be so by now.
        let starts_over = untold.is_none();
        let heir = untold.or_else(|| self.heir(now, &none));
        let patience = self.options.timing.heartbeat * 2;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        // Its own vote may be needed once more until those who stay know for good.
        if leader.is_announced
            && leader.hand_over.is_none()
            && leader.unlearned.is_empty()
            && leader.settled >= self.configured.position
            && !self.configured.configuration.counts(self.me)
        {
            // Removed: whoever is left decides. They have been told what is learned.
            let ballot = leader.ballot;
            if let Some(heir) = heir {
                self.send(heir, ballot, Body::TimeoutNow);
            }
            return self.follow(now, rng);
        }
        let is_drained = leader.is_drained(self.acceptor.learned);
        let ballot = leader.ballot;
        let Some(hand_over) = &mut leader.hand_over else {
            return;
        };
        if now >= hand_over.until {
            leader.hand_over = None;
        } else if now >= hand_over.next
            && is_drained
            && let Some(heir) = heir
        {
            if starts_over {
                hand_over.told.clear();
            }
            hand_over.told.insert(heir);
            hand_over.next = now + patience;
            self.send(heir, ballot, Body::TimeoutNow);
        }
    }

    /// The leader hands over to this replica.
    pub(super) fn on_timeout_now(&mut self, now: Instant, ballot: Ballot, rng: &mut Rng) {
        if ballot == self.acceptor.promised
            && matches!(self.role, Role::Follower)
            && self.may_stand()
        {
            // It is the leader's wish: nobody has to be asked.
            self.campaign(now, rng);
        }
    }
}
