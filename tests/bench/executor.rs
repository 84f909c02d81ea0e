//! What a task costs on one machine: memory, time to start, processor time while nothing happens.
//!
//! Figures: `executor_private_kb` (private memory of an executor whose task sleeps, the median of many),
//! `launch_to_running_p50_ms` (from the call of the host to its report RUNNING, one after the other),
//! `task_starts_per_s` (tasks of `/bin/true`, from the first launch until all are ended and reported),
//! `idle_500_tasks_cpu_percent` (an agent and the executors of 500 sleeping tasks, in percent of one
//! processor), `fdatasync_probe_p50_ms` (4 KiB written and synced where the tasks are).
//! Arguments: `--launches=N`, `--starts=N`, `--tasks=N`, `--seconds=N` of idling.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

mod figures;

use async_channel::Receiver;
use aurora::agent::host::{HostConfig, TaskHost};
use aurora::executor::checkpoint::{Record, Tail};
use aurora::executor::os::proc;
use aurora::model::{JobKey, LaunchOrder, Resources, TaskId, TaskReport, TaskState};
use aurora::rt;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const SLEEP: &str = "exec sleep 100000";

/// Executors whose memory is looked at.
const SAMPLES: u64 = 20;

/// Launches that are under way at once when the rate is measured.
const WINDOW: usize = 64;

/// A machine of its own: a work directory and the host that has it.
struct Machine {
    dir: PathBuf,
    host: TaskHost,
    reports: Receiver<TaskReport>,
}

fn order(task: &str, cmdline: &str) -> LaunchOrder {
    LaunchOrder {
        task: TaskId::new(task),
        job: JobKey::new("nobody", "bench", "job").unwrap(),
        instance: 0,
        executor: "AuroraExecutor".to_owned(),
        data: format!(
            r#"{{"task": {{"processes": [{{"name": "main", "cmdline": "{cmdline}"}}]}}}}"#
        ),
        resources: Resources {
            ram_mb: 128,
            disk_mb: 128,
            ..Resources::default()
        },
        ports: BTreeMap::new(),
        metadata: Vec::new(),
        setup: Default::default(),
        uris: Vec::new(),
    }
}

impl Machine {
    fn open(dir: &Path) -> Self {
        let executor = PathBuf::from(env!("CARGO_BIN_EXE_aurora-executor"));
        let config = HostConfig::new(dir.to_owned(), executor, "bench");
        let (host, reports) = TaskHost::open(config).unwrap();
        Self {
            dir: dir.to_owned(),
            host,
            reports,
        }
    }

    fn launch(&self, task: &str, cmdline: &str) {
        rt::block_on(self.host.launch(order(task, cmdline))).unwrap();
    }

    /// Waits for a report of `state` of each of `tasks`.
    fn wait(&self, tasks: impl Iterator<Item = String>, state: TaskState) {
        let mut missing: BTreeSet<String> = tasks.collect();
        while !missing.is_empty() {
            let report = self.reports.recv_blocking().unwrap();
            assert!(
                report.state == state || !report.state.is_terminal(),
                "{report:?}"
            );
            if report.state == state {
                missing.remove(report.task.as_str());
            }
        }
    }

    /// The executors of the tasks whose ids begin so.
    fn executors(&self, prefix: &str) -> Vec<i32> {
        let tasks = fs::read_dir(self.dir.join("tasks")).unwrap();
        let pid = |path: PathBuf| {
            let file = File::open(path.join("checkpoint")).ok()?;
            match Tail::default().poll(&file).ok()?.first()? {
                Record::Header(header) => Some(header.pid),
                Record::Process(_) | Record::Task(_) => None,
            }
        };
        let is_wanted = |name: std::ffi::OsString| name.to_string_lossy().starts_with(prefix);
        tasks
            .map(Result::unwrap)
            .filter(|it| is_wanted(it.file_name()))
            .filter_map(|it| pid(it.path()))
            .collect()
    }

    /// Kills all tasks and forgets them.
    fn clear(&self) {
        for report in self.host.reports() {
            // One that has ended in between is what is wanted.
            rt::block_on(self.host.kill(&report.task)).unwrap_or_default();
        }
        while self.host.reports().iter().any(|r| !r.state.is_terminal()) {
            self.reports.recv_blocking().unwrap();
        }
        for report in self.host.reports() {
            rt::block_on(self.host.acknowledge(&report.task, report.sequence));
        }
        while self.reports.try_recv().is_ok() {}
    }
}

/// Private_Clean and Private_Dirty of a process in KiB.
fn private_kb(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = text.lines().filter(|l| l.starts_with("Private_"));
    let kb = |line: &str| -> Option<f64> { line.split_whitespace().nth(1)?.parse().ok() };
    private.filter_map(kb).sum()
}

/// Processor time that a process has used, all threads together.
fn cpu_seconds(pid: i32) -> f64 {
    let mut total = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = thread.unwrap().path().join("schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        let first = text.split_whitespace().next();
        total += first.and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9;
    }
    total
}

fn fdatasync_p50_ms(dir: &Path) -> f64 {
    let path = dir.join("probe");
    let mut file = File::create(&path).unwrap();
    let mut taken = Vec::new();
    for _ in 0..50 {
        let begun = figures::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    fs::remove_file(path).unwrap();
    figures::median(&mut taken)
}

fn launch_to_running_p50_ms(machine: &Machine, launches: u64) -> f64 {
    let mut taken = Vec::new();
    for n in 0..launches {
        let task = format!("run{n}");
        let begun = figures::now();
        machine.launch(&task, SLEEP);
        machine.wait(std::iter::once(task), TaskState::Running);
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    figures::median(&mut taken)
}

/// Launches from several callers at once, as orders come in from a scheduler.
fn starts_per_s(machine: &Machine, round: u64, starts: u64) -> f64 {
    let name = |n: u64| format!("start{round}-{n}");
    let begun = figures::now();
    let (sender, orders) = async_channel::bounded(usize::try_from(starts).unwrap().max(1));
    for n in 0..starts {
        sender.try_send(order(&name(n), "/bin/true")).unwrap();
    }
    drop(sender);
    for _ in 0..WINDOW {
        let (host, orders) = (machine.host.clone(), orders.clone());
        rt::spawn("launcher", async move {
            while let Ok(order) = orders.recv().await {
                host.launch(order).await.unwrap();
            }
        })
        .detach();
    }
    machine.wait((0..starts).map(name), TaskState::Finished);
    starts as f64 / begun.elapsed().as_secs_f64()
}

/// An agent that ends with the benchmark.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Kills the executors that are left, and their tasks with them, and removes all files.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let mark = format!("--task-dir={}/", self.0.display());
        for process in proc::all().unwrap_or_default() {
            let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&mark) {
                proc::signal(&process, Signal::SIGKILL);
            }
        }
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The whole agent, with pages and a scheduler that it cannot reach. It adopts what is in `dir`.
fn start_agent(dir: &Path) -> Agent {
    let key = dir.with_file_name("agent.key");
    let db = dir.with_file_name("db");
    let made = Command::new(env!("CARGO_BIN_EXE_aurora"))
        .args(["log", "initialize", &format!("--path={}", db.display())])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let child = Command::new(env!("CARGO_BIN_EXE_aurora"))
        .args(["agent", "-scheduler=127.0.0.1:9", "-ip=127.0.0.1"])
        .args(["-observer_port=0", "-log_level=ERROR"])
        .arg(format!("-agent_key_file={}", key.display()))
        .arg(format!("-work_dir={}", dir.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Agent(child)
}

/// Processor time of agent and executors while `tasks` tasks sleep.
fn idle_cpu_percent(machine: Machine, tasks: u64, seconds: u64) -> (f64, f64) {
    for n in 0..tasks {
        machine.launch(&format!("idle{n}"), SLEEP);
    }
    machine.wait((0..tasks).map(|n| format!("idle{n}")), TaskState::Running);
    let dir = machine.dir.clone();
    let mut pids = machine.executors("idle");
    assert_eq!(pids.len() as u64, tasks);
    drop(machine);
    let agent = start_agent(&dir);
    let agent_pid = i32::try_from(agent.0.id()).unwrap();
    // Until it has adopted all and is at rest.
    sleep(Duration::from_secs(5));
    pids.push(agent_pid);
    let cpu = || -> BTreeMap<i32, f64> { pids.iter().map(|p| (*p, cpu_seconds(*p))).collect() };
    let (before, begun) = (cpu(), figures::now());
    sleep(Duration::from_secs(seconds));
    let (after, elapsed) = (cpu(), begun.elapsed().as_secs_f64());
    let spent = |pid: &i32| after[pid] - before[pid];
    let all: f64 = pids.iter().map(spent).sum();
    drop(agent);
    let percent = |seconds: f64| seconds / elapsed * 100.0;
    Machine::open(&dir).clear();
    (percent(all), percent(spent(&agent_pid)))
}

fn main() {
    let launches = figures::argument("launches", 40).max(SAMPLES);
    let starts = figures::argument("starts", 1_000);
    let tasks = figures::argument("tasks", 500);
    let seconds = figures::argument("seconds", 30);
    let top = std::env::temp_dir().join(format!("aurora-bench-executor-{}", std::process::id()));
    fs::create_dir_all(top.join("agent")).unwrap();
    let mut report = figures::Report::new("executor");
    let _cleanup = Cleanup(top.clone());
    let machine = Machine::open(&top.join("agent"));
    report.figure("fdatasync_probe_p50_ms", fdatasync_p50_ms(&top), "ms");
    let ms = launch_to_running_p50_ms(&machine, launches);
    report.figure("launch_to_running_p50_ms", ms, "ms");
    let mut memory: Vec<f64> = machine
        .executors("run")
        .into_iter()
        .map(private_kb)
        .collect();
    report.figure("executor_private_kb", figures::median(&mut memory), "kB");
    machine.clear();
    let mut rates = [1, 2, 3].map(|round| {
        let rate = starts_per_s(&machine, round, starts / 3);
        machine.clear();
        rate
    });
    report.figure("task_starts_per_s", figures::median(&mut rates), "1/s");
    let (all, agent) = idle_cpu_percent(machine, tasks, seconds);
    report.figure(&format!("idle_{tasks}_tasks_cpu_percent"), all, "%");
    report.figure("idle_agent_cpu_percent", agent, "%");
    report.finish();
}
