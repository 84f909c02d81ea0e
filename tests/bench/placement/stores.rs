//! The tables and the API's reads.

use crate::cluster;
use crate::figures::Report;
use crate::live::{self, Live, Place, call};
use crate::world::{World, create, task};
use aurora::base::clock::Timestamp;
use aurora::base::rng::Rng;
use aurora::model::{
    ExecutorConfig, InstanceConfig, InstanceRange, InstanceUpdateEvent, JobKey, JobUpdate,
    Metadata, ScheduleStatus, TaskConfig, TaskEvent, TaskId, TaskState, UpdateAction, UpdateEvent,
    UpdateKey, UpdateSettings, UpdateStatus, UpdateStrategy,
};
use aurora::replog::{self, LogEvent};
use aurora::rt;
use aurora::scheduler::EngineOptions;
use aurora::storage::stored::{Record, encode};
use aurora::storage::{Op, Tables, TaskQuery, UpdateOp};
use aurora::thrift::convert::update_key_to_wire;
use aurora::thrift::service::{GetJobUpdateDetails, GetTasksStatus, NoArguments, Request};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn event(status: ScheduleStatus) -> TaskEvent {
    TaskEvent {
        at: Timestamp(1),
        status,
        message: None,
        scheduler: None,
    }
}

/// What adds tasks of one job; an id for each.
fn add(role: &str, environment: &str, name: &str, tasks: u32, status: ScheduleStatus) -> Op {
    let mut config = cluster::config(role, name, task());
    config.job = JobKey::new(role, environment, name).unwrap();
    let id = |i| TaskId::new(&format!("{role}-{environment}-{name}-{i}-0f0e0d0c"));
    Op::AddTasks {
        config: Arc::new(config),
        tasks: (0..tasks).map(|i| (i, id(i))).collect(),
        event: event(status),
    }
}

/// Inserts, deletes, status updates and fetches, on the tables and the engine.
pub fn stores(report: &mut Report) {
    for count in [1_000_u32, 10_000, 50_000] {
        let mut world = World::new(1, 1);
        let mut number = 0;
        let rate = crate::rate(2.0, || {
            number += 1;
            let config = cluster::config("jmh", &format!("insert-{number}"), task());
            world.command(&create(config, count.into()));
            world.engine.seal();
            0.0
        });
        let name = format!("insert_{count}_tasks_per_s");
        report.figure(&name, rate * f64::from(count), "tasks/s");
    }
    for count in [1_000_u32, 10_000, 50_000] {
        let mut full = Tables::default();
        let add = add("jmh", "dev", "deleted", count, ScheduleStatus::Finished);
        full.apply(&add).unwrap();
        let ids: Vec<TaskId> = full.tasks().map(|task| task.id.clone()).collect();
        let rate = crate::rate(1.0, || {
            // A copy that is shared, as tables are in the engine.
            let mut tables = full.clone();
            for task in &ids {
                let task = task.clone();
                tables.apply(&Op::RemoveTask { task }).unwrap();
            }
            assert_eq!(tables.task_count(), 0);
            0.0
        });
        let name = format!("delete_{count}_tasks_per_s");
        report.figure(&name, rate * f64::from(count), "tasks/s");
    }
    status_updates(report);
    for count in [10_000_u32, 50_000, 100_000] {
        let mut tables = Tables::default();
        let add = add("jmh", "dev", "benchmark", count, ScheduleStatus::Pending);
        tables.apply(&add).unwrap();
        let all = crate::rate(1.0, || {
            assert_eq!(TaskQuery::default().run(&tables).len(), count as usize);
            0.0
        });
        report.figure(&format!("fetch_all_{count}_per_s"), all, "fetches/s");
        let one = TaskQuery {
            instances: BTreeSet::from([count / 2]),
            ..TaskQuery::of_job(&JobKey::new("jmh", "dev", "benchmark").unwrap())
        };
        let one = crate::rate(1.0, || {
            assert_eq!(one.run(&tables).len(), 1);
            0.0
        });
        report.figure(&format!("fetch_indexed_{count}_per_s"), one, "fetches/s");
    }
}

/// A thousand tasks become RUNNING, in one turn of the engine.
fn status_updates(report: &mut Report) {
    let mut world = World::new(1_000, 1_000);
    let mut number = 0;
    let rate = crate::rate(3.0, || {
        let start = crate::figures::now();
        number += 1;
        let small = cluster::amount(10, 1, 1);
        let config = cluster::config("jmh", &format!("status-{number}"), small);
        let job = config.job.clone();
        world.place(config, 1_000);
        let tables = Arc::clone(world.engine.tables());
        let tasks: Vec<_> = tables.active_tasks_of_job(&job).cloned().collect();
        assert_eq!(tasks.len(), 1_000);
        let other = start.elapsed().as_secs_f64();
        for task in &tasks {
            let agent = task.agent.as_ref().unwrap();
            world.report(agent, &task.id, TaskState::Running);
        }
        world.turn();
        other
    });
    let running = world.engine.tables().count(ScheduleStatus::Running);
    assert_eq!(running, 1_000 * number);
    report.figure("status_updates_per_s", rate * 1_000.0, "updates/s");
}

/// An update with so many instance events, overrides and pairs of metadata, as upstream's fixture makes them.
pub fn update(id: &str, events: u32, overrides: u32, metadata: u32) -> Vec<Op> {
    let mut config = cluster::config("jmh", id, task());
    config.executor = Some(ExecutorConfig {
        name: Some("AuroraExecutor".to_owned()),
        data: Some("a".repeat(10_000)),
    });
    let key = UpdateKey {
        job: config.job.clone(),
        id: id.into(),
    };
    let group = |config: &TaskConfig, last| InstanceConfig {
        config: Arc::new(config.clone()),
        instances: vec![InstanceRange { first: 0, last }],
    };
    let only = (0..overrides).map(|n| InstanceRange {
        first: 2 * n,
        last: 2 * n,
    });
    let pairs = (0..metadata).map(|n| Metadata {
        key: format!("k{n}"),
        value: format!("v{n}"),
    });
    let update = JobUpdate {
        key: key.clone(),
        user: "bench".into(),
        metadata: pairs.collect(),
        initial: vec![group(&config, 9)],
        desired: Some(group(&config, 9)),
        settings: UpdateSettings {
            strategy: UpdateStrategy::Queue { group_size: 100 },
            max_per_instance_failures: 0,
            max_failed_instances: 0,
            min_wait_in_running_ms: 0,
            rollback_on_failure: true,
            only: only.collect(),
            block_if_no_pulses_after_ms: 0,
            sla_aware: false,
            group_size: 100,
            wait_for_batch_completion: false,
        },
    };
    let happened = |instance| InstanceUpdateEvent {
        instance,
        at: Timestamp(2),
        action: UpdateAction::Updating,
        message: None,
    };
    let event = UpdateEvent {
        at: Timestamp(1),
        status: UpdateStatus::RolledForward,
        user: Some("bench".into()),
        message: None,
    };
    let update = Arc::new(update);
    let events = (0..events).map(happened).collect();
    vec![
        Op::Update(UpdateOp::Start { update, event }),
        Op::Update(UpdateOp::InstanceEvents { key, events }),
    ]
}

/// Makes a log in `path` that holds these changes, each list as one entry.
fn seed(path: &Path, entries: Vec<Vec<Op>>) {
    replog::initialize(path, &mut Rng::from_os()).unwrap();
    let (log, events) = live::open(path);
    rt::block_on(async {
        let mut left = entries.len();
        let mut entries = Some(entries);
        while left > 0 {
            match events.recv().await.unwrap() {
                LogEvent::Leading { ballot } => {
                    for (ops, version) in entries.take().into_iter().flatten().zip(1..) {
                        let term = 0;
                        let payload = encode(&Record::Ops { term, version, ops });
                        log.append(ballot, version, payload).await.unwrap();
                    }
                }
                LogEvent::Learned { .. } => left -= 1,
                _ => {}
            }
        }
        log.close().await;
    });
}

/// How often a request is answered in a second: the call alone, as upstream measures it, without bytes.
fn calls(live: &Live, request: &Request) -> f64 {
    crate::rate(1.0, || {
        let answer = rt::block_on(live.api.call(None, request.clone()));
        assert!(matches!(answer, aurora::api::Outcome::Answer(_)));
        0.0
    })
}

/// The API's reads of updates, roles and tasks.
pub fn api(report: &mut Report) {
    updates(report);
    let (one, hundred) = ("role-0", 100);
    for (name, roles, jobs, instances) in [
        ("roles_1", 1, 1, hundred),
        ("roles_100", 100, 1, hundred),
        ("roles_500", 500, 1, hundred),
        ("jobs_100", 1, 100, hundred),
        ("jobs_500", 1, 500, hundred),
        ("instances_1000", 1, 1, 1_000),
        ("instances_10000", 1, 1, 10_000),
    ] {
        let dir = Place::new("reads");
        let db = dir.0.join("db");
        let mut entries = Vec::new();
        for role in 0..roles {
            let role = if roles == 1 {
                one.to_owned()
            } else {
                format!("role-{role}")
            };
            let mut ops = Vec::new();
            for environment in 0..5 {
                let environment = format!("staging{environment}");
                for job in 0..jobs {
                    let job = format!("job-{job}");
                    let pending = ScheduleStatus::Pending;
                    ops.push(add(&role, &environment, &job, instances, pending));
                }
            }
            entries.push(ops);
        }
        seed(&db, entries);
        let live = Live::start(&db, EngineOptions::default(), Vec::new(), false);
        let roles = calls(&live, &Request::GetRoleSummary(Box::new(NoArguments)));
        report.figure(&format!("role_summary_{name}_per_s"), roles, "calls/s");
        let query = Some(Default::default());
        let all = Request::GetTasksStatus(Box::new(GetTasksStatus { query }));
        let all = calls(&live, &all);
        report.figure(&format!("all_tasks_{name}_per_s"), all, "calls/s");
        live.stop();
    }
}

fn updates(report: &mut Report) {
    let shapes = [
        ("details_1k_events", 1_000, 1, 10),
        ("details_5k_events", 5_000, 1, 10),
        ("details_10k_events", 10_000, 1, 10),
        ("instructions_10_overrides", 5_000, 10, 10),
        ("instructions_100_overrides", 5_000, 100, 10),
        ("instructions_1000_overrides", 5_000, 1_000, 10),
        ("metadata_100", 5_000, 1, 100),
        ("metadata_1000", 5_000, 1, 1_000),
        ("metadata_10000", 5_000, 1, 10_000),
    ];
    let dir = Place::new("updates");
    let db = dir.0.join("db");
    let made = shapes.map(|(name, events, overrides, metadata)| {
        update(&name.replace('_', "-"), events, overrides, metadata)
    });
    seed(&db, made.into());
    let live = Live::start(&db, EngineOptions::default(), Vec::new(), false);
    for (name, ..) in shapes {
        let id = name.replace('_', "-");
        let key = UpdateKey {
            job: JobKey::new("jmh", "devel", &id).unwrap(),
            id: id.as_str().into(),
        };
        let args = GetJobUpdateDetails {
            key: Some(update_key_to_wire(&key)),
            query: None,
        };
        let request = Request::GetJobUpdateDetails(Box::new(args));
        // It must be the one that was made, or nothing is measured.
        let answer = rt::block_on(call(&live.api, request.clone()));
        assert!(format!("{answer:?}").contains(&id));
        report.figure(
            &format!("update_{name}_per_s"),
            calls(&live, &request),
            "calls/s",
        );
    }
    live.stop();
}
