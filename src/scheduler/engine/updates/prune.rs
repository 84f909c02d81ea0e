//! Forgetting old updates.

use super::super::Engine;
use super::super::step::Step;
use crate::base::clock::Now;
use crate::model::UpdateKey;
use crate::storage::{Op, UpdateOp, UpdateRecord};
use std::sync::Arc;

/// How many updates are forgotten in one step.
const AT_ONCE: usize = 1_000;

impl Engine {
    /// Forgets updates that ended: old ones, those of jobs without any task, and of each job the oldest
    /// beyond a number. That they are gone is stored, so they stay gone. Gives whether there are more.
    pub(in crate::scheduler::engine) fn prune_updates(&mut self, now: Now) -> bool {
        let options = Arc::clone(&self.means.options);
        let tables = &self.head;
        let ended = tables
            .updates()
            .all()
            .filter(|record| !record.status().is_active());
        let mut gone: Vec<UpdateKey> = Vec::new();
        let mut of_job: Vec<&Arc<UpdateRecord>> = Vec::new();
        let mut ended = ended.peekable();
        while let Some(record) = ended.next() {
            let job = &record.key().job;
            let old = now.wall.since(record.created()) > options.update_history;
            if old || tables.job(job).is_none() {
                gone.push(record.key().clone());
            } else {
                of_job.push(record);
            }
            if ended.peek().is_none_or(|next| next.key().job != *job) {
                of_job.sort_by_key(|record| std::cmp::Reverse(record.created()));
                let beyond = of_job.drain(..).skip(options.updates_per_job);
                gone.extend(beyond.map(|record| record.key().clone()));
            }
        }
        drop(ended);
        let has_more = gone.len() > AT_ONCE;
        gone.truncate(AT_ONCE);
        if gone.is_empty() {
            return false;
        }
        self.means.count("job_updates_pruned", gone.len() as u64);
        let mut step = Step::new(now, &mut self.means, &self.head);
        for key in gone {
            step.apply(Op::Update(UpdateOp::Remove { key }));
        }
        let done = step.done();
        self.settle(now, done);
        has_more
    }
}
