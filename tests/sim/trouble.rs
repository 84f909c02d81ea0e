//! What goes wrong, and when it is over.

use crate::damage::Damage;
use crate::disk::Weather;
use crate::plan::Fault;
use crate::world::{Event, World, trace};
use std::time::Duration;

/// Ends one piece of trouble.
#[derive(Clone, Debug)]
pub enum Undo {
    /// These directions work again.
    Mend(Vec<(usize, usize)>),
    /// This direction delivers what it has kept.
    Release(usize, usize),
    /// This disk has room again.
    Clear(usize),
}

impl World {
    /// One fault, and when the next comes.
    pub fn make_trouble(&mut self) {
        if !self.is_rough {
            return;
        }
        let pause = self.some_time(self.plan.faults.pause);
        self.after(pause, Event::Trouble);
        let kinds = &self.plan.faults.kinds;
        let fault = kinds[self.rng.index(kinds.len())];
        let machine = self.rng.index(self.machines.len());
        trace!(self, "trouble: {fault:?} for {machine}");
        match fault {
            Fault::Crash => {
                self.crash(machine);
                self.start_soon(machine);
            }
            Fault::PowerCut => {
                for machine in 0..self.machines.len() {
                    self.crash(machine);
                    self.start_soon(machine);
                }
            }
            Fault::Restart => self.restart(machine),
            Fault::Split => self.split(),
            Fault::IsolateLeader => {
                let machine = self.leader().unwrap_or(machine);
                self.isolate(machine);
            }
            Fault::OneWay => {
                let other = self.other(machine);
                self.cut(vec![(machine, other)]);
            }
            Fault::Hold => {
                let other = self.other(machine);
                self.network.hold(machine, other);
                self.lift_later(Duration::from_millis(1500), Undo::Release(machine, other));
            }
            Fault::Stall => {
                let wait = self.some_time(Duration::from_millis(400));
                self.machines[machine].stalled_until = self.now + crate::world::nanos(wait);
            }
            Fault::Jump => self.jump(machine),
            Fault::FailedSync => self.machines[machine].disk.set_weather(Weather::SyncFails),
            Fault::FullDisk => {
                self.machines[machine].disk.set_weather(Weather::Full);
                self.lift_later(Duration::from_millis(800), Undo::Clear(machine));
            }
            Fault::SlowDisk => {
                let wait = self.some_time(Duration::from_millis(300));
                self.machines[machine].disk_slow_until = self.now + crate::world::nanos(wait);
            }
            Fault::Damage => self.damage(machine),
        }
    }

    fn lift_later(&mut self, mean: Duration, undo: Undo) {
        let wait = self.some_time(mean);
        let era = self.era;
        self.after(wait, Event::Lift { era, undo });
    }

    /// Ends one piece of trouble.
    pub fn lift(&mut self, undo: Undo) {
        trace!(self, "over: {undo:?}");
        match undo {
            Undo::Mend(links) => {
                for (from, to) in links {
                    self.network.mend(from, to);
                }
            }
            Undo::Release(from, to) => {
                for message in self.network.release(from, to) {
                    let wait = self.rng.duration(Duration::ZERO, Duration::from_millis(50));
                    self.deliver(self.now + crate::world::nanos(wait), to, message);
                }
            }
            Undo::Clear(machine) => self.machines[machine].disk.set_weather(Weather::Fine),
        }
    }

    fn other(&mut self, machine: usize) -> usize {
        let count = self.machines.len();
        (machine + 1 + self.rng.index(count - 1)) % count
    }

    fn cut(&mut self, links: Vec<(usize, usize)>) {
        for (from, to) in &links {
            self.network.cut(*from, *to);
        }
        self.lift_later(Duration::from_millis(1200), Undo::Mend(links));
    }

    fn split(&mut self) {
        let count = self.machines.len();
        let sides: Vec<bool> = (0..count).map(|_| self.rng.one_in(2)).collect();
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let links = pairs.filter(|(from, to)| sides[*from] != sides[*to]);
        self.cut(links.collect());
    }

    fn isolate(&mut self, machine: usize) {
        let others = (0..self.machines.len()).filter(|other| *other != machine);
        let links = match self.rng.below(3) {
            0 => others.map(|other| (machine, other)).collect(),
            1 => others.map(|other| (other, machine)).collect(),
            _ => others
                .flat_map(|other| [(machine, other), (other, machine)])
                .collect(),
        };
        self.cut(links);
    }

    fn jump(&mut self, machine: usize) {
        let jump = self.rng.below(3_000_000_000);
        let spread = 1.0 + self.plan.clock_spread;
        let rate = spread.powf(self.rng.unit() * 2.0 - 1.0);
        self.machines[machine].clock.change(self.now, jump, rate);
        self.rearm(machine);
    }

    /// Ends a process in good order: what the core still wants to keep is kept.
    fn restart(&mut self, machine: usize) {
        self.call(machine, |core, _, _| core.flush());
        let Some(process) = &self.machines[machine].process else {
            return;
        };
        // A call to the disk is under way: it ends another time.
        if process.commit.is_none() {
            self.machines[machine].process = None;
            self.machines[machine].boot += 1;
            self.start_soon(machine);
        }
    }

    /// Damages a disk, while no more of them are damaged than the ensemble can do without.
    fn damage(&mut self, machine: usize) {
        let size = self.machines.len();
        let damaged =
            (0..size).filter(|other| *other != machine && self.machines[*other].damage.is_some());
        let spare = if size == 1 { 1 } else { size - (size / 2 + 1) };
        if damaged.count() >= spare || self.machines[machine].is_out {
            return;
        }
        self.crash(machine);
        self.start_soon(machine);
        let what = Damage::any(&mut self.rng);
        let is_done = what.inflict(&self.machines[machine].disk, &mut self.rng);
        trace!(self, "{machine}: {what:?} {is_done}");
        if is_done {
            self.machines[machine].damage = Some(what);
        }
    }
}
