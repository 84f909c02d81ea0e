//! The replicated log as processes: appends a second, latencies, memory.
//!
//! Each case is `aurora-log benchmark` on a fresh directory, with two `aurora-log replica` beside it
//! where there are three replicas, all on this machine and this disk. Figures: for 1 and 3 replicas,
//! 256 B and 4 KiB, and 1, 64 and 1,000 in flight `append_..._per_s`, `..._p50_ms`, `..._p99_ms`;
//! `append_sequential_p50_ms` is that of 3 replicas, 256 B, 1 in flight. `fdatasync_probe_p50_ms` is a
//! bare write of 4 KiB and `fdatasync` on the same file system, measured between the cases.
//! Where etcd or ZooKeeper is installed, three of its servers take writes in turn with the case of 3 replicas,
//! 256 B and 1,000 in flight, and one after the other: `etcd_3_256b_1000_inflight_per_s`,
//! `etcd_sequential_mean_ms`, `zookeeper_...`, and ours in relation to the better of them:
//! `append_times_the_better_reference`, `sequential_times_faster_than_the_better_reference`.
//!
//! Where the time of 3 replicas on two cores goes, 256 B and 1,000 in flight (perf, by thread): fibers 30 %, of
//! which ChaCha20 and Poly1305 are a quarter; the writers 18 %, half of it the kernel's writing and syncing;
//! fjall's worker 15 %, flushing; idle 10 %. Latency of one in flight is that of three syncs at once on one disk
//! and of some ten wake-ups of threads on two cores (18 us each between two threads that do nothing else).
//! What the syncs of a database cost more than the probe: fjall goes on behind the end of the journal that it
//! opens, so that the file grows with each commit, which takes the file system a commit of its own. Three at
//! once take 0.24 ms so, and 0.13 where the file has its length already (a machine whose probe is 0.09); a
//! journal of full length is made only when 64 MB are full. Tried and slower by a tenth: peers are sent to before
//! the leader's own writer is woken (its sync is one of the quorum's two, and is done first), with heartbeats
//! of what is learned a millisecond later.
//!
//! Arguments: `--seconds=N` for each case; `--rounds=N` of which each figure is the median;
//! `--only=1000` for one number in flight; `--reference=0` leaves the others out;
//! `--kills=N` measures instead how long the references are without a leader (`etcd_kill_to_ack_p50_ms`,
//! ...; ours: `--bench failover`);
//! `--rss_appends=10000000` measures `rss_per_replica_after_10m_mb` alone (with 3 replicas, and
//! truncation to the last million).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "a benchmark measures by the real clock and may stop at the first surprise"
)]

mod figures;
mod reference;

use figures::Report;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const AURORA: &str = env!("CARGO_BIN_EXE_aurora");

/// Processes that end with the benchmark, however it ends.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

struct Case {
    replicas: usize,
    bytes: u64,
    in_flight: u64,
    /// `--seconds=N` or `--count=N`.
    length: String,
}

struct Outcome {
    text: String,
    /// Of the replicas beside the one that appends.
    rss_mb: Vec<f64>,
}

impl Outcome {
    fn value(&self, name: &str) -> f64 {
        let line = self
            .text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in: {}", self.text))
            .parse()
            .unwrap()
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    held.iter()
        .map(|l| l.local_addr().unwrap().port())
        .collect()
}

fn rss_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kb / 1024.0
}

fn initialize(dir: &Path, index: usize) {
    let path = format!("--path={}", dir.join(format!("db{index}")).display());
    let made = Command::new(AURORA)
        .args(["log", "initialize", &path])
        .output()
        .unwrap();
    assert!(made.status.success());
}

fn run(dir: &Path, case: &Case) -> Outcome {
    drop(fs::remove_dir_all(dir));
    fs::create_dir_all(dir).unwrap();
    let ports = free_ports(case.replicas);
    let peers: Vec<String> = ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
    let args = |index: usize| {
        let mut args = vec![format!(
            "--path={}",
            dir.join(format!("db{index}")).display()
        )];
        if case.replicas > 1 {
            args.push(format!("--peers={}", peers.join(",")));
            args.push(format!("--address={}", peers[index]));
            args.push(format!("--port={}", ports[index]));
            args.push("--ip=127.0.0.1".to_owned());
            args.push(format!("--key={}", dir.join("replica.key").display()));
        }
        args
    };
    for index in 0..case.replicas {
        initialize(dir, index);
    }
    let mut running = Running(Vec::new());
    for index in 1..case.replicas {
        let replica = Command::new(AURORA)
            .args(["log", "replica"])
            .args(args(index))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        running.0.push(replica.unwrap());
    }
    let done = Command::new(AURORA)
        .args(["log", "benchmark"])
        .args(args(0))
        .arg(format!("--size={}B", case.bytes))
        .arg(format!("--inflight={}", case.in_flight))
        .arg(&case.length)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    Outcome {
        text: String::from_utf8(done.stdout).unwrap(),
        rss_mb: running.0.iter().map(|child| rss_mb(child.id())).collect(),
    }
}

/// Milliseconds of writes with a sync each.
fn probe(dir: &Path, times: &mut Vec<f64>) {
    let file = File::create(dir.join("probe")).unwrap();
    file.write_all_at(&[0; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    for round in 0..100_u64 {
        let start = figures::now();
        file.write_all_at(&[1; 4096], (round % 256) * 4096).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
}

fn main() {
    let dir: PathBuf =
        std::env::temp_dir().join(format!("aurora-bench-log-{}", std::process::id()));
    let mut report = Report::new("log");
    let appends = figures::argument("rss_appends", 0);
    let kills = figures::argument("kills", 0);
    if kills > 0 {
        for store in reference::Store::installed() {
            let place = dir.join("reference");
            let once = |_| store.kill_to_ack_ms(&place);
            let mut took: Vec<f64> = (0..kills).map(once).collect();
            let name = format!("{}_kill_to_ack_p50_ms", store.name());
            report.figure(&name, figures::median(&mut took), "ms");
        }
    } else if appends > 0 {
        let case = Case {
            replicas: 3,
            bytes: 256,
            in_flight: 1000,
            length: format!("--count={appends}"),
        };
        let outcome = run(&dir, &case);
        let mut all = outcome.rss_mb.clone();
        all.push(outcome.value("rss_mb"));
        report.figure("rss_leader_and_load_mb", outcome.value("rss_mb"), "MB");
        let most = all.iter().copied().fold(0.0, f64::max);
        report.figure("rss_per_replica_after_10m_mb", most, "MB");
        report.figure("rss_case_per_s", outcome.value("appends_per_s"), "1/s");
    } else {
        cases(&dir, &mut report);
    }
    drop(fs::remove_dir_all(&dir));
    report.finish();
}

/// The values of each figure, round by round.
#[derive(Default)]
struct Rounds(Vec<(String, &'static str, Vec<f64>)>);

impl Rounds {
    fn add(&mut self, name: String, value: f64, unit: &'static str) {
        match self.0.iter_mut().find(|(known, ..)| *known == name) {
            Some((.., values)) => values.push(value),
            None => self.0.push((name, unit, vec![value])),
        }
    }

    fn median(&mut self, name: &str) -> Option<f64> {
        let found = self.0.iter_mut().find(|(known, ..)| known == name);
        found.map(|(.., values)| figures::median(values))
    }
}

fn cases(dir: &Path, report: &mut Report) {
    let rounds = figures::argument("rounds", 1);
    let mut all = Rounds::default();
    let mut probed = Vec::new();
    for _ in 0..rounds {
        round(dir, &mut all, &mut probed);
    }
    let ours = all.median("append_3_replicas_256b_1000_inflight_per_s");
    let theirs =
        ["etcd", "zookeeper"].map(|name| all.median(&format!("{name}_3_256b_1000_inflight_per_s")));
    let our_ms = all.median("append_sequential_mean_ms");
    let their_ms =
        ["etcd", "zookeeper"].map(|name| all.median(&format!("{name}_sequential_mean_ms")));
    for (name, unit, mut values) in all.0 {
        report.figure(&name, figures::median(&mut values), unit);
    }
    let better = theirs.into_iter().flatten().fold(0.0, f64::max);
    if let Some(ours) = ours
        && better > 0.0
    {
        report.figure("append_times_the_better_reference", ours / better, "times");
    }
    if let Some(ours) = our_ms
        && let Some(better) = their_ms.into_iter().flatten().reduce(f64::min)
    {
        let name = "sequential_times_faster_than_the_better_reference";
        report.figure(name, better / ours, "times");
    }
    report.figure("fdatasync_probe_p50_ms", figures::median(&mut probed), "ms");
}

/// Every case once.
fn round(dir: &Path, all: &mut Rounds, probed: &mut Vec<f64>) {
    let seconds = figures::argument("seconds", 3);
    let only = figures::argument("only", 0);
    for replicas in [1, 3] {
        for bytes in [256, 4096] {
            for in_flight in [1, 64, 1000] {
                if only != 0 && only != in_flight {
                    continue;
                }
                let case = Case {
                    replicas,
                    bytes,
                    in_flight,
                    length: format!("--seconds={seconds}"),
                };
                let outcome = run(dir, &case);
                let unit = if replicas == 1 { "replica" } else { "replicas" };
                let name = format!("append_{replicas}_{unit}_{bytes}b_{in_flight}_inflight");
                all.add(
                    format!("{name}_per_s"),
                    outcome.value("appends_per_s"),
                    "1/s",
                );
                all.add(format!("{name}_p50_ms"), outcome.value("p50_ms"), "ms");
                all.add(format!("{name}_p99_ms"), outcome.value("p99_ms"), "ms");
                if (replicas, bytes, in_flight) == (3, 256, 1) {
                    let p50 = outcome.value("p50_ms");
                    all.add("append_sequential_p50_ms".to_owned(), p50, "ms");
                    let mean = 1_000.0 / outcome.value("appends_per_s");
                    all.add("append_sequential_mean_ms".to_owned(), mean, "ms");
                }
                probe(dir, probed);
                if (replicas, bytes) == (3, 256) && in_flight != 64 {
                    references(dir, in_flight, seconds, all);
                }
            }
        }
    }
}

fn references(dir: &Path, in_flight: u64, seconds: u64, all: &mut Rounds) {
    if figures::argument("reference", 1) == 0 {
        return;
    }
    let place = dir.join("reference");
    for store in reference::Store::installed() {
        let name = store.name();
        if in_flight == 1 {
            let ms = store.write_ms(&place, 256, seconds);
            all.add(format!("{name}_sequential_mean_ms"), ms, "ms");
        } else {
            let per_s = store.writes_per_s(&place, 256, in_flight, seconds);
            let name = format!("{name}_3_256b_{in_flight}_inflight_per_s");
            all.add(name, per_s, "1/s");
        }
    }
}
