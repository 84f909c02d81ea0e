//! Giving the term to another replica: in one round trip, where a crash takes a timeout.

use super::ballot::{Ballot, ReplicaId};
use super::coordinator::{HandOver, Role};
use super::message::Body;
use super::replica::Replica;
use crate::base::clock::Instant;
use crate::base::rng::Rng;

impl Replica {
    /// Takes no more proposals, waits for those in flight, and tells the replica that is furthest to
    /// stand for election at once. False if there is nobody to hand over to.
    ///
    /// The term ends by [`super::Effect::Discarded`] when the other stands. If it has not after two
    /// election timeouts, this replica goes on leading.
    pub fn hand_over(&mut self, now: Instant, rng: &mut Rng) -> bool {
        let until = now + self.options.timing.election * 2;
        let has_heir = self.leading().is_some() && self.heir(now).is_some();
        if let Role::Leader(leader) = &mut self.role
            && has_heir
            && leader.hand_over.is_none()
        {
            leader.change = None;
            leader.hand_over = Some(HandOver { until, told: None });
        }
        self.settle(now, rng);
        has_heir
    }

    /// The member that can lead soonest.
    fn heir(&self, now: Instant) -> Option<ReplicaId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let configuration = &self.configured.configuration;
        let patience = self.options.timing.election * 2;
        let peers = leader.peers.iter().filter(|(id, peer)| {
            let seat = configuration.members.get(id);
            **id != self.me.id
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
        let heir = self.heir(now);
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
        } else if hand_over.told.is_none() && is_drained {
            hand_over.told = heir;
            if let Some(heir) = heir {
                self.send(heir, ballot, Body::TimeoutNow);
            }
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
