//! Peers and operators that hold the key and say what they please: none ends a replica, or stops it.

use super::ensemble::{Node, addresses, append, everybody_has, formed, key, stop};
use crate::base::rng::Rng;
use crate::net::Protocol;
use crate::net::frames;
use crate::paxos::{Ballot, Body, Member, Message, Position, ReplicaId, Run, Value};
use crate::replog::wire::{CONTROL_BYTES_MAX, FRAME_BYTES_MAX, Frame, Hello, Pulse};
use crate::rt;
use smol::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn member(id: u64) -> Member {
    Member {
        id: ReplicaId(id),
        ..Member::default()
    }
}

fn hello(cluster: u128, from: Member, rng: &mut Rng) -> Hello {
    Hello {
        cluster,
        is_formed: true,
        member: from,
        address: "127.0.0.1:1".into(),
        boot: rng.next_u64(),
        uptime_ms: rng.next_u64(),
        peers: (0..9).map(|n| Arc::from(format!("nowhere{n}:1"))).collect(),
        quorum: u32::MAX,
        feature_level: u32::MAX,
        seats: Vec::new(),
        pulse: Pulse {
            sequence: u64::MAX,
            promised: Ballot {
                round: u64::MAX,
                replica: from.id,
            },
            status: crate::paxos::Status::Voting,
            is_leading: true,
            first: Position(u64::MAX),
            learned: Position(0),
            end: Position(7),
        },
    }
}

/// Messages that no core sends, of a replica that nobody has made a member.
fn messages(from: Member) -> Vec<Frame> {
    let run = |first: u64| Run {
        ballot: Ballot {
            round: u64::MAX,
            replica: from.id,
        },
        first: Position(first),
        values: [Value::Truncate {
            to: Position(u64::MAX),
        }]
        .into(),
    };
    let bodies = [
        Body::Heartbeat {
            learned: Position(u64::MAX),
            round: u64::MAX,
        },
        Body::Learn {
            first_kept: Position(u64::MAX),
            configured: None,
            runs: vec![run(u64::MAX - 2)],
        },
        Body::Accepted {
            first: Position(0),
            last: Position(u64::MAX),
            learned: Position(u64::MAX),
        },
        Body::CatchUp {
            from: Position(u64::MAX),
        },
        Body::Promise {
            learned: Position(u64::MAX),
            accepted: vec![run(1)],
        },
    ];
    let frames = bodies.into_iter().map(|body| {
        Frame::Message(Message {
            from,
            ballot: Ballot::ZERO,
            body,
        })
    });
    frames.collect()
}

/// Says all this on one connection, hears what comes, and hangs up.
async fn say(address: &str, protocol: Protocol, limit: usize, said: &[Vec<u8>]) {
    let stream = TcpStream::connect(address).await.unwrap();
    let connection = frames::dial(stream, protocol, &key(1), limit, PATIENCE).await;
    let mut connection = connection.unwrap();
    for bytes in said {
        // It hangs up on what it cannot read.
        if connection.writer.send(bytes).await.is_err() {
            return;
        }
    }
    let answer = rt::timeout(Duration::from_millis(20), connection.reader.receive()).await;
    drop(answer);
}

#[test]
fn whatever_a_peer_or_an_operator_says_a_replica_goes_on() {
    let mut rng = Rng::from_seed(12);
    rt::block_on(async {
        let mut nodes: Vec<Node> = formed(3).await;
        append(&mut nodes, "before").await;
        let targets = addresses(&nodes);
        let report = nodes[0].log().ensemble();
        let cluster = report.cluster;
        for round in 0..30_u64 {
            let target = &targets[rng.index(targets.len())];
            let stranger = member(1_000 + round);
            let greeting = Frame::Hello(hello(cluster, stranger, &mut rng)).encode();
            let noise: Vec<u8> = (0..rng.below(400)).map(|_| rng.next_u64() as u8).collect();
            let mut said = vec![greeting.clone()];
            said.extend(messages(stranger).iter().map(Frame::encode));
            said.push(noise.clone());
            say(target, Protocol::Replica, FRAME_BYTES_MAX, &said).await;
            let mut bent = greeting;
            let at = rng.index(bent.len());
            bent[at] ^= 1 << rng.index(8);
            say(
                target,
                Protocol::Replica,
                FRAME_BYTES_MAX,
                &[bent, noise.clone()],
            )
            .await;
            let control = [noise, vec![0; 9]];
            say(target, Protocol::Control, CONTROL_BYTES_MAX, &control).await;
        }
        append(&mut nodes, "after").await;
        everybody_has(&mut nodes, "after").await;
        assert!(nodes.iter().all(|node| node.ended.is_none()));
        stop(&mut nodes).await;
    });
}
