//! Trouble that aims: at a change of the ensemble that is under way, and at lives that are over.

use crate::damage::Damage;
use crate::trouble::Undo;
use crate::world::{World, trace};
use std::time::Duration;

impl World {
    /// Something goes wrong while `leader` changes the ensemble.
    pub fn strike(&mut self, leader: usize) {
        let kind = self.rng.below(6);
        trace!(self, "strike {kind} at {leader}");
        match kind {
            0 | 1 => self.split_off(leader),
            2 => {
                self.crash(leader);
                self.start_soon(leader);
            }
            3 => {
                for machine in 0..self.machines.len() {
                    self.crash(machine);
                    self.start_soon(machine);
                }
            }
            4 => self.strand(leader),
            _ => {
                let machine = self.other(leader);
                self.crash(machine);
                self.start_soon(machine);
            }
        }
    }

    /// The leader and some others on one side, the rest on the other.
    fn split_off(&mut self, leader: usize) {
        let count = self.machines.len();
        let sides: Vec<bool> = (0..count)
            .map(|machine| machine == leader || self.rng.one_in(3))
            .collect();
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let links = pairs.filter(|(from, to)| sides[*from] != sides[*to]);
        self.cut(links.collect());
    }

    /// The leader is heard by nobody while others may begin to lead, and what is said to it arrives
    /// late; or the other way round: what it has said arrives late, and not everybody can answer it.
    pub fn strand(&mut self, leader: usize) {
        let others: Vec<usize> = (0..self.machines.len())
            .filter(|other| *other != leader)
            .collect();
        let is_mute = self.rng.one_in(2);
        let mut cut = Vec::new();
        for other in others {
            let (dead, late) = match is_mute {
                true => ((leader, other), (other, leader)),
                false => ((other, leader), (leader, other)),
            };
            if is_mute || self.rng.one_in(2) {
                cut.push(dead);
            }
            self.network.hold(late.0, late.1);
            let most = Duration::from_millis(600);
            let wait = self.rng.duration(Duration::from_millis(250), most);
            let (era, undo) = (self.era, Undo::Release(late.0, late.1));
            self.after(wait, crate::world::Event::Lift { era, undo });
        }
        self.cut(cut);
    }

    /// The disk of an earlier life is put back: one that a newer incarnation has taken the seat of.
    pub fn bring_back_old_life(&mut self, index: usize) {
        let Some((old, image)) = self.machines[index].old_life.clone() else {
            return;
        };
        let me = self.machines[index].me;
        let is_over = old.id == me.id && old.incarnation < me.incarnation;
        let configuration = self.ledger.configuration();
        let is_seated = configuration.is_some_and(|c| c.counts(me));
        let is_whole = self.machines[index].damage.is_none();
        if !is_over || !is_seated || !is_whole || !self.is_dispensable(index) {
            return;
        }
        self.overheard.brought_back += 1;
        self.crash(index);
        self.start_soon(index);
        trace!(self, "{index}: {old:?} is back");
        let machine = &mut self.machines[index];
        machine.disk.put(&image);
        machine.witnesses.remove(&old);
        machine.me = old;
        machine.reported = 0;
        machine.damage = Some(Damage::OldLife);
        self.make_haste(index);
    }

    /// A process that starts at once.
    fn make_haste(&mut self, machine: usize) {
        let wait = self.rng.duration(Duration::ZERO, Duration::from_millis(30));
        self.after(wait, crate::world::Event::Start { machine });
    }
}
