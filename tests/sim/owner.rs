//! What the owners of the replicas do: they form an ensemble, read, and propose.

use crate::machine::Machine;
use crate::world::{Event, World, address, trace};
use cores::paxos::{Configuration, Position, Seat, Status, Value};
use std::time::Duration;

impl World {
    /// Has the replica with the lowest id form an ensemble, if all of them are there and free.
    pub fn form(&mut self) {
        self.after(Duration::from_millis(100), Event::Form);
        let named: Vec<usize> = match self.plan.forms_anew {
            // An operator who has not made up his mind: each time the first is to go with others.
            true if self.rng.one_in(2) => [0].into_iter().chain(3..self.plan.size).collect(),
            true => (0..3).collect(),
            false => (0..self.plan.size).collect(),
        };
        let members = named.iter().copied();
        let is_free = |machine: &Machine| {
            let core = machine.process.as_ref().map(|process| &process.core);
            core.is_some_and(|core| !core.is_bound() && core.status() == Status::Starting)
        };
        let is_open = members.clone().all(|from| {
            let mut others = members.clone().filter(|to| *to != from);
            others.all(|to| self.network.is_open(from, to))
        });
        if !is_open
            || !members
                .clone()
                .all(|member| is_free(&self.machines[member]))
        {
            return;
        }
        let seats = members.clone().map(|index| {
            let me = self.machines[index].me;
            let seat = Seat {
                incarnation: me.incarnation,
                address: address(index),
            };
            (me.id, seat)
        });
        let configuration = Configuration::majority(7, seats);
        let first = members
            .min_by_key(|index| self.machines[*index].id())
            .unwrap_or(0);
        self.call(first, |core, now, rng| core.form(now, configuration, rng));
        if self.plan.forms_anew && self.rng.one_in(2) {
            // What it has said by now must be what it finds on its disk again.
            self.crash(first);
            self.start_soon(first);
        }
    }

    /// Asks for a moment to read at.
    pub fn read(&mut self, index: usize) {
        let before = self.ledger.acknowledged();
        self.next_token += 1;
        let token = self.next_token;
        if let Some(process) = &mut self.machines[index].process {
            process.reads.insert(token, before);
        }
        self.call(index, |core, now, rng| core.read(now, token, rng));
    }

    /// Proposes values on a machine that leads, or believes it does.
    pub fn propose(
        &mut self,
        index: usize,
        values: Vec<Value>,
        names: &[Option<crate::checker::ledger::EntryId>],
    ) {
        let Some(process) = &self.machines[index].process else {
            return;
        };
        let Some(ballot) = process.leading else {
            return;
        };
        let proposed = self.call(index, |core, now, rng| {
            // The loop that runs a replica passes on nothing more while the window is full.
            core.has_room()
                .then(|| core.propose(now, ballot, values, rng))
        });
        let Some(Some(Ok(first))) = proposed else {
            return;
        };
        trace!(self, "{index} proposes {} entries at {first}", names.len());
        let Some(process) = &mut self.machines[index].process else {
            return;
        };
        // Alone, and with a disk that takes no time, it would be learned by now.
        let named = (first.0..).map(Position).zip(names);
        let named = named.filter_map(|(at, name)| Some((at, (*name)?)));
        if process.leading == Some(ballot) {
            process
                .in_flight
                .extend(named.filter(|(at, _)| *at > process.given));
        }
    }
}
