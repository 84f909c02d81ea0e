//! Judging who greets: nothing of a refused replica reaches the core.

use crate::paxos::{Ballot, Member, Status};
use crate::replog::wire::{Hello, Pulse, Refusal};
use std::collections::BTreeMap;

/// Most replicas that are remembered.
const REMEMBERED_MAX: usize = 256;

/// The most that each replica has shown of itself.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<(u128, Member), Shown>);

#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    sequence: u64,
    promised: Ballot,
    /// The process that has shown the newest.
    boot: u64,
}

impl Memory {
    /// Takes in how a replica is that has greeted as `hello`.
    pub fn note(&mut self, hello: &Hello, pulse: &Pulse) {
        let key = (hello.cluster, hello.member);
        if pulse.status != Status::Voting {
            return;
        }
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            // Only a peer with the key can bring us here, by inventing replicas.
            self.0.pop_first();
        }
        let shown = self.0.entry(key).or_default();
        if pulse.sequence >= shown.sequence {
            shown.boot = hello.boot;
        }
        shown.sequence = shown.sequence.max(pulse.sequence);
        shown.promised = shown.promised.max(given(pulse));
    }

    /// Whether `me` may talk with `them`.
    ///
    /// # Errors
    ///
    /// What to answer instead.
    pub fn judge(&self, me: &Hello, them: &Hello) -> Result<(), Refusal> {
        if them.boot == me.boot {
            return Err(Refusal::Yourself);
        }
        if them.member.id == me.member.id {
            // The one that has run for longer stays, and says so to the other.
            return Err(if them.uptime_ms <= me.uptime_ms {
                Refusal::Twice(twice(them, &me.address))
            } else {
                Refusal::Duplicate
            });
        }
        if me.is_formed && them.is_formed && me.cluster != them.cluster {
            return Err(Refusal::Foreign(format!(
                "the replica {} at {} belongs to the ensemble {:032x}, and the replica {} at {} to \
                 another one, {:032x}. If its -native_log_peers is right, it holds the log of another \
                 cluster: stop it, move its -native_log_file_path away and start it again; it then \
                 joins by itself, or by: aurora-log add-member",
                me.member.id, me.address, me.cluster, them.member.id, them.address, them.cluster
            )));
        }
        // One that does not vote has no promise to keep. And what one process says on two connections may
        // come in another order than it was said: only another process can have gone back.
        if them.pulse.status == Status::Voting
            && let Some(shown) = self.0.get(&(them.cluster, them.member))
            && shown.boot != them.boot
            && (shown.sequence > them.pulse.sequence || shown.promised > given(&them.pulse))
        {
            return Err(Refusal::RolledBack(format!(
                "the replica {} at {} comes with write {} and promise {}, but has shown write {} and \
                 promise {} before: its -native_log_file_path was restored, or is a copy. It must not \
                 vote with that. Stop it, move the directory away and start it again: it then \
                 recovers from the other replicas by itself",
                them.member.id,
                them.address,
                them.pulse.sequence,
                them.pulse.promised,
                shown.sequence,
                shown.promised
            )));
        }
        Ok(())
    }
}

/// What somebody has been promised: a replica's first real promise may be lower than where the rounds of a
/// log of its own would have begun.
fn given(pulse: &Pulse) -> Ballot {
    if pulse.promised.is_nobodys() {
        return Ballot::ZERO;
    }
    pulse.promised
}

/// Why a second process of one identity is refused.
pub fn twice(them: &Hello, elsewhere: &str) -> String {
    format!(
        "the replica {} runs already at {elsewhere}: the disk of the one at {} is a copy of its disk. \
         Stop that one, move its -native_log_file_path away and start it again: it then joins as a \
         replica of its own",
        them.member.id, them.address
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paxos::{Incarnation, Position, ReplicaId};

    fn hello(id: u64, boot: u64) -> Hello {
        Hello {
            cluster: 7,
            is_formed: true,
            member: Member {
                id: ReplicaId(id),
                incarnation: Incarnation(0),
            },
            address: format!("h{id}:1").into(),
            boot,
            uptime_ms: 1000 - boot,
            peers: Default::default(),
            quorum: 2,
            feature_level: 1,
            seats: Vec::new(),
            pulse: Pulse {
                sequence: 10,
                promised: Ballot::ZERO,
                status: Status::Voting,
                is_leading: false,
                first: Position(1),
                learned: Position(0),
                end: Position(0),
            },
        }
    }

    #[test]
    fn a_step_back_is_refused_but_for_one_that_does_not_vote_or_has_come_back_anew() {
        let (me, mut them) = (hello(1, 1), hello(2, 2));
        let mut memory = Memory::default();
        assert_eq!(memory.judge(&me, &them), Ok(()));
        memory.note(&them, &them.pulse);
        assert_eq!(memory.judge(&me, &them), Ok(()));
        them.pulse.sequence = 9;
        assert_eq!(memory.judge(&me, &them), Ok(()), "said before, heard after");
        them.boot = 4;
        let refused = memory.judge(&me, &them);
        assert!(matches!(refused, Err(Refusal::RolledBack(why)) if why.contains("move the")));
        them.pulse.status = Status::Recovering;
        assert_eq!(memory.judge(&me, &them), Ok(()));
        memory.note(&them, &them.pulse);
        them.pulse.status = Status::Voting;
        them.member.incarnation = Incarnation(1);
        assert_eq!(memory.judge(&me, &them), Ok(()));
        // A promise that was seen counts like a write.
        let mut again = hello(3, 3);
        again.pulse.promised = Ballot::ZERO.above(ReplicaId(1));
        memory.note(&again, &again.pulse);
        again.pulse.promised = Ballot::ZERO;
        again.boot = 5;
        let refused = memory.judge(&me, &again);
        assert!(matches!(refused, Err(Refusal::RolledBack(_))));
        // Where the rounds of a log of its own would have begun was promised to nobody, however high.
        again.pulse.promised = Ballot {
            round: 1 << 40,
            ..Ballot::ZERO
        };
        let refused = memory.judge(&me, &again);
        assert!(matches!(refused, Err(Refusal::RolledBack(_))));
        let mut newcomer = again.clone();
        newcomer.member.id = ReplicaId(4);
        memory.note(&newcomer, &newcomer.pulse);
        newcomer.pulse.promised = Ballot::ZERO.above(ReplicaId(1));
        newcomer.boot = 6;
        assert_eq!(memory.judge(&me, &newcomer), Ok(()));
    }

    #[test]
    fn strangers_copies_and_mirrors_are_refused() {
        let memory = Memory::default();
        let me = hello(1, 1);
        assert_eq!(memory.judge(&me, &hello(1, 1)), Err(Refusal::Yourself));
        let copy = memory.judge(&me, &hello(1, 2));
        assert!(matches!(copy, Err(Refusal::Twice(_))));
        let original = memory.judge(&hello(1, 2), &me);
        assert_eq!(original, Err(Refusal::Duplicate));
        let mut other = hello(2, 2);
        other.cluster = 8;
        let foreign = memory.judge(&me, &other);
        assert!(matches!(foreign, Err(Refusal::Foreign(_))));
        other.is_formed = false;
        assert_eq!(memory.judge(&me, &other), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        for id in 1..10_000 {
            let them = hello(id, 2);
            memory.note(&them, &them.pulse);
        }
        assert!(memory.0.len() <= REMEMBERED_MAX);
    }
}
