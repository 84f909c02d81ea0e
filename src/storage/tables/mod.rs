//! The tables: everything the scheduler stores, with indexes.
//!
//! **Cost.** A change of a task costs one walk down the map of tasks and touches only the indexes in which
//! its place changes: a report that a task runs touches none, where it was once taken out of every index and
//! put back. What stands in a map is small or behind an `Arc`, since a change copies the leaf that it falls
//! into, with the fifteen neighbours there. What a job uses is summed as its tasks come and go, or adding a
//! job to a role would look at every task of the role. A task takes about 800 bytes (`cargo bench --bench
//! storage`), of which its events are the largest part, so that its list of events has no room to spare.
//!
//! `task` says what becomes of a task, `load` enters all those of a snapshot at once.

mod load;
mod task;

use super::answer::Answer;
use super::op::{ApplyError, Leader, Op};
use super::updates::Updates;
use crate::base::clock::Timestamp;
use crate::domain::quota::Consumption;
use crate::model::{
    AgentId, CronJob, HostAttributes, InstanceId, JobKey, MaintenanceRequest, NamedPorts, Quota,
    Resources, ScheduleStatus, ScheduledTask, TaskConfig, TaskEvent, TaskId,
};
use imbl::{OrdMap, OrdSet};
use std::ops::Bound;
use std::sync::Arc;
use task::{fresh, record, with_room};

/// The state of the cluster at one moment. A clone is cheap and does not change.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// How many log entries made these tables.
    version: u64,
    tasks: OrdMap<TaskId, Arc<ScheduledTask>>,
    jobs: OrdMap<JobKey, Arc<JobTasks>>,
    agents: OrdMap<AgentId, Arc<AgentLoad>>,
    /// The agents that were given a task that is still kept, by the names their machines had since they were
    /// last without any.
    by_host: OrdMap<Arc<str>, OrdSet<AgentId>>,
    /// Tasks that ended, oldest last event first.
    ended: OrdSet<(Timestamp, TaskId)>,
    counts: [i64; 19],
    quotas: OrdMap<String, Quota>,
    cron_jobs: OrdMap<JobKey, Arc<CronJob>>,
    hosts: OrdMap<String, Arc<HostAttributes>>,
    answers: OrdMap<String, Arc<Answer>>,
    answer_ages: OrdSet<(Timestamp, String)>,
    framework_id: Option<Arc<str>>,
    leader: Option<Arc<Leader>>,
    maintenance: OrdMap<String, Arc<MaintenanceRequest>>,
    updates: Updates,
}

/// The tasks of one job, by what they are looked up for.
#[derive(Clone, Debug, Default)]
pub struct JobTasks {
    active: OrdMap<InstanceId, TaskId>,
    ended: OrdSet<(Timestamp, TaskId)>,
    /// Active tasks whose instance another one has taken since. There are hardly any.
    displaced: OrdSet<TaskId>,
    /// What the tasks in `active` use.
    usage: Consumption,
}

impl JobTasks {
    fn ids(&self) -> impl Iterator<Item = &TaskId> {
        let ended = self.ended.iter().map(|(_, id)| id);
        self.active.values().chain(ended).chain(&self.displaced)
    }

    fn is_empty(&self) -> bool {
        self.active.is_empty() && self.ended.is_empty() && self.displaced.is_empty()
    }

    /// Enters a task; `find` gives the one that was active in its instance, if one was.
    fn enter<'a>(
        &mut self,
        task: &ScheduledTask,
        find: impl FnOnce(&TaskId) -> Option<&'a ScheduledTask>,
    ) {
        let id = &task.id;
        if task.status.is_terminal() {
            let at = task.last_event_at().unwrap_or_default();
            self.ended.insert((at, id.clone()));
            return;
        }
        self.usage.add(&task.config, 1);
        if let Some(displaced) = self.active.insert(task.instance, id.clone()) {
            if let Some(other) = find(&displaced) {
                self.usage.remove(&other.config);
            }
            self.displaced.insert(displaced);
        }
    }

    /// What the active tasks use.
    pub fn usage(&self) -> &Consumption {
        &self.usage
    }

    /// How many tasks are active.
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// The highest instance that is active.
    pub fn highest_active(&self) -> Option<InstanceId> {
        self.active.get_max().map(|(instance, _)| *instance)
    }

    /// The tasks that ended, with the time of their last event, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = &(Timestamp, TaskId)> {
        self.ended.iter()
    }

    /// How many tasks have ended and are still kept.
    pub fn ended_count(&self) -> usize {
        self.ended.len()
    }
}

/// What an agent was given.
#[derive(Clone, Debug, Default)]
pub struct AgentLoad {
    /// The machine's name when it was last given a task.
    host: Option<Arc<str>>,
    /// Its other names since it was last without a task. There are hardly any.
    earlier: Vec<Arc<str>>,
    tasks: OrdSet<TaskId>,
    /// Tasks that it had, which have ended.
    ended: OrdSet<TaskId>,
    used: Resources,
    executors: u32,
    ports: OrdSet<u16>,
}

impl AgentLoad {
    /// The sum of what its tasks need, without executors.
    pub fn used(&self) -> Resources {
        self.used
    }

    /// How many of its tasks have an executor.
    pub fn executors(&self) -> u32 {
        self.executors
    }

    /// Whether a task of its has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// The ports that its tasks have.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().copied()
    }

    /// Its tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.tasks.iter()
    }

    /// Enters a task that was given to it; gives the name of its machine if that is not the one it had.
    /// Should a machine be renamed, its agent is found under both names.
    fn enter(&mut self, task: &ScheduledTask) -> Option<Arc<str>> {
        let host = task.host.as_ref()?;
        if task.status.is_assigned() {
            self.tasks.insert(task.id.clone());
            self.used = self.used.plus(task.config.resources);
            self.executors += u32::from(task.config.executor.is_some());
            self.ports.extend(task.ports.values().copied());
        } else {
            self.ended.insert(task.id.clone());
        }
        let is_known = self.host.as_ref() == Some(host);
        if is_known {
            return None;
        }
        self.earlier.retain(|earlier| earlier != host);
        self.earlier.extend(self.host.replace(Arc::clone(host)));
        Some(Arc::clone(host))
    }

    /// The names under which it is found.
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.host.iter().chain(&self.earlier)
    }
}

/// Reading.
impl Tables {
    /// How many log entries made these tables.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The task of this id.
    pub fn task(&self, id: &TaskId) -> Option<&Arc<ScheduledTask>> {
        self.tasks.get(id)
    }

    /// All tasks, ended ones among them, ordered by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<ScheduledTask>> {
        self.tasks.values()
    }

    /// The tasks behind this id, ordered by id; all of them without one.
    pub fn tasks_after(&self, id: Option<&TaskId>) -> impl Iterator<Item = &Arc<ScheduledTask>> {
        let from = id.map_or(Bound::Unbounded, |id| Bound::Excluded(id.clone()));
        self.tasks
            .range((from, Bound::Unbounded))
            .map(|(_, task)| task)
    }

    /// Whether there is no job of any kind, nor has been one that is remembered.
    pub fn is_blank(&self) -> bool {
        self.tasks.is_empty() && self.cron_jobs.is_empty() && self.updates.count() == 0
    }

    /// How many tasks there are.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The tasks of a job, ended ones among them: active ones by instance, then ended ones, oldest first.
    pub fn tasks_of_job(&self, job: &JobKey) -> impl Iterator<Item = &Arc<ScheduledTask>> {
        let ids = self.jobs.get(job).into_iter().flat_map(|job| job.ids());
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// The active tasks of a job, ordered by instance.
    pub fn active_tasks_of_job(&self, job: &JobKey) -> impl Iterator<Item = &Arc<ScheduledTask>> {
        let ids = self
            .jobs
            .get(job)
            .into_iter()
            .flat_map(|j| j.active.values());
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// The active task of one instance.
    pub fn active_instance(
        &self,
        job: &JobKey,
        instance: InstanceId,
    ) -> Option<&Arc<ScheduledTask>> {
        let id = self.jobs.get(job)?.active.get(&instance)?;
        self.tasks.get(id)
    }

    /// The tasks that were ever given to a machine of this name, ended ones among them.
    pub fn tasks_on_host<'a>(
        &'a self,
        host: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ScheduledTask>> {
        let agents = self.by_host.get(host).into_iter().flatten();
        let loads = agents.filter_map(|agent| self.agents.get(agent));
        let ids = loads.flat_map(|load| load.tasks.iter().chain(&load.ended));
        let tasks = ids.filter_map(|id| self.tasks.get(id));
        // An agent may have had its tasks under another name of its machine.
        tasks.filter(move |task| task.host.as_deref() == Some(host))
    }

    /// The tasks that hold resources of an agent.
    pub fn tasks_on_agent(&self, agent: &AgentId) -> impl Iterator<Item = &Arc<ScheduledTask>> {
        let ids = self
            .agents
            .get(agent)
            .into_iter()
            .flat_map(|a| a.tasks.iter());
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// What an agent was given; `None` if nothing.
    pub fn load(&self, agent: &AgentId) -> Option<&AgentLoad> {
        let load = self.agents.get(agent).map(|load| &**load);
        load.filter(|load| !load.tasks.is_empty())
    }

    /// The agents that hold tasks.
    pub fn loaded_agents(&self) -> impl Iterator<Item = &AgentId> {
        let loaded = self
            .agents
            .iter()
            .filter(|(_, load)| !load.tasks.is_empty());
        loaded.map(|(agent, _)| agent)
    }

    /// The jobs that have any task, ended or not, in order. Cron jobs without one are not among them.
    pub fn jobs(&self) -> impl Iterator<Item = &JobKey> {
        self.jobs.keys()
    }

    /// The jobs that have any task, in order, from `first` on, and those.
    pub fn jobs_from(&self, first: Option<&JobKey>) -> impl Iterator<Item = (&JobKey, &JobTasks)> {
        let first = first.map_or(Bound::Unbounded, Bound::Included);
        let jobs = self.jobs.range::<_, JobKey>((first, Bound::Unbounded));
        jobs.map(|(key, job)| (key, &**job))
    }

    /// The jobs of a role that have any task, in order.
    pub fn jobs_of_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a JobKey> + 'a {
        self.tasks_of_role(role).map(|(job, _)| job)
    }

    /// The jobs of a role that have any task, in order, and those.
    pub fn tasks_of_role<'a>(
        &'a self,
        role: &'a str,
    ) -> impl Iterator<Item = (&'a JobKey, &'a JobTasks)> + 'a {
        // No identifier is smaller than "-".
        let first = JobKey::new(role, "-", "-").ok();
        first.into_iter().flat_map(move |first| {
            let from = self.jobs.range(first..);
            let of_role = from.take_while(move |(job, _)| job.role() == role);
            of_role.map(|(job, tasks)| (job, &**tasks))
        })
    }

    /// The tasks of a job by what they are looked up for.
    pub fn job(&self, job: &JobKey) -> Option<&JobTasks> {
        self.jobs.get(job).map(|job| &**job)
    }

    /// All tasks that ended, with the time of their last event, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = &(Timestamp, TaskId)> {
        self.ended.iter()
    }

    /// How many tasks are in this state.
    pub fn count(&self, status: ScheduleStatus) -> i64 {
        self.counts[status as usize]
    }

    /// A role's quota, if one was set.
    pub fn quota(&self, role: &str) -> Option<Quota> {
        self.quotas.get(role).copied()
    }

    /// All quotas, by role.
    pub fn quotas(&self) -> impl Iterator<Item = (&String, &Quota)> {
        self.quotas.iter()
    }

    /// A cron job.
    pub fn cron_job(&self, job: &JobKey) -> Option<&Arc<CronJob>> {
        self.cron_jobs.get(job)
    }

    /// All cron jobs, in the order of their keys.
    pub fn cron_jobs(&self) -> impl Iterator<Item = &Arc<CronJob>> {
        self.cron_jobs.values()
    }

    /// What is known of a machine.
    pub fn host(&self, host: &str) -> Option<&Arc<HostAttributes>> {
        self.hosts.get(host)
    }

    /// All machines, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<HostAttributes>> {
        self.hosts.values()
    }

    /// The machines behind this one by name; all of them without one.
    pub fn hosts_after(&self, host: Option<&str>) -> impl Iterator<Item = &Arc<HostAttributes>> {
        let from = host.map_or(Bound::Unbounded, Bound::Excluded);
        let hosts = self.hosts.range::<_, str>((from, Bound::Unbounded));
        hosts.map(|(_, host)| host)
    }

    /// The order to drain a machine; there is one exactly as long as the machine is DRAINING.
    pub fn maintenance(&self, host: &str) -> Option<&Arc<MaintenanceRequest>> {
        self.maintenance.get(host)
    }

    /// The orders to drain machines, by machine.
    pub fn maintenance_requests(&self) -> impl Iterator<Item = &Arc<MaintenanceRequest>> {
        self.maintenance.values()
    }

    /// The answer that was given to a request.
    pub fn answer(&self, request: &str) -> Option<&Arc<Answer>> {
        self.answers.get(request)
    }

    /// The requests whose texts begin with `prefix` and that have been answered.
    pub fn answered_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let requests = self.answers.range::<_, str>(from);
        requests
            .map(|(request, _)| request.as_str())
            .take_while(move |request| request.starts_with(prefix))
    }

    /// All answers that are kept, by request.
    pub fn answers(&self) -> impl Iterator<Item = (&String, &Arc<Answer>)> {
        self.answers.iter()
    }

    /// The answers behind this request; all of them without one.
    pub fn answers_after(
        &self,
        request: Option<&str>,
    ) -> impl Iterator<Item = (&String, &Arc<Answer>)> {
        let from = request.map_or(Bound::Unbounded, Bound::Excluded);
        self.answers.range::<_, str>((from, Bound::Unbounded))
    }

    /// When the oldest kept answer was given.
    pub fn oldest_answer(&self) -> Option<Timestamp> {
        self.answer_ages.get_min().map(|(at, _)| *at)
    }

    /// The term of the leader that has changed these tables last; zero before any has.
    pub fn term(&self) -> u64 {
        self.leader().map_or(0, |leader| leader.term)
    }

    /// The scheduler that said last that it leads.
    pub fn leader(&self) -> Option<&Arc<Leader>> {
        self.leader.as_ref()
    }

    /// Job updates.
    pub fn updates(&self) -> &Updates {
        &self.updates
    }

    /// The id under which a Mesos master knows us.
    pub fn framework_id(&self) -> Option<&str> {
        self.framework_id.as_deref()
    }
}

/// Changing.
impl Tables {
    /// Counts one more log entry.
    pub fn advance(&mut self) {
        self.version += 1;
    }

    /// Sets the number of log entries that made these tables, from a snapshot.
    pub fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// Makes one change. Deterministic.
    ///
    /// # Errors
    ///
    /// The change does not fit; the tables are as they were.
    pub fn apply(&mut self, op: &Op) -> Result<(), ApplyError> {
        match op {
            Op::AddTasks {
                config,
                tasks,
                event,
            } => return self.add_tasks(config, tasks, event),
            Op::Assign {
                task,
                agent,
                host,
                ports,
                event,
            } => {
                self.change(task, |task| {
                    task.agent = Some(agent.clone());
                    task.host = Some(Arc::clone(host));
                    task.ports.clone_from(ports);
                    record(task, event);
                })?;
            }
            Op::ForgetAnswers { before } => self.forget_answers(*before),
            Op::NoteCronRun { job, run, cursor } => {
                let known = self.cron_jobs.get(job);
                let known = known.ok_or_else(|| ApplyError::UnknownCronJob(job.clone()))?;
                let mut cron = CronJob::clone(known);
                cron.cursor = cron.cursor.max(*cursor);
                cron.note(run.clone());
                self.cron_jobs.insert(job.clone(), Arc::new(cron));
            }
            Op::RemoveCronJob { job } => {
                self.cron_jobs.remove(job);
            }
            Op::RemoveTask { task } => {
                self.known(task)?;
                let old = self.tasks.remove(task);
                self.index(old.as_deref(), None);
            }
            Op::ReplaceTask {
                ancestor,
                task,
                event,
            } => {
                self.unknown(task)?;
                let old = self.known(ancestor)?;
                let mut new = fresh(task.clone(), &old.config, old.instance, event);
                new.failure_count = old.failure_count;
                new.ancestor = Some(ancestor.clone());
                self.put(Arc::new(new));
            }
            Op::RestoreTask(task) => self.put_new(Arc::clone(task))?,
            Op::SetAnswer { request, answer } => {
                let answer = Arc::new(answer.clone());
                self.answer_ages.insert((answer.at, request.clone()));
                if let Some(old) = self.answers.insert(request.clone(), Arc::clone(&answer))
                    && old.at != answer.at
                {
                    self.answer_ages.remove(&(old.at, request.clone()));
                }
            }
            Op::SetCronJob(job) => {
                self.cron_jobs.insert(job.job.key.clone(), Arc::clone(job));
            }
            Op::SetFrameworkId(id) => self.framework_id = Some(id.as_str().into()),
            Op::SetLeader(leader) => self.leader = Some(Arc::new(leader.clone())),
            Op::SetHost(host) => {
                self.hosts.insert(host.host.clone(), Arc::clone(host));
            }
            Op::SetQuota { role, quota } => {
                self.quotas.insert(role.clone(), *quota);
            }
            Op::SetStatus {
                task,
                event,
                failed,
            } => {
                self.change(task, |task| {
                    task.failure_count = task.failure_count.saturating_add(i32::from(*failed));
                    record(task, event);
                })?;
            }
            Op::RemoveMaintenance { host } => {
                self.maintenance.remove(host);
            }
            Op::SetMaintenance(request) => {
                let request = Arc::clone(request);
                self.maintenance.insert(request.host.clone(), request);
            }
            Op::Update(op) => return self.updates.apply(op),
        }
        Ok(())
    }

    fn add_tasks(
        &mut self,
        config: &Arc<TaskConfig>,
        tasks: &[(InstanceId, TaskId)],
        event: &TaskEvent,
    ) -> Result<(), ApplyError> {
        for (_, id) in tasks {
            self.unknown(id)?;
        }
        for (instance, id) in tasks {
            self.put(Arc::new(fresh(id.clone(), config, *instance, event)));
        }
        Ok(())
    }

    fn forget_answers(&mut self, before: Timestamp) {
        while let Some((at, request)) = self.answer_ages.get_min().cloned() {
            if at >= before {
                break;
            }
            self.answer_ages.remove_min();
            self.answers.remove(&request);
        }
    }

    fn known(&self, id: &TaskId) -> Result<&Arc<ScheduledTask>, ApplyError> {
        let task = self.tasks.get(id);
        task.ok_or_else(|| ApplyError::UnknownTask(id.clone()))
    }

    fn unknown(&self, id: &TaskId) -> Result<(), ApplyError> {
        match self.tasks.contains_key(id) {
            true => Err(ApplyError::TaskExists(id.clone())),
            false => Ok(()),
        }
    }

    /// Puts a changed copy of a task in its place. Whoever holds the task keeps it as it was.
    fn change(
        &mut self,
        id: &TaskId,
        change: impl FnOnce(&mut ScheduledTask),
    ) -> Result<(), ApplyError> {
        let unknown = || ApplyError::UnknownTask(id.clone());
        let place = self.tasks.get_mut(id).ok_or_else(unknown)?;
        let mut new = with_room(place);
        change(&mut new);
        let new = Arc::new(new);
        let old = std::mem::replace(place, Arc::clone(&new));
        self.index(Some(&old), Some(&new));
        Ok(())
    }

    /// Stores a new task. The map is walked once: that it was not there is seen as it is put in.
    fn put_new(&mut self, task: Arc<ScheduledTask>) -> Result<(), ApplyError> {
        if let Some(old) = self.tasks.insert(task.id.clone(), Arc::clone(&task)) {
            let id = task.id.clone();
            self.tasks.insert(id.clone(), old);
            return Err(ApplyError::TaskExists(id));
        }
        self.index(None, Some(&task));
        Ok(())
    }

    /// Stores a task, new or changed, and brings every index up to it.
    fn put(&mut self, task: Arc<ScheduledTask>) {
        let old = self.tasks.insert(task.id.clone(), Arc::clone(&task));
        self.index(old.as_deref(), Some(&task));
    }

    /// Brings every index from a task as it was to the task as it is. What stays the same is not touched:
    /// most changes of a task concern none of them.
    fn index(&mut self, old: Option<&ScheduledTask>, new: Option<&ScheduledTask>) {
        if let Some(old) = old {
            self.counts[old.status as usize] -= 1;
        }
        if let Some(new) = new {
            self.counts[new.status as usize] += 1;
        }
        let (was, is) = (old.map(JobPlace::of), new.map(JobPlace::of));
        if was != is {
            if let Some(old) = old {
                self.leave_job(old);
            }
            if let Some(new) = new {
                self.enter_job(new);
            }
        }
        let (was, is) = (old.and_then(AgentPlace::of), new.and_then(AgentPlace::of));
        if was != is {
            if let Some(old) = old {
                self.leave_agent(old);
            }
            if let Some(new) = new {
                self.enter_agent(new);
            }
        }
        if let Some(job) = old.filter(|_| new.is_none()).map(ScheduledTask::job)
            && self.jobs.get(job).is_some_and(|job| job.is_empty())
        {
            self.jobs.remove(job);
        }
    }

    fn enter_job(&mut self, task: &ScheduledTask) {
        let job = match self.jobs.get_mut(task.job()) {
            Some(job) => job,
            None => self.jobs.entry(task.job().clone()).or_default(),
        };
        let job = Arc::make_mut(job);
        if task.status.is_terminal() {
            let at = task.last_event_at().unwrap_or_default();
            self.ended.insert((at, task.id.clone()));
        }
        let tasks = &self.tasks;
        job.enter(task, |other| tasks.get(other).map(|other| &**other));
    }

    fn leave_job(&mut self, task: &ScheduledTask) {
        let id = &task.id;
        let Some(job) = self.jobs.get_mut(task.job()).map(Arc::make_mut) else {
            return;
        };
        if task.status.is_terminal() {
            let ended = (task.last_event_at().unwrap_or_default(), id.clone());
            job.ended.remove(&ended);
            self.ended.remove(&ended);
        } else if job.active.get(&task.instance) == Some(id) {
            job.active.remove(&task.instance);
            job.usage.remove(&task.config);
        } else {
            job.displaced.remove(id);
        }
    }

    fn enter_agent(&mut self, task: &ScheduledTask) {
        let Some(agent) = task.agent.as_ref().filter(|_| task.host.is_some()) else {
            return;
        };
        let load = match self.agents.get_mut(agent) {
            Some(load) => load,
            None => self.agents.entry(agent.clone()).or_default(),
        };
        if let Some(host) = Arc::make_mut(load).enter(task) {
            let agents = self.by_host.entry(host).or_default();
            agents.insert(agent.clone());
        }
    }

    fn leave_agent(&mut self, task: &ScheduledTask) {
        let Some(agent) = task.agent.as_ref().filter(|_| task.host.is_some()) else {
            return;
        };
        let Some(load) = self.agents.get_mut(agent).map(Arc::make_mut) else {
            return;
        };
        if task.status.is_assigned() {
            load.tasks.remove(&task.id);
            load.used = load.used.minus(task.config.resources);
            load.executors -= u32::from(task.config.executor.is_some());
            for port in task.ports.values() {
                load.ports.remove(port);
            }
        } else {
            load.ended.remove(&task.id);
        }
        if load.tasks.is_empty() && load.ended.is_empty() {
            for host in load.names() {
                if let Some(agents) = self.by_host.get_mut(host) {
                    agents.remove(agent);
                    if agents.is_empty() {
                        self.by_host.remove(host);
                    }
                }
            }
            self.agents.remove(agent);
        }
    }
}

/// Where a task stands among those of its job.
#[derive(PartialEq)]
enum JobPlace {
    Active(InstanceId),
    Ended(Timestamp),
}

impl JobPlace {
    fn of(task: &ScheduledTask) -> Self {
        match task.status.is_terminal() {
            true => Self::Ended(task.last_event_at().unwrap_or_default()),
            false => Self::Active(task.instance),
        }
    }
}

/// Where a task stands among those of its agent.
#[derive(PartialEq)]
struct AgentPlace<'a> {
    agent: &'a AgentId,
    host: Option<&'a Arc<str>>,
    holds: bool,
    ports: &'a NamedPorts,
}

impl<'a> AgentPlace<'a> {
    fn of(task: &'a ScheduledTask) -> Option<Self> {
        let agent = task.agent.as_ref()?;
        Some(Self {
            agent,
            host: task.host.as_ref(),
            holds: task.status.is_assigned(),
            ports: &task.ports,
        })
    }
}
