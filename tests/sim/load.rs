//! The clients: they append, truncate, and hold on to handles that are no longer good.

use crate::world::{Event, World};
use cores::paxos::{Position, ProposeError, Replica, Value};

impl World {
    /// One thing that a client does, and when the next comes.
    pub fn load(&mut self) {
        let pause = self.some_time(self.plan.load.pause);
        self.after(pause, Event::Load);
        let index = self.rng.index(self.machines.len());
        let index = match self.leader() {
            // Clients find the leader, mostly.
            Some(leader) if !self.rng.one_in(4) => leader,
            _ => index,
        };
        match self.rng.below(20) {
            0 => self.use_stale_handle(index),
            1 => drop(self.call(index, |core, _, _| core.flush())),
            3..8 => self.read(index),
            2 if self.plan.load.has_floods => self.append(index, 3000),
            _ => {
                let count = 1 + self.rng.below(self.plan.load.burst);
                self.append(index, count);
            }
        }
    }

    /// Appends entries, and a truncation now and then.
    pub fn append(&mut self, index: usize, count: u64) {
        let mut values = Vec::new();
        let mut names = Vec::new();
        for _ in 0..count {
            let name = self.ledger.name();
            let length = self.rng.index(self.plan.load.payload_max);
            values.push(Value::Append(name.payload(length).into()));
            names.push(Some(name));
        }
        if self.rng.one_in(self.plan.load.truncate_one_in)
            && let Some(process) = &self.machines[index].process
        {
            // The handle refuses what is beyond the watermark.
            let to = Position(1 + self.rng.below(process.core.learned().0));
            values.push(Value::Truncate { to });
            names.push(None);
        }
        self.propose(index, values, &names);
    }

    /// A handle of a term that has ended must never write again.
    fn use_stale_handle(&mut self, index: usize) {
        let Some(process) = &self.machines[index].process else {
            return;
        };
        let Some(stale) = process.stale.last().copied() else {
            return;
        };
        let name = self.ledger.name();
        let value = Value::Append(name.payload(0).into());
        let proposed = self.call(index, |core: &mut Replica, now, rng| {
            core.propose(now, stale, vec![value], rng)
        });
        assert_eq!(
            proposed,
            Some(Err(ProposeError::NotCoordinator)),
            "a handle of {stale}, which has ended, is still good"
        );
    }
}
