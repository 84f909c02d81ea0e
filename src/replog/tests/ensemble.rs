//! Ensembles in one process: real connections, real disks.

use super::Scratch;
use crate::base::rng::Rng;
use crate::net::Protocol;
use crate::net::keys::{KeyKind, SecretKey};
use crate::net::listener::{ListenLimits, PeerListener};
use crate::replog::{Ballot, LogEvent, LogHandle, LogOptions, OpenError, Reach, initialize, open};
use crate::rt::{self, Fiber, Shutdown, ShutdownTrigger};
use async_channel::Receiver;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A machine: a directory, an address, and what runs there.
pub(super) struct Node {
    scratch: Scratch,
    port: u16,
    key: SecretKey,
    running: Option<Running>,
    /// What has been learned, since the last start.
    entries: BTreeMap<u64, Vec<u8>>,
    leading: Option<Ballot>,
    ended: Option<LogEvent>,
}

struct Running {
    log: LogHandle,
    events: Receiver<LogEvent>,
    trigger: ShutdownTrigger,
    listener: Fiber<()>,
}

pub(super) fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(KeyKind::Replica, [byte; 32])
}

async fn listener(port: u16) -> PeerListener {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    PeerListener::bind(address, ListenLimits::default())
        .await
        .unwrap()
}

impl Node {
    pub(super) async fn new() -> Self {
        let port = listener(0).await.local_addr().unwrap().port();
        Self {
            scratch: Scratch::new(),
            port,
            key: key(1),
            running: None,
            entries: BTreeMap::new(),
            leading: None,
            ended: None,
        }
    }

    pub(super) async fn initialized() -> Self {
        let node = Self::new().await;
        initialize(&node.path(), &mut Rng::from_os()).unwrap();
        node
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("db")
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn log(&self) -> &LogHandle {
        &self.running.as_ref().unwrap().log
    }

    async fn try_start(&mut self, peers: &[String], quorum: u32) -> Result<(), OpenError> {
        let mut listener = listener(self.port).await;
        let reach = Reach {
            key: self.key.clone(),
            key_file: "/key".into(),
            replicas: listener.route(Protocol::Replica),
            operators: listener.route(Protocol::Control),
        };
        let options = LogOptions {
            path: self.path(),
            quorum_size: quorum,
            empty_notice_interval: Duration::from_secs(3600),
            peers: peers.to_vec(),
            address: if peers.is_empty() {
                String::new()
            } else {
                self.address()
            },
        };
        let opened = rt::unblock(move || open(options, Some(reach), Rng::from_os())).await;
        let (log, events) = opened?;
        let (trigger, shutdown) = Shutdown::new();
        self.running = Some(Running {
            log,
            events,
            trigger,
            listener: rt::spawn("listener", listener.run(shutdown)),
        });
        self.entries.clear();
        self.leading = None;
        self.ended = None;
        Ok(())
    }

    pub(super) async fn start(&mut self, peers: &[String], quorum: u32) {
        self.try_start(peers, quorum).await.unwrap();
    }

    /// Ends everything that runs there, as a clean stop does but for the leader's hand-over.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.trigger.fire();
            running.listener.join().await;
            running.log.close().await;
        }
        self.leading = None;
    }

    fn hear(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        while let Ok(event) = running.events.try_recv() {
            match event {
                LogEvent::Learned {
                    position, payload, ..
                } => {
                    let old = self.entries.insert(position.0, payload.to_vec());
                    assert_eq!(old, None, "{position} is given twice");
                }
                LogEvent::Leading { ballot } => self.leading = Some(ballot),
                LogEvent::Discarded { .. } => self.leading = None,
                LogEvent::Poisoned { .. } | LogEvent::Refused { .. } => self.ended = Some(event),
                LogEvent::ReadFailed { .. } | LogEvent::ReadReady { .. } | LogEvent::Status(_) => {}
                LogEvent::Skipped { first } => self.entries.retain(|at, _| *at >= first.0),
            }
        }
    }

    fn has(&self, payload: &[u8]) -> bool {
        self.entries.values().any(|entry| entry == payload)
    }
}

/// Waits until something holds.
pub(super) async fn until(nodes: &mut [Node], what: &str, mut holds: impl FnMut(&[Node]) -> bool) {
    let waiting = async {
        loop {
            nodes.iter_mut().for_each(Node::hear);
            if holds(nodes) {
                return;
            }
            rt::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = rt::timeout(Duration::from_secs(60), waiting).await;
    if waited.is_err() {
        for node in nodes.iter() {
            let status = node.running.as_ref().map(|r| r.log.ensemble());
            let (leading, ended) = (node.leading, &node.ended);
            println!("{}: {leading:?} {ended:?} {status:#?}", node.address());
        }
        panic!("not within a minute: {what}");
    }
}

pub(super) fn addresses(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(Node::address).collect()
}

fn leader(nodes: &[Node]) -> Option<usize> {
    let leads = |node: &Node| {
        let running = node.running.as_ref();
        running.is_some_and(|r| r.log.leading().is_some()) && node.leading.is_some()
    };
    nodes.iter().position(leads)
}

async fn append(nodes: &mut [Node], payload: &str) {
    // A term may end between the look and the append.
    let payload = payload.as_bytes().to_vec();
    for _ in 0..20 {
        until(nodes, "a leader", |nodes| leader(nodes).is_some()).await;
        let at = leader(nodes).unwrap();
        let ballot = nodes[at].leading.unwrap();
        let sent = nodes[at].log().append(ballot, 1, payload.clone()).await;
        if sent.is_err() {
            continue;
        }
        let mut lost = false;
        until(nodes, "the entry is learned", |nodes| {
            lost = nodes[at].leading != Some(ballot);
            lost || nodes[at].has(&payload)
        })
        .await;
        if !lost {
            return;
        }
    }
    panic!("never appended");
}

async fn everybody_has(nodes: &mut [Node], payload: &str) {
    until(nodes, &format!("everybody has {payload}"), |nodes| {
        let mut running = nodes.iter().filter(|node| node.running.is_some());
        running.all(|node| node.has(payload.as_bytes()))
    })
    .await;
}

pub(super) async fn formed(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::initialized().await);
    }
    let peers = addresses(&nodes);
    for node in &mut nodes {
        node.start(&peers, count as u32 / 2 + 1).await;
    }
    until(&mut nodes, "a leader", |nodes| leader(nodes).is_some()).await;
    nodes
}

async fn stop(nodes: &mut [Node]) {
    for node in nodes {
        node.stop().await;
    }
}

#[test]
fn three_replicas_form_elect_append_and_survive_the_end_of_the_leader() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let peers = addresses(&nodes);
        append(&mut nodes, "one").await;
        everybody_has(&mut nodes, "one").await;
        let first = leader(&nodes).unwrap();
        nodes[first].stop().await;
        append(&mut nodes, "two").await;
        everybody_has(&mut nodes, "two").await;
        assert_ne!(leader(&nodes), Some(first));
        nodes[first].start(&peers, 2).await;
        append(&mut nodes, "three").await;
        for payload in ["one", "two", "three"] {
            everybody_has(&mut nodes, payload).await;
        }
        let all: Vec<_> = nodes.iter().map(|node| node.entries.clone()).collect();
        assert!(all[0] == all[1] && all[1] == all[2]);
        assert!(!nodes[0].log().is_alone());
        stop(&mut nodes).await;
    });
}
