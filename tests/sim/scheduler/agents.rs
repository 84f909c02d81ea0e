//! Agents as the scheduler must be able to trust them: what they know survives, and they obey the highest
//! ballot they have heard.

use aurora::base::clock::Timestamp;
use aurora::driver::{AgentOffer, DriverCommand};
use aurora::model::{
    AgentId, AgentSession, Attribute, MilliCpus, PortRange, Ports, Resources, TaskId, TaskReport,
    TaskState,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub struct Agent {
    pub id: AgentId,
    pub session: u64,
    /// The highest ballot that it has heard.
    pub ballot: u64,
    /// The machine it is connected to, and which process there.
    pub connected: Option<(usize, u64)>,
    /// The latest report of each task that it has not forgotten.
    pub tasks: BTreeMap<TaskId, TaskReport>,
    pub ended: BTreeSet<TaskId>,
    /// What each live task holds.
    pub held: BTreeMap<TaskId, Resources>,
}

pub fn total() -> Resources {
    Resources {
        cpus: MilliCpus(8_000),
        ram_mb: 16_384,
        disk_mb: 100_000,
        ports: 50,
        gpus: 0,
    }
}

impl Agent {
    pub fn new(number: usize) -> Self {
        Self {
            id: AgentId::new(&format!("agent-{number}")),
            session: 1,
            ballot: 0,
            connected: None,
            tasks: BTreeMap::new(),
            ended: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    pub fn offer(&self) -> AgentOffer {
        AgentOffer {
            agent: self.id.clone(),
            session: AgentSession(self.session),
            host: self.id.as_str().to_owned(),
            total: total(),
            ports: Ports(vec![PortRange {
                first: 100,
                last: 149,
            }]),
            attributes: vec![Attribute {
                name: "host".into(),
                values: BTreeSet::from([self.id.as_str().to_owned()]),
            }],
        }
    }

    /// Carries out an order; gives what there is to say, and the task that began, if one did.
    pub fn obey(&mut self, order: DriverCommand) -> (Vec<(TaskId, TaskState)>, Option<TaskId>) {
        let mut begun = None;
        let mut news = Vec::new();
        match order {
            DriverCommand::Acknowledge { reports, .. } => {
                for (task, sequence) in reports {
                    let ended = |r: &TaskReport| r.sequence == sequence && r.state.is_terminal();
                    if self.tasks.get(&task).is_some_and(ended) {
                        self.tasks.remove(&task);
                    }
                }
            }
            DriverCommand::Kill { task, .. } => match self.tasks.get(&task) {
                Some(report) if !report.state.is_terminal() => news.push((task, TaskState::Killed)),
                Some(_) => {}
                None => {
                    // One that comes later must not start.
                    self.ended.insert(task.clone());
                    news.push((task, TaskState::Lost));
                }
            },
            DriverCommand::Launch { session, order, .. } => {
                let id = order.task.clone();
                let known = self.tasks.contains_key(&id) || self.ended.contains(&id);
                if session.0 == self.session && !known {
                    self.held.insert(id.clone(), order.resources);
                    begun = Some(id.clone());
                    news.push((id, TaskState::Starting));
                }
            }
            DriverCommand::Reconcile { tasks, .. } => {
                for task in tasks {
                    let state = self.tasks.get(&task).map(|report| report.state);
                    news.push((task, state.unwrap_or(TaskState::Lost)));
                }
            }
        }
        (news, begun)
    }

    /// A task takes a state; gives the report.
    pub fn note(&mut self, task: &TaskId, state: TaskState, at: Timestamp) -> TaskReport {
        let last = self.tasks.get(task).map_or(0, |report| report.sequence);
        let report = TaskReport {
            task: task.clone(),
            sequence: last + 1,
            state,
            message: None,
            at,
        };
        self.tasks.insert(task.clone(), report.clone());
        if state.is_terminal() {
            self.ended.insert(task.clone());
            self.held.remove(task);
        }
        report
    }

    /// The tasks that run or are about to.
    pub fn live(&self) -> impl Iterator<Item = &TaskId> {
        let live = self.tasks.iter().filter(|(_, r)| !r.state.is_terminal());
        live.map(|(id, _)| id)
    }
}

/// Whom an order is for.
pub fn addressee(order: &DriverCommand) -> &AgentId {
    match order {
        DriverCommand::Acknowledge { agent, .. }
        | DriverCommand::Kill { agent, .. }
        | DriverCommand::Launch { agent, .. }
        | DriverCommand::Reconcile { agent, .. } => agent,
    }
}
