//! Generated clusters, jobs and histories, judged by the validator of the benchmarks, which reads the log as
//! another program would: nothing is placed twice, no machine gives more than it has, every demand holds for
//! every machine that is taken, limits within a batch too, every history is a path of the diagram, and quota
//! is kept.

use super::world::{World, config, create, key, kill, seeds};
use crate::base::rng::Rng;
use crate::domain::placement::OfferOrder;
use crate::model::{
    AgentId, Attribute, Constraint, ConstraintKind, HostAttributes, MaintenanceMode, MilliCpus,
    PortRange, Ports, Resources, ScheduleStatus as S, ScheduledTask, SlaPolicy, TaskConfig,
    TaskState,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::Command;
use crate::storage::Op;
use crate::storage::stored::{Record, decode, encode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use validator::Validator;

#[path = "../../../../tests/bench/validator.rs"]
mod validator;

fn attribute(name: &str, value: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        values: BTreeSet::from([value.to_owned()]),
    }
}

fn value(name: &str, negated: bool, value: &str) -> Constraint {
    let values = BTreeSet::from([value.to_owned()]);
    Constraint {
        name: name.to_owned(),
        kind: ConstraintKind::Value { negated, values },
    }
}

fn limit(name: &str, limit: i32) -> Constraint {
    Constraint {
        name: name.to_owned(),
        kind: ConstraintKind::Limit(limit),
    }
}

/// A cluster, and all that its log has learned.
struct Cluster {
    world: World,
    names: Vec<String>,
    entries: Vec<Vec<u8>>,
}

impl Cluster {
    /// Of three to twelve machines in racks of two; some are dedicated to a role.
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed ^ 0x5ca1e);
        let portion = [1, 5, 1_000][rng.index(3)];
        let order = ["RANDOM", "CPU", "MEMORY,CPU,RANDOM"][rng.index(3)];
        let order = OfferOrder::parse(order).unwrap();
        let mut world = World::with(seed, |options| {
            options.max_tasks_per_attempt = portion;
            options.offer_order = order;
            options.preemption_initial_delay = Some(Duration::from_secs(1));
            options.preemption_interval = Duration::from_secs(1);
            options.preemption_delay = Duration::from_secs(3);
        });
        let mut names = Vec::new();
        for number in 0..3 + rng.index(10) {
            let name = format!("m{number}");
            let mut attributes = vec![
                attribute("host", &name),
                attribute("rack", &format!("r{}", number / 2)),
            ];
            if rng.one_in(2) {
                attributes.push(attribute("disk", ["ssd", "hdd"][rng.index(2)]));
            }
            if rng.one_in(6) {
                attributes.push(attribute("dedicated", "role/x"));
            }
            let agent = world.agents.entry(AgentId::new(&name)).or_default();
            agent.attributes = attributes;
            names.push(name);
        }
        let mut cluster = Self {
            world,
            names,
            entries: Vec::new(),
        };
        for name in cluster.names.clone() {
            cluster.world.agent_up(&name);
        }
        cluster
    }

    fn learn(&mut self) {
        let next = self.world.appending.front();
        let next = next.map(|(_, payload)| payload.clone());
        self.entries.extend(next);
        self.world.learn();
    }

    fn crash(&mut self) {
        let learned = self.world.rng.index(self.world.appending.len() + 1);
        let next = self.world.appending.iter().take(learned);
        self.entries
            .extend(next.map(|(_, payload)| payload.clone()));
        self.world.crash(learned);
        for name in self.names.clone() {
            self.world.agent_up(&name);
        }
    }

    fn any_config(&mut self) -> TaskConfig {
        let rng = &mut self.world.rng;
        let name = format!("j{}", rng.below(8));
        config(&name, |config| {
            config.resources.cpus = MilliCpus(100 * (1 + rng.below(12) as i64));
            config.production = rng.one_in(3);
            if config.production {
                config.tier = Some("preferred".into());
            }
            config.priority = rng.below(3) as i32;
            for _ in 0..rng.below(3) {
                config.constraints.insert(match rng.below(6) {
                    0 => limit("host", 1 + rng.below(3) as i32),
                    1 => limit("rack", 1 + rng.below(4) as i32),
                    2 => value("disk", false, "ssd"),
                    3 => value("disk", true, "hdd"),
                    4 => value("dedicated", false, "role/x"),
                    _ => value("rack", true, "r0"),
                });
            }
        })
    }

    fn any_command(&mut self) -> Command {
        let name = format!("j{}", self.world.rng.below(8));
        let hosts = BTreeSet::from([self.names[self.world.rng.index(self.names.len())].clone()]);
        match self.world.rng.below(14) {
            10 => Command::Admin(AdminCommand::DrainHosts {
                hosts,
                default_policy: SlaPolicy::Percentage {
                    milli_percent: 0,
                    duration_secs: 0,
                },
                timeout_secs: 0,
            }),
            11 | 12 => Command::Admin(AdminCommand::EndMaintenance { hosts }),
            13 => Command::Admin(AdminCommand::StartMaintenance { hosts }),
            0 => kill(&name),
            1 => Command::RestartShards {
                job: key(&name),
                shards: BTreeSet::from([0]),
                user: "u".into(),
            },
            2 => Command::AddInstances {
                job: key(&name),
                instance: 0,
                count: 1 + self.world.rng.below(5) as i32,
                user: "u".into(),
            },
            3 => {
                let quota = Resources {
                    cpus: MilliCpus(self.world.rng.below(20_000) as i64),
                    ram_mb: 100_000,
                    disk_mb: 100_000,
                    ..Resources::default()
                };
                let role = "role".to_owned();
                Command::Admin(AdminCommand::SetQuota { role, quota })
            }
            _ => {
                let config = self.any_config();
                create(config, 1 + self.world.rng.below(12) as u32)
            }
        }
    }

    fn any_report(&mut self) {
        let agent = AgentId::new(&self.names[self.world.rng.index(self.names.len())]);
        let fake = self.world.agents.get(&agent).unwrap();
        let alive = fake.tasks.values().filter(|r| !r.state.is_terminal());
        let alive: Vec<_> = alive.map(|r| r.task.clone()).collect();
        if alive.is_empty() {
            return;
        }
        let task = alive[self.world.rng.index(alive.len())].clone();
        let state = match self.world.rng.below(8) {
            0 => TaskState::Failed,
            1 => TaskState::Finished,
            2 => TaskState::Lost,
            _ => TaskState::Running,
        };
        self.world.report(&agent, &task, state);
    }

    fn step(&mut self) {
        let machine = self.names[self.world.rng.index(self.names.len())].clone();
        match self.world.rng.below(100) {
            0..10 => {
                let command = self.any_command();
                self.world.command(None, &command);
            }
            10..45 => self.learn(),
            45..65 => self.world.deliver(),
            65..80 => self.any_report(),
            80..84 => self.world.agent_up(&machine),
            84..86 => self.world.agent_down(&machine),
            86 => self.crash(),
            87 => {
                self.world.engine.begin_snapshot();
                self.world.turn();
            }
            88 => {
                let time = Duration::from_secs(self.world.rng.below(100));
                self.world.pass(time);
                self.world.turn();
            }
            _ => {
                let time = Duration::from_millis(self.world.rng.below(200));
                self.world.pass(time);
                self.world.turn();
            }
        }
    }

    fn validator(&self) -> Validator {
        let mut validator = Validator::new();
        for (agent, fake) in &self.world.agents {
            let ports = Ports(vec![PortRange {
                first: 100,
                last: 109,
            }]);
            validator.machine(crate::driver::AgentOffer {
                agent: agent.clone(),
                session: crate::model::AgentSession(0),
                host: agent.to_string(),
                total: super::world::total(),
                ports,
                attributes: fake.attributes.clone(),
            });
        }
        validator
    }
}

#[test]
fn whatever_is_generated_nothing_is_sold_twice_and_every_demand_holds() {
    let (mut checked, mut waiting, mut ended, mut made_room) = (0, 0, 0, 0);
    for seed in seeds(60, 2_000) {
        let mut cluster = Cluster::new(seed);
        for _ in 0..800 {
            cluster.step();
        }
        while !cluster.world.appending.is_empty() {
            cluster.learn();
        }
        let mut validator = cluster.validator();
        for entry in &cluster.entries {
            validator.entry(entry);
        }
        assert_eq!(validator.faults(), [""; 0], "seed {seed}");
        let tables = cluster.world.tables();
        let holds = tables.tasks().filter(|task| task.status.is_assigned());
        assert_eq!(validator.placed(), holds.count() as u64, "seed {seed}");
        assert_eq!(validator.tasks(), tables.task_count(), "seed {seed}");
        checked += validator.checked();
        waiting += tables.count(S::Pending);
        ended += tables.ended().count();
        let moved = |task: &&Arc<_>| was(task, S::Preempting) || was(task, S::Draining);
        made_room += tables.tasks().filter(moved).count();
    }
    // Histories in which there is always room, or nothing ends, are no test of this.
    assert!(checked > 1_000 && waiting > 100 && ended > 100 && made_room > 50);
}

/// Whether a task was ever in this state.
fn was(task: &ScheduledTask, status: S) -> bool {
    task.events.iter().any(|event| event.status == status)
}

/// The log of a small cluster with work of every kind.
fn good_log() -> (Cluster, Vec<Op>) {
    let mut cluster = Cluster::new(1);
    let quota = Resources {
        cpus: MilliCpus(3_000),
        ram_mb: 100_000,
        disk_mb: 100_000,
        ..Resources::default()
    };
    let role = "role".to_owned();
    let allow = Command::Admin(AdminCommand::SetQuota { role, quota });
    let limited = config("limited", |c| c.constraints.extend([limit("host", 1)]));
    let production = config("production", |c| c.production = true);
    let plain = config("plain", |_| {});
    let asked = [
        allow,
        create(limited, 2),
        create(production, 2),
        create(plain, 4),
    ];
    for command in &asked {
        cluster.world.command(None, command);
    }
    for _ in 0..200 {
        cluster.learn();
        cluster.world.deliver();
        cluster.world.pass(Duration::from_millis(50));
        cluster.world.turn();
    }
    let ops = cluster.entries.iter().flat_map(|entry| {
        let Record::Ops { ops, .. } = decode(entry).unwrap() else {
            panic!("no snapshot was asked for");
        };
        ops
    });
    let ops = ops.collect();
    (cluster, ops)
}

/// What is said of a log that `change` was done to. Each op is an entry.
fn faults(change: impl Fn(&mut Vec<Op>)) -> Vec<String> {
    let (cluster, mut ops) = good_log();
    change(&mut ops);
    let mut validator = cluster.validator();
    for (op, version) in ops.into_iter().zip(1..) {
        let record = Record::Ops {
            term: 0,
            version,
            ops: vec![op],
        };
        validator.entry(&encode(&record));
    }
    validator.faults().to_vec()
}

fn position(ops: &[Op], what: impl Fn(&Op) -> bool) -> usize {
    ops.iter().position(what).expect("the log has one of it")
}

/// Changes the first description with this name.
fn describe(ops: &mut [Op], name: &str, change: impl Fn(&mut TaskConfig)) {
    let config = ops.iter_mut().find_map(|op| match op {
        Op::AddTasks { config, .. } if config.job.name() == name => Some(config),
        _ => None,
    });
    let config = config.expect("the job is there");
    let mut new = TaskConfig::clone(config);
    change(&mut new);
    *config = Arc::new(new);
}

#[test]
fn the_validator_notices() {
    assert_eq!(faults(|_| {}), [""; 0]);
    let says = |what: &str, change: fn(&mut Vec<Op>)| {
        let faults = faults(change);
        assert!(
            faults.iter().any(|f| f.contains(what)),
            "{what}: {faults:?}"
        );
    };
    says("has it", |ops| {
        let at = position(ops, |op| matches!(op, Op::Assign { .. }));
        ops.insert(at, ops[at].clone());
    });
    says("made twice", |ops| {
        let at = position(ops, |op| matches!(op, Op::AddTasks { .. }));
        ops.insert(at, ops[at].clone());
    });
    says("is unknown", |ops| {
        let at = position(ops, |op| matches!(op, Op::AddTasks { .. }));
        ops.remove(at);
    });
    says("does not exist", |ops| {
        let at = position(ops, |op| matches!(op, Op::Assign { .. }));
        if let Op::Assign { host, .. } = &mut ops[at] {
            *host = "nowhere".into();
        }
    });
    says("out of service", |ops| {
        let at = position(ops, |op| matches!(op, Op::Assign { .. }));
        let Op::Assign { host, .. } = ops[at].clone() else {
            return;
        };
        let known = position(
            ops,
            |op| matches!(op, Op::SetHost(known) if *known.host == *host),
        );
        if let Op::SetHost(known) = ops[known].clone() {
            let mut drained = HostAttributes::clone(&known);
            drained.mode = MaintenanceMode::Drained;
            ops.insert(at, Op::SetHost(Arc::new(drained)));
        }
    });
    says("goes from ASSIGNED to PENDING", |ops| {
        let at = position(ops, |op| matches!(op, Op::SetStatus { .. }));
        if let Op::SetStatus { event, .. } = &mut ops[at] {
            event.status = S::Pending;
        }
    });
    says("of its quota", |ops| {
        let at = position(ops, |op| matches!(op, Op::SetQuota { .. }));
        ops.remove(at);
    });
    says("and gives", |ops| {
        describe(ops, "plain", |c| c.resources.cpus = MilliCpus(4_000));
    });
    says("limit 0", |ops| {
        describe(ops, "limited", |c| {
            c.constraints = BTreeSet::from([limit("host", 0)]);
        });
    });
    says("in spite of rack", |ops| {
        describe(ops, "plain", |c| {
            c.constraints.insert(value("rack", false, "r77"));
        });
    });
    says("before it was", |ops| {
        let at = position(ops, |op| matches!(op, Op::Assign { .. }));
        if let Op::Assign { event, .. } = &mut ops[at] {
            event.at.0 = 0;
        }
    });
}
