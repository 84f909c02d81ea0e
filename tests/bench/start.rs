//! How long the programs take to serve, and what they hold when idle.
//!
//! Figures: `ready_ms` (from the start of the scheduler's process to the first 200 of `/leaderhealth`),
//! `rss_idle_mb` (scheduler and agent together, resident, when nothing runs), each the median of the runs.
//! Arguments: `--runs=N`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

mod figures;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn serves(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn rss_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kb / 1024.0
}

fn start(args: &[String]) -> Child {
    Command::new(AURORA)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait(what: &str, ready: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if ready() {
            return;
        }
        sleep(Duration::from_millis(1));
    }
    panic!("{what} did not serve within a minute");
}

/// Milliseconds until the scheduler led, and megabytes of both when idle.
fn run(dir: &Path) -> (f64, f64) {
    let (http, peer, observer) = (free_port(), free_port(), free_port());
    drop(fs::remove_dir_all(dir));
    fs::create_dir_all(dir).unwrap();
    let path = format!("--path={}", dir.join("db").display());
    let made = Command::new(AURORA)
        .args(["log", "initialize", &path])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let key = format!("-agent_key_file={}", dir.join("agent.key").display());
    let begun = figures::now();
    let mut running = Running(vec![start(&[
        "scheduler".into(),
        "-cluster_name=bench".into(),
        "-ip=127.0.0.1".into(),
        format!("-http_port={http}"),
        format!("-peer_port={peer}"),
        format!("-native_log_file_path={}", dir.join("db").display()),
        key.clone(),
    ])]);
    wait("the scheduler", || serves(http, "/leaderhealth"));
    let ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
    running.0.push(start(&[
        "agent".into(),
        format!("-scheduler=127.0.0.1:{peer}"),
        format!("-observer_port={observer}"),
        format!("-work_dir={}", dir.join("agent").display()),
        "-ip=127.0.0.1".into(),
        key,
    ]));
    wait("the agent", || serves(observer, "/health"));
    // Until the first exchanges are over.
    sleep(Duration::from_secs(2));
    let rss = running.0.iter().map(|c| rss_mb(c.id())).sum();
    (ready_ms, rss)
}

fn main() {
    let runs = figures::argument("runs", 5);
    let dir: PathBuf =
        std::env::temp_dir().join(format!("aurora-bench-start-{}", std::process::id()));
    let (mut ready, mut rss) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (ms, mb) = run(&dir);
        ready.push(ms);
        rss.push(mb);
    }
    drop(fs::remove_dir_all(&dir));
    let mut report = figures::Report::new("start");
    report.figure("ready_ms", figures::median(&mut ready), "ms");
    report.figure("rss_idle_mb", figures::median(&mut rss), "MB");
    report.finish();
}
