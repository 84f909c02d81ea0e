//! Reads that a quorum confirms: rounds of heartbeats, each for all that wait.
//!
//! A read asked for now must see everything that was acknowledged before. If another replica had
//! begun to lead before the round began, a quorum had promised it a higher ballot, which shares a
//! member with the quorum that answers the round, and that member would refuse. So nothing has been
//! acknowledged by anybody else, and what this leader has learned by the time of asking is all.

use super::ballot::Member;
use super::coordinator::Role;
use super::effect::Effect;
use super::entry::Position;
use super::message::Body;
use super::replica::Replica;
use crate::base::clock::Instant;
use crate::base::mistake;
use crate::base::rng::Rng;
use std::collections::VecDeque;

/// Reads under way in one term.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// The newest round begun, and the newest that a quorum has answered.
    pub(super) begun: u64,
    pub(super) answered: u64,
    /// In the order of their rounds.
    pub(super) waiting: VecDeque<Waiting>,
}

/// One read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    round: u64,
    position: Position,
    asker: Asker,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// A replica that needs an incarnation that none has had.
    Joiner { member: Member, nonce: u64 },
    /// The owner.
    Owner { token: u64 },
}

impl Replica {
    /// Most reads that wait at once: more are refused.
    pub const READS_MAX: usize = 64 * 1024;

    /// Asks for a moment at which everything acknowledged before this call is known to be learned
    /// here: [`Effect::ReadReady`], or [`Effect::ReadFailed`] if this replica does not lead or the
    /// term ends first.
    ///
    /// Costs one round of heartbeats; those who ask while one is under way share the next.
    pub fn read(&mut self, now: Instant, token: u64, rng: &mut Rng) {
        let is_full = match &self.role {
            Role::Leader(leader) => leader.reads.waiting.len() >= Self::READS_MAX,
            Role::Candidate(_) | Role::Follower | Role::PreCandidate(_) => true,
        };
        if is_full || self.leading().is_none() {
            self.effects.push_back(Effect::ReadFailed { token });
        } else {
            self.ask_quorum(Asker::Owner { token });
        }
        self.settle(now, rng);
    }

    pub(super) fn ask_quorum(&mut self, asker: Asker) {
        let position = self.acceptor.learned;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let reads = &mut leader.reads;
        // A round under way may have been answered before this read was asked for.
        let joins = mistake::is_on("join-a-round-under-way");
        let round = if joins { reads.begun } else { reads.begun + 1 };
        let is_idle = reads.begun == reads.answered;
        reads.waiting.push_back(Waiting {
            round,
            position,
            asker,
        });
        if is_idle {
            self.begin_round();
        }
    }

    fn begin_round(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.begun += 1;
        }
        self.send_heartbeats();
        self.answer_reads();
    }

    /// Answers the reads whose round a quorum has answered, and begins the next round.
    pub(super) fn answer_reads(&mut self) {
        let me = self.me.id;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let begun = leader.reads.begun;
        let configuration = &self.configured.configuration;
        if leader.reads.answered == begun
            || !leader.has_quorum(configuration, |id, peer| {
                id == me || peer.round >= begun || mistake::is_on("read-without-quorum")
            })
        {
            return;
        }
        leader.reads.answered = begun;
        let waiting = &mut leader.reads.waiting;
        let count = waiting.partition_point(|read| read.round <= begun);
        let done: Vec<Waiting> = waiting.drain(..count).collect();
        let is_more = !waiting.is_empty();
        for read in done {
            match read.asker {
                Asker::Owner { token } => self.effects.push_back(Effect::ReadReady {
                    token,
                    position: read.position,
                }),
                Asker::Joiner { member, nonce } => self.welcome(member, nonce),
            }
        }
        if is_more {
            self.begin_round();
        }
    }

    /// The term ends: who leads now may know more.
    pub(super) fn fail_reads(&mut self, waiting: VecDeque<Waiting>) {
        for read in waiting {
            match read.asker {
                Asker::Owner { token } => self.effects.push_back(Effect::ReadFailed { token }),
                // It asks again.
                Asker::Joiner { .. } => {}
            }
        }
    }

    /// Says to everybody that this replica leads, how far it is, and which round is under way.
    pub(super) fn send_heartbeats(&mut self) {
        let learned = self.acceptor.learned;
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let (ballot, round) = (leader.ballot, leader.reads.begun);
        for id in self.others() {
            self.send(id, ballot, Body::Heartbeat { learned, round });
        }
    }
}
