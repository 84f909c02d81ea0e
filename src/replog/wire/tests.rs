use super::*;
use crate::base::rng::Rng;
use crate::paxos::{
    Ballot, Body, Configuration, Configured, Incarnation, Join, Member, Message, Position,
    ReplicaId, Run, Status, Value,
};
use std::sync::Arc;

const GOLDEN: &str = include_str!("../../../tests/fixtures/replica_wire_v1.hex");

fn member(id: u64) -> Member {
    Member {
        id: ReplicaId(id),
        incarnation: Incarnation(3),
    }
}

fn ballot(round: u64) -> Ballot {
    Ballot {
        round,
        replica: ReplicaId(0x1234),
    }
}

fn configuration() -> Configuration {
    let seats = [(1, "a:1"), (2, "b:2"), (3, "")].map(|(id, address)| {
        let seat = crate::paxos::Seat {
            incarnation: Incarnation(id as u32),
            address: address.into(),
        };
        (ReplicaId(id), seat)
    });
    Configuration::majority(0xabcd, seats)
}

fn run(first: u64) -> Run {
    Run {
        ballot: ballot(7),
        first: Position(first),
        values: [
            Value::Nop,
            Value::Append(Arc::from(*b"bytes")),
            Value::Truncate { to: Position(4) },
            Value::Configure(Arc::new(configuration())),
        ]
        .into(),
    }
}

fn pulse() -> Pulse {
    Pulse {
        sequence: 300,
        promised: ballot(9),
        status: Status::Recovering,
        is_leading: true,
        first: Position(1),
        learned: Position(20),
        end: Position(21),
    }
}

fn bodies() -> Vec<Body> {
    let configuration = Arc::new(configuration());
    vec![
        Body::Accepted {
            first: Position(1),
            last: Position(2),
            learned: Position(300),
        },
        Body::CatchUp { from: Position(5) },
        Body::Form {
            configuration: Arc::clone(&configuration),
        },
        Body::Heartbeat {
            learned: Position(6),
            round: 7,
        },
        Body::Ignored {
            status: Status::Starting,
        },
        Body::Join(Join {
            address: "c:3".into(),
            feature_level: 1,
            learned: Position(8),
            needs_incarnation: true,
            nonce: u64::MAX,
            status: Status::Empty,
        }),
        Body::Learn {
            first_kept: Position(1),
            configured: Some(Configured {
                position: Position(2),
                configuration,
            }),
            runs: vec![run(1), run(9)],
        },
        Body::Prepare,
        Body::PreVote,
        Body::PreVoteReply {
            is_granted: true,
            promised: ballot(1),
        },
        Body::Progress {
            feature_level: 2,
            learned: Position(3),
            round: 4,
            status: Status::Voting,
        },
        Body::Promise {
            learned: Position(4),
            accepted: vec![run(5)],
        },
        Body::Reject {
            promised: ballot(2),
        },
        Body::TimeoutNow,
        Body::Welcome {
            incarnation: Incarnation(9),
            nonce: 10,
        },
        Body::Write {
            run: run(11),
            learned: Position(10),
        },
    ]
}

fn frames() -> Vec<Frame> {
    let hello = Hello {
        cluster: 0xabcd,
        is_formed: true,
        member: member(1),
        address: "a:1".into(),
        boot: 77,
        uptime_ms: 1000,
        peers: ["a:1".into(), "b:2".into()].into(),
        quorum: 2,
        feature_level: 1,
        seats: vec![Seat {
            member: member(2),
            address: "b:2".into(),
        }],
        pulse: pulse(),
    };
    let mut frames = vec![
        Frame::Hello(hello),
        Frame::Pulse(pulse()),
        Frame::Refused(Refusal::Duplicate),
        Frame::Refused(Refusal::Foreign("foreign".to_owned())),
        Frame::Refused(Refusal::RolledBack("old".to_owned())),
        Frame::Refused(Refusal::Twice("twice".to_owned())),
        Frame::Refused(Refusal::Yourself),
    ];
    frames.extend(bodies().into_iter().map(|body| {
        Frame::Message(Message {
            from: member(1),
            ballot: ballot(7),
            body,
        })
    }));
    frames
}

fn requests() -> Vec<Request> {
    vec![
        Request::Status,
        Request::Change(Change::Add {
            address: "d:4".to_owned(),
        }),
        Request::Change(Change::Remove {
            member: "d:4".to_owned(),
        }),
        Request::Change(Change::Replace {
            member: "c:3".to_owned(),
            address: "d:4".to_owned(),
        }),
        Request::Change(Change::Quorum { size: 3 }),
    ]
}

fn answers() -> Vec<Answer> {
    let text = || "text".to_owned();
    vec![
        Answer::Done { text: text() },
        Answer::Failed { text: text() },
        Answer::Later { text: text() },
        Answer::Redirect {
            address: "a:1".to_owned(),
        },
        Answer::Status(Box::new(StatusReport {
            cluster: 5,
            is_formed: true,
            quorum: 2,
            feature_level: 1,
            asked: member(1),
            members: vec![MemberStatus {
                member: member(2),
                address: "b:2".to_owned(),
                role: Role::Learner,
                status: Some(Status::Voting),
                promised: ballot(1),
                first: Position(1),
                learned: Position(2),
                end: Position(3),
                silent_ms: 4,
                is_connected: false,
            }],
        })),
    ]
}

fn all_bytes() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = frames().iter().map(Frame::encode).collect();
    all.extend(requests().iter().map(Request::encode));
    all.extend(answers().iter().map(Answer::encode));
    all
}

#[test]
fn what_is_sent_comes_back() {
    for frame in frames() {
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    for answer in answers() {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
}

/// Never changed: a newer version is added.
#[test]
fn sent_bytes_of_version_1_stay_what_they_are() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let lines: Vec<String> = all_bytes().iter().map(|bytes| hex(bytes)).collect();
    let golden: Vec<&str> = GOLDEN.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(lines == golden, "now:\n{}", lines.join("\n"));
}

#[test]
fn what_no_peer_sends_is_refused() {
    let mut newer = Frame::Pulse(pulse()).encode();
    newer[0] = 1;
    assert_eq!(Frame::decode(&newer), Err(WireError::Newer { version: 2 }));
    let mut long = Frame::Pulse(pulse()).encode();
    long.push(0);
    let error = Frame::decode(&long).unwrap_err().to_string();
    assert!(error.contains("should end at byte"), "{error}");
    let write = |run: Run| {
        let body = Body::Write {
            run,
            learned: Position(1),
        };
        Frame::Message(Message {
            from: member(1),
            ballot: ballot(7),
            body,
        })
        .encode()
    };
    let mut many = run(1);
    many.values = vec![Value::Nop; Run::VALUES_MAX + 1].into();
    assert!(Frame::decode(&write(many.clone())).is_err());
    many.values = vec![Value::Nop; Run::VALUES_MAX].into();
    assert!(Frame::decode(&write(many)).is_ok());
    let mut none = run(1);
    none.values = Vec::new().into();
    assert!(Frame::decode(&write(none)).is_err());
    assert!(Frame::decode(&write(run(0))).is_err());
    assert!(Frame::decode(&write(run(u64::MAX - 1))).is_err());
    let mut unsound = configuration();
    unsound.quorum = 1;
    let mut with = run(1);
    with.values = [Value::Configure(Arc::new(unsound))].into();
    assert!(Frame::decode(&write(with)).is_err());
}

/// Runs that are short on the wire and long in memory, over and over, are bounded.
#[test]
fn a_frame_costs_memory_in_proportion_to_its_bytes() {
    let nops = Run {
        ballot: Ballot::ZERO,
        first: Position(1),
        values: vec![Value::Nop; Run::VALUES_MAX].into(),
    };
    let promise = |count: usize| {
        Frame::Message(Message {
            from: member(1),
            ballot: ballot(7),
            body: Body::Promise {
                learned: Position(0),
                accepted: vec![nops.clone(); count],
            },
        })
        .encode()
    };
    assert!(Frame::decode(&promise(64)).is_ok());
    assert!(Frame::decode(&promise(1000)).is_err());
}

fn decode_all(bytes: &[u8]) {
    // Whatever is read must be sendable and be read the same again.
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn no_truncated_or_mutated_frame_panics() {
    let mut rng = Rng::from_seed(11);
    for bytes in all_bytes() {
        for cut in 0..bytes.len() {
            decode_all(&bytes[..cut]);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                decode_all(&bad);
            }
        }
        for _ in 0..300 {
            let mut bad = bytes.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.index(bad.len());
                match rng.below(4) {
                    0 => bad[at] = rng.next_u64() as u8,
                    1 => bad[at] = 0xff,
                    2 => bad.insert(at, rng.next_u64() as u8),
                    _ if bad.len() > 1 => drop(bad.remove(at)),
                    _ => {}
                }
            }
            decode_all(&bad);
        }
    }
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..rng.below(64)).map(|_| rng.next_u64() as u8).collect();
        decode_all(&noise);
    }
}
