//! Bytes flipped and files cut, all over the disk of a replica in an ensemble: what it gives afterwards is
//! everything that had been acknowledged, repaired from its peers; or it refuses to start.
//!
//! The replica under test runs in a process of its own, since fjall may panic on damaged files. It goes on
//! with the disk that it has repaired, so that later damage meets journals, tables and files set aside of
//! many lives. `AURORA_LOG_SWEEP=all` damages ten times as much. (Every byte and every length: `sweep`.)

use super::ensemble::{Node, addresses, append, everybody_has, formed, leader, stop, until};
use crate::base::rng::Rng;
use crate::replog::ReplicaStatus;
use crate::rt;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name the replica that the child process runs: its directory, its port, all peers, how far the log goes,
/// and its last entry.
const ROOT: &str = "AURORA_TEST_REPAIR_ROOT";
const PORT: &str = "AURORA_TEST_REPAIR_PORT";
const PEERS: &str = "AURORA_TEST_REPAIR_PEERS";
const END: &str = "AURORA_TEST_REPAIR_END";
const LAST: &str = "AURORA_TEST_REPAIR_LAST";

/// Damage done by default, to each file in turn.
const SAMPLES: usize = 40;

fn answer_path(root: &Path) -> PathBuf {
    root.join("answer")
}

/// As a line: positions and payloads.
fn line(entries: &BTreeMap<u64, Vec<u8>>) -> String {
    let entries = entries.iter();
    let entries = entries.map(|(at, payload)| format!("{at}={}", String::from_utf8_lossy(payload)));
    entries.collect::<Vec<_>>().join(";")
}

#[test]
fn a_child_runs_a_replica_until_it_holds_everything() {
    // Without the variable this is an ordinary run of all tests, and there is nothing to run.
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    let port = variable(PORT).parse().unwrap();
    let end: u64 = variable(END).parse().unwrap();
    let last = variable(LAST);
    let peers: Vec<String> = variable(PEERS).split(',').map(str::to_owned).collect();
    let answer = rt::block_on(async {
        let mut nodes = [Node::at(root.clone(), port)];
        if let Err(error) = nodes[0].try_start(&peers, 2).await {
            return format!("refused {error}");
        }
        until(&mut nodes, "it votes and holds everything", |nodes| {
            let log = nodes[0].log();
            let has_ended = nodes[0].ended.is_some();
            let has_learned = log.stats().learned >= end && nodes[0].has(last.as_bytes());
            has_ended || (log.status() == ReplicaStatus::Voting && has_learned)
        })
        .await;
        if let Some(ended) = &nodes[0].ended {
            return format!("refused {ended:?}");
        }
        let answer = format!("held {}", line(&nodes[0].entries));
        nodes[0].stop().await;
        answer
    });
    fs::write(answer_path(&root), answer).unwrap();
}

/// How a replica came through.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Held(String),
    Refused(String),
}

/// Runs the replica in a process of its own, while the others go on here.
async fn run_child(nodes: &mut [Node], victim: usize, end: u64, last: &str) -> Outcome {
    let root = nodes[victim].root().to_path_buf();
    fs::remove_file(answer_path(&root)).ok();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["replog::tests::repair::a_child_runs_a_replica_until_it_holds_everything"])
        .arg("--exact")
        .env(ROOT, &root)
        .env(PORT, nodes[victim].port().to_string())
        .env(PEERS, addresses(nodes).join(","))
        .env(END, end.to_string())
        .env(LAST, last)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (told, ended) = async_channel::bounded(1);
    rt::spawn("child", async move {
        let output = rt::unblock(move || child.wait_with_output()).await;
        told.send(output.unwrap()).await.unwrap();
    })
    .detach();
    let mut output = None;
    // Longer than the child waits itself.
    for _ in 0..2 {
        until(nodes, "the child ends", |_| {
            output = ended.try_recv().ok();
            output.is_some()
        })
        .await;
        if output.is_some() {
            break;
        }
    }
    let output = output.unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let Ok(answer) = fs::read_to_string(answer_path(&root)) else {
        // Even then the operator is told what it means.
        assert!(said.contains("cannot prove that it still holds"), "{said}");
        return Outcome::Refused(said);
    };
    match answer.split_once(' ') {
        Some(("held", entries)) => Outcome::Held(entries.to_owned()),
        _ => Outcome::Refused(answer),
    }
}

/// The used part of every file of the replica, smallest path first.
fn files(node: &Node) -> Vec<(PathBuf, usize)> {
    let mut files = Vec::new();
    let mut directories = vec![node.path().join("replica")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
            files.push((path, used));
        }
    }
    files.sort();
    files
}

fn flip(path: &Path, at: usize, bit: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at as u64).unwrap();
}

fn cut(path: &Path, at: usize) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(at as u64).unwrap();
}

/// What is damaged next: nothing is left of `None`.
struct Plan {
    rng: Rng,
    count: usize,
    samples: usize,
}

impl Plan {
    fn strike(&mut self, node: &Node) -> Option<String> {
        let files = files(node);
        let used: Vec<&(PathBuf, usize)> = files.iter().filter(|(_, used)| *used > 0).collect();
        let name = |path: &Path| {
            path.strip_prefix(node.root())
                .unwrap()
                .display()
                .to_string()
        };
        self.count += 1;
        if self.count > self.samples {
            return None;
        }
        let (path, used) = used[self.count % used.len()];
        let at = self.rng.index(*used);
        if self.count.is_multiple_of(4) {
            cut(path, at);
            return Some(format!("{}: cut at {at}", name(path)));
        }
        let bit = self.rng.index(8);
        flip(path, at, bit);
        Some(format!("{}: bit {bit} of byte {at} flipped", name(path)))
    }
}

#[test]
fn damage_to_a_replica_in_an_ensemble_is_repaired_or_refused() {
    // The child of another test.
    if std::env::var_os(ROOT).is_some() {
        return;
    }
    let is_long = std::env::var_os("AURORA_LOG_SWEEP").is_some();
    let mut plan = Plan {
        rng: Rng::from_seed(9),
        count: 0,
        samples: if is_long { 10 * SAMPLES } else { SAMPLES },
    };
    rt::block_on(async {
        let mut nodes = formed(3).await;
        for number in 0..10 {
            append(&mut nodes, &format!("entry {number}")).await;
        }
        everybody_has(&mut nodes, "entry 9").await;
        let victim = (leader(&nodes).unwrap() + 1) % 3;
        let witness = (victim + 1) % 3;
        nodes[victim].stop().await;
        let (mut held, mut refused, mut lives) = (0, 0, 0);
        for round in 0.. {
            if round % 3 == 0 {
                // So that there are tables, too.
                let path = nodes[victim].path();
                let (disk, _) = crate::replog::open::open_disk(&path).unwrap();
                disk.store().compact().unwrap();
            }
            let last = format!("round {round}");
            append(&mut nodes, &last).await;
            let Some(what) = plan.strike(&nodes[victim]) else {
                break;
            };
            let end = nodes[witness].log().stats().learned;
            let aside = nodes[victim].path().join("replica.unproven");
            match run_child(&mut nodes, victim, end, &last).await {
                Outcome::Held(entries) => {
                    nodes[witness].hear();
                    let wanted = &nodes[witness].entries;
                    let wanted: BTreeMap<_, _> =
                        wanted.iter().map(|(k, v)| (*k, v.clone())).collect();
                    // What came while the child ended may be missing at its end, and nothing else.
                    let wanted = line(&wanted);
                    assert!(
                        wanted.starts_with(&entries) && !entries.is_empty(),
                        "{what}: it holds {entries} of {wanted}"
                    );
                    assert!(entries.contains(&format!("={last}")), "{what}: {entries}");
                    held += 1;
                    lives += usize::from(aside.exists());
                    fs::remove_dir_all(aside).ok();
                }
                Outcome::Refused(why) => {
                    println!("{what}: {}", why.lines().next_back().unwrap_or_default());
                    refused += 1;
                    // As an operator would: an empty place is filled by the others.
                    fs::remove_dir_all(nodes[victim].path()).unwrap();
                    let again = run_child(&mut nodes, victim, end, &last).await;
                    assert!(matches!(again, Outcome::Held(_)), "{what}: {again:?}");
                }
            }
        }
        println!("{held} came back, {lives} of them in a new life; {refused} refused");
        assert!(lives > 5 && held > lives, "{held} {lives} {refused}");
        stop(&mut nodes).await;
    });
}
