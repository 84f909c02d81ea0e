//! What happens when timers fire.

use super::Engine;
use super::settle::{HOUSEKEEPING, OFFERS};
use super::step::Step;
use super::timers::{TaskTimer, Timer};
use crate::base::clock::Now;
use crate::model::{ScheduleStatus, TaskId};
use std::time::Duration;

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
}
