//! Records as bytes: there and back, frozen, damaged.

use super::*;
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::model::{
    AgentId, Attribute, Constraint, ConstraintKind, Container, CronCollisionPolicy, CronJob,
    CronOutcome, CronRun, CronTrigger, DockerParameter, ExecutorConfig, FetcherUri, HostAttributes,
    Image, InstanceConfig, InstanceRange, InstanceUpdateEvent, JobConfiguration, JobKey, JobUpdate,
    MaintenanceMode, MaintenanceRequest, Metadata, MilliCpus, PartitionPolicy, PulseStatus,
    Resources, ScheduleStatus, ScheduledTask, SlaPolicy, TaskConfig, TaskEvent, TaskId,
    UpdateAction, UpdateEvent, UpdateKey, UpdateSettings, UpdateStatus, UpdateStrategy, Volume,
    VolumeMode,
};
use crate::storage::{Answer, Leader, Reply, ReplyCode, ReplyResult, UpdateOp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn resources() -> Resources {
    Resources {
        cpus: MilliCpus(1_500),
        ram_mb: 1_024,
        disk_mb: 2_048,
        ports: 2,
        gpus: 1,
    }
}

/// A description with something in every field; `variant` goes through the kinds of the rest.
pub(in crate::storage) fn config(variant: usize) -> Arc<TaskConfig> {
    let image = [
        None,
        Some(Image::Appc {
            name: "n".into(),
            image_id: "i".into(),
        }),
        Some(Image::Docker {
            name: "n".into(),
            tag: "t".into(),
        }),
    ];
    let volume = |mode| Volume {
        container_path: "/c".into(),
        host_path: "/h".into(),
        mode,
    };
    let policies = [
        Some(SlaPolicy::Coordinator {
            url: "http://c".into(),
            status_key: "k".into(),
        }),
        Some(SlaPolicy::Count {
            count: 3,
            duration_secs: 60,
        }),
        Some(SlaPolicy::Percentage {
            milli_percent: 95_000,
            duration_secs: 60,
        }),
        None,
    ];
    let container = match variant {
        0 => Container::Docker {
            image: "repo:1".into(),
            parameters: vec![DockerParameter {
                name: "env".into(),
                value: "A=b".into(),
            }],
        },
        _ => Container::Mesos {
            image: image[variant - 1].clone(),
            volumes: vec![volume(VolumeMode::ReadOnly), volume(VolumeMode::ReadWrite)],
        },
    };
    let value = ConstraintKind::Value {
        negated: true,
        values: texts(&["a", "b"]),
    };
    let constraint = |name: &str, kind| Constraint {
        name: name.into(),
        kind,
    };
    Arc::new(TaskConfig {
        job: JobKey::new("role", "prod", &format!("job{variant}")).unwrap(),
        owner: Some("someone".into()),
        is_service: variant == 0,
        priority: -7,
        max_task_failures: -1,
        production: true,
        tier: Some("preferred".into()),
        resources: resources(),
        port_names: texts(&["http", "admin"]),
        names_gpus: true,
        constraints: BTreeSet::from([
            constraint("rack", ConstraintKind::Limit(2)),
            constraint("zone", value),
        ]),
        fetcher_uris: BTreeSet::from([FetcherUri {
            value: "http://f".into(),
            extract: Some(true),
            cache: None,
            output_file: Some("out".into()),
        }]),
        task_links: BTreeMap::from([("name".to_owned(), "http://l".to_owned())]),
        contact_email: Some("a@b".into()),
        executor: Some(ExecutorConfig {
            name: Some("AuroraExecutor".into()),
            data: Some("{\"a\": 1}".into()),
        }),
        metadata: BTreeSet::from([Metadata {
            key: "k".into(),
            value: "v".into(),
        }]),
        partition_policy: Some(PartitionPolicy {
            reschedule: true,
            delay_secs: 30,
        }),
        sla_policy: policies[variant].clone(),
        container,
    })
}

fn event(status: ScheduleStatus) -> TaskEvent {
    TaskEvent {
        at: Timestamp(1_700_000_000_123),
        status,
        message: Some("because".into()),
        scheduler: Some("host".into()),
    }
}

fn task() -> ScheduledTask {
    ScheduledTask {
        id: TaskId::new("t-2"),
        config: config(1),
        instance: 4,
        status: ScheduleStatus::Running,
        failure_count: 2,
        times_partitioned: 1,
        ancestor: Some(TaskId::new("t-1")),
        agent: Some(AgentId::new("agent")),
        host: Some("host".into()),
        ports: BTreeMap::from([("http".to_owned(), 31_000)]),
        events: vec![
            event(ScheduleStatus::Pending),
            TaskEvent {
                message: None,
                scheduler: None,
                ..event(ScheduleStatus::Running)
            },
        ],
    }
}

fn task_ops() -> Vec<Op> {
    let id = TaskId::new;
    vec![
        Op::AddTasks {
            config: config(0),
            tasks: vec![(0, id("t-0")), (1, id("t-1"))],
            event: event(ScheduleStatus::Pending),
        },
        Op::Assign {
            task: id("t-0"),
            agent: AgentId::new("agent"),
            host: "host".into(),
            ports: BTreeMap::from([("http".to_owned(), 31_000)]),
            event: event(ScheduleStatus::Assigned),
        },
        Op::SetStatus {
            task: id("t-0"),
            event: event(ScheduleStatus::Failed),
            failed: true,
        },
        Op::ReplaceTask {
            ancestor: id("t-0"),
            task: id("t-3"),
            event: event(ScheduleStatus::Throttled),
        },
        Op::RemoveTask { task: id("t-1") },
        Op::RestoreTask(Arc::new(task())),
    ]
}

fn other_ops() -> Vec<Op> {
    let job = JobKey::new("role", "prod", "cron").unwrap();
    let answer = Answer {
        at: Timestamp(5),
        reply: Reply::with(ReplyCode::JobUpdatingError, "no")
            .telling(ReplyResult::Pulse(PulseStatus::Finished)),
    };
    let request = "request".to_owned();
    vec![
        Op::ForgetAnswers {
            before: Timestamp(4),
        },
        Op::SetAnswer { request, answer },
        Op::SetCronJob(Arc::new(cron_job(&job))),
        Op::RemoveCronJob { job },
        Op::SetFrameworkId("framework".into()),
        Op::SetHost(Arc::new(HostAttributes {
            host: "host".into(),
            agent: AgentId::new("agent"),
            attributes: vec![Attribute {
                name: "rack".into(),
                values: texts(&["a"]),
            }],
            mode: MaintenanceMode::Drained,
        })),
        Op::SetQuota {
            role: "role".into(),
            quota: resources(),
        },
        Op::AddTasks {
            config: config(2),
            tasks: vec![(7, TaskId::new("t-7"))],
            event: event(ScheduleStatus::Pending),
        },
    ]
}

fn cron_job(key: &JobKey) -> CronJob {
    CronJob {
        job: Arc::new(JobConfiguration {
            key: key.clone(),
            owner: None,
            cron_schedule: Some("* * * * *".into()),
            cron_collision_policy: CronCollisionPolicy::CancelNew,
            task: config(3),
            instance_count: 3,
        }),
        zone: "Europe/Berlin".into(),
        version: 7,
        cursor: Timestamp(1_700_000_000_000),
        runs: vec![cron_run(1, CronOutcome::Waiting)],
    }
}

fn cron_run(number: u64, outcome: CronOutcome) -> CronRun {
    CronRun {
        number,
        trigger: match number % 2 {
            0 => CronTrigger::Schedule,
            _ => CronTrigger::User("someone".into()),
        },
        at: Timestamp(1_700_000_000_000),
        decided: Timestamp(1_700_000_000_123),
        outcome,
    }
}

fn cron_ops() -> Vec<Op> {
    let (started, ended) = (Timestamp(1_700_000_000_200), Timestamp(1_700_000_000_300));
    let first = Timestamp(1_690_000_000_000);
    let outcomes = [
        CronOutcome::Cancelled,
        CronOutcome::Ended {
            started,
            ended,
            failed: 2,
        },
        CronOutcome::Missed { first, count: 3 },
        CronOutcome::Overtaken,
        CronOutcome::Started {
            at: started,
            instances: 3,
        },
        CronOutcome::Waiting,
        CronOutcome::WouldOverlap,
    ];
    let note = |(number, outcome)| Op::NoteCronRun {
        job: JobKey::new("role", "prod", "cron").unwrap(),
        run: cron_run(number, outcome),
        cursor: Timestamp(1_700_000_000_000),
    };
    (1..).zip(outcomes).map(note).collect()
}

fn maintenance_ops() -> Vec<Op> {
    vec![
        Op::SetMaintenance(Arc::new(MaintenanceRequest {
            host: "host".into(),
            default_policy: SlaPolicy::Percentage {
                milli_percent: 95_000,
                duration_secs: 1_800,
            },
            timeout_secs: 604_800,
            created: Timestamp(1_700_000_000_123),
        })),
        Op::RemoveMaintenance {
            host: "host".into(),
        },
    ]
}

fn update(strategy: UpdateStrategy) -> Arc<JobUpdate> {
    let range = |first, last| vec![InstanceRange { first, last }];
    let group = |variant, first, last| InstanceConfig {
        config: config(variant),
        instances: range(first, last),
    };
    Arc::new(JobUpdate {
        key: update_key(),
        user: "someone".into(),
        metadata: BTreeSet::from([Metadata {
            key: "k".into(),
            value: "v".into(),
        }]),
        initial: vec![group(0, 0, 3), group(1, 4, 4)],
        desired: Some(group(2, 0, 300)),
        settings: UpdateSettings {
            strategy,
            max_per_instance_failures: 1,
            max_failed_instances: 2,
            min_wait_in_running_ms: 3,
            rollback_on_failure: true,
            only: range(0, 300),
            block_if_no_pulses_after_ms: 4,
            sla_aware: true,
            group_size: 5,
            wait_for_batch_completion: true,
        },
    })
}

fn update_key() -> UpdateKey {
    UpdateKey {
        job: JobKey::new("role", "prod", "job").unwrap(),
        id: "u-1".into(),
    }
}

fn update_ops() -> Vec<Op> {
    let key = update_key;
    let event = UpdateEvent {
        at: Timestamp(7),
        status: UpdateStatus::RollBackAwaitingPulse,
        user: Some("someone".into()),
        message: Some("because".into()),
    };
    let instance = InstanceUpdateEvent {
        instance: 9,
        at: Timestamp(8),
        action: UpdateAction::RollbackFailed,
        message: None,
    };
    let start = |strategy| UpdateOp::Start {
        update: update(strategy),
        event: event.clone(),
    };
    let (group_size, autopause) = (6, true);
    let group_sizes = vec![1, 2];
    let ops = [
        start(UpdateStrategy::Batch {
            group_size,
            autopause,
        }),
        start(UpdateStrategy::Queue { group_size }),
        start(UpdateStrategy::VariableBatch {
            group_sizes,
            autopause,
        }),
        UpdateOp::InstanceEvents {
            key: key(),
            events: vec![instance],
        },
        UpdateOp::Event { key: key(), event },
        UpdateOp::Remove { key: key() },
    ];
    let answer = Answer {
        at: Timestamp(5),
        reply: Reply::ok().telling(ReplyResult::Update(key())),
    };
    let request = "request".to_owned();
    let ops = ops.into_iter().map(Op::Update);
    ops.chain([Op::SetAnswer { request, answer }]).collect()
}

/// What was added later has a line of its own in the fixture, at its end.
pub(in crate::storage) fn records() -> Vec<Record> {
    vec![
        Record::Ops {
            term: 7,
            version: 300,
            ops: task_ops(),
        },
        Record::Snapshot(Chunk {
            version: 299,
            attempt: u64::MAX,
            index: 2,
            last: true,
            ops: other_ops(),
        }),
        Record::Ops {
            term: 7,
            version: 301,
            ops: vec![Op::SetLeader(Leader {
                term: 7,
                http: "one:8081".into(),
                agents: "one:8083".into(),
            })],
        },
        Record::Ops {
            term: 7,
            version: 302,
            ops: maintenance_ops(),
        },
        Record::Ops {
            term: 7,
            version: 303,
            ops: update_ops(),
        },
        Record::Ops {
            term: 7,
            version: 304,
            ops: cron_ops(),
        },
    ]
}

#[test]
fn records_come_back_as_they_were() {
    for record in records() {
        assert_eq!(decode(&encode(&record)), Ok(record));
    }
}

#[test]
fn version_1_is_frozen() {
    let golden = include_str!("../../../tests/fixtures/stored_v1.hex");
    let mut lines = golden.lines();
    for record in &records() {
        let hex: String = encode(record).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            lines.next().unwrap_or_default(),
            "bytes that are stored already would be misread"
        );
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn equal_texts_and_descriptions_are_written_once() {
    let status = |i: usize| Op::SetStatus {
        task: TaskId::new(&format!("t-{i}")),
        event: event(ScheduleStatus::Running),
        failed: false,
    };
    let of = |count: usize| {
        let ops = (0..count).map(status).collect();
        encode(&Record::Ops {
            term: 0,
            version: 1,
            ops,
        })
        .len()
    };
    // Kind, id, time, state, two numbers of texts, flag.
    assert_eq!(of(9) - of(8), 1 + 4 + 6 + 1 + 2 + 1);
    let add = |id: &str| Op::AddTasks {
        config: Arc::new(TaskConfig::clone(&config(0))),
        tasks: vec![(0, TaskId::new(id))],
        event: event(ScheduleStatus::Pending),
    };
    let of = |ops: Vec<Op>| {
        encode(&Record::Ops {
            term: 0,
            version: 1,
            ops,
        })
        .len()
    };
    assert!(of(vec![add("a"), add("b")]) - of(vec![add("a")]) < 20);
}

#[test]
fn cut_padded_and_later_records_are_refused() {
    for record in records() {
        let bytes = encode(&record);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err());
        }
        let mut padded = bytes.clone();
        padded.push(0);
        assert!(matches!(decode(&padded), Err(StoredError::Length { .. })));
    }
    let mut later = Vec::new();
    frame::encode(&[1, 2, 3], &mut later);
    let (version, known) = (2, 1);
    assert_eq!(decode(&later), Err(StoredError::Version { version, known }));
}

#[test]
fn a_record_is_written_in_the_version_of_the_logs_level_and_read_by_programs_of_that_level_only() {
    for record in records() {
        assert_eq!(encode_at(&record, 1), encode(&record));
        let bytes = encode_at(&record, 2);
        let (version, known) = (2, 1);
        let unread = Err(StoredError::Version { version, known });
        assert_eq!(decode_up_to(&bytes, 1), unread);
        assert_eq!(decode_up_to(&bytes, 2).as_ref(), Ok(&record));
        assert_eq!(decode_up_to(&encode(&record), 2), Ok(record));
    }
    let record = records().remove(0);
    assert_eq!(encode_at(&record, 0), encode(&record));
    assert!(decode_up_to(&encode_at(&record, 1000), 1000).is_ok());
}

#[test]
fn damaged_payloads_never_panic_even_with_a_right_checksum() {
    let mut rng = Rng::from_seed(9);
    for record in records() {
        let bytes = encode(&record);
        let payload = &bytes[frame::HEADER_BYTES..];
        for _ in 0..20_000 {
            let mut bad = payload.to_vec();
            for _ in 0..=rng.index(3) {
                let at = rng.index(bad.len());
                bad[at] = rng.next_u64() as u8;
            }
            bad.truncate(rng.index(bad.len() * 4));
            let mut framed = Vec::new();
            frame::encode(&bad, &mut framed);
            if let Ok(changed) = decode(&framed) {
                assert_eq!(decode(&encode(&changed)), Ok(changed));
            }
        }
    }
}
