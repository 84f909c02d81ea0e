//! What is in memory of updates.

use super::super::step::Change;
use super::Pulses;
use crate::base::clock::{Instant, Now};
use crate::domain::update::{Direction, Past, Updater};
use crate::model::{InstanceId, JobKey, ScheduleStatus, ScheduledTask, UpdateKey, UpdateStatus};
use crate::storage::{Tables, UpdateOp, UpdateRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// An update that rolls.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) key: UpdateKey,
    pub(super) updater: Updater,
    /// When pulses are looked at next, if they are.
    pub(super) pulse_check: Instant,
    /// Instances that a promise protects, or did.
    pub(super) protected: BTreeMap<InstanceId, Protection>,
}

/// Updates that roll, and what is to be done about them.
#[derive(Debug, Default)]
pub(in crate::scheduler::engine) struct Live {
    pub(super) rolling: BTreeMap<JobKey, Rolling>,
    marked: BTreeMap<JobKey, BTreeSet<InstanceId>>,
    due: BTreeSet<(Instant, JobKey, Option<InstanceId>)>,
}

/// What a promise says to an instance that is to be taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// A coordinator let it go.
    Granted,
    /// It was asked; after such a pause, when that is over, it may be asked again.
    Refused(Duration, Instant),
}

impl Live {
    /// Leading begins: what rolled goes on.
    pub(in crate::scheduler::engine) fn begin(
        &mut self,
        now: Now,
        tables: &Tables,
        pulses: &mut Pulses,
    ) {
        for record in tables.updates().active() {
            let last = record.events().last();
            if let Some(at) = last.and_then(|event| super::recovered(event, now)) {
                pulses.insert(record.key().clone(), at);
            }
            self.roll(tables, record);
        }
    }

    /// Follows a change of the stored updates.
    pub(in crate::scheduler::engine) fn follow_op(
        &mut self,
        tables: &Tables,
        op: &UpdateOp,
        pulses: &mut Pulses,
    ) {
        let key = match op {
            UpdateOp::Event { key, .. } | UpdateOp::Remove { key } => key,
            UpdateOp::Start { update, .. } => &update.key,
            UpdateOp::InstanceEvents { .. } => return,
        };
        let record = tables.updates().get(key);
        if !record.is_some_and(|record| record.status().is_active()) {
            pulses.remove(key);
        }
        if self.rolling.get(&key.job).is_some_and(|it| it.key == *key) {
            self.rolling.remove(&key.job);
            self.marked.remove(&key.job);
        }
        if let Some(record) = record {
            self.roll(tables, record);
        }
    }

    /// An updater for an update, if it rolls.
    fn roll(&mut self, tables: &Tables, record: &Arc<UpdateRecord>) {
        let direction = match record.status() {
            UpdateStatus::RollingForward => Direction::Forward,
            UpdateStatus::RollingBack => Direction::Back,
            UpdateStatus::RollForwardPaused
            | UpdateStatus::RollBackPaused
            | UpdateStatus::RolledForward
            | UpdateStatus::RolledBack
            | UpdateStatus::Aborted
            | UpdateStatus::Error
            | UpdateStatus::Failed
            | UpdateStatus::RollForwardAwaitingPulse
            | UpdateStatus::RollBackAwaitingPulse => return,
        };
        let job = record.key().job.clone();
        let rolling = Rolling {
            key: record.key().clone(),
            updater: Updater::new(record.update(), direction, &past(tables, record, direction)),
            pulse_check: Instant::ZERO,
            protected: BTreeMap::new(),
        };
        self.rolling.insert(job.clone(), rolling);
        self.marked.entry(job).or_default();
    }

    /// Follows a change of a task.
    pub(in crate::scheduler::engine) fn follow_task(&mut self, change: &Change) {
        let Some(task) = change.after.as_ref().or(change.before.as_ref()) else {
            return;
        };
        let Some(rolling) = self.rolling.get_mut(task.job()) else {
            return;
        };
        let ended = |task: &Option<Arc<_>>| {
            let task: Option<&ScheduledTask> = task.as_deref();
            task.is_some_and(|task| task.status.is_terminal())
        };
        if ended(&change.after) && !ended(&change.before) {
            rolling.updater.handle_exit(task);
        }
        if rolling.updater.is_working(task.instance) {
            self.mark(task.job().clone(), Some(task.instance));
        }
    }

    /// A coordinator lets a task go.
    pub(in crate::scheduler::engine) fn grant(&mut self, task: &ScheduledTask) {
        let Some(rolling) = self.rolling.get_mut(task.job()) else {
            return;
        };
        if let Some(protection) = rolling.protected.get_mut(&task.instance) {
            *protection = Protection::Granted;
            self.mark(task.job().clone(), Some(task.instance));
        }
    }

    /// An instance of a job that is being updated is to be looked at, or only the update as a whole.
    fn mark(&mut self, job: JobKey, instance: Option<InstanceId>) {
        self.marked.entry(job).or_default().extend(instance);
    }

    /// The same, later.
    pub(super) fn mark_at(&mut self, at: Instant, job: JobKey, instance: Option<InstanceId>) {
        self.due.insert((at, job, instance));
    }

    /// Takes a job whose update is to be looked at, with the instances that changed.
    pub(super) fn take(&mut self, now: Instant) -> Option<(JobKey, BTreeSet<InstanceId>)> {
        while self.due.first().is_some_and(|(at, _, _)| *at <= now) {
            if let Some((_, job, instance)) = self.due.pop_first()
                && self.rolling.contains_key(&job)
            {
                self.mark(job, instance);
            }
        }
        self.marked.pop_first()
    }

    /// When something is to be done.
    pub(in crate::scheduler::engine) fn deadline(&self) -> Option<Instant> {
        match self.marked.is_empty() {
            true => self.due.first().map(|(at, _, _)| *at),
            false => Some(Instant::ZERO),
        }
    }
}

/// What events and history tell of an update since it last began to roll.
fn past(tables: &Tables, record: &UpdateRecord, direction: Direction) -> Past {
    let mut past = Past::default();
    for event in record.instance_events_since_change() {
        if event.action == direction.done() {
            past.done.insert(event.instance);
        }
        if event.action == direction.failed() {
            past.failed.insert(event.instance);
        }
        past.touched.insert(event.instance);
    }
    let (updates, job) = (record.update(), &record.key().job);
    let groups = updates.initial.iter().chain(&updates.desired);
    let is_up = |i: &InstanceId| {
        let task = tables.active_instance(job, *i);
        task.is_some_and(|task| task.status == ScheduleStatus::Running)
    };
    past.down = groups
        .flat_map(|group| group.instances())
        .filter(|i| !is_up(i))
        .collect();
    let since = record.events().last().map(|event| event.at);
    if let Some(job) = tables.job(job).filter(|_| !past.touched.is_empty()) {
        let ended = job.ended().filter(|(at, _)| Some(*at) >= since);
        past.ended = ended
            .filter_map(|(_, id)| tables.task(id).cloned())
            .collect();
    }
    past
}
