//! People: they ask for jobs and updates, again until somebody answers, and hold on to what was answered.

use aurora::base::rng::Rng;
use aurora::model::{
    Container, CronCollisionPolicy, ExecutorConfig, JobConfiguration, JobKey, MilliCpus, Resources,
    TaskConfig, UpdateKey, UpdateSettings, UpdateStrategy,
};
use aurora::scheduler::update::{UpdateChange, UpdateCommand, UpdateRequest};
use aurora::scheduler::{Command, request_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Instances of the job that is updated.
pub const INSTANCES: u32 = 6;

/// Versions of that job that never come up have this last digit.
pub const BAD: i64 = 3;

/// What an answer of yes is remembered as.
#[derive(Clone, Debug)]
pub enum Promise {
    Cron,
    Nothing,
    Service(JobKey, u32),
    Update,
}

/// A command that has not been answered.
pub struct Request {
    pub id: String,
    pub command: Command,
    pub promise: Promise,
    /// Where it was last asked: machine, process, token.
    pub asked: Option<(usize, u64, u64)>,
}

#[derive(Default)]
pub struct Clients {
    pub waiting: Vec<Request>,
    pub next: u64,
    /// What was promised: services by how many instances.
    pub services: BTreeMap<JobKey, u32>,
    pub updates: Vec<UpdateKey>,
    pub version: i64,
}

pub fn key(name: &str) -> JobKey {
    JobKey::new("role", "prod", name).unwrap()
}

pub fn config(name: &str, cpus: i64, is_service: bool) -> TaskConfig {
    TaskConfig {
        job: key(name),
        owner: None,
        is_service,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources: Resources {
            cpus: MilliCpus(cpus),
            ram_mb: 64,
            disk_mb: 16,
            ports: 0,
            gpus: 0,
        },
        port_names: BTreeSet::new(),
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
    }
}

fn job(task: TaskConfig, instances: u32, schedule: Option<&str>) -> JobConfiguration {
    JobConfiguration {
        key: task.job.clone(),
        owner: None,
        cron_schedule: schedule.map(str::to_owned),
        cron_collision_policy: CronCollisionPolicy::KillExisting,
        task: Arc::new(task),
        instance_count: instances,
    }
}

impl Clients {
    pub fn ask(&mut self, command: Command, promise: Promise) {
        self.next += 1;
        let id = request_of(&format!("request-{}", self.next), b"");
        self.waiting.push(Request {
            id,
            command,
            promise,
            asked: None,
        });
    }

    pub fn schedule(&mut self, name: &str, schedule: &str, policy: CronCollisionPolicy) {
        let mut job = job(config(name, 100, false), 2, Some(schedule));
        job.cron_collision_policy = policy;
        let user = "u".to_owned();
        self.ask(
            Command::ScheduleCronJob {
                job,
                replace: false,
                user,
            },
            Promise::Cron,
        );
    }

    pub fn create(&mut self, name: &str, instances: u32) {
        let command = Command::CreateJob {
            job: job(config(name, 50, true), instances, None),
            user: "u".to_owned(),
        };
        self.ask(command, Promise::Service(key(name), instances));
    }

    pub fn start_update(&mut self, rng: &mut Rng) {
        self.version += 1;
        let group_size = 1 + rng.index(2) as i32;
        let settings = UpdateSettings {
            strategy: match rng.one_in(2) {
                true => UpdateStrategy::Queue { group_size },
                false => UpdateStrategy::Batch {
                    group_size,
                    autopause: false,
                },
            },
            max_per_instance_failures: 0,
            max_failed_instances: 0,
            min_wait_in_running_ms: 1_000,
            rollback_on_failure: true,
            only: Vec::new(),
            block_if_no_pulses_after_ms: 0,
            sla_aware: false,
            group_size,
            wait_for_batch_completion: false,
        };
        let command = Command::Update(UpdateCommand::Start {
            request: Box::new(UpdateRequest {
                config: Arc::new(config("updated", 100 + self.version, true)),
                instance_count: INSTANCES,
                settings,
                metadata: BTreeSet::default(),
            }),
            message: None,
            user: "u".into(),
        });
        self.ask(command, Promise::Update);
    }

    pub fn change(&mut self, key: &UpdateKey, change: UpdateChange) {
        let command = Command::Update(UpdateCommand::Change {
            key: key.clone(),
            change,
            message: None,
            user: "u".into(),
        });
        self.ask(command, Promise::Nothing);
    }

    /// The process that was asked is gone: whoever waits asks again.
    pub fn lost(&mut self, machine: usize, boot: u64) {
        for request in &mut self.waiting {
            if request
                .asked
                .is_some_and(|(m, b, _)| (m, b) == (machine, boot))
            {
                request.asked = None;
            }
        }
    }
}
