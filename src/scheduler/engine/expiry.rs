//! What happens when timers fire.

use super::Engine;
use super::settle::{HOUSEKEEPING, OFFERS};
use super::step::Step;
use super::timers::{TaskTimer, Timer};
use crate::base::clock::{Now, Timestamp};
use crate::model::{JobKey, ScheduleStatus, ScheduledTask, TaskId};
use crate::storage::Op;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many ended tasks are forgotten in one step.
const PRUNE_AT_ONCE: usize = 1_000;

/// How soon the next are, if there may be more: history must not grow because tasks end faster than one
/// step in a while forgets them.
pub(super) const MORE_IN: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn expire(&mut self, now: Now, timer: Timer) {
        self.means.count("async_tasks_completed", 1);
        match timer {
            Timer::Affinity { place } => self.affinity_expires(now, &place),
            Timer::Agent { agent, session } => self.agent_gone(now, &agent, session),
            Timer::Housekeeping => {
                let pause = match self.housekeeping(now) {
                    true => MORE_IN,
                    false => HOUSEKEEPING,
                };
                self.timers.set(now.mono + pause, Timer::Housekeeping);
            }
            Timer::Reconcile => {
                let interval = self.means.options.reconcile.1;
                self.timers.set(now.mono + interval, Timer::Reconcile);
                let at_once = self.means.options.reconcile_batch;
                self.reconcile(at_once);
            }
            Timer::Offers => {
                self.timers.set(now.mono + OFFERS, Timer::Offers);
                let standing = self.book.connected() as u64;
                self.means.count("scheduler_resource_offers", standing);
            }
            Timer::PruneUpdates => {
                let interval = match self.prune_updates(now) {
                    true => MORE_IN,
                    false => self.means.options.update_pruning_interval,
                };
                self.timers.set(now.mono + interval, Timer::PruneUpdates);
            }
            Timer::Snapshot => {
                let interval = self.means.options.snapshot_interval;
                self.timers.set(now.mono + interval, Timer::Snapshot);
                self.begin_snapshot();
            }
            Timer::Task { task, why } => self.expire_task(now, &task, why),
            Timer::Drain { host } => self.drain_one(now, &host),
            Timer::Maintenance => self.poll_maintenance(now),
            Timer::Preemption => self.search_slots(now),
            Timer::ReconcileImplicitly => {
                let interval = self.means.options.reconcile_implicitly.1;
                self.timers
                    .set(now.mono + interval, Timer::ReconcileImplicitly);
                self.reconcile_implicitly();
            }
            Timer::Reservation { agent } => self.reservation_expires(now, &agent),
        }
    }

    fn expire_task(&mut self, now: Now, id: &TaskId, why: TaskTimer) {
        let (to, message) = match why {
            TaskTimer::Kill { delay, limit } if now.mono < limit => {
                let delay = self
                    .means
                    .options
                    .kill_retry
                    .next(delay, &mut self.means.rng);
                let at = (now.mono + delay).min(limit);
                let (task, why) = (id.clone(), TaskTimer::Kill { delay, limit });
                self.timers.set(at, Timer::Task { task, why });
                self.means.count("task_kill_retries", 1);
                let mut step = Step::new(now, &mut self.means, &self.head);
                if let Some(task) = self.head.task(id) {
                    step.kill(task);
                }
                let done = step.done();
                return self.settle(now, done);
            }
            TaskTimer::Kill { .. } | TaskTimer::TimedOut => {
                self.means.count("timed_out_tasks", 1);
                (ScheduleStatus::Lost, Some("Task timed out"))
            }
            TaskTimer::Partitioned => {
                (ScheduleStatus::Lost, Some("Task partitioned for too long."))
            }
            TaskTimer::Throttled => (ScheduleStatus::Pending, None),
        };
        let mut step = Step::new(now, &mut self.means, &self.head);
        step.transition(id, to, message.map(str::to_owned));
        let done = step.done();
        self.settle(now, done);
    }

    /// Forgets old history and answers that nobody will ask for again; gives whether there may be more.
    fn housekeeping(&mut self, now: Now) -> bool {
        let options = Arc::clone(&self.means.options);
        let retention = options.history_retention.max(options.history_min_retention);
        let old = |age| move |at: Timestamp| now.wall.since(at) >= age;
        let (too_old, old_enough) = (old(retention), old(options.history_min_retention));

        let mut prune: Vec<Arc<ScheduledTask>> = Vec::new();
        let mut crowds: BTreeMap<&JobKey, usize> = BTreeMap::new();
        for (at, id) in self.head.ended() {
            if !old_enough(*at) || prune.len() >= PRUNE_AT_ONCE {
                break;
            }
            let Some(task) = self.head.task(id) else {
                continue;
            };
            let count = || self.head.job(task.job()).map_or(0, |job| job.ended_count());
            let left = crowds.entry(task.job()).or_insert_with(count);
            if too_old(*at) || *left > options.history_per_job {
                *left = left.saturating_sub(1);
                prune.push(Arc::clone(task));
            }
        }
        let forget = |at: Timestamp| now.wall.since(at) > options.answer_retention;
        let answers = self.head.oldest_answer().is_some_and(forget);
        if prune.is_empty() && !answers {
            return false;
        }
        let has_more = prune.len() >= PRUNE_AT_ONCE;
        self.means.count("tasks_pruned", prune.len() as u64);
        let mut step = Step::new(now, &mut self.means, &self.head);
        prune.iter().for_each(|task| step.remove(task));
        if answers {
            let retention = i64::try_from(options.answer_retention.as_millis());
            let before = now.wall.0.saturating_sub(retention.unwrap_or(i64::MAX));
            let before = Timestamp(before);
            step.apply(Op::ForgetAnswers { before });
        }
        let done = step.done();
        self.settle(now, done);
        has_more
    }
}
