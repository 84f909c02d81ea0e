//! Reads the entries of a log and checks what must hold after each of them.
//!
//! It shares the stored form with the scheduler and nothing else: no table, no index, no rule of it. It
//! checks that
//! - every version of the tables is made once, in order;
//! - a task is made once, is given to a machine once, and takes only steps of the diagram of states, each
//!   at a time that is not before the last;
//! - what a machine's tasks need, executors included, is at most what the machine has, and no port is
//!   given twice;
//! - every demand of a task holds for its machine when it is given to it: values, negated values, and
//!   limits, counting the job's tasks that hold machines at that moment;
//! - no machine that is out of service is given any;
//! - an instance of a job has one task that has not ended;
//! - the production work of a role on shared machines stays within its quota when work is added.

use aurora::driver::AgentOffer;
use aurora::model::{
    Attribute, ConstraintKind, JobKey, MaintenanceMode, MilliCpus, Resources, ScheduleStatus as S,
    ScheduledTask, TaskConfig, TaskEvent, TaskId,
};
use aurora::storage::Op;
use aurora::storage::stored::{Record, decode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Faults after which it says no more.
const FAULTS_MAX: usize = 20;

/// Where a task may go from each state, besides being forgotten.
fn next(from: S) -> &'static [S] {
    match from {
        S::Pending => &[S::Assigned],
        S::Throttled => &[S::Pending],
        S::Assigned => &[
            S::Starting,
            S::Running,
            S::Finished,
            S::Failed,
            S::Killed,
            S::Lost,
            S::Killing,
            S::Preempting,
            S::Restarting,
            S::Draining,
        ],
        S::Starting => &[
            S::Running,
            S::Partitioned,
            S::Finished,
            S::Failed,
            S::Killed,
            S::Lost,
            S::Killing,
            S::Preempting,
            S::Restarting,
            S::Draining,
        ],
        S::Running => &[
            S::Partitioned,
            S::Finished,
            S::Failed,
            S::Killed,
            S::Lost,
            S::Killing,
            S::Preempting,
            S::Restarting,
            S::Draining,
        ],
        S::Preempting | S::Restarting | S::Draining => &[
            S::Finished,
            S::Failed,
            S::Killed,
            S::Lost,
            S::Killing,
            S::Partitioned,
        ],
        S::Killing => &[S::Finished, S::Failed, S::Killed, S::Lost, S::Partitioned],
        S::Partitioned => &[
            S::Assigned,
            S::Starting,
            S::Running,
            S::Finished,
            S::Failed,
            S::Lost,
            S::Killing,
            S::Preempting,
            S::Restarting,
            S::Draining,
        ],
        S::Init | S::Finished | S::Failed | S::Killed | S::Lost => &[],
    }
}

fn has_ended(status: S) -> bool {
    matches!(status, S::Finished | S::Failed | S::Killed | S::Lost)
}

/// Whether a task in this state takes room of its machine.
fn takes_room(status: S) -> bool {
    !has_ended(status) && !matches!(status, S::Pending | S::Throttled | S::Init)
}

#[derive(Debug)]
struct Task {
    config: Arc<TaskConfig>,
    instance: u32,
    status: S,
    last: i64,
    machine: Option<String>,
    ports: Vec<u16>,
}

#[derive(Debug)]
struct Machine {
    total: Resources,
    attributes: Vec<Attribute>,
    used: Resources,
    ports: BTreeSet<u16>,
    mode: MaintenanceMode,
}

impl Machine {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a String> {
        let named = self.attributes.iter().filter(move |a| a.name == name);
        named.flat_map(|a| a.values.iter())
    }
}

/// The state that it has followed.
#[derive(Debug, Default)]
pub struct Validator {
    version: u64,
    term: u64,
    tasks: BTreeMap<TaskId, Task>,
    machines: BTreeMap<String, Machine>,
    instances: BTreeMap<JobKey, BTreeMap<u32, TaskId>>,
    /// Tasks that hold machines, by job, attribute and value.
    spread: BTreeMap<JobKey, BTreeMap<(String, String), i64>>,
    quotas: BTreeMap<String, Resources>,
    production: BTreeMap<String, Resources>,
    placed: u64,
    checked: u64,
    faults: Vec<String>,
}

impl Validator {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A machine that there is.
    pub fn machine(&mut self, offer: AgentOffer) {
        let machine = Machine {
            total: offer.total,
            attributes: offer.attributes,
            used: Resources::default(),
            ports: BTreeSet::new(),
            mode: MaintenanceMode::None,
        };
        self.machines.insert(offer.host, machine);
    }

    /// What was found to be wrong, first faults first.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// How many tasks hold machines.
    pub fn placed(&self) -> u64 {
        self.placed
    }

    /// How many tasks there are, ended ones among them.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// How many assignments were checked.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// The next entry of the log. Snapshots say nothing new.
    pub fn entry(&mut self, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let (version, ops) = match decode(payload) {
            // What a deposed leader had on its way counts no more.
            Ok(Record::Ops { term, .. }) if term < self.term => return,
            Ok(Record::Ops { version, ops, .. }) => (version, ops),
            Ok(Record::Snapshot(_)) => return,
            Err(error) => return self.fault(format!("an entry cannot be read: {error}")),
        };
        if version != self.version + 1 {
            self.fault(format!("version {version} follows {}", self.version));
        }
        self.version = version;
        ops.into_iter().for_each(|op| self.op(op));
    }

    fn op(&mut self, op: Op) {
        match op {
            Op::AddTasks {
                config,
                tasks,
                event,
            } => {
                for (instance, id) in tasks {
                    self.make(id, Arc::clone(&config), instance, &event);
                }
                self.check_quota(&config);
            }
            Op::Assign {
                task,
                host,
                ports,
                event,
                ..
            } => self.assign(&task, &host, ports.into_values().collect(), &event),
            Op::SetStatus { task, event, .. } => self.transition(&task, &event),
            Op::RemoveTask { task } => self.forget(&task),
            Op::ReplaceTask {
                ancestor,
                task,
                event,
            } => match self.tasks.get(&ancestor) {
                Some(old) => {
                    let (config, instance) = (Arc::clone(&old.config), old.instance);
                    self.make(task, config, instance, &event);
                }
                None => self.fault(format!("{task} replaces {ancestor}, which is unknown")),
            },
            Op::RestoreTask(task) => self.restore(&task),
            Op::SetLeader(leader) => self.term = leader.term,
            Op::SetQuota { role, quota } => drop(self.quotas.insert(role, quota)),
            Op::SetHost(host) => {
                if let Some(machine) = self.machines.get_mut(&host.host) {
                    machine.attributes.clone_from(&host.attributes);
                    machine.mode = host.mode;
                }
            }
            _ => {}
        }
    }

    fn restore(&mut self, task: &ScheduledTask) {
        self.fault(format!("{} is restored outside of a snapshot", task.id));
    }

    fn make(&mut self, id: TaskId, config: Arc<TaskConfig>, instance: u32, event: &TaskEvent) {
        if !matches!(event.status, S::Pending | S::Throttled) {
            self.fault(format!("{id} begins as {}", event.status));
        }
        let of_job = self.instances.entry(config.job.clone()).or_default();
        if let Some(other) = of_job.insert(instance, id.clone()) {
            self.fault(format!(
                "{id} has the place of {other}, which has not ended"
            ));
        }
        if counts(&config) {
            let used = self.production.entry(config.job.role().into()).or_default();
            *used = used.plus(config.resources);
        }
        let task = Task {
            config,
            instance,
            status: event.status,
            last: event.at.0,
            machine: None,
            ports: Vec::new(),
        };
        if self.tasks.insert(id.clone(), task).is_some() {
            self.fault(format!("{id} is made twice"));
        }
    }

    /// Only work that is added is held against quota: it may be lowered below what is there.
    fn check_quota(&mut self, config: &TaskConfig) {
        if !counts(config) {
            return;
        }
        let role = config.job.role();
        let quota = self.quotas.get(role).copied().unwrap_or_default();
        let used = self.production.get(role).copied().unwrap_or_default();
        if used.cpus > quota.cpus || used.ram_mb > quota.ram_mb || used.disk_mb > quota.disk_mb {
            self.fault(format!("{role} uses {used:?} of its quota {quota:?}"));
        }
    }

    fn assign(&mut self, id: &TaskId, host: &str, ports: Vec<u16>, event: &TaskEvent) {
        self.checked += 1;
        let Some(task) = self.tasks.get(id) else {
            return self.fault(format!("{id} is given to {host}, but is unknown"));
        };
        if let Some(first) = &task.machine {
            let fault = format!("{id} is given to {host}, but {first} has it");
            return self.fault(fault);
        }
        let config = Arc::clone(&task.config);
        if ports.len() != config.port_names.len() {
            self.fault(format!("{id} gets {} ports", ports.len()));
        }
        self.check_demands(id, &config, host);
        let Some(machine) = self.machines.get_mut(host) else {
            return self.fault(format!("{id} is given to {host}, which does not exist"));
        };
        machine.used = machine.used.plus(need(&config));
        let mut faults = Vec::new();
        if [MaintenanceMode::Draining, MaintenanceMode::Drained].contains(&machine.mode) {
            faults.push(format!("{id} is given to {host}, which is out of service"));
        }
        if !machine.total.fits(&machine.used) {
            let (used, total) = (machine.used, machine.total);
            faults.push(format!("{host} has {total:?} and gives {used:?}"));
        }
        for port in &ports {
            if !machine.ports.insert(*port) {
                faults.push(format!("{host} gives port {port} twice"));
            }
        }
        if let Some(task) = self.tasks.get_mut(id) {
            task.machine = Some(host.to_owned());
            task.ports = ports;
        }
        self.placed += 1;
        self.spread(&config.job, host, 1);
        faults.into_iter().for_each(|fault| self.fault(fault));
        self.transition(id, event);
    }

    fn check_demands(&mut self, id: &TaskId, config: &TaskConfig, host: &str) {
        let Some(machine) = self.machines.get(host) else {
            return;
        };
        let spread = self.spread.get(&config.job);
        let mut faults = Vec::new();
        let dedicated = config.constraints.iter().any(|c| c.name == "dedicated");
        if machine.values("dedicated").next().is_some() && !dedicated {
            faults.push(format!("{id} is given to {host}, which is for others"));
        }
        for constraint in &config.constraints {
            let name = &constraint.name;
            match &constraint.kind {
                ConstraintKind::Value { negated, values } => {
                    if machine.values(name).any(|v| values.contains(v)) == *negated {
                        faults.push(format!("{id} is given to {host} in spite of {name}"));
                    }
                }
                ConstraintKind::Limit(limit) => {
                    let mut any = false;
                    for value in machine.values(name) {
                        any = true;
                        let key = (name.clone(), value.clone());
                        let count = spread.and_then(|s| s.get(&key)).copied().unwrap_or(0);
                        if count >= i64::from(*limit) {
                            let fault = format!(
                                "{id} is given to {host}: {name}={value} has {count}, limit {limit}"
                            );
                            faults.push(fault);
                        }
                    }
                    if !any {
                        faults.push(format!("{id} is given to {host}, which has no {name}"));
                    }
                }
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    fn spread(&mut self, job: &JobKey, host: &str, by: i64) {
        let Some(machine) = self.machines.get(host) else {
            return;
        };
        if let Some(limited) = self.spread.get_mut(job) {
            for attribute in &machine.attributes {
                for value in &attribute.values {
                    let key = (attribute.name.clone(), value.clone());
                    *limited.entry(key).or_default() += by;
                }
            }
            return;
        }
        let new = machine.attributes.iter().flat_map(|attribute| {
            let key = |value: &String| ((attribute.name.clone(), value.clone()), by);
            attribute.values.iter().map(key)
        });
        self.spread.insert(job.clone(), new.collect());
    }

    fn transition(&mut self, id: &TaskId, event: &TaskEvent) {
        let Some(task) = self.tasks.get_mut(id) else {
            return self.fault(format!("{id} becomes {}, but is unknown", event.status));
        };
        let (from, last) = (task.status, task.last);
        (task.status, task.last) = (event.status, event.at.0);
        if event.at.0 < last {
            self.fault(format!(
                "{id} becomes {} before it was {from}",
                event.status
            ));
        }
        if !next(from).contains(&event.status) {
            self.fault(format!("{id} goes from {from} to {}", event.status));
        }
        if has_ended(event.status) {
            self.leave(id);
        } else if !takes_room(event.status) && takes_room(from) {
            self.fault(format!("{id} gives up its machine as {}", event.status));
        }
    }

    /// A task that has ended, or is forgotten, holds nothing any more.
    fn leave(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let (config, instance) = (Arc::clone(&task.config), task.instance);
        let (machine, ports) = (task.machine.clone(), std::mem::take(&mut task.ports));
        if let Some(of_job) = self.instances.get_mut(&config.job)
            && of_job.get(&instance) == Some(id)
        {
            of_job.remove(&instance);
        }
        if counts(&config)
            && let Some(used) = self.production.get_mut(config.job.role())
        {
            *used = used.minus(config.resources);
        }
        let Some(host) = machine else {
            return;
        };
        self.placed -= 1;
        self.spread(&config.job, &host, -1);
        if let Some(machine) = self.machines.get_mut(&host) {
            machine.used = machine.used.minus(need(&config));
            for port in ports {
                machine.ports.remove(&port);
            }
        }
    }

    fn forget(&mut self, id: &TaskId) {
        match self.tasks.get(id).map(|task| task.status) {
            Some(status) if has_ended(status) => {}
            Some(S::Pending | S::Throttled | S::Killing) => self.leave(id),
            Some(status) => self.fault(format!("{id} is forgotten while it is {status}")),
            None => self.fault(format!("{id} is forgotten, but is unknown")),
        }
        self.tasks.remove(id);
    }
}

/// Whether quota counts it: production work on shared machines.
fn counts(config: &TaskConfig) -> bool {
    config.production && !config.constraints.iter().any(|c| c.name == "dedicated")
}

/// What a task takes of a machine. An executor takes ten thousandths of a core and 8 MB.
fn need(config: &TaskConfig) -> Resources {
    let executor = match config.executor {
        Some(_) => Resources {
            cpus: MilliCpus(10),
            ram_mb: 8,
            ..Resources::default()
        },
        None => Resources::default(),
    };
    config.resources.plus(executor)
}
