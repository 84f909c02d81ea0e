//! All tasks of a snapshot at once.
//!
//! Entered one by one, a million tasks took a start more than a second (`cargo bench --bench storage`): each
//! looks up its job and its machine, and both are found in memory that has long left the caches. Here the
//! tasks of each job and of each machine are gathered first, in the order in which they stand in the maps, and
//! the maps are made from one end to the other, on two processors where that is worth it.

use super::{AgentLoad, JobTasks, Tables};
use crate::model::{AgentId, JobKey, ScheduledTask, TaskId};
use crate::storage::op::ApplyError;
use imbl::{OrdMap, OrdSet};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

/// With fewer tasks a thread costs more than it saves.
const WORTH_A_THREAD: usize = 20_000;

impl Tables {
    /// Enters tasks into tables that have none, as [`Op::RestoreTask`] of each does, in this order.
    ///
    /// [`Op::RestoreTask`]: crate::storage::Op::RestoreTask
    ///
    /// # Errors
    ///
    /// A task is there twice.
    pub fn enter_all(&mut self, tasks: Vec<Arc<ScheduledTask>>) -> Result<(), ApplyError> {
        let is_ordered = tasks.is_sorted_by(|a, b| a.id < b.id);
        if !is_ordered || !self.tasks.is_empty() {
            // Nobody writes such a snapshot; whoever does shall not end the program.
            return tasks.into_iter().try_for_each(|task| self.put_new(task));
        }
        for task in &tasks {
            self.counts[task.status as usize] += 1;
            if task.status.is_terminal() {
                let at = task.last_event_at().unwrap_or_default();
                self.ended.insert((at, task.id.clone()));
            }
        }
        thread::scope(|scope| {
            let started = (tasks.len() >= WORTH_A_THREAD).then(|| {
                let work = || agents_of(&tasks);
                let thread = thread::Builder::new().name("loader".to_owned());
                thread.spawn_scoped(scope, work)
            });
            self.tasks = tasks.iter().map(entry).collect();
            self.jobs = jobs_of(&tasks);
            let there = match started {
                Some(Ok(thread)) => thread.join().ok(),
                Some(Err(_)) | None => None,
            };
            (self.agents, self.by_host) = there.unwrap_or_else(|| agents_of(&tasks));
        });
        Ok(())
    }
}

fn entry(task: &Arc<ScheduledTask>) -> (TaskId, Arc<ScheduledTask>) {
    (task.id.clone(), Arc::clone(task))
}

/// The tasks of each job. Those of a job are neighbours, but for jobs whose names begin alike.
fn jobs_of(tasks: &[Arc<ScheduledTask>]) -> OrdMap<JobKey, Arc<JobTasks>> {
    let mut by_job: BTreeMap<&JobKey, Vec<&ScheduledTask>> = BTreeMap::new();
    let neighbours = tasks.chunk_by(|a, b| a.job() == b.job());
    for of_job in neighbours {
        let all = by_job.entry(of_job[0].job()).or_default();
        all.extend(of_job.iter().map(|task| &**task));
    }
    let made = by_job.into_iter().map(|(job, mut of_job)| {
        // Those of one instance stay as they are: the later one displaces the earlier.
        of_job.sort_by_key(|task| task.instance);
        let mut entered = JobTasks::default();
        let mut last: Option<&ScheduledTask> = None;
        for task in of_job {
            entered.enter(task, |_| last);
            last = (!task.status.is_terminal()).then_some(task).or(last);
        }
        (job.clone(), Arc::new(entered))
    });
    made.collect()
}

type Agents = OrdMap<AgentId, Arc<AgentLoad>>;
type Hosts = OrdMap<Arc<str>, OrdSet<AgentId>>;

/// The tasks of each machine, and the agents of each host.
fn agents_of(tasks: &[Arc<ScheduledTask>]) -> (Agents, Hosts) {
    let mut places: HashMap<&AgentId, usize> = HashMap::new();
    let mut by_agent: Vec<(&AgentId, Vec<&ScheduledTask>)> = Vec::new();
    for task in tasks {
        if let Some(agent) = &task.agent {
            let place = *places.entry(agent).or_insert(by_agent.len());
            if place == by_agent.len() {
                by_agent.push((agent, Vec::new()));
            }
            by_agent[place].1.push(task);
        }
    }
    drop(places);
    by_agent.sort_unstable_by_key(|(agent, _)| *agent);
    let mut hosts = Hosts::default();
    let mut agents = Agents::default();
    for (agent, of_agent) in by_agent {
        let mut load = AgentLoad::default();
        for task in of_agent {
            if let Some(host) = load.enter(task) {
                let of_host = hosts.entry(host).or_default();
                of_host.insert(agent.clone());
            }
        }
        if load.host.is_some() {
            agents.insert(agent.clone(), Arc::new(load));
        }
    }
    (agents, hosts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::domain::fixture;
    use crate::model::ScheduleStatus as S;
    use crate::storage::Op;

    /// Tasks as a snapshot of a cluster with a history may hold them: several of one instance, ended ones,
    /// machines that have had other names, ports.
    fn random(rng: &mut Rng, count: usize) -> Vec<Arc<ScheduledTask>> {
        let mut tasks: Vec<_> = (0..count)
            .map(|number| {
                let status = [S::Pending, S::Running, S::Assigned, S::Failed, S::Killing];
                let status = status[rng.index(status.len())];
                let at = i64::try_from(rng.below(50)).unwrap();
                let name = ["j", "j-1", "k"][rng.index(3)];
                let mut task = fixture::task(rng.index(count / 2 + 1), status, at, |config| {
                    config.job = JobKey::new("r", "e", name).unwrap();
                    config.production = name == "k";
                });
                let own = Arc::make_mut(&mut task);
                own.id = TaskId::new(&format!("r-e-{name}-{}-{number}", own.instance));
                if status != S::Pending {
                    let agent = rng.below(5);
                    let host = format!("h{}", if rng.one_in(9) { 9 } else { agent });
                    own.agent = Some(AgentId::new(&format!("a{agent}")));
                    own.host = (!rng.one_in(20)).then(|| host.into());
                    own.ports
                        .insert("http".into(), u16::try_from(number % 999).unwrap());
                }
                task
            })
            .collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        tasks
    }

    fn one_by_one(tasks: &[Arc<ScheduledTask>]) -> Result<Tables, ApplyError> {
        let mut tables = Tables::default();
        for task in tasks {
            tables.apply(&Op::RestoreTask(Arc::clone(task)))?;
        }
        Ok(tables)
    }

    fn at_once(tasks: &[Arc<ScheduledTask>]) -> Result<Tables, ApplyError> {
        let mut tables = Tables::default();
        tables.enter_all(tasks.to_vec())?;
        Ok(tables)
    }

    #[test]
    fn tasks_that_come_at_once_make_the_tables_of_those_that_come_one_by_one() {
        let sizes = (0..60).chain([WORTH_A_THREAD + 1]);
        for (seed, count) in (0..).zip(sizes) {
            let tasks = random(&mut Rng::from_seed(seed), count);
            let (one, all) = (one_by_one(&tasks).unwrap(), at_once(&tasks).unwrap());
            assert!(
                format!("{one:?}") == format!("{all:?}"),
                "seed {seed}: {one:#?} {all:#?}"
            );
        }
    }

    #[test]
    fn nothing_is_left_of_tasks_that_are_gone_whatever_names_their_machines_had() {
        for seed in 0..60 {
            let mut rng = Rng::from_seed(seed);
            let tasks = random(&mut rng, 40);
            for mut tables in [one_by_one(&tasks).unwrap(), at_once(&tasks).unwrap()] {
                let mut left = tasks.clone();
                while !left.is_empty() {
                    let task = left.swap_remove(rng.index(left.len())).id.clone();
                    tables.apply(&Op::RemoveTask { task }).unwrap();
                }
                assert!(tables.agents.is_empty() && tables.jobs.is_empty());
                assert!(
                    tables.by_host.is_empty(),
                    "seed {seed}: {:?}",
                    tables.by_host
                );
            }
        }
    }

    #[test]
    fn a_task_that_is_there_twice_is_refused_and_any_order_is_taken() {
        let mut tasks = random(&mut Rng::from_seed(1), 20);
        tasks.reverse();
        let (one, all) = (one_by_one(&tasks).unwrap(), at_once(&tasks).unwrap());
        assert_eq!(format!("{one:?}"), format!("{all:?}"));
        tasks.push(Arc::clone(&tasks[7]));
        let twice = Err(ApplyError::TaskExists(tasks[7].id.clone()));
        assert_eq!(at_once(&tasks).map(|_| ()), twice);
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(at_once(&tasks).map(|_| ()), twice);
    }
}
