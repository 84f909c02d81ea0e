//! An engine in memory: every entry is encoded and learned at once, machines are offers, time is passed by
//! hand.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use super::{cluster, figures};
use aurora::base::clock::{Instant, Now, Timestamp};
use aurora::base::rng::Rng;
use aurora::driver::DriverEvent;
use aurora::model::{
    AgentId, JobConfiguration, Resources, ScheduleStatus, TaskConfig, TaskId, TaskReport, TaskState,
};
use aurora::scheduler::{AdminCommand, Command, Effect, Engine, EngineOptions};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(1_000_000);

/// An engine and its clock.
pub struct World {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub now: Now,
    /// How long the log takes for an entry, by the real clock.
    pub latency: Duration,
    /// What is on its way to the log, and when it is learned.
    under_way: VecDeque<(figures::Moment, u64, Vec<u8>)>,
    position: u64,
    reports: u64,
}

/// What upstream's hosts give: 8 cores, 16 GB, 256 GB.
pub fn host() -> Resources {
    cluster::amount(8_000, 16 << 10, 256 << 10)
}

/// What upstream's tasks need: 6 cores, 8 GB, 128 GB.
pub fn task() -> Resources {
    cluster::amount(6_000, 8 << 10, 128 << 10)
}

impl World {
    /// So many of upstream's hosts. An attempt places up to `batch` tasks.
    pub fn new(hosts: u64, batch: usize) -> Self {
        let options = EngineOptions {
            max_tasks_per_job: u32::MAX,
            max_tasks_per_attempt: batch,
            max_attempts_per_sec: 1_000_000_000,
            snapshot_interval: FAR,
            reconcile: (FAR, FAR),
            reconcile_implicitly: (FAR, FAR),
            maintenance_interval: FAR,
            preemption_initial_delay: Some(Duration::from_secs(1_000)),
            preemption_delay: Duration::from_secs(900),
            transient_timeout: FAR,
            ..EngineOptions::default()
        };
        let mut world = Self {
            engine: Engine::new(options, Rng::from_seed(1)),
            now: Now {
                mono: Instant::from_nanos(1_000_000_000),
                wall: Timestamp(1_700_000_000_000),
            },
            latency: Duration::ZERO,
            under_way: VecDeque::new(),
            position: 0,
            reports: 0,
        };
        world.engine.handle_leading(world.now).unwrap();
        for number in 0..hosts {
            let tasks = Vec::new();
            let offer = cluster::offer(number, host());
            let up = DriverEvent::AgentUp { offer, tasks };
            world.engine.handle_driver(world.now, up);
        }
        world.settle();
        world
    }

    /// Does what is due, proposes it, and lets it be learned; `false` if there was nothing.
    pub fn turn(&mut self) -> bool {
        self.propose();
        let any = !self.under_way.is_empty();
        self.learn_all();
        any
    }

    /// Does what is due and proposes it.
    pub fn propose(&mut self) {
        self.engine.handle_timeout(self.now);
        self.engine.seal();
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Append { ticket, entry } = effect {
                let due = figures::now() + self.latency;
                self.under_way.push_back((due, ticket, entry.encode()));
            }
        }
    }

    /// Lets be learned what is on its way, each entry when its time has come.
    pub fn learn_all(&mut self) {
        while let Some((due, ticket, payload)) = self.under_way.pop_front() {
            if !self.latency.is_zero() {
                std::thread::sleep(due.saturating_duration_since(figures::now()));
            }
            self.position += 1;
            let engine = &mut self.engine;
            let learned = engine.handle_learned(self.position, Some(ticket), &payload);
            learned.unwrap();
            self.collect();
        }
    }

    /// Turns until there is nothing more to do now.
    pub fn settle(&mut self) {
        while self.turn() {}
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
    }

    /// Asks for something.
    pub fn command(&mut self, command: &Command) {
        self.engine.handle_command(self.now, 1, None, command);
    }

    /// A machine tells of a task.
    pub fn report(&mut self, agent: &AgentId, task: &TaskId, state: TaskState) {
        self.reports += 1;
        let report = TaskReport {
            task: task.clone(),
            sequence: self.reports,
            state,
            message: None,
            at: self.now.wall,
        };
        let agent = agent.clone();
        let status = DriverEvent::Status { agent, report };
        self.engine.handle_driver(self.now, status);
    }

    /// Makes a job and places what there is room for.
    pub fn place(&mut self, config: TaskConfig, instances: u64) {
        self.command(&create(config, instances));
        let mut before = -1;
        loop {
            self.pass(Duration::from_millis(2));
            self.settle();
            let placed = self.engine.tables().count(ScheduleStatus::Assigned);
            if placed == before {
                return;
            }
            before = placed;
        }
    }

    /// Quota without end for the benchmarks' role.
    pub fn allow(&mut self) {
        let quota = cluster::amount(i64::MAX / 4, i64::MAX / 4, i64::MAX / 4);
        let role = "jmh".to_owned();
        self.command(&Command::Admin(AdminCommand::SetQuota { role, quota }));
        self.settle();
    }

    /// One of the engine's counters.
    pub fn counter(&self, name: &str) -> i64 {
        self.engine.view().counters.get(name).copied().unwrap_or(0)
    }
}

/// The command that makes a job.
pub fn create(config: TaskConfig, instances: u64) -> Command {
    Command::CreateJob {
        job: JobConfiguration {
            key: config.job.clone(),
            owner: None,
            cron_schedule: None,
            cron_collision_policy: Default::default(),
            task: Arc::new(config),
            instance_count: u32::try_from(instances).unwrap(),
        },
        user: "bench".into(),
    }
}
