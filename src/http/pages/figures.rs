//! What the overview pages count, from the tables alone.

use crate::model::{JobKey, Resources, ScheduleStatus, ScheduledTask};
use crate::storage::Tables;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The states as a tired reader wants them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Needs someone: failed, lost, cut off.
    Bad,
    /// Over, as wished.
    Done,
    /// Runs.
    Good,
    /// On its way from one state to another.
    Moving,
    /// Waits for a machine.
    Waiting,
}

impl Mood {
    pub(super) fn of(status: ScheduleStatus) -> Self {
        match status {
            ScheduleStatus::Failed | ScheduleStatus::Lost | ScheduleStatus::Partitioned => {
                Self::Bad
            }
            ScheduleStatus::Finished | ScheduleStatus::Killed => Self::Done,
            ScheduleStatus::Running => Self::Good,
            ScheduleStatus::Assigned
            | ScheduleStatus::Draining
            | ScheduleStatus::Killing
            | ScheduleStatus::Preempting
            | ScheduleStatus::Restarting
            | ScheduleStatus::Starting => Self::Moving,
            ScheduleStatus::Init | ScheduleStatus::Pending | ScheduleStatus::Throttled => {
                Self::Waiting
            }
        }
    }

    /// The class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Done => "done",
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Waiting => "waiting",
        }
    }
}

/// Tasks by mood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) good: usize,
    pub(super) moving: usize,
    pub(super) waiting: usize,
    /// Active and cut off from their machine.
    pub(super) away: usize,
    /// Ended as failed or lost, as far as history is kept.
    pub(super) failed: usize,
    /// Ended as finished or killed, as far as history is kept.
    pub(super) done: usize,
    /// What the tasks that hold a machine's resources need.
    pub(super) used: Resources,
}

impl Counts {
    pub(super) fn add(&mut self, task: &ScheduledTask) {
        match Mood::of(task.status) {
            Mood::Bad if task.status.is_active() => self.away += 1,
            Mood::Bad => self.failed += 1,
            Mood::Done => self.done += 1,
            Mood::Good => self.good += 1,
            Mood::Moving => self.moving += 1,
            Mood::Waiting => self.waiting += 1,
        }
        if task.status.is_assigned() {
            self.used = self.used.plus(task.config.resources);
        }
    }

    pub(super) const fn active(&self) -> usize {
        self.good + self.moving + self.waiting + self.away
    }

    pub(super) fn of<'a>(tasks: impl Iterator<Item = &'a Arc<ScheduledTask>>) -> Self {
        let mut counts = Self::default();
        tasks.for_each(|task| counts.add(task));
        counts
    }
}

/// One role.
#[derive(Clone, Debug, Default)]
pub(super) struct RoleRow {
    pub(super) jobs: usize,
    pub(super) cron_jobs: usize,
    pub(super) counts: Counts,
}

/// Every role that has a job, a cron job or a quota.
pub(super) fn roles(tables: &Tables) -> BTreeMap<String, RoleRow> {
    let mut rows: BTreeMap<String, RoleRow> = BTreeMap::new();
    for job in tables.jobs() {
        let row = rows.entry(job.role().to_owned()).or_default();
        row.jobs += 1;
        for task in tables.tasks_of_job(job) {
            row.counts.add(task);
        }
    }
    for cron in tables.cron_jobs() {
        rows.entry(cron.job.key.role().to_owned())
            .or_default()
            .cron_jobs += 1;
    }
    for (role, _) in tables.quotas() {
        rows.entry(role.clone()).or_default();
    }
    rows
}

/// What kind of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Batch,
    Cron,
    Service,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Cron => "cron",
            Self::Service => "service",
        }
    }

    pub(super) fn of(tables: &Tables, job: &JobKey) -> Self {
        if tables.cron_job(job).is_some() {
            return Self::Cron;
        }
        let newest = tables.active_tasks_of_job(job).next();
        let newest = newest.or_else(|| tables.tasks_of_job(job).next());
        match newest {
            Some(task) if task.config.is_service => Self::Service,
            _ => Self::Batch,
        }
    }
}

/// One job.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) key: JobKey,
    pub(super) kind: Kind,
    pub(super) counts: Counts,
}

/// How far a job is, as the page of a role arranges jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Some of its tasks have a machine.
    Active,
    /// No task is active.
    Finished,
    /// No task is active, and its schedule will start some.
    Idle,
    /// All active tasks wait for a machine.
    Pending,
}

impl Stage {
    /// In the order of the page: what needs someone comes first.
    pub(super) const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Idle, Self::Finished];

    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Active => "Active jobs",
            Self::Finished => "Finished jobs",
            Self::Idle => "Cron jobs that do not run now",
            Self::Pending => "Pending jobs",
        }
    }
}

impl JobRow {
    pub(super) fn stage(&self) -> Stage {
        let counts = &self.counts;
        match (counts.active(), counts.waiting) {
            (0, _) if self.kind == Kind::Cron => Stage::Idle,
            (0, _) => Stage::Finished,
            (active, waiting) if active == waiting => Stage::Pending,
            _ => Stage::Active,
        }
    }
}

/// The jobs and cron jobs of a role, in order; of one environment if it is given.
pub(super) fn jobs(tables: &Tables, role: &str, environment: Option<&str>) -> Vec<JobRow> {
    let mut keys: Vec<&JobKey> = tables.jobs_of_role(role).collect();
    let crons = tables.cron_jobs().map(|cron| &cron.job.key);
    keys.extend(crons.filter(|key| key.role() == role && tables.job(key).is_none()));
    keys.retain(|key| environment.is_none_or(|wanted| key.environment() == wanted));
    keys.sort();
    keys.into_iter()
        .map(|key| JobRow {
            key: key.clone(),
            kind: Kind::of(tables, key),
            counts: Counts::of(tables.tasks_of_job(key)),
        })
        .collect()
}

/// The newest `count` tasks that failed or were lost, newest first.
pub(super) fn latest_failures(tables: &Tables, count: usize) -> Vec<Arc<ScheduledTask>> {
    let mut latest = std::collections::VecDeque::with_capacity(count + 1);
    let ended = tables.ended().filter_map(|(_, id)| tables.task(id));
    for task in ended.filter(|task| Mood::of(task.status) == Mood::Bad) {
        if latest.len() == count {
            latest.pop_back();
        }
        latest.push_front(Arc::clone(task));
    }
    latest.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, good: usize, waiting: usize, done: usize) -> JobRow {
        JobRow {
            key: JobKey::new("role", "devel", "job").expect("a valid key"),
            kind,
            counts: Counts {
                good,
                waiting,
                done,
                ..Counts::default()
            },
        }
    }

    #[test]
    fn jobs_are_arranged_as_pending_active_and_finished() {
        assert_eq!(row(Kind::Service, 0, 2, 5).stage(), Stage::Pending);
        assert_eq!(row(Kind::Service, 1, 2, 0).stage(), Stage::Active);
        assert_eq!(row(Kind::Batch, 0, 0, 3).stage(), Stage::Finished);
        assert_eq!(row(Kind::Cron, 0, 0, 3).stage(), Stage::Idle);
        assert_eq!(row(Kind::Cron, 1, 0, 0).stage(), Stage::Active);
    }
}
