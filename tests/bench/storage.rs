//! What tasks cost to keep: the wait that a snapshot makes, the time to start again, memory.
//!
//! A scheduler in this process, over a log that syncs and machines that are played, as in `million`.
//!
//! - `snapshot_1m_pause_ms`: with that many tasks, small changes (a job of one task) are asked for one after
//!   the other, first without and then while a snapshot is taken. The figure is the longest wait during the
//!   snapshot less the median without; the longest wait without is given beside it, as a disk may stall by
//!   itself. `snapshot_1m_s` is how long the snapshot took, `snapshot_1m_bytes_per_task` what it wrote.
//! - `restart_1m_s`: the scheduler is stopped and started again on that log, from opening the files until a
//!   read is answered: proving the log, replaying it, leading.
//! - `rss_100k_tasks_mb`: memory of a process of its own that has started on a log with so many tasks.
//!   `memory_bytes_per_task` is what each of the million adds there.
//!
//! Arguments: `--tasks=N` in place of a million, `--dir=PATH` for the log.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise; its child process tells by its output"
)]

mod cluster;
mod figures;
mod live;

use aurora::model::{ExecutorConfig, JobConfiguration, ScheduleStatus};
use aurora::rt;
use aurora::scheduler::EngineOptions;
use aurora::thrift::convert::job_configuration_to_wire;
use aurora::thrift::service::{CreateJob, NoArguments, Request};
use cluster::amount;
use live::{Live, Place, call};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Instances of a job.
const JOB: u64 = 4_000;
/// Tasks of a machine.
const PER_HOST: u64 = 200;
const FAR: Duration = Duration::from_secs(1_000_000);

fn options() -> EngineOptions {
    EngineOptions {
        max_tasks_per_attempt: 1_000,
        max_attempts_per_sec: 1_000_000,
        snapshot_interval: FAR,
        ..EngineOptions::default()
    }
}

fn offers(tasks: u64) -> Vec<aurora::driver::AgentOffer> {
    let hosts = tasks.div_ceil(PER_HOST) + 10;
    let offer = |n| cluster::offer(n, amount(64_000, 256 << 10, 4 << 20));
    (0..hosts).map(offer).collect()
}

async fn create(live: &Live, name: &str, instances: u64) {
    let mut config = cluster::config("bench", name, amount(100, 256, 1_024));
    config.executor = Some(ExecutorConfig {
        name: Some("AuroraExecutor".to_owned()),
        data: Some(format!(r#"{{"task":{{"name":"{name}"}}}}"#)),
    });
    let job = JobConfiguration {
        key: config.job.clone(),
        owner: None,
        cron_schedule: None,
        cron_collision_policy: Default::default(),
        task: Arc::new(config),
        instance_count: u32::try_from(instances).unwrap(),
    };
    let args = CreateJob {
        description: Some(job_configuration_to_wire(&job)),
    };
    call(&live.api, Request::CreateJob(Box::new(args))).await;
}

/// A scheduler with so many running tasks.
fn fill(path: &Path, tasks: u64) -> Live {
    let live = Live::new(path, options(), offers(tasks), true);
    let mut made = 0;
    while made < tasks {
        let instances = JOB.min(tasks - made);
        rt::block_on(create(&live, &format!("job-{}", made / JOB), instances));
        made += instances;
    }
    let tasks = i64::try_from(tasks).unwrap();
    live.wait_until(|live| live.handle.tables().count(ScheduleStatus::Running) >= tasks);
    live
}

async fn snapshot(live: &Live) {
    call(&live.api, Request::Snapshot(Box::new(NoArguments))).await;
}

/// Asks for small changes until told to stop, and gives how long each took, in milliseconds.
fn small_changes(live: &Live, prefix: &str, until: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut waits = Vec::new();
    while !until(waits.len()) {
        let start = figures::now();
        rt::block_on(create(live, &format!("{prefix}-{}", waits.len()), 1));
        waits.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    waits
}

fn longest(waits: &[f64]) -> f64 {
    waits.iter().copied().fold(0.0, f64::max)
}

fn measure_snapshot(report: &mut figures::Report, live: &Arc<Live>, tasks: u64, name: &str) {
    let mut before = small_changes(live, "before", |n| n >= 500);
    let (usual, stall) = (figures::median(&mut before), longest(&before));
    let written = live.log.stats().append_bytes;
    let done = Arc::new(AtomicBool::new(false));
    let taking = {
        let (live, done) = (Arc::clone(live), Arc::clone(&done));
        std::thread::spawn(move || {
            let start = figures::now();
            rt::block_on(snapshot(&live));
            done.store(true, Ordering::Relaxed);
            start.elapsed().as_secs_f64()
        })
    };
    let during = small_changes(live, "during", |_| done.load(Ordering::Relaxed));
    let took = taking.join().unwrap();
    let written = live.log.stats().append_bytes - written;
    report.figure(
        &format!("snapshot_{name}_pause_ms"),
        longest(&during) - usual,
        "ms",
    );
    report.figure(&format!("snapshot_{name}_usual_wait_ms"), usual, "ms");
    report.figure(
        &format!("snapshot_{name}_longest_wait_without_ms"),
        stall,
        "ms",
    );
    report.figure(
        &format!("snapshot_{name}_changes_meanwhile"),
        during.len() as f64,
        "changes",
    );
    report.figure(&format!("snapshot_{name}_s"), took, "s");
    let each = written as f64 / tasks as f64;
    report.figure(&format!("snapshot_{name}_bytes_per_task"), each, "B");
}

/// In a process of its own: starts on the log in `path` and tells seconds and megabytes.
fn started(path: &Path) {
    let start = figures::now();
    let live = Live::start(path, options(), Vec::new(), false);
    let took = start.elapsed().as_secs_f64();
    let tasks = live.handle.tables().task_count();
    println!("started {took} {} {tasks}", live::rss_mb());
    live.stop();
}

/// Seconds and megabytes of a process that starts on the log in `path`.
fn restart(path: &Path, tasks: u64) -> (f64, f64) {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .arg(format!("--started={}", path.display()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("started "));
    let mut numbers = line.unwrap().split(' ').map(|n| n.parse::<f64>().unwrap());
    let mut next = || numbers.next().unwrap();
    let (seconds, megabytes, found) = (next(), next(), next());
    assert!(found >= tasks as f64, "{found} of {tasks} tasks were found");
    (seconds, megabytes)
}

/// The name of a size in figures.
fn size(tasks: u64) -> String {
    match tasks {
        1_000_000 => "1m".to_owned(),
        _ => format!("{}k", tasks / 1_000),
    }
}

fn measure(report: &mut figures::Report, tasks: u64) -> f64 {
    let dir = Place::new("storage");
    let db = dir.0.join("db");
    let name = size(tasks);
    let live = Arc::new(fill(&db, tasks));
    measure_snapshot(report, &live, tasks, &name);
    Arc::into_inner(live).unwrap().stop();
    let (mut seconds, mut megabytes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (took, held) = restart(&db, tasks);
        seconds.push(took);
        megabytes.push(held);
    }
    report.figure(
        &format!("restart_{name}_s"),
        figures::median(&mut seconds),
        "s",
    );
    let held = figures::median(&mut megabytes);
    report.figure(&format!("rss_{name}_tasks_mb"), held, "MB");
    held
}

fn main() {
    if let Some(path) =
        std::env::args().find_map(|a| a.strip_prefix("--started=").map(String::from))
    {
        return started(Path::new(&path));
    }
    let mut report = figures::Report::new("storage");
    let probe = live::probe_ms(&Place::new("probe").0);
    report.figure("storage_fdatasync_probe_p50_ms", probe, "ms");
    let tasks = figures::argument("tasks", 1_000_000);
    let few = (tasks / 10).max(1);
    let less = measure(&mut report, few);
    let more = measure(&mut report, tasks);
    let each = (more - less) * 1_048_576.0 / (tasks - few) as f64;
    report.figure("memory_bytes_per_task", each, "B");
    report.finish();
}
