//! Attempts to place tasks.

use super::Engine;
use super::affinity::{Kept, Place};
use super::pending::Group;
use super::revocable::is_revocable;
use super::step::Step;
use crate::base::clock::Now;
use crate::domain::placement::{Demand, Limits, Machine, Scan, Search, assign_ports};
use crate::model::{NamedPorts, Resources, ScheduleStatus, TaskConfig, TaskId};
use crate::storage::Tables;
use std::sync::Arc;
use std::time::Duration;

/// After this long a group looks at all machines again, so that its reasons are not those of long ago.
const REASONS_LAST: Duration = Duration::from_secs(600);

impl Engine {
    /// Places the first tasks of a group, as many as one attempt may and machines allow.
    pub(super) fn attempt(&mut self, now: Now, id: u64) {
        let options = Arc::clone(&self.means.options);
        let Some(group) = self.pending.get(id) else {
            return;
        };
        let config = Arc::clone(&group.config);
        let first = group.tasks.values().take(options.max_tasks_per_attempt);
        let tasks: Vec<TaskId> = first.cloned().collect();
        let mut nearest = group.nearest.clone();
        let mut scan = Scan {
            seen: group.seen,
            refused: group.refused,
            ..Scan::default()
        };
        let mut scanned = group.scanned;
        if now.mono.since(scanned) >= REASONS_LAST {
            (scan.seen, scan.refused) = (0, 0);
            (scanned, nearest) = (now.mono, Default::default());
        }
        let demand = Demand {
            config: &config,
            need: needs(&config, options.executor_overhead),
        };
        let mut limits = Limits::of(&config).map(|l| count_limits(l, &self.head, &config));
        let mut searched = group.searched;
        if let (Some(limits), Some(before)) = (&limits, &group.limits)
            && limits.is_below(before)
        {
            (scan.seen, scan.refused, searched) = (0, 0, None);
        }
        let (preemption, affinity) = (&self.preemption, &self.affinity);
        let (revocable, takes_revocable) = (&self.revocable, is_revocable(&config, &options));
        let mut placed_here: Vec<Place> = Vec::new();
        let mut step = Step::new(now, &mut self.means, &self.head);
        let mut placed = 0;
        for task in &tasks {
            let pending = |t: &&Arc<_>| is_pending(t);
            let Some(task) = step.tables.task(task).filter(pending).cloned() else {
                continue;
            };
            let rank = |machine: &Machine| {
                let left = revocable.left(&step.tables, machine, &options);
                (left.own, left.revocable)
            };
            let free = |machine: &Machine| {
                let left = revocable.left(&step.tables, machine, &options);
                left.seen_by(takes_revocable, options.revocable)
            };
            let kept = affinity.look(&task, &self.book, &demand, limits.as_ref(), free);
            let found = match kept {
                Kept::Fits(machine) => Some(machine),
                Kept::Waits => continue,
                Kept::Free => {
                    let search = Search {
                        demand,
                        limits: limits.as_ref(),
                        free,
                        skip: |machine: &Machine| {
                            preemption.is_kept_from(&machine.agent, id)
                                || affinity.is_kept(&machine.agent)
                        },
                        order: &options.offer_order,
                        rank: &rank,
                    };
                    self.book.find(&search, &mut nearest, &mut scan)
                }
            };
            let Some(machine) = found else {
                break;
            };
            let ports = match config.port_names.is_empty() {
                true => Some(NamedPorts::new()),
                false => {
                    let load = step.tables.load(&machine.agent).cloned();
                    let taken = |port| load.as_ref().is_some_and(|load| load.has_port(port));
                    let rng = &mut step.means.rng;
                    assign_ports(&config.port_names, &machine.ports, taken, rng)
                }
            };
            let Some(ports) = ports else {
                step.means.count("schedule_attempts_failed", 1);
                break;
            };
            step.assign(&task, &machine.agent, &machine.host, ports);
            if let Some(limits) = &mut limits {
                limits.add(&machine.attributes);
            }
            let agent = machine.agent.clone();
            self.book.note_placed(&agent);
            placed_here.push((config.job.clone(), task.instance));
            placed += 1;
        }
        let done = step.done();
        let last = self.pending.get(id).map(|g| g.penalty).unwrap_or_default();
        self.note_attempt(&scan, last, tasks.len(), placed);
        let penalty = match placed {
            0 => options.schedule_penalty.next(last, &mut self.means.rng),
            _ => options.first_schedule_delay,
        };
        self.pending.postpone(now.mono, id, penalty);
        if let Some(group) = self.pending.get_mut(id) {
            (group.seen, group.refused) = (scan.seen, scan.refused);
            (group.scanned, group.nearest) = (scanned, nearest);
            (group.limits, group.searched) = (limits, searched);
        }
        self.settle(now, done);
        self.affinity_is_used(now, &placed_here);
    }

    fn note_attempt(&mut self, scan: &Scan, penalty: Duration, tried: usize, placed: usize) {
        self.means.count("schedule_attempts_fired", tried as u64);
        self.means
            .count("schedule_attempts_no_match", (tried - placed) as u64);
        let waited = u64::try_from(penalty.as_millis()).unwrap_or(u64::MAX);
        self.means.count("scheduled_task_penalty_ms_total", waited);
        self.means.count("scheduled_task_penalty_events", 1);
        self.means.count("veto_evaluated_offers", scan.evaluated);
        for (kind, met) in &scan.refusals {
            self.means.count(kind.counter(), met.vetoes);
            // The groups count machines, not what each of them lacks.
            let group = match kind.is_dynamic() {
                true => "scheduling_veto_dynamic",
                false => "scheduling_veto_static",
            };
            self.means.count(group, met.machines);
        }
    }
}

pub(super) fn is_pending(task: &crate::model::ScheduledTask) -> bool {
    task.status == ScheduleStatus::Pending
}

/// What a task takes of a machine, its executor's share included.
pub(super) fn needs(config: &TaskConfig, overhead: Resources) -> Resources {
    match config.executor.is_some() {
        true => config.resources.plus(overhead),
        false => config.resources,
    }
}

/// What a machine has left of its total, by what the tables assign to it.
pub(super) fn free(tables: &Tables, machine: &Machine, overhead: Resources) -> Resources {
    let used = tables
        .load(&machine.agent)
        .map(|load| load.used().plus(overhead.times(load.executors())));
    machine.total.minus(used.unwrap_or_default())
}

/// Whether fewer tasks of a group's job are somewhere than when machines last refused it, so that they may
/// refuse it no more.
pub(super) fn have_limits_fallen(group: &Group, tables: &Tables) -> bool {
    let Some(before) = &group.limits else {
        return false;
    };
    let limits = Limits::of(&group.config);
    limits.is_some_and(|limits| count_limits(limits, tables, &group.config).is_below(before))
}

/// Counts the job's tasks that hold resources, by the attributes of their machines.
pub(super) fn count_limits(mut limits: Limits, tables: &Tables, config: &TaskConfig) -> Limits {
    for task in tables.active_tasks_of_job(&config.job) {
        let host = task.host.as_ref().filter(|_| task.status.is_assigned());
        if let Some(host) = host.and_then(|host| tables.host(host)) {
            limits.add(&host.attributes);
        }
    }
    limits
}
