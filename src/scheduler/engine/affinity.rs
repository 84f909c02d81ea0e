//! Machines kept for instances that an update replaces, so that they come back to where they were.
//!
//! When an update takes down an instance whose next description fits into what the old one held, under
//! the same constraints, its machine is kept for that instance for a while. Nobody else is placed on a
//! machine that is kept; the instance itself goes there and nowhere else while it is. In memory only, as
//! upstream's: after a change of leaders instances are placed like others.
//!
//! Unlike upstream's, a reservation ends at once when its machine goes away or is taken out of service.

use super::Engine;
use super::attempts::needs;
use super::timers::Timer;
use crate::base::clock::{Instant, Now};
use crate::domain::placement::{Book, Demand, Host, Limits, Machine, VetoKind, evaluate};
use crate::model::{AgentId, InstanceId, JobKey, Resources, ScheduledTask, TaskConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// An instance that a machine is kept for.
pub(super) type Place = (JobKey, InstanceId);

/// What is kept for whom.
#[derive(Debug, Default)]
pub(super) struct Affinity {
    kept: BTreeMap<Place, (AgentId, Instant)>,
    /// For how many instances each machine is kept.
    agents: BTreeMap<AgentId, usize>,
}

/// What becomes of a task whose instance has a machine kept for it, or has none.
#[derive(Debug)]
pub(super) enum Kept<'b> {
    /// The machine that is kept for it does.
    Fits(&'b Machine),
    /// Any machine may do: none is kept, or the one that was is of no use any more.
    Free,
    /// It waits for the machine that is kept for it.
    Waits,
}

impl Affinity {
    /// Keeps a machine for an instance until then, and no other that was kept for it.
    fn keep(&mut self, place: Place, agent: AgentId, until: Instant) {
        self.release(&place);
        *self.agents.entry(agent.clone()).or_default() += 1;
        self.kept.insert(place, (agent, until));
    }

    /// The instance needs its machine no more; gives the machine.
    fn release(&mut self, place: &Place) -> Option<AgentId> {
        let (agent, _) = self.kept.remove(place)?;
        if let Some(count) = self.agents.get_mut(&agent) {
            *count -= 1;
            if *count == 0 {
                self.agents.remove(&agent);
            }
        }
        Some(agent)
    }

    /// Whether a machine is kept for anyone.
    pub(super) fn is_kept(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }

    /// For how many instances machines are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// What the machine that is kept for this task's instance says to it.
    pub(super) fn look<'b>(
        &self,
        task: &ScheduledTask,
        book: &'b Book,
        demand: &Demand<'_>,
        limits: Option<&Limits>,
        free: impl Fn(&Machine) -> Resources,
    ) -> Kept<'b> {
        if self.kept.is_empty() {
            return Kept::Free;
        }
        let place = (task.job().clone(), task.instance);
        let Some((agent, _)) = self.kept.get(&place) else {
            return Kept::Free;
        };
        let Some(machine) = book.get(agent).filter(|machine| machine.connected) else {
            return Kept::Free;
        };
        let host = Host {
            attributes: &machine.attributes,
            mode: machine.mode,
        };
        let refusal = evaluate(demand, &host, limits, || free(machine));
        match refusal.map(|refusal| refusal.kind()) {
            None => Kept::Fits(machine),
            Some(VetoKind::Maintenance) => Kept::Free,
            Some(_) => Kept::Waits,
        }
    }
}

/// Whether what comes fits into what goes, so that it is worth keeping the machine.
pub(super) fn fits_in_place(old: &TaskConfig, new: &TaskConfig) -> bool {
    old.constraints == new.constraints
        && old.tier == new.tier
        && needs(old, Resources::default()).fits(&needs(new, Resources::default()))
}

impl Engine {
    /// Keeps machines for instances that are being replaced.
    pub(super) fn keep_for_updates(
        &mut self,
        now: Now,
        kept: Vec<(Place, AgentId)>,
        hold: Duration,
    ) {
        for (place, agent) in kept {
            let until = now.mono + hold;
            let timer = Timer::Affinity {
                place: place.clone(),
            };
            self.affinity.keep(place, agent, until);
            self.timers.set(until, timer);
        }
    }

    /// A machine may have been kept for long enough.
    pub(super) fn affinity_expires(&mut self, now: Now, place: &Place) {
        let kept = self.affinity.kept.get(place);
        if kept.is_some_and(|(_, until)| *until <= now.mono) {
            self.means
                .count("update_affinity_cache_expiration_removals", 1);
            self.let_go(now, place);
        }
    }

    /// These instances have been placed, wherever that is.
    pub(super) fn affinity_is_used(&mut self, now: Now, placed: &[Place]) {
        for place in placed {
            if self.affinity.kept.contains_key(place) {
                self.means
                    .count("update_affinity_cache_explicit_removals", 1);
                self.let_go(now, place);
            }
        }
    }

    fn let_go(&mut self, now: Now, place: &Place) {
        self.means.count("update_affinity_cache_removals", 1);
        if let Some(agent) = self.affinity.release(place) {
            // Whoever was kept from it may look again.
            self.book.touch(&agent);
            self.room_was_made(now);
        }
    }
}
