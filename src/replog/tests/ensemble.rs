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
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// A machine: a directory, an address, and what runs there.
pub(super) struct Node {
    root: PathBuf,
    /// Removes the directory, where it is this process's own.
    scratch: Option<Scratch>,
    port: u16,
    key: SecretKey,
    running: Option<Running>,
    /// What has been learned, since the last start.
    pub(super) entries: BTreeMap<u64, Vec<u8>>,
    pub(super) leading: Option<Ballot>,
    pub(super) ended: Option<LogEvent>,
    /// Its owner takes no events: it does not come to the end of its replay.
    pub(super) is_deaf: bool,
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

async fn try_listen(port: u16) -> std::io::Result<PeerListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    PeerListener::bind(address, ListenLimits::default()).await
}

async fn listener(port: u16) -> PeerListener {
    try_listen(port).await.unwrap()
}

/// A port that nobody else takes while its replica is down: none of those that connections are given.
async fn fresh_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 97).unwrap() * 103;
    loop {
        let port = 21_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if try_listen(port).await.is_ok() {
            return port;
        }
    }
}

impl Node {
    pub(super) async fn new() -> Self {
        let port = fresh_port().await;
        let scratch = Scratch::new();
        let mut node = Self::at(scratch.path().to_path_buf(), port);
        node.scratch = Some(scratch);
        node
    }

    /// One whose directory is somebody else's.
    pub(super) fn at(root: PathBuf, port: u16) -> Self {
        Self {
            root,
            scratch: None,
            port,
            key: key(1),
            running: None,
            entries: BTreeMap::new(),
            leading: None,
            ended: None,
            is_deaf: false,
        }
    }

    pub(super) async fn initialized() -> Self {
        let node = Self::new().await;
        initialize(&node.path(), &mut Rng::from_os()).unwrap();
        node
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.join("db")
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn log(&self) -> &LogHandle {
        &self.running.as_ref().unwrap().log
    }

    pub(super) async fn try_start(
        &mut self,
        peers: &[String],
        quorum: u32,
    ) -> Result<(), OpenError> {
        self.try_start_by(peers, quorum, open).await
    }

    /// Starts what `open` opens.
    pub(super) async fn try_start_by<O>(
        &mut self,
        peers: &[String],
        quorum: u32,
        open: O,
    ) -> Result<(), OpenError>
    where
        O: FnOnce(LogOptions, Option<Reach>, Rng) -> Result<super::Opened, OpenError>
            + Send
            + 'static,
    {
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
            feature_level_delay: Duration::ZERO,
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

    pub(super) fn hear(&mut self) {
        let Some(running) = self.running.as_ref().filter(|_| !self.is_deaf) else {
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
                LogEvent::Poisoned { .. } | LogEvent::Refused { .. } => {
                    self.leading = None;
                    self.ended = Some(event);
                }
                LogEvent::ReadFailed { .. } | LogEvent::ReadReady { .. } | LogEvent::Status(_) => {}
                LogEvent::Skipped { first } => self.entries.retain(|at, _| *at >= first.0),
            }
        }
    }

    pub(super) fn has(&self, payload: &[u8]) -> bool {
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

pub(super) fn leader(nodes: &[Node]) -> Option<usize> {
    let leads = |node: &Node| {
        let running = node.running.as_ref();
        running.is_some_and(|r| r.log.leading().is_some()) && node.leading.is_some()
    };
    nodes.iter().position(leads)
}

pub(super) async fn append(nodes: &mut [Node], payload: &str) {
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

pub(super) async fn everybody_has(nodes: &mut [Node], payload: &str) {
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

pub(super) async fn stop(nodes: &mut [Node]) {
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

/// Runs a command of the tool against the ensemble, as an operator would.
async fn tool(nodes: &mut [Node], args: &[&str]) -> (u8, String) {
    let scratch = Scratch::new();
    let file = scratch.path().join("replica.key");
    crate::net::keys::write_for_test(&file, &nodes[0].key);
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    args.push(format!("--key={}", file.display()));
    let running = rt::spawn("tool", async move {
        rt::unblock(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = crate::replog::tool::main(args, &mut out, &mut err);
            out.extend(err);
            (status, String::from_utf8(out).unwrap())
        })
        .await
    });
    // Somebody has to take the events meanwhile.
    let (told, answer) = async_channel::bounded(1);
    rt::spawn("tool result", async move {
        told.send(running.join().await).await.unwrap();
    })
    .detach();
    let mut result = None;
    until(nodes, "the tool ends", |_| {
        result = answer.try_recv().ok();
        result.is_some()
    })
    .await;
    result.unwrap()
}

async fn done(nodes: &mut [Node], args: &[&str]) -> String {
    let (status, text) = tool(nodes, args).await;
    assert_eq!(status, 0, "{args:?}: {text}");
    text
}

pub(super) fn members(node: &Node) -> usize {
    let report = node.log().ensemble();
    let seated = |m: &&crate::replog::MemberStatus| m.role != crate::replog::Role::Learner;
    report.members.iter().filter(seated).count()
}

#[test]
fn a_wiped_member_comes_back_by_itself_without_being_initialised() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let peers = addresses(&nodes);
        append(&mut nodes, "one").await;
        let leading = leader(&nodes).unwrap();
        let lost = (leading + 1) % 3;
        nodes[lost].stop().await;
        std::fs::remove_dir_all(nodes[lost].path()).unwrap();
        nodes[lost].start(&peers, 2).await;
        everybody_has(&mut nodes, "one").await;
        until(&mut nodes, "it votes", |nodes| {
            let report = nodes[leading].log().ensemble();
            let at = |m: &&crate::replog::MemberStatus| m.address == nodes[lost].address();
            let mut found = report.members.iter().filter(at);
            found.any(|m| {
                m.is_connected
                    && m.role == crate::replog::Role::Follower
                    && m.status == Some(crate::replog::ReplicaStatus::Voting)
            })
        })
        .await;
        assert_eq!(members(&nodes[leading]), 3);
        // It counts: with it alone the leader goes on.
        let other = (leading + 2) % 3;
        nodes[other].stop().await;
        append(&mut nodes, "two").await;
        stop(&mut nodes).await;
    });
}

#[test]
fn a_damaged_member_comes_back_as_a_new_incarnation() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let peers = addresses(&nodes);
        append(&mut nodes, "one").await;
        everybody_has(&mut nodes, "one").await;
        let leading = leader(&nodes).unwrap();
        let bad = (leading + 1) % 3;
        nodes[bad].stop().await;
        let journals = nodes[bad].path().join("replica/store");
        for entry in std::fs::read_dir(&journals).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "jnl") {
                std::fs::remove_file(path).unwrap();
            }
        }
        nodes[bad].start(&peers, 2).await;
        everybody_has(&mut nodes, "one").await;
        until(&mut nodes, "it votes in its next life", |nodes| {
            let report = nodes[bad].log().ensemble();
            let own = report
                .members
                .iter()
                .find(|m| m.member.id == report.asked.id);
            own.is_some_and(|m| {
                m.member.incarnation.0 == 1
                    && m.status == Some(crate::replog::ReplicaStatus::Voting)
            })
        })
        .await;
        assert!(nodes[bad].path().join("replica.unproven").is_dir());
        nodes[(leading + 2) % 3].stop().await;
        append(&mut nodes, "two").await;
        assert_eq!(leader(&nodes), Some(leading), "nobody was demoted");
        stop(&mut nodes).await;
    });
}

#[test]
fn an_ensemble_grows_from_one_to_seven_and_shrinks_again() {
    rt::block_on(async {
        let mut nodes = vec![Node::initialized().await];
        nodes[0].start(&[], 1).await;
        append(&mut nodes, "alone").await;
        assert!(nodes[0].log().is_alone());
        nodes[0].stop().await;
        for _ in 1..7 {
            nodes.push(Node::new().await);
        }
        let all = addresses(&nodes);
        for size in [3_usize, 5, 7] {
            let from = size - 2;
            let from = if size == 3 { 1 } else { from };
            if size == 3 {
                // It has to learn its own address.
                nodes[0].start(&all[..1], 1).await;
                append(&mut nodes, "with an address").await;
            }
            for at in from..size {
                nodes[at].start(&all[..size], size as u32 / 2 + 1).await;
                let (peer, member) = (
                    format!("--peer={}", all[0]),
                    format!("--member={}", all[at]),
                );
                let said = done(&mut nodes, &["add-member", &peer, &member]).await;
                assert!(said.contains(&all[at]), "{said}");
                let again = done(&mut nodes, &["add-member", &peer, &member]).await;
                assert!(again.contains("nothing to change"), "{again}");
                append(&mut nodes, &format!("with {}", at + 1)).await;
            }
            assert_eq!(members(&nodes[0]), size);
            everybody_has(&mut nodes, "alone").await;
        }
        let status = done(
            &mut nodes,
            &["status", &format!("--peer={}", all[3]), "-json"],
        )
        .await;
        assert_eq!(status.matches("\"VOTING\"").count(), 7, "{status}");
        for at in (1..7).rev() {
            let (peer, member) = (
                format!("--peer={}", all[0]),
                format!("--member={}", all[at]),
            );
            done(&mut nodes, &["remove-member", &peer, &member]).await;
            nodes[at].stop().await;
            done(&mut nodes, &["remove-member", &peer, &member]).await;
            append(&mut nodes, &format!("without {at}")).await;
        }
        assert!(nodes[0].log().is_alone());
        assert!(nodes[0].has(b"alone") && nodes[0].has(b"with 7"));
        stop(&mut nodes).await;
    });
}

#[test]
fn the_procedure_for_changing_the_quorum_size_works_as_written() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let three = addresses(&nodes);
        append(&mut nodes, "one").await;
        // As a preparation, the quorum size grows on each existing one.
        for at in 0..3 {
            nodes[at].stop().await;
            nodes[at].start(&three, 3).await;
            append(&mut nodes, &format!("restarted {at}")).await;
        }
        for _ in 3..5 {
            nodes.push(Node::initialized().await);
        }
        let five = addresses(&nodes);
        // Both at once: one becomes a member while the other is fed already.
        for node in &mut nodes[3..5] {
            node.start(&five, 3).await;
        }
        until(&mut nodes, "five members", |nodes| {
            nodes.iter().all(|node| members(node) == 5)
        })
        .await;
        everybody_has(&mut nodes, "one").await;
        append(&mut nodes, "five").await;
        // A member that the operator takes out again stays out, though its flags have not changed.
        let (peer, out) = (
            format!("--peer={}", five[0]),
            format!("--member={}", five[4]),
        );
        done(&mut nodes, &["remove-member", &peer, &out]).await;
        append(&mut nodes, "four").await;
        everybody_has(&mut nodes, "four").await;
        assert_eq!(members(&nodes[0]), 4);
        // Too small a quorum is refused, with what to do.
        nodes[0].stop().await;
        let error = nodes[0].try_start(&five, 2).await.unwrap_err().to_string();
        assert!(error.contains("-native_log_quorum_size=3"), "{error}");
        stop(&mut nodes).await;
    });
}

#[test]
fn a_dead_member_is_replaced_by_one_elsewhere() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        append(&mut nodes, "one").await;
        let dead = (leader(&nodes).unwrap() + 1) % 3;
        nodes[dead].stop().await;
        nodes.push(Node::new().await);
        let all = addresses(&nodes);
        let mut peers = all.clone();
        peers.remove(dead);
        nodes[3].start(&peers, 2).await;
        let alive = (dead + 1) % 3;
        let (peer, old, new) = (
            format!("--peer={}", all[alive]),
            format!("--member={}", all[dead]),
            format!("--with={}", all[3]),
        );
        done(&mut nodes, &["replace-member", &peer, &old, &new]).await;
        everybody_has(&mut nodes, "one").await;
        append(&mut nodes, "two").await;
        everybody_has(&mut nodes, "two").await;
        assert_eq!(members(&nodes[3]), 3);
        stop(&mut nodes).await;
    });
}

#[test]
fn a_copied_disk_that_is_started_twice_is_refused_and_says_what_to_do() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        append(&mut nodes, "one").await;
        everybody_has(&mut nodes, "one").await;
        let copied = (leader(&nodes).unwrap() + 1) % 3;
        let peers = addresses(&nodes);
        // The copy runs elsewhere, and names itself in the place of the original.
        let twin = Node::new().await;
        super::copy(&nodes[copied].path(), &twin.path());
        nodes.push(twin);
        let mut named = peers.clone();
        named[copied] = nodes[3].address();
        nodes[3].start(&named, 2).await;
        until(&mut nodes, "the copy ends", |nodes| {
            nodes[3].ended.is_some()
        })
        .await;
        let Some(LogEvent::Refused { reason }) = nodes[3].ended.clone() else {
            panic!("{:?}", nodes[3].ended);
        };
        assert!(
            reason.contains("copy") && reason.contains("move"),
            "{reason}"
        );
        nodes[3].running = None;
        append(&mut nodes, "two").await;
        assert!(nodes[..3].iter().all(|node| node.ended.is_none()));
        stop(&mut nodes).await;
    });
}

#[test]
fn a_rolled_back_disk_is_refused() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let peers = addresses(&nodes);
        append(&mut nodes, "one").await;
        everybody_has(&mut nodes, "one").await;
        let old = (leader(&nodes).unwrap() + 1) % 3;
        nodes[old].stop().await;
        let backup = Scratch::new();
        super::copy(&nodes[old].path(), &backup.path().join("db"));
        nodes[old].start(&peers, 2).await;
        for n in 0..5 {
            append(&mut nodes, &format!("later {n}")).await;
        }
        everybody_has(&mut nodes, "later 4").await;
        nodes[old].stop().await;
        std::fs::remove_dir_all(nodes[old].path()).unwrap();
        super::copy(&backup.path().join("db"), &nodes[old].path());
        nodes[old].start(&peers, 2).await;
        until(&mut nodes, "it is refused", |nodes| {
            nodes[old].ended.is_some()
        })
        .await;
        let Some(LogEvent::Refused { reason }) = nodes[old].ended.clone() else {
            panic!("{:?}", nodes[old].ended);
        };
        assert!(reason.contains("restored"), "{reason}");
        // What the message says works.
        nodes[old].stop().await;
        std::fs::remove_dir_all(nodes[old].path()).unwrap();
        nodes[old].start(&peers, 2).await;
        everybody_has(&mut nodes, "later 4").await;
        stop(&mut nodes).await;
    });
}

#[test]
fn a_replica_of_another_ensemble_or_with_another_key_is_kept_out() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        append(&mut nodes, "one").await;
        let peers = addresses(&nodes);
        let out = (leader(&nodes).unwrap() + 1) % 3;
        nodes[out].stop().await;
        // A lone node's log, put into the place of a member.
        std::fs::remove_dir_all(nodes[out].path()).unwrap();
        initialize(&nodes[out].path(), &mut Rng::from_os()).unwrap();
        nodes[out].start(&[], 1).await;
        until(&mut nodes, "it leads itself", |nodes| {
            nodes[out].leading.is_some()
        })
        .await;
        nodes[out].stop().await;
        nodes[out].start(&peers, 2).await;
        until(&mut nodes, "it is refused", |nodes| {
            nodes[out].ended.is_some()
        })
        .await;
        let Some(LogEvent::Refused { reason }) = nodes[out].ended.clone() else {
            panic!("{:?}", nodes[out].ended);
        };
        assert!(reason.contains("another"), "{reason}");
        nodes[out].stop().await;
        // Another key: it is never connected, and the others go on.
        std::fs::remove_dir_all(nodes[out].path()).unwrap();
        nodes[out].key = key(2);
        nodes[out].start(&peers, 2).await;
        append(&mut nodes[..], "two").await;
        let report = nodes[leader(&nodes).unwrap()].log().ensemble();
        let at = |m: &&crate::replog::MemberStatus| m.address == peers[out];
        assert!(report.members.iter().filter(at).all(|m| !m.is_connected));
        stop(&mut nodes).await;
    });
}

#[test]
fn when_a_quorum_is_gone_the_last_resort_makes_a_new_ensemble_of_what_is_left() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        append(&mut nodes, "one").await;
        everybody_has(&mut nodes, "one").await;
        stop(&mut nodes).await;
        let mut left = nodes.pop().unwrap();
        drop(nodes);
        let path = format!("--path={}", left.path().display());
        let run = |args: Vec<String>| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = crate::replog::tool::main(args, &mut out, &mut err);
            out.extend(err);
            (status, String::from_utf8(out).unwrap())
        };
        let command = || vec!["force-new-ensemble".to_owned(), path.clone()];
        let (status, said) = run(command());
        assert_eq!(status, 1);
        let loss = said.split_whitespace().last().unwrap().to_owned();
        assert!(loss.starts_with("--accept-loss="), "{said}");
        let mut wrong = command();
        wrong.push(format!("{loss}0"));
        assert_eq!(run(wrong).0, 1);
        let mut right = command();
        right.push(loss);
        let forced = crate::base::clock::wall().as_ms();
        let (status, said) = run(right);
        assert_eq!(status, 0, "{said}");
        let own = [left.address()];
        left.start(&own, 1).await;
        let mut nodes = vec![left];
        append(&mut nodes, "two").await;
        assert!(nodes[0].has(b"one"));
        assert!(nodes[0].log().is_alone());
        // Others may have led without it, and agents have heard them: its terms are above theirs too.
        let term = nodes[0].leading.unwrap();
        assert!(term.round > u64::try_from(forced).unwrap(), "{term}");
        stop(&mut nodes).await;
    });
}
