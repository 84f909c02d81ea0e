use super::*;
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::model::{ExecutorSetup, FetcherUri, JobKey, MilliCpus, PortRange, TaskState};
use std::collections::{BTreeMap, BTreeSet};

fn resources() -> Resources {
    Resources {
        cpus: MilliCpus(1500),
        ram_mb: 128,
        disk_mb: 64,
        ports: 2,
        gpus: 0,
    }
}

fn report() -> TaskReport {
    TaskReport {
        task: TaskId::new("www-prod-web-0-x"),
        sequence: 3,
        state: TaskState::Failed,
        message: Some("exit status 1".to_owned()),
        at: Timestamp(1_700_000_000_000),
    }
}

fn agent_messages() -> Vec<AgentMessage> {
    vec![
        AgentMessage::Hello(Hello {
            version: VERSION,
            agent: AgentId::new("a1"),
            session: AgentSession(7),
            place: "boot/1".to_owned(),
            host: "h1".to_owned(),
            total: resources(),
            ports: Ports(vec![PortRange {
                first: 31000,
                last: 31001,
            }]),
            attributes: vec![Attribute {
                name: "rack".to_owned(),
                values: BTreeSet::from(["a".to_owned()]),
            }],
            highest_ballot: 9,
        }),
        AgentMessage::Tasks {
            last: true,
            reports: vec![report()],
        },
        AgentMessage::Report(report()),
        AgentMessage::Heartbeat,
    ]
}

fn scheduler_messages() -> Vec<SchedulerMessage> {
    let task = TaskId::new("t-1");
    let ordered = |order| SchedulerMessage::Order { ballot: 300, order };
    let launch = LaunchOrder {
        task: task.clone(),
        job: JobKey::new("www", "prod", "web").unwrap(),
        instance: 4,
        executor: "AuroraExecutor".to_owned(),
        data: "{}".to_owned(),
        resources: resources(),
        ports: BTreeMap::from([("http".to_owned(), 31000)]),
        metadata: vec![("k".to_owned(), "v".to_owned())],
        setup: ExecutorSetup {
            flags: "--nosetuid".to_owned(),
            path: Some("/opt/wrap".to_owned()),
            resources: vec!["/opt/executor".to_owned()],
        },
        uris: vec![FetcherUri {
            value: "/f.tar".to_owned(),
            extract: Some(true),
            cache: None,
            output_file: Some("g".to_owned()),
        }],
    };
    vec![
        SchedulerMessage::Welcome { ballot: 300 },
        SchedulerMessage::Refuse {
            leader: Some("h:8083".to_owned()),
            reason: "not leading".to_owned(),
        },
        ordered(Order::Launch {
            order: Box::new(launch),
            session: AgentSession(7),
        }),
        ordered(Order::Kill { task: task.clone() }),
        ordered(Order::Acknowledge {
            sequence: 3,
            task: task.clone(),
        }),
        ordered(Order::Reconcile {
            tasks: vec![task.clone(), task],
        }),
        SchedulerMessage::Heartbeat,
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One message a line: those of the agent, then those of the scheduler.
const GOLDEN_V1: &str = include_str!("../../../tests/fixtures/agent_proto_v1.hex");

#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let mut written = String::new();
    let agent = agent_messages();
    let scheduler = scheduler_messages();
    let messages = agent.iter().map(AgentMessage::encode);
    for bytes in messages.chain(scheduler.iter().map(SchedulerMessage::encode)) {
        written.push_str(&hex(&bytes.unwrap()));
        written.push('\n');
    }
    assert_eq!(written, GOLDEN_V1);
}

#[test]
fn messages_come_back_as_they_were() {
    for message in agent_messages() {
        assert_eq!(
            AgentMessage::decode(&message.encode().unwrap()),
            Ok(message)
        );
    }
    for message in scheduler_messages() {
        let bytes = message.encode().unwrap();
        assert_eq!(SchedulerMessage::decode(&bytes), Ok(message));
    }
}

#[test]
fn a_cut_or_extended_message_is_refused() {
    for message in agent_messages() {
        let mut bytes = message.encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(AgentMessage::decode(&bytes[..cut]).is_err());
        }
        bytes.push(0);
        assert!(matches!(
            AgentMessage::decode(&bytes),
            Err(ProtoError::Trailing { rest: 1, .. })
        ));
    }
}

#[test]
fn changed_and_random_bytes_never_panic_and_what_is_read_can_be_written_again() {
    let mut rng = Rng::from_seed(21);
    let mut seeds: Vec<Vec<u8>> = agent_messages().iter().filter_map(|m| m.encode()).collect();
    seeds.extend(scheduler_messages().iter().filter_map(|m| m.encode()));
    for _ in 0..60_000 {
        let mut bytes = seeds[rng.index(seeds.len())].clone();
        for _ in 0..=rng.index(4) {
            let at = rng.index(bytes.len());
            match rng.below(4) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, 0xff),
                _ => bytes[at] ^= 1 << rng.below(8),
            }
        }
        if let Ok(message) = AgentMessage::decode(&bytes) {
            assert_eq!(
                AgentMessage::decode(&message.encode().unwrap()),
                Ok(message)
            );
        }
        if let Ok(message) = SchedulerMessage::decode(&bytes) {
            let again = message.encode().unwrap();
            assert_eq!(SchedulerMessage::decode(&again), Ok(message));
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // Envelope V1, Tasks, last, then a vector that claims 2^60 reports.
    let mut bytes = vec![0, 1, 1];
    bytes.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    assert!(matches!(
        AgentMessage::decode(&bytes),
        Err(ProtoError::Unreadable { .. })
    ));
}

#[test]
fn values_that_may_not_be_are_refused() {
    let hello = |change: &dyn Fn(&mut Hello)| {
        let Some(AgentMessage::Hello(mut hello)) = agent_messages().into_iter().next() else {
            panic!("the first message is a hello");
        };
        change(&mut hello);
        AgentMessage::decode(&AgentMessage::Hello(hello).encode().unwrap())
    };
    assert!(hello(&|_| ()).is_ok());
    let range = |first, last| PortRange { first, last };
    let bad: [&dyn Fn(&mut Hello); 7] = [
        &|h| h.agent = AgentId::new(""),
        &|h| h.host = "a\nb".to_owned(),
        &|h| h.total.ram_mb = -1,
        &|h| h.ports = Ports(vec![range(10, 20), range(20, 30)]),
        &|h| h.ports = Ports(vec![range(20, 10)]),
        &|h| h.attributes[0].values.clear(),
        &|h| h.place = "x".repeat(2000),
    ];
    for (n, change) in bad.iter().enumerate() {
        assert!(
            matches!(hello(change), Err(ProtoError::Invalid { .. })),
            "{n}"
        );
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let long = TaskReport {
        message: Some("\u{e4}".repeat(TEXT_BYTES_MAX)),
        ..report()
    };
    let bytes = AgentMessage::Report(long).encode().unwrap();
    let Ok(AgentMessage::Report(read)) = AgentMessage::decode(&bytes) else {
        panic!("a report");
    };
    assert_eq!(read.message.unwrap().len(), TEXT_BYTES_MAX);
}
