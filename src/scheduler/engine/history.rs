//! Forgetting: ended tasks that are old or too many, and answers that nobody will ask for again.
//!
//! A cluster may keep millions of ended tasks. No step looks at all of them: those that are too old stand first
//! in their order, and jobs that have too many are looked for among the jobs, a share of them at a time.

use super::Engine;
use super::step::Step;
use crate::base::clock::{Now, Timestamp};
use crate::model::{JobKey, ScheduledTask};
use crate::storage::Op;
use std::sync::Arc;

/// How many ended tasks are forgotten in one step.
const PRUNE_AT_ONCE: usize = 1_000;
/// How many jobs are looked at in one step.
const LOOK_AT_ONCE: usize = 10_000;

impl Engine {
    /// Forgets old history and answers that nobody will ask for again; gives whether there may be more.
    pub(super) fn housekeeping(&mut self, now: Now) -> bool {
        let options = Arc::clone(&self.means.options);
        let forget = |at: Timestamp| now.wall.since(at) > options.answer_retention;
        let answers = self.head.oldest_answer().is_some_and(forget);
        let mut prune = self.too_old(now);
        self.add_too_many(now, &mut prune, LOOK_AT_ONCE);
        let has_more = self.crowds_from.is_some() || prune.len() >= PRUNE_AT_ONCE;
        if prune.is_empty() && !answers {
            return has_more;
        }
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

    /// Whether a task that ended then is kept by no job, however few it has.
    fn is_too_old(&self, now: Now, at: Timestamp) -> bool {
        let options = &self.means.options;
        now.wall.since(at) >= options.history_retention.max(options.history_min_retention)
    }

    fn too_old(&self, now: Now) -> Vec<Arc<ScheduledTask>> {
        self.head
            .ended()
            .take_while(|(at, _)| self.is_too_old(now, *at))
            .filter_map(|(_, id)| self.head.task(id))
            .take(PRUNE_AT_ONCE)
            .map(Arc::clone)
            .collect()
    }

    /// Adds the oldest tasks of jobs that keep more than they may, as far as this step looks; the next goes on
    /// where it stops.
    pub(super) fn add_too_many(
        &mut self,
        now: Now,
        prune: &mut Vec<Arc<ScheduledTask>>,
        look_at_once: usize,
    ) {
        let options = &self.means.options;
        let from = self.crowds_from.take();
        let mut next: Option<JobKey> = None;
        for (looked, (key, job)) in self.head.jobs_from(from.as_ref()).enumerate() {
            if looked >= look_at_once || prune.len() >= PRUNE_AT_ONCE {
                next = Some(key.clone());
                break;
            }
            let too_many = job.ended_count().saturating_sub(options.history_per_job);
            for (at, id) in job.ended().take(too_many) {
                if now.wall.since(*at) < options.history_min_retention {
                    break;
                }
                // Those that are too old are among them: here already, or the step is full.
                if self.is_too_old(now, *at) {
                    continue;
                }
                if prune.len() >= PRUNE_AT_ONCE {
                    next = Some(key.clone());
                    break;
                }
                prune.extend(self.head.task(id).map(Arc::clone));
            }
            if next.is_some() {
                break;
            }
        }
        self.crowds_from = next;
    }
}
