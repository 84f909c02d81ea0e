//! What goes wrong, and when it is over.

use crate::damage::Damage;
use crate::disk::Weather;
use crate::machine::Machine;
use crate::plan::Fault;
use crate::world::{Event, World, trace};
use cores::paxos::{Change, Replica};
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
        self.forgive();
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
            Fault::Wipe => self.wipe(machine),
            Fault::HandOver => {
                let machine = self.leader().unwrap_or(machine);
                self.call(machine, Replica::hand_over);
            }
            Fault::Change => self.change(machine),
            Fault::CrashLeader => {
                let machine = self.leader().unwrap_or(machine);
                self.crash(machine);
                self.start_soon(machine);
            }
            Fault::OldLife => self.bring_back_old_life(machine),
            Fault::StallLeader => {
                let machine = self.leader().unwrap_or(machine);
                let wait = self.some_time(Duration::from_millis(500));
                self.machines[machine].stalled_until = self.now + crate::world::nanos(wait);
            }
            Fault::Strand => {
                let machine = self.leader().unwrap_or(machine);
                self.strand(machine);
            }
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

    pub fn other(&mut self, machine: usize) -> usize {
        let count = self.machines.len();
        (machine + 1 + self.rng.index(count - 1)) % count
    }

    pub fn cut(&mut self, links: Vec<(usize, usize)>) {
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

    /// Whether the ensemble can do without what this machine holds.
    pub fn is_dispensable(&self, index: usize) -> bool {
        if self.plan.size == 1 {
            return self.machines[index].damage.is_none();
        }
        let Some(configuration) = self.ledger.configuration() else {
            return false;
        };
        // While the ensemble is changed, two configurations have a say.
        let is_changing = self.changing.is_some();
        let members = &configuration.members;
        let seated = |machine: &Machine| members.contains_key(&machine.id());
        let lost = self
            .machines
            .iter()
            .enumerate()
            .filter(|(other, machine)| *other == index || machine.damage.is_some());
        let spare = members.len().saturating_sub(configuration.quorum as usize);
        !is_changing && self.is_settled() && lost.count() <= spare && seated(&self.machines[index])
    }

    /// Damages a disk, while no more of them are damaged than the ensemble can do without.
    fn damage(&mut self, index: usize) {
        if !self.is_dispensable(index) || self.machines[index].damage.is_some() {
            return;
        }
        self.crash(index);
        self.start_soon(index);
        if self.plan.size > 1 && !self.machines[index].is_attested() {
            // For a moment only its peers know what it has written last.
            return;
        }
        let what = Damage::any(&mut self.rng);
        let (me, image) = (self.machines[index].me, self.machines[index].disk.image());
        self.machines[index].old_life = Some((me, image));
        let is_done = what.inflict(&self.machines[index].disk, &mut self.rng);
        trace!(self, "{index}: {what:?} {is_done}");
        if is_done {
            self.machines[index].damage = Some(what);
        }
    }

    /// Gives a machine an empty disk: a new replica comes up on it, at the old address.
    fn wipe(&mut self, index: usize) {
        if !self.is_dispensable(index) || self.machines[index].damage.is_some() {
            return;
        }
        self.crash(index);
        self.start_soon(index);
        let me = self.fresh_id();
        self.machines[index].make_joining(me, false);
        self.machines[index].damage = Some(Damage::Wiped);
    }

    pub fn change(&mut self, index: usize) {
        let Some(configuration) = self.ledger.configuration().cloned() else {
            return;
        };
        let leader = self.leader().unwrap_or(index);
        let Some(ballot) = self.machines[leader]
            .process
            .as_ref()
            .and_then(|p| p.leading)
        else {
            return;
        };
        // A disk that is lost counts as one of the few that may be.
        if self.changing.is_some() || self.machines.iter().any(|m| m.damage.is_some()) {
            return;
        }
        let me = self.machines[index].me;
        let is_member = configuration.members.contains_key(&me.id);
        let size = u32::try_from(configuration.members.len()).unwrap_or(0);
        let wants_more = size < self.plan.faults.grows_to;
        let replaces = self.plan.faults.strikes && self.rng.one_in(3);
        let old = {
            let ids: Vec<_> = configuration.members.keys().copied().collect();
            ids[self.rng.index(ids.len())]
        };
        let change = match self.rng.below(4) {
            0 if !wants_more => Change::Quorum {
                size: size / 2 + 1 + u32::from(self.rng.one_in(3)),
            },
            _ if replaces && !is_member && size > 1 => Change::Replace {
                old,
                member: me,
                address: crate::world::address(index),
            },
            _ if is_member && wants_more => return,
            _ if is_member && size > 1 => Change::Remove { id: me.id },
            _ => Change::Add {
                member: me,
                address: crate::world::address(index),
            },
        };
        trace!(self, "{leader} is asked for {change:?}");
        let asked = self.call(leader, |core, now, rng| {
            core.change(now, ballot, change, rng)
        });
        if asked == Some(Ok(())) && self.changing_may_be_open(leader, ballot) {
            self.changing = Some(ballot);
        }
    }

    /// Whether the change just asked for is not settled yet.
    fn changing_may_be_open(&self, leader: usize, ballot: cores::paxos::Ballot) -> bool {
        let process = self.machines[leader].process.as_ref();
        process.is_some_and(|process| process.leading == Some(ballot))
    }
}
