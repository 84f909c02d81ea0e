//! Task queries as the API defines them.

use super::tables::Tables;
use crate::model::{InstanceId, JobKey, ScheduleStatus, ScheduledTask, TaskId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Restrictions on tasks, all of which must hold. Absent and empty ones do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// The role.
    pub role: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The job's name.
    pub job_name: Option<String>,
    /// Any of these ids.
    pub task_ids: BTreeSet<TaskId>,
    /// Any of these states.
    pub statuses: BTreeSet<ScheduleStatus>,
    /// Any of these instances.
    pub instances: BTreeSet<InstanceId>,
    /// On any of these machines.
    pub hosts: BTreeSet<String>,
    /// Of any of these jobs.
    pub jobs: BTreeSet<JobKey>,
    /// How many of the found to leave out first.
    pub offset: usize,
    /// How many to give at most; zero for all.
    pub limit: usize,
}

impl TaskQuery {
    /// The tasks of one job.
    pub fn of_job(job: &JobKey) -> Self {
        Self {
            jobs: BTreeSet::from([job.clone()]),
            ..Self::default()
        }
    }

    /// Whether `task` satisfies every restriction.
    pub fn matches(&self, task: &ScheduledTask) -> bool {
        fn text(want: Option<&String>, have: &str) -> bool {
            want.is_none_or(|w| w == have)
        }
        fn any<T: Ord>(want: &BTreeSet<T>, have: &T) -> bool {
            want.is_empty() || want.contains(have)
        }
        let job = task.job();
        // A role of blanks alone is no restriction, as it never was.
        let role = self.role.as_ref().filter(|r| !r.trim().is_empty());
        text(role, job.role())
            && text(self.environment.as_ref(), job.environment())
            && text(self.job_name.as_ref(), job.name())
            && any(&self.task_ids, &task.id)
            && any(&self.statuses, &task.status)
            && any(&self.instances, &task.instance)
            && any(&self.jobs, job)
            && (self.hosts.is_empty()
                || task
                    .host
                    .as_ref()
                    .is_some_and(|h| self.hosts.contains(&**h)))
    }

    /// The job that role, environment and name give together.
    fn named_job(&self) -> Option<JobKey> {
        let (role, env, name) = (&self.role, &self.environment, &self.job_name);
        JobKey::new(role.as_ref()?, env.as_ref()?, name.as_ref()?).ok()
    }

    fn candidates<'a>(
        &'a self,
        tables: &'a Tables,
    ) -> Box<dyn Iterator<Item = &'a Arc<ScheduledTask>> + 'a> {
        if !self.task_ids.is_empty() {
            return Box::new(self.task_ids.iter().filter_map(|id| tables.task(id)));
        }
        if !self.jobs.is_empty() {
            return Box::new(self.jobs.iter().flat_map(|job| tables.tasks_of_job(job)));
        }
        if let Some(job) = self.named_job() {
            let tasks: Vec<_> = tables.tasks_of_job(&job).collect();
            return Box::new(tasks.into_iter());
        }
        if !self.hosts.is_empty() {
            return Box::new(
                self.hosts
                    .iter()
                    .flat_map(|host| tables.tasks_on_host(host)),
            );
        }
        Box::new(tables.tasks())
    }

    /// The tasks of `tables` that satisfy the query, by way of the narrowest index.
    pub fn run(&self, tables: &Tables) -> Vec<Arc<ScheduledTask>> {
        let limit = if self.limit == 0 {
            usize::MAX
        } else {
            self.limit
        };
        self.candidates(tables)
            .filter(|task| self.matches(task))
            .skip(self.offset)
            .take(limit)
            .cloned()
            .collect()
    }
}
