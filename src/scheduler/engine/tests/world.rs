//! A log, agents and a clock around an engine.

use crate::base::clock::{Instant, Now, Timestamp};
use crate::base::rng::Rng;
use crate::driver::{AgentOffer, DriverCommand, DriverEvent};
use crate::model::{
    AgentId, AgentSession, Attribute, Container, ExecutorConfig, JobConfiguration, JobKey,
    MilliCpus, PortRange, Ports, Resources, ScheduleStatus, TaskConfig, TaskId, TaskReport,
    TaskState,
};
use crate::scheduler::admin::Question;
use crate::scheduler::engine::{Effect, Engine, EngineOptions};
use crate::scheduler::handle::{Command, Reply, SubmitError};
use crate::storage::Tables;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// An agent as the engine must be able to trust it: its record survives its crashes.
#[derive(Debug, Default)]
pub(super) struct FakeAgent {
    pub(super) session: u64,
    pub(super) connected: bool,
    pub(super) attributes: Vec<Attribute>,
    /// Latest report of each task that it has not forgotten.
    pub(super) tasks: BTreeMap<TaskId, TaskReport>,
    pub(super) ended: BTreeSet<TaskId>,
    pub(super) resources: BTreeMap<TaskId, Resources>,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Now,
    pub(super) rng: Rng,
    pub(super) options: EngineOptions,
    /// Entries that are learned, each with its position.
    pub(super) log: VecDeque<(u64, Vec<u8>)>,
    pub(super) position: u64,
    /// Entries on their way.
    pub(super) appending: VecDeque<(u64, Vec<u8>)>,
    pub(super) agents: BTreeMap<AgentId, FakeAgent>,
    /// Orders on their way.
    pub(super) orders: VecDeque<DriverCommand>,
    /// Every start of a task, by agent.
    pub(super) started: BTreeMap<TaskId, Vec<AgentId>>,
    pub(super) replies: BTreeMap<u64, Result<Reply, SubmitError>>,
    pub(super) next_token: u64,
    /// What coordinators are asked.
    pub(super) questions: VecDeque<Question>,
    /// Whether the engine said that it has to end for a recovery.
    pub(super) restored: bool,
}

pub(super) fn total() -> Resources {
    Resources {
        cpus: MilliCpus(4_000),
        ram_mb: 4_096,
        disk_mb: 10_000,
        ports: 10,
        gpus: 0,
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    pub(super) fn with(seed: u64, change: impl FnOnce(&mut EngineOptions)) -> Self {
        let mut options = EngineOptions {
            max_attempts_per_sec: 10_000,
            ..EngineOptions::default()
        };
        change(&mut options);
        let mut rng = Rng::from_seed(seed);
        let mut world = Self {
            engine: Engine::new(options.clone(), Rng::from_seed(rng.next_u64())),
            now: Now {
                mono: Instant::from_nanos(1_000_000_000),
                wall: Timestamp(1_700_000_000_000),
            },
            rng,
            options,
            log: VecDeque::new(),
            position: 0,
            appending: VecDeque::new(),
            agents: BTreeMap::new(),
            orders: VecDeque::new(),
            started: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_token: 0,
            questions: VecDeque::new(),
            restored: false,
        };
        world.engine.handle_leading(world.now).unwrap();
        world
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
    }

    pub(super) fn tables(&self) -> Arc<Tables> {
        Arc::clone(self.engine.tables())
    }

    /// Lets the engine do what is due, propose, and takes its effects.
    pub(super) fn turn(&mut self) {
        self.engine.handle_timeout(self.now);
        self.engine.seal();
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Ask(question) => self.questions.push_back(*question),
                Effect::Append { ticket, entry } => {
                    self.appending.push_back((ticket, entry.encode()));
                }
                Effect::Driver(command) => self.orders.push_back(command),
                Effect::Publish(_) => {}
                Effect::Reply { token, result } => {
                    let again = self.replies.insert(token, result);
                    assert!(again.is_none(), "command {token} was answered twice");
                }
                Effect::Restored => self.restored = true,
                Effect::Snapshot(_) => {}
                Effect::Truncate { position } => {
                    while self.log.front().is_some_and(|(at, _)| *at <= position) {
                        self.log.pop_front();
                    }
                }
            }
        }
    }

    /// The log learns one entry.
    pub(super) fn learn(&mut self) {
        if let Some((ticket, payload)) = self.appending.pop_front() {
            self.position += 1;
            self.log.push_back((self.position, payload.clone()));
            self.engine
                .handle_learned(self.position, Some(ticket), &payload)
                .unwrap();
            self.turn();
        }
    }

    /// The scheduler dies; of what was on its way to the log, the first `learned` get there.
    pub(super) fn crash(&mut self, learned: usize) {
        for (_, payload) in self.appending.drain(..).take(learned) {
            self.position += 1;
            self.log.push_back((self.position, payload));
        }
        let seed = self.rng.next_u64();
        self.engine = Engine::new(self.options.clone(), Rng::from_seed(seed));
        for (position, payload) in &self.log {
            self.engine
                .handle_learned(*position, None, payload)
                .unwrap();
        }
        self.engine.handle_leading(self.now).unwrap();
        for agent in self.agents.values_mut() {
            agent.connected = false;
        }
        self.orders.clear();
        self.turn();
    }

    pub(super) fn command(&mut self, request: Option<&str>, command: &Command) -> u64 {
        self.next_token += 1;
        self.engine
            .handle_command(self.now, self.next_token, request, command);
        self.turn();
        self.next_token
    }

    pub(super) fn agent_up(&mut self, name: &str) {
        let id = AgentId::new(name);
        let agent = self.agents.entry(id.clone()).or_default();
        agent.connected = true;
        let offer = AgentOffer {
            agent: id,
            session: AgentSession(agent.session),
            host: name.to_owned(),
            total: total(),
            ports: Ports(vec![PortRange {
                first: 100,
                last: 109,
            }]),
            attributes: agent.attributes.clone(),
        };
        let tasks = agent.tasks.values().cloned().collect();
        self.engine
            .handle_driver(self.now, DriverEvent::AgentUp { offer, tasks });
        self.turn();
    }

    pub(super) fn agent_down(&mut self, name: &str) {
        let agent = AgentId::new(name);
        if let Some(fake) = self.agents.get_mut(&agent).filter(|a| a.connected) {
            fake.connected = false;
            let session = AgentSession(fake.session);
            // What was on its way there goes down with the connection.
            self.orders.retain(|order| addressee(order) != &agent);
            self.engine
                .handle_driver(self.now, DriverEvent::AgentDown { agent, session });
            self.turn();
        }
    }

    /// The next order arrives, if its agent is connected.
    pub(super) fn deliver(&mut self) {
        let Some(command) = self.orders.pop_front() else {
            return;
        };
        let agent = addressee(&command).clone();
        let Some(fake) = self.agents.get_mut(&agent).filter(|a| a.connected) else {
            return;
        };
        let mut news = Vec::new();
        match command {
            DriverCommand::Acknowledge { reports, .. } => {
                for (task, sequence) in reports {
                    let ended = |r: &TaskReport| r.sequence == sequence && r.state.is_terminal();
                    if fake.tasks.get(&task).is_some_and(ended) {
                        fake.tasks.remove(&task);
                    }
                }
            }
            DriverCommand::Kill { task, .. } => match fake.tasks.get(&task) {
                Some(report) if !report.state.is_terminal() => news.push((task, TaskState::Killed)),
                Some(_) => {}
                None => news.push((task, TaskState::Lost)),
            },
            DriverCommand::Launch { session, order, .. } => {
                let id = order.task.clone();
                if session.0 != fake.session {
                    news.push((id, TaskState::Lost));
                } else if !fake.tasks.contains_key(&id) && !fake.ended.contains(&id) {
                    self.started
                        .entry(id.clone())
                        .or_default()
                        .push(agent.clone());
                    fake.resources.insert(id.clone(), order.resources);
                    news.push((id, TaskState::Starting));
                }
            }
            DriverCommand::Reconcile { tasks, .. } => {
                for task in tasks {
                    match fake.tasks.get(&task) {
                        Some(report) => news.push((task, report.state)),
                        None => news.push((task, TaskState::Lost)),
                    }
                }
            }
        }
        for (task, state) in news {
            self.report(&agent, &task, state);
        }
    }

    /// A task takes a state on its agent, which says so if it can.
    pub(super) fn report(&mut self, agent: &AgentId, task: &TaskId, state: TaskState) {
        let fake = self.agents.get_mut(agent).unwrap();
        let last = fake.tasks.get(task).map_or(0, |report| report.sequence);
        let report = TaskReport {
            task: task.clone(),
            sequence: last + 1,
            state,
            message: None,
            at: self.now.wall,
        };
        fake.tasks.insert(task.clone(), report.clone());
        if state.is_terminal() {
            fake.ended.insert(task.clone());
            fake.resources.remove(task);
        }
        if fake.connected {
            let agent = agent.clone();
            self.engine
                .handle_driver(self.now, DriverEvent::Status { agent, report });
            self.turn();
        }
    }

    /// Lets everything that is on its way arrive, and short timers pass.
    pub(super) fn calm(&mut self) {
        for _ in 0..60 {
            while !self.appending.is_empty() || !self.orders.is_empty() {
                self.learn();
                self.deliver();
            }
            self.pass(Duration::from_millis(50));
            self.turn();
        }
    }

    pub(super) fn statuses(&self, job: &JobKey) -> Vec<ScheduleStatus> {
        self.tables()
            .tasks_of_job(job)
            .map(|task| task.status)
            .collect()
    }

    /// Every task of the job that is in `from` on its agent goes to `to`.
    pub(super) fn all_go(&mut self, from: TaskState, to: TaskState) {
        let all: Vec<(AgentId, TaskId)> = self
            .agents
            .iter()
            .flat_map(|(id, agent)| {
                let there = agent.tasks.values().filter(|r| r.state == from);
                there
                    .map(|r| (id.clone(), r.task.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        for (agent, task) in all {
            self.report(&agent, &task, to);
        }
    }
}

/// The seeds of a run: `few`, and `many` with `AURORA_LONG`; from `AURORA_FIRST_SEED` on, if that is set.
pub(super) fn seeds(few: u64, many: u64) -> std::ops::Range<u64> {
    let variable = |name: &str| std::env::var(name).ok();
    let first = variable("AURORA_FIRST_SEED").and_then(|text| text.parse().ok());
    let first = first.unwrap_or(0);
    match variable("AURORA_LONG").as_deref() {
        Some("1") => first..first + many,
        Some(_) | None => first..first + few,
    }
}

fn addressee(order: &DriverCommand) -> &AgentId {
    match order {
        DriverCommand::Acknowledge { agent, .. }
        | DriverCommand::Kill { agent, .. }
        | DriverCommand::Launch { agent, .. }
        | DriverCommand::Reconcile { agent, .. } => agent,
    }
}

pub(super) fn key(name: &str) -> JobKey {
    JobKey::new("role", "prod", name).unwrap()
}

pub(super) fn config(name: &str, change: impl FnOnce(&mut TaskConfig)) -> TaskConfig {
    let mut config = TaskConfig {
        job: key(name),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources: Resources {
            cpus: MilliCpus(490),
            ram_mb: 100,
            disk_mb: 10,
            ports: 1,
            gpus: 0,
        },
        port_names: BTreeSet::from(["http".to_owned()]),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: Some(ExecutorConfig {
            name: Some("AuroraExecutor".into()),
            data: Some("{}".into()),
        }),
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    };
    change(&mut config);
    config
}

pub(super) fn create(config: TaskConfig, instances: u32) -> Command {
    Command::CreateJob {
        job: JobConfiguration {
            key: config.job.clone(),
            owner: None,
            cron_schedule: None,
            cron_collision_policy: Default::default(),
            task: Arc::new(config),
            instance_count: instances,
        },
        user: "UNSECURE".into(),
    }
}

pub(super) fn kill(name: &str) -> Command {
    Command::KillTasks {
        job: key(name),
        instances: BTreeSet::new(),
        message: None,
        user: "UNSECURE".into(),
    }
}
