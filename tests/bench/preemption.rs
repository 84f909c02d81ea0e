//! How long the engine looks for room in a full cluster, where there is none to be made.
//!
//! The work of upstream's slot search benchmark: every host is full of preemptible tasks, and production
//! tasks wait that no host does for. Each waiting task is of a job of its own, so that nothing is known
//! from another one's search. Figures are medians per search, in milliseconds:
//! `preemption_search_10k_hosts_ms` (a host is demanded that does not exist, as upstream's does),
//! `preemption_search_10k_hosts_too_large_ms` (more is needed than any host has) and
//! `preemption_search_10k_hosts_limit_ms` (a limit of zero: every host is looked at).
//! Arguments: `--hosts=N --jobs=N`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

mod figures;

use aurora::base::clock::{Instant, Now, Timestamp};
use aurora::base::rng::Rng;
use aurora::driver::{AgentOffer, DriverEvent};
use aurora::model::{
    AgentId, AgentSession, Attribute, Constraint, ConstraintKind, Container, JobConfiguration,
    JobKey, MilliCpus, Ports, Resources, TaskConfig,
};
use aurora::scheduler::{AdminCommand, Command, Effect, Engine, EngineOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(1_000_000);

struct World {
    engine: Engine,
    now: Now,
    position: u64,
}

impl World {
    fn new(hosts: u64) -> Self {
        let options = EngineOptions {
            max_tasks_per_job: u32::MAX,
            max_tasks_per_attempt: usize::try_from(hosts).unwrap(),
            max_attempts_per_sec: 1_000_000,
            snapshot_interval: FAR,
            reconcile: (FAR, FAR),
            reconcile_implicitly: (FAR, FAR),
            maintenance_interval: FAR,
            preemption_initial_delay: Some(Duration::from_secs(1_000)),
            ..EngineOptions::default()
        };
        let mut world = Self {
            engine: Engine::new(options, Rng::from_seed(1)),
            now: Now {
                mono: Instant::from_nanos(1_000_000_000),
                wall: Timestamp(1_700_000_000_000),
            },
            position: 0,
        };
        world.engine.handle_leading(world.now).unwrap();
        for number in 0..hosts {
            let tasks = Vec::new();
            let offer = offer(number);
            let up = DriverEvent::AgentUp { offer, tasks };
            world.engine.handle_driver(world.now, up);
        }
        world.settle();
        world
    }

    /// Everything that is proposed is learned, until nothing more is.
    fn settle(&mut self) {
        loop {
            self.engine.handle_timeout(self.now);
            self.engine.seal();
            let mut idle = true;
            while let Some(effect) = self.engine.poll_effect() {
                if let Effect::Append { ticket, payload } = effect {
                    idle = false;
                    self.position += 1;
                    let learned = self
                        .engine
                        .handle_learned(self.position, Some(ticket), &payload);
                    learned.unwrap();
                }
            }
            if idle {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
    }

    fn command(&mut self, command: &Command) {
        self.engine.handle_command(self.now, 1, None, command);
        self.settle();
    }

    fn searches(&self) -> i64 {
        self.engine.view().counters["preemptor_slot_search_attempts_for_prod"]
    }
}

fn amount(cores: i64, ram_gb: i64, disk_gb: i64) -> Resources {
    Resources {
        cpus: MilliCpus(cores * 1_000),
        ram_mb: ram_gb << 10,
        disk_mb: disk_gb << 10,
        ..Resources::default()
    }
}

fn offer(number: u64) -> AgentOffer {
    let attribute = |name: &str, value: String| Attribute {
        name: name.to_owned(),
        values: BTreeSet::from([value]),
    };
    let host = format!("host-{number}");
    AgentOffer {
        agent: AgentId::new(&format!("slave-{number}")),
        session: AgentSession(1),
        host: host.clone(),
        total: amount(8, 16, 256),
        ports: Ports::default(),
        attributes: vec![
            attribute("host", host),
            attribute("rack", format!("rack-{}", number / 2)),
        ],
    }
}

fn create(name: &str, instances: u32, change: impl FnOnce(&mut TaskConfig)) -> Command {
    let mut config = TaskConfig {
        job: JobKey::new("jmh", "dev", name).unwrap(),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources: amount(6, 8, 128),
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
    change(&mut config);
    Command::CreateJob {
        job: JobConfiguration {
            key: config.job.clone(),
            owner: None,
            cron_schedule: None,
            cron_collision_policy: Default::default(),
            task: Arc::new(config),
            instance_count: instances,
        },
        user: "bench".into(),
    }
}

/// The median time of a search for tasks that `change` makes hopeless, in milliseconds.
fn measure(hosts: u64, jobs: u64, change: impl Fn(&mut TaskConfig)) -> f64 {
    let mut world = World::new(hosts);
    let quota = amount(1_000_000, 1_000_000, 1_000_000);
    let role = "jmh".to_owned();
    world.command(&Command::Admin(AdminCommand::SetQuota { role, quota }));
    world.command(&create("victims", u32::try_from(hosts).unwrap(), |_| {}));
    world.pass(Duration::from_millis(10));
    world.settle();
    let tables = world.engine.tables();
    assert_eq!(tables.loaded_agents().count() as u64, hosts, "not full");
    for number in 0..jobs {
        let waiting = create(&format!("waiting-{number}"), 1, |config| {
            config.production = true;
            config.tier = Some("preferred".into());
            change(config);
        });
        world.command(&waiting);
    }
    world.pass(Duration::from_secs(999));
    world.settle();
    world.pass(Duration::from_secs(2));
    // The first builds the index.
    let mut times = Vec::new();
    let mut searches = 0;
    while searches < i64::try_from(jobs).unwrap() {
        let start = figures::now();
        world.engine.handle_timeout(world.now);
        let took = start.elapsed().as_secs_f64() * 1_000.0;
        let done = world.searches() - searches;
        searches += done;
        if done > 0 && searches > 4 {
            times.push(took / done as f64);
        }
        world.settle();
        world.pass(Duration::from_millis(20));
    }
    figures::median(&mut times)
}

fn main() {
    let hosts = figures::argument("hosts", 10_000);
    let jobs = figures::argument("jobs", 100);
    let mut report = figures::Report::new("preemption");
    let demand = |values: &str| Constraint {
        name: "host".into(),
        kind: ConstraintKind::Value {
            negated: false,
            values: BTreeSet::from([values.to_owned()]),
        },
    };
    let denied = measure(hosts, jobs, |config| {
        config.constraints.insert(demand("denied"));
    });
    report.figure("preemption_search_10k_hosts_ms", denied, "ms");
    let large = measure(hosts, jobs, |config| config.resources = amount(32, 1, 1));
    report.figure("preemption_search_10k_hosts_too_large_ms", large, "ms");
    let limited = measure(hosts, jobs, |config| {
        config.constraints.insert(Constraint {
            name: "host".into(),
            kind: ConstraintKind::Limit(0),
        });
    });
    report.figure("preemption_search_10k_hosts_limit_ms", limited, "ms");
    report.finish();
}
