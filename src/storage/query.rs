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

    /// The index that a query goes by, as statistics name it.
    pub fn index(&self) -> &'static str {
        if !self.task_ids.is_empty() {
            "by_id"
        } else if !self.jobs.is_empty() || self.named_job().is_some() {
            "by_job"
        } else if !self.hosts.is_empty() {
            "by_host"
        } else {
            "all"
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::{AgentId, Container, Resources, TaskConfig, TaskEvent};
    use crate::storage::Op;
    use std::collections::BTreeMap;

    fn event(status: ScheduleStatus) -> TaskEvent {
        TaskEvent {
            at: Timestamp(1),
            status,
            message: None,
            scheduler: None,
        }
    }

    fn add(tables: &mut Tables, role: &str, env: &str, name: &str) {
        let job = JobKey::new(role, env, name).unwrap();
        let id = |i: InstanceId| TaskId::new(&format!("{role}-{env}-{name}-{i}"));
        let config = TaskConfig {
            job,
            owner: None,
            is_service: true,
            priority: 0,
            max_task_failures: 1,
            production: false,
            tier: None,
            resources: Resources::default(),
            port_names: BTreeSet::new(),
            names_gpus: false,
            constraints: BTreeSet::new(),
            fetcher_uris: BTreeSet::new(),
            task_links: BTreeMap::new(),
            contact_email: None,
            executor: None,
            metadata: BTreeSet::new(),
            partition_policy: None,
            sla_policy: None,
            container: Container::default(),
        };
        let ops = [
            Op::AddTasks {
                config: Arc::new(config),
                tasks: (0..2).map(|i| (i, id(i))).collect(),
                event: event(ScheduleStatus::Pending),
            },
            Op::Assign {
                task: id(1),
                agent: AgentId::new("agent"),
                host: format!("host-{name}").as_str().into(),
                ports: BTreeMap::new(),
                event: event(ScheduleStatus::Assigned),
            },
        ];
        ops.iter().for_each(|op| tables.apply(op).unwrap());
    }

    fn tables() -> Tables {
        let mut tables = Tables::default();
        for (role, env, name) in [
            ("a", "prod", "x"),
            ("a", "prod", "y"),
            ("a", "test", "x"),
            ("ab", "prod", "x"),
            ("b", "prod", "x"),
        ] {
            add(&mut tables, role, env, name);
        }
        tables
    }

    fn found(query: &TaskQuery) -> usize {
        let tables = tables();
        let found = query.run(&tables);
        assert!(found.iter().all(|task| query.matches(task)));
        let scanned = tables.tasks().filter(|task| query.matches(task)).count();
        if (query.offset, query.limit) == (0, 0) {
            assert_eq!(
                found.len(),
                scanned,
                "an index gave other tasks than a scan"
            );
        }
        found.len()
    }

    #[test]
    fn restrictions_are_joined_and_empty_ones_do_not_count() {
        let all = TaskQuery::default;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found(&all()), 10);
        assert_eq!(
            found(&TaskQuery {
                role: some("a"),
                ..all()
            }),
            6
        );
        assert_eq!(
            found(&TaskQuery {
                role: some("  "),
                ..all()
            }),
            10
        );
        assert_eq!(
            found(&TaskQuery {
                role: some("c"),
                ..all()
            }),
            0
        );
        assert_eq!(
            found(&TaskQuery {
                job_name: some("x"),
                ..all()
            }),
            8
        );
        let job = TaskQuery {
            role: some("a"),
            environment: some("prod"),
            job_name: some("x"),
            ..all()
        };
        assert_eq!(found(&job), 2);
        let assigned = BTreeSet::from([ScheduleStatus::Assigned]);
        assert_eq!(
            found(&TaskQuery {
                statuses: assigned,
                ..job.clone()
            }),
            1
        );
        assert_eq!(
            found(&TaskQuery {
                instances: BTreeSet::from([7]),
                ..job.clone()
            }),
            0
        );
        let hosts = BTreeSet::from(["host-y".to_owned()]);
        assert_eq!(
            found(&TaskQuery {
                hosts: hosts.clone(),
                ..all()
            }),
            1
        );
        assert_eq!(found(&TaskQuery { hosts, ..job }), 0);
        let task_ids = BTreeSet::from([TaskId::new("b-prod-x-0"), TaskId::new("gone")]);
        assert_eq!(found(&TaskQuery { task_ids, ..all() }), 1);
        let jobs = TaskQuery::of_job(&JobKey::new("b", "prod", "x").unwrap());
        assert_eq!(found(&jobs), 2);
        assert_eq!(found(&TaskQuery { offset: 8, ..all() }), 2);
        assert_eq!(
            found(&TaskQuery {
                offset: 1,
                limit: 3,
                ..all()
            }),
            3
        );
    }

    #[test]
    fn jobs_of_a_role_are_those_of_no_other() {
        let tables = tables();
        let names = |role: &str| -> Vec<String> {
            tables.jobs_of_role(role).map(ToString::to_string).collect()
        };
        assert_eq!(names("a"), ["a/prod/x", "a/prod/y", "a/test/x"]);
        assert_eq!(names("ab"), ["ab/prod/x"]);
        assert!(names("aa").is_empty() && names("no such role").is_empty());
    }
}
