//! Room for tasks that have waited for long: who must give way, and machines kept for those who wait.
//!
//! A search looks for machines for every group of equal tasks whose first has waited for
//! `preemption_delay`, a few groups at a time, so that a crowd that can never be placed costs a bounded
//! share of the engine. A group that found nothing is looked at again only after some machine changed.
//!
//! Upstream keeps what a search finds and uses it at the group's next failed attempt. Here an attempt
//! comes first, and what is found is used in the same step: victims are told to end, and their machine
//! is reserved for the group until one of its tasks takes it or the reservation runs out. A reservation
//! outlasts victims that need longer to end.

use super::attempts::{count_limits, have_limits_fallen, is_pending, needs};
use super::revocable::is_revocable;
use super::step::Step;
use super::timers::Timer;
use super::{Engine, EngineOptions};
use crate::base::clock::{Instant, Now};
use crate::domain::placement::{Demand, Host, Limits, mismatch};
use crate::domain::preemption::{Eligible, Index, Seeker, choose};
use crate::model::{AgentId, ScheduleStatus, ScheduledTask, TaskConfig, TaskId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How many groups are searched for at once, and the pause between.
const GROUPS_AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a reservation is extended while victims still end.
const EXTENSION: Duration = Duration::from_secs(10);

/// How many machines are looked at for one group in one search, once their sums say that there could be
/// enough. Where so many are of no use, others hardly are.
const MACHINES_AT_ONCE: usize = 20_000;

/// A machine that is kept for a group.
#[derive(Debug)]
struct Reservation {
    group: u64,
    until: Instant,
}

/// What preemption remembers. In memory only: after a change of leaders machines are searched anew.
#[derive(Debug, Default)]
pub(super) struct Preemption {
    /// Made at the first search.
    index: Option<Index>,
    /// Groups that this search has not come to yet.
    queue: VecDeque<u64>,
    next_search: Instant,
    reservations: BTreeMap<AgentId, Reservation>,
    /// The machine of the last victims: the next search begins behind it.
    after: Option<AgentId>,
}

impl Preemption {
    /// Whether a machine is kept for another group than this.
    pub(super) fn is_kept_from(&self, agent: &AgentId, group: u64) -> bool {
        let reservation = self.reservations.get(agent);
        reservation.is_some_and(|reservation| reservation.group != group)
    }

    /// How many machines are kept for groups.
    pub(super) fn reserved(&self) -> usize {
        self.reservations.len()
    }

    /// The index, if it is there to be kept up to date.
    pub(super) fn index(&mut self) -> Option<&mut Index> {
        self.index.as_mut()
    }

    fn reserved_for(&self, group: u64) -> usize {
        let all = self.reservations.values();
        all.filter(|reservation| reservation.group == group).count()
    }
}

/// The kind of work, as names of counters have it.
fn kind(config: &TaskConfig) -> &'static str {
    match config.production {
        true => "prod",
        false => "non_prod",
    }
}

/// A counter's names: for the kind of work and for the job.
fn count(step: &mut Step<'_>, name: &str, infix: &str, config: &TaskConfig, by: u64) {
    let kind = kind(config);
    step.means.count_for(format!("{name}_{infix}{kind}"), by);
    step.means
        .count_for(format!("{name}_{infix}{}", config.job), by);
}

impl Engine {
    /// Searches for the next groups; begins anew when all have had their turn.
    pub(super) fn search_slots(&mut self, now: Now) {
        let options = Arc::clone(&self.means.options);
        if self.preemption.queue.is_empty() {
            self.means.count("preemptor_task_processor_runs", 1);
            self.preemption.next_search = now.mono + options.preemption_interval;
            let waits = self.pending.iter().filter(|(_, group)| {
                let first = group.tasks.values().next();
                let task = first.and_then(|id| self.head.task(id));
                task.is_some_and(|task| has_waited(task, &options, now))
            });
            self.preemption.queue = waits.map(|(id, _)| id).collect();
        }
        let mut searched = 0;
        while searched < GROUPS_AT_ONCE && !self.is_full() {
            let Some(id) = self.preemption.queue.pop_front() else {
                break;
            };
            searched += usize::from(self.search(now, id));
        }
        let at = match self.preemption.queue.is_empty() {
            true => self.preemption.next_search,
            false => now.mono + PAUSE,
        };
        self.timers.set(at, Timer::Preemption);
    }

    /// Looks for room for one group; `false` if it was known, without a look at anything else, that this is
    /// in vain.
    fn search(&mut self, now: Now, id: u64) -> bool {
        let Some(group) = self.pending.get(id) else {
            return false;
        };
        if group.searched == Some(self.book.latest()) {
            // To see whether limits still hold, all tasks of the job are looked at: that is work too.
            if group.limits.is_none() {
                return false;
            }
            if !have_limits_fallen(group, &self.head) {
                return true;
            }
        }
        // Nobody is to end for whom there is room.
        self.attempt(now, id);
        let options = Arc::clone(&self.means.options);
        let Some(group) = self.pending.get(id) else {
            return true;
        };
        let config = Arc::clone(&group.config);
        let wanted = options.preemption_batch;
        let wanted = wanted.saturating_sub(self.preemption.reserved_for(id));
        let waiting = group.tasks.values().filter(|task| {
            let task = self.head.task(task).filter(|task| is_pending(task));
            task.is_some_and(|task| has_waited(task, &options, now))
        });
        let waiting: Vec<TaskId> = waiting.take(wanted).cloned().collect();
        if waiting.is_empty() {
            return true;
        }
        self.make_index(&options);
        let found = self.make_room(now, id, &config, &waiting);
        let latest = self.book.latest();
        if let Some(group) = self.pending.get_mut(id) {
            group.searched = (found == 0).then_some(latest);
        }
        true
    }

    fn make_index(&mut self, options: &EngineOptions) {
        if self.preemption.index.is_some() {
            return;
        }
        let mut index = Index::new(options.tiers.clone(), options.executor_overhead);
        self.book
            .iter()
            .for_each(|machine| index.set_machine(machine));
        for agent in self.head.loaded_agents() {
            for task in self.head.tasks_on_agent(agent) {
                index.change(None, Some(task));
            }
        }
        self.preemption.index = Some(index);
    }

    /// Finds a machine for each of these tasks, which are alike, and makes room there; gives for how
    /// many.
    fn make_room(&mut self, now: Now, id: u64, config: &TaskConfig, waiting: &[TaskId]) -> usize {
        let options = Arc::clone(&self.means.options);
        let Some(index) = &self.preemption.index else {
            return 0;
        };
        let demand = Demand {
            config,
            need: needs(config, options.executor_overhead),
        };
        let only = self.book.only(config);
        let seeker = Seeker {
            config,
            need: demand.need,
            only: only.as_ref(),
            after: self.preemption.after.as_ref(),
        };
        let eligible = Eligible {
            waiting: config,
            tiers: &options.tiers,
        };
        let takes_revocable = is_revocable(config, &options);
        let mut limits = Limits::of(config).map(|l| count_limits(l, &self.head, config));
        let mut step = Step::new(now, &mut self.means, &self.head);
        let mut kept: Vec<AgentId> = Vec::new();
        for agent in index.candidates(&seeker).into_iter().take(MACHINES_AT_ONCE) {
            let Some(task) = waiting.get(kept.len()) else {
                break;
            };
            let machine = self.book.get(agent).filter(|machine| machine.connected);
            let Some(machine) = machine else {
                continue;
            };
            if self.preemption.reservations.contains_key(agent) || self.affinity.is_kept(agent) {
                continue;
            }
            let host = Host {
                attributes: &machine.attributes,
                mode: machine.mode,
            };
            if mismatch(&demand, &host, limits.as_ref()).is_some() {
                continue;
            }
            let left = self.revocable.left(&step.tables, machine, &options);
            let left = left.seen_by(takes_revocable, options.revocable);
            let tasks = step.tables.tasks_on_agent(agent);
            let freed = |victim: &TaskConfig| {
                self.revocable
                    .freed(agent, victim, takes_revocable, &options)
            };
            let victims = choose(&eligible, &demand.need, left, tasks, freed);
            let Some(victims) = victims.filter(|victims| !victims.is_empty()) else {
                continue;
            };
            preempt(&mut step, config, task, &victims);
            if let Some(limits) = &mut limits {
                limits.add(&machine.attributes);
            }
            kept.push(agent.clone());
        }
        // COMPAT: upstream's name for a job begins otherwise than that for all.
        let kind = kind(config);
        let name = format!("preemptor_slot_search_attempts_for_{kind}");
        step.means.count_for(name, 1);
        let name = format!("preemption_slot_search_attempts_for_{}", config.job);
        step.means.count_for(name, 1);
        let (good, bad) = (kept.len() as u64, u64::from(kept.len() < waiting.len()));
        count(
            &mut step,
            "preemptor_slot_search_successful",
            "for_",
            config,
            good,
        );
        count(
            &mut step,
            "preemptor_slot_search_failed",
            "for_",
            config,
            bad,
        );
        step.means
            .count("preemptor_slot_validation_successful", good);
        let name = format!("preemptor_slot_validation_successful_for_{}", config.job);
        step.means.count_for(name, good);
        let unmatched = waiting.len().saturating_sub(kept.len()) as u64;
        step.means.count("preemptor_unmatched_tasks", unmatched);
        let done = step.done();
        let found = kept.len();
        for agent in kept {
            self.keep(now, agent, id);
        }
        self.settle(now, done);
        found
    }

    fn keep(&mut self, now: Now, agent: AgentId, group: u64) {
        let until = now.mono + self.means.options.reservation;
        self.preemption.after = Some(agent.clone());
        let reservation = Reservation { group, until };
        self.timers.set(
            until,
            Timer::Reservation {
                agent: agent.clone(),
            },
        );
        self.preemption.reservations.insert(agent, reservation);
    }

    /// A reservation may have run out.
    pub(super) fn reservation_expires(&mut self, now: Now, agent: &AgentId) {
        let Some(reservation) = self.preemption.reservations.get_mut(agent) else {
            return;
        };
        if reservation.until > now.mono {
            return;
        }
        let ends = |task: &Arc<ScheduledTask>| task.status == ScheduleStatus::Preempting;
        if self.head.tasks_on_agent(agent).any(ends) {
            reservation.until = now.mono + EXTENSION;
            let agent = agent.clone();
            let until = reservation.until;
            return self.timers.set(until, Timer::Reservation { agent });
        }
        self.means.count("reservation_cache_expiration_removals", 1);
        self.release_machine(now, agent.clone());
    }

    /// A task waits no more; `agent` is where it goes, if it goes anywhere.
    pub(super) fn waits_no_more(&mut self, now: Now, group: u64, agent: Option<&AgentId>) {
        let taken = agent.filter(|agent| {
            let reservation = self.preemption.reservations.get(*agent);
            reservation.is_some_and(|reservation| reservation.group == group)
        });
        if let Some(agent) = taken {
            self.means.count("reservation_cache_explicit_removals", 1);
            self.release_machine(now, agent.clone());
        }
        if self.pending.get(group).is_none() {
            let of_group = self.preemption.reservations.iter();
            let of_group = of_group.filter(|(_, reservation)| reservation.group == group);
            let agents: Vec<AgentId> = of_group.map(|(agent, _)| agent.clone()).collect();
            for agent in agents {
                self.release_machine(now, agent);
            }
        }
    }

    fn release_machine(&mut self, now: Now, agent: AgentId) {
        self.means.count("reservation_cache_removals", 1);
        self.preemption.reservations.remove(&agent);
        // Whoever was kept from it may look again.
        self.book.touch(&agent);
        self.room_was_made(now);
    }
}

fn has_waited(task: &ScheduledTask, options: &EngineOptions, now: Now) -> bool {
    let since = task.last_event_at().unwrap_or_default();
    now.wall.since(since) >= options.preemption_delay
}

/// Tells victims to end in favour of a task.
fn preempt(
    step: &mut Step<'_>,
    config: &TaskConfig,
    task: &TaskId,
    victims: &[Arc<ScheduledTask>],
) {
    for victim in victims {
        let why = format!("Preempting in favor of {task}");
        step.transition(&victim.id, ScheduleStatus::Preempting, Some(why));
        count(step, "preemptor_tasks_preempted", "", &victim.config, 1);
    }
    let name = format!("preemptor_task_preemptor_{}", config.job);
    step.means.count_for(name, victims.len() as u64);
}
