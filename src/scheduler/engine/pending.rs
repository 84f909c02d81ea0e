//! Task groups: equal tasks that wait for machines, tried together.

use super::spread::Spread;
use crate::base::clock::Instant;
use crate::domain::placement::{Limits, NearestFit};
use crate::model::{JobKey, ScheduledTask, TaskConfig, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Equal tasks.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) config: Arc<TaskConfig>,
    /// In the order in which they came.
    pub(super) tasks: BTreeMap<u64, TaskId>,
    pub(super) penalty: Duration,
    pub(super) due: Instant,
    /// Machines that changed up to here are known to refuse.
    pub(super) seen: u64,
    /// Machines that have not changed for the better since are known to refuse.
    pub(super) refused: u64,
    /// The counts by which they refuse, if the job limits any.
    pub(super) limits: Option<Limits>,
    /// When all machines were last looked at.
    pub(super) scanned: Instant,
    pub(super) nearest: NearestFit,
    /// The state of the machines in which no room could be made.
    pub(super) searched: Option<u64>,
}

/// All tasks that wait for machines.
#[derive(Debug)]
pub(super) struct Pending {
    groups: BTreeMap<u64, Group>,
    by_job: BTreeMap<JobKey, Vec<u64>>,
    places: Spread<(u64, u64)>,
    due: BTreeSet<(Instant, u64)>,
    next: u64,
    bucket: Bucket,
    /// Whether a group whose turn it is waits for the rate of attempts.
    is_blocked: bool,
    blocks: u64,
}

impl Pending {
    pub(super) fn new(attempts_per_sec: u32) -> Self {
        Self {
            groups: BTreeMap::new(),
            by_job: BTreeMap::new(),
            places: Spread::default(),
            due: BTreeSet::new(),
            next: 0,
            bucket: Bucket::new(attempts_per_sec),
            is_blocked: false,
            blocks: 0,
        }
    }

    /// How often a group had to wait for the rate of attempts.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Adds a task to its group. A new group waits for `penalty`; an old one keeps its own.
    pub(super) fn add(&mut self, now: Instant, task: &ScheduledTask, penalty: Duration) {
        let of_job = match self.by_job.get_mut(task.job()) {
            Some(of_job) => of_job,
            None => self.by_job.entry(task.job().clone()).or_default(),
        };
        let groups = &self.groups;
        let alike = |id: &&u64| {
            let config = &groups[*id].config;
            Arc::ptr_eq(config, &task.config) || *config == task.config
        };
        self.next += 1;
        let place = self.next;
        let id = of_job.iter().find(alike).copied().unwrap_or(place);
        if id == place {
            of_job.push(id);
            let group = Group {
                config: Arc::clone(&task.config),
                tasks: BTreeMap::new(),
                penalty,
                due: now + penalty,
                seen: 0,
                refused: 0,
                limits: None,
                scanned: now,
                nearest: NearestFit::default(),
                searched: None,
            };
            self.due.insert((group.due, id));
            self.groups.insert(id, group);
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.tasks.insert(place, task.id.clone());
            self.places.insert(&task.id, (id, place));
        }
    }

    /// A task waits no more; gives its group, which is gone if it was the last.
    pub(super) fn remove(&mut self, task: &TaskId) -> Option<u64> {
        let (id, place) = self.places.remove(task)?;
        let group = self.groups.get_mut(&id)?;
        group.tasks.remove(&place);
        if !group.tasks.is_empty() {
            return Some(id);
        }
        self.due.remove(&(group.due, id));
        let config = Arc::clone(&group.config);
        self.groups.remove(&id);
        if let Some(of_job) = self.by_job.get_mut(&config.job) {
            of_job.retain(|other| *other != id);
            if of_job.is_empty() {
                self.by_job.remove(&config.job);
            }
        }
        Some(id)
    }

    /// Whether a task waits here.
    pub(super) fn has(&self, task: &TaskId) -> bool {
        self.places.has(task)
    }

    /// All groups by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Group)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// A group whose turn it is, if the rate of attempts allows one more.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (due, id) = *self.due.first()?;
        if due > now {
            return None;
        }
        let taken = self.bucket.take(now);
        self.blocks += u64::from(!taken && !self.is_blocked);
        self.is_blocked = !taken;
        taken.then_some(id)
    }

    /// When [`Pending::take_due`] will give something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
            .first()
            .map(|(due, _)| (*due).max(self.bucket.ready))
    }

    pub(super) fn get(&self, id: u64) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    /// Lets a group wait for `penalty` from now.
    pub(super) fn postpone(&mut self, now: Instant, id: u64, penalty: Duration) {
        if let Some(group) = self.groups.get_mut(&id) {
            self.due.remove(&(group.due, id));
            group.penalty = penalty;
            group.due = now + penalty;
            self.due.insert((group.due, id));
        }
    }

    /// A machine came: no group waits longer than `penalty` from now.
    pub(super) fn hurry(&mut self, now: Instant, penalty: Duration) {
        let late: Vec<u64> = self
            .due
            .range((now + penalty, u64::MAX)..)
            .map(|(_, id)| *id)
            .collect();
        for id in late {
            self.postpone(now, id, penalty);
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }
}

/// Lets through a number of attempts per second, after a pause up to a second's worth at once.
#[derive(Debug)]
struct Bucket {
    interval: Duration,
    /// When all that was let through would have been spread evenly.
    spread: Instant,
    ready: Instant,
}

impl Bucket {
    fn new(per_sec: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_sec.max(1),
            spread: Instant::ZERO,
            ready: Instant::ZERO,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now < self.ready {
            return false;
        }
        self.spread = self.spread.max(now) + self.interval;
        let ahead = self.spread.since(now);
        self.ready = now + ahead.saturating_sub(Duration::from_secs(1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_the_rate_is_counted_once() {
        let mut pending = Pending::new(1);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        assert_eq!((pending.take_due(at(1)), pending.blocks()), (None, 0));
        pending.due.insert((at(0), 7));
        while pending.take_due(at(5_000)).is_some() {}
        assert_eq!((pending.take_due(at(5_001)), pending.blocks()), (None, 1));
        assert_eq!(pending.take_due(at(9_000)), Some(7));
        assert_eq!(pending.blocks(), 1);
    }

    #[test]
    fn attempts_come_in_a_burst_and_then_at_the_rate() {
        let mut bucket = Bucket::new(10);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let taken = (0..100).filter(|_| bucket.take(at(5_000))).count();
        assert!((10..=11).contains(&taken), "{taken}");
        let taken = (5_000..7_000).filter(|ms| bucket.take(at(*ms))).count();
        assert!((19..=21).contains(&taken), "{taken}");
    }
}
