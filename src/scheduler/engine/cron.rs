//! Cron in the engine: when jobs are due, and what follows when the last task of a run has ended.
//!
//! Nothing here decides from memory: what is due is found from the stored cursor and the wall clock, and
//! each decision is one step, so that its outcome, the cursor and the new tasks are in one entry of the
//! log. A leader that is lost before the entry is learned has decided nothing.
//!
//! The queue below is by the wall clock, which may jump. It is looked at whenever time passes; the loop
//! lets it pass at least twice a second, so that a jump forward is noticed.

use super::Engine;
use super::cron_runs as runs;
use super::step::{Change, Step};
use crate::base::clock::{Instant, Now, Timestamp};
use crate::domain::cron::{Schedule, Zone, catch_up_window, due};
use crate::model::{CronJob, CronTrigger, JobKey};
use crate::storage::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// When the jobs are due.
#[derive(Debug, Default)]
pub(super) struct CronQueue {
    jobs: BTreeMap<JobKey, Planned>,
    due: BTreeSet<(Timestamp, JobKey)>,
    /// When the first of them is due, as far as the clocks agree.
    deadline: Option<Instant>,
}

/// A job's schedule, read, and its next instant.
#[derive(Clone, Debug)]
struct Planned {
    schedule: Schedule,
    zone: Zone,
    next: Timestamp,
}

impl CronQueue {
    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn forget(&mut self, job: &JobKey) {
        if let Some(planned) = self.jobs.remove(job) {
            self.due.remove(&(planned.next, job.clone()));
        }
    }

    /// Puts a job in its place. False if its schedule cannot be read.
    fn plan(&mut self, cron: &CronJob) -> bool {
        let job = &cron.job.key;
        self.forget(job);
        let schedule = cron.job.cron_schedule.as_deref().unwrap_or_default();
        let (Ok(schedule), Ok(zone)) = (Schedule::parse(schedule), Zone::named(&cron.zone)) else {
            return false;
        };
        if let Some(next) = schedule.next_after(&zone, cron.cursor) {
            self.due.insert((next, job.clone()));
            let planned = Planned {
                schedule,
                zone,
                next,
            };
            self.jobs.insert(job.clone(), planned);
        }
        true
    }

    fn first_due(&self, now: Timestamp) -> Option<JobKey> {
        let (at, job) = self.due.first()?;
        (*at <= now).then(|| job.clone())
    }

    fn aim(&mut self, now: Now) {
        let first = self.due.first();
        self.deadline = first.map(|(at, _)| now.mono + at.since(now.wall));
    }
}

impl Engine {
    /// Leading begins: all jobs are planned, and runs that ended unnoticed are closed.
    pub(super) fn begin_cron(&mut self, now: Now) {
        let jobs: Vec<Arc<CronJob>> = self.head.cron_jobs().cloned().collect();
        for cron in &jobs {
            if !self.cron.plan(cron) {
                self.means.count("cron_job_launch_failures", 1);
            }
            self.close_cron_runs(now, &cron.job.key);
        }
        self.cron.aim(now);
    }

    /// Decides about every instant that has come.
    pub(super) fn run_cron(&mut self, now: Now) {
        while !self.is_full() {
            let Some(job) = self.cron.first_due(now.wall) else {
                break;
            };
            self.decide_cron(now, &job);
        }
        self.cron.aim(now);
    }

    /// Decides about the instants of a job up to now.
    fn decide_cron(&mut self, now: Now, job: &JobKey) {
        let planned = self.cron.jobs.get(job).cloned();
        let cron = self.head.cron_job(job).cloned();
        let (Some(planned), Some(cron)) = (planned, cron) else {
            return self.cron.forget(job);
        };
        let default = self.means.options.cron_catch_up;
        // It was checked when the job was stored.
        let window = catch_up_window(&cron.job.task, default).unwrap_or(default);
        let due = due(
            &planned.schedule,
            &planned.zone,
            cron.cursor,
            now.wall,
            window,
        );
        let mut step = Step::new(now, &mut self.means, &self.head);
        if let Some(missed) = due.missed {
            runs::miss(&mut step, &cron, missed);
        }
        if let Some(at) = due.run {
            runs::trigger(&mut step, job, CronTrigger::Schedule, at);
        }
        let done = step.done();
        self.settle(now, done);
        if let Some(cron) = self.head.cron_job(job).cloned() {
            self.cron.plan(&cron);
        }
    }

    /// Keeps the queue up with what was stored.
    pub(super) fn follow_cron_ops(&mut self, now: Now, ops: &[Op]) {
        for op in ops {
            match op {
                Op::NoteCronRun { job, .. } | Op::RemoveCronJob { job } => self.plan_cron(job),
                Op::SetCronJob(cron) => self.plan_cron(&cron.job.key),
                _ => continue,
            }
            self.cron.aim(now);
        }
    }

    fn plan_cron(&mut self, job: &JobKey) {
        match self.head.cron_job(job).cloned() {
            None => self.cron.forget(job),
            Some(cron) => {
                if !self.cron.plan(&cron) {
                    self.means.count("cron_job_parse_failures", 1);
                }
            }
        }
    }

    /// Looks whether the last active task of a cron job is among those that have ended.
    pub(super) fn follow_cron_tasks(&mut self, now: Now, changes: &[Change]) {
        let active = |task: &Option<Arc<crate::model::ScheduledTask>>| {
            task.as_ref().is_some_and(|task| task.status.is_active())
        };
        for change in changes {
            if let Some(task) = &change.before
                && active(&change.before)
                && !active(&change.after)
            {
                let job = task.job().clone();
                self.close_cron_runs(now, &job);
            }
        }
    }

    /// If nothing of a cron job is active, its open run has ended and the one that waits begins.
    fn close_cron_runs(&mut self, now: Now, job: &JobKey) {
        let Some(cron) = self.head.cron_job(job).cloned() else {
            return;
        };
        if cron.open_runs().next().is_none() || self.head.active_tasks_of_job(job).next().is_some()
        {
            return;
        }
        let mut step = Step::new(now, &mut self.means, &self.head);
        runs::close(&mut step, &cron);
        let done = step.done();
        self.settle(now, done);
    }
}
