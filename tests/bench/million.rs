//! A million tasks on 5,000 machines, two million on 6,100: through the API into a log that syncs.
//!
//! Machines are played; the rest is what `aurora scheduler` runs, between the bytes of `/api` and the files
//! of the log. A clock runs from the first `createJob` until the last task's assignment is learned by the
//! log. Jobs have 4,000 instances; some of them demand a zone, avoid one, limit tasks per machine, name
//! ports, or are production work under a quota. Then the log is closed, opened again, and read by the
//! validator, which shares nothing with the scheduler but the stored form: it recomputes the load of every
//! machine and checks every demand at every entry.
//!
//! Of the scheduler's flags it sets `-scheduling_max_batch_size` and `-max_schedule_attempts_per_sec`, whose
//! defaults are upstream's and stand for 200 tasks a second.
//!
//! Figures: `c1m_s` and `c2m_s`, the rates, how far the rate of the last quarter is below that of the first
//! (`..._rate_drop_percent`), the log's bytes per task and the memory at the end.
//! Arguments: `--tasks=N --hosts=N` for one run of that size in place of both, `--batch=N`, `--running=1` to
//! have machines report that tasks run and to wait for that, `--validate=0`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and says how far it is"
)]

mod cluster;
mod figures;
mod live;
mod validator;

use aurora::model::{
    Constraint, ConstraintKind, ExecutorConfig, JobConfiguration, Resources, ScheduleStatus,
    TaskConfig,
};
use aurora::rt;
use aurora::scheduler::EngineOptions;
use aurora::thrift::convert::{job_configuration_to_wire, quota_to_wire};
use aurora::thrift::service::{CreateJob, Request, SetQuota};
use cluster::amount;
use live::{Live, Place, call};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use validator::Validator;

/// Instances of a job: as many as it may have by default.
const JOB: u64 = 4_000;
/// Calls that wait for their answers at once.
const CALLERS: usize = 16;
const FAR: Duration = Duration::from_secs(1_000_000);

fn total() -> Resources {
    amount(64_000, 256 << 10, 4 << 20)
}

/// The description of job `number`.
fn describe(number: u64) -> TaskConfig {
    let mut config = cluster::config("bench", &format!("job-{number}"), amount(100, 256, 1_024));
    config.executor = Some(ExecutorConfig {
        name: Some("AuroraExecutor".to_owned()),
        data: Some(format!(r#"{{"task":{{"name":"job-{number}"}}}}"#)),
    });
    let mut demand = |name: &str, kind| {
        let name = name.to_owned();
        config.constraints.insert(Constraint { name, kind });
    };
    let zone = |negated| ConstraintKind::Value {
        negated,
        values: BTreeSet::from(["zone-0".to_owned()]),
    };
    match number % 10 {
        1 => demand("zone", zone(false)),
        3 => demand("zone", zone(true)),
        5 => demand("host", ConstraintKind::Limit(10)),
        7 => {
            config.port_names.insert("http".to_owned());
            config.resources.ports = 1;
        }
        9 => {
            config.production = true;
            config.tier = Some("preferred".into());
        }
        _ => {}
    }
    config
}

async fn create(live: &Live, number: u64, instances: u64) {
    let config = describe(number);
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

/// Quota for a tenth of all tasks, with a little to spare.
async fn allow(live: &Live, tasks: u64) {
    let tenth = u32::try_from(tasks / 10 + 2 * JOB).unwrap();
    let args = SetQuota {
        owner_role: Some("bench".into()),
        quota: Some(quota_to_wire(describe(9).resources.times(tenth))),
    };
    call(&live.api, Request::SetQuota(Box::new(args))).await;
}

struct Run {
    seconds: f64,
    drop_percent: f64,
    rss_mb: f64,
    bytes_per_task: f64,
}

fn options() -> EngineOptions {
    let batch = usize::try_from(figures::argument("batch", 1_000)).unwrap();
    EngineOptions {
        max_tasks_per_attempt: batch,
        max_attempts_per_sec: 1_000_000,
        snapshot_interval: FAR,
        ..EngineOptions::default()
    }
}

fn place(path: &Path, tasks: u64, hosts: u64) -> Run {
    let offers = (0..hosts).map(|n| cluster::offer(n, total())).collect();
    let running = figures::argument("running", 0) == 1;
    let live = Arc::new(Live::new(path, options(), offers, running));
    rt::block_on(allow(&live, tasks));
    let start = figures::now();
    let next = Arc::new(AtomicU64::new(0));
    let calling = (0..CALLERS).map(|_| {
        let (live, next) = (Arc::clone(&live), Arc::clone(&next));
        std::thread::spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let instances = JOB.min(tasks.saturating_sub(number * JOB));
                if instances == 0 {
                    return;
                }
                rt::block_on(create(&live, number, instances));
            }
        })
    });
    let calling: Vec<_> = calling.collect();
    // When each quarter was placed.
    let quarters = Mutex::new(Vec::new());
    let tasks_signed = i64::try_from(tasks).unwrap();
    let state = match running {
        true => ScheduleStatus::Running,
        false => ScheduleStatus::Assigned,
    };
    live.wait_until(|live| {
        let placed = live.handle.tables().count(state);
        let mut quarters = quarters.lock().unwrap();
        if quarters.len() < 4 && placed * 4 >= tasks_signed * (quarters.len() as i64 + 1) {
            quarters.push(start.elapsed().as_secs_f64());
        }
        placed >= tasks_signed
    });
    let quarters = quarters.into_inner().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    calling.into_iter().for_each(|c| c.join().unwrap());
    let (rss_mb, stats) = (live::rss_mb(), live.log.stats());
    Arc::into_inner(live).unwrap().stop();
    let first = quarters[0];
    let last = quarters[3] - quarters[2];
    Run {
        seconds,
        drop_percent: (1.0 - first / last) * 100.0,
        rss_mb,
        bytes_per_task: stats.append_bytes as f64 / tasks as f64,
    }
}

/// Reads the log from its beginning, as another program would.
fn validate(path: &Path, tasks: u64, hosts: u64) -> u64 {
    let (log, events) = live::open(path);
    let mut validator = Validator::new();
    for number in 0..hosts {
        validator.machine(cluster::offer(number, total()));
    }
    rt::block_on(async {
        while let Ok(event) = events.recv().await {
            match event {
                aurora::replog::LogEvent::Learned { payload, .. } => validator.entry(&payload),
                aurora::replog::LogEvent::Leading { .. } => break,
                _ => {}
            }
        }
        log.close().await;
    });
    let faults = validator.faults();
    assert!(faults.is_empty(), "the log is wrong: {faults:#?}");
    assert_eq!(validator.placed(), tasks, "tasks that hold a machine");
    assert_eq!(validator.tasks() as u64, tasks, "tasks");
    validator.checked()
}

fn measure(report: &mut figures::Report, name: &str, tasks: u64, hosts: u64) {
    let dir = Place::new(name);
    let db = dir.0.join("db");
    let probe = live::probe_ms(&dir.0);
    let run = place(&db, tasks, hosts);
    report.figure(&format!("{name}_s"), run.seconds, "s");
    let rate = tasks as f64 / run.seconds;
    report.figure(&format!("{name}_tasks_per_s"), rate, "tasks/s");
    report.figure(&format!("{name}_rate_drop_percent"), run.drop_percent, "%");
    report.figure(&format!("{name}_rss_mb"), run.rss_mb, "MB");
    report.figure(
        &format!("{name}_log_bytes_per_task"),
        run.bytes_per_task,
        "B",
    );
    report.figure(&format!("{name}_fdatasync_probe_p50_ms"), probe, "ms");
    if figures::argument("validate", 1) == 1 {
        let start = figures::now();
        let checked = validate(&db, tasks, hosts);
        let took = start.elapsed().as_secs_f64();
        println!(
            "validated {checked} assignments in {took:.1} s: load, ports, demands, states, quota"
        );
    }
}

fn main() {
    let mut report = figures::Report::new("million");
    let (tasks, hosts) = (figures::argument("tasks", 0), figures::argument("hosts", 0));
    if tasks > 0 {
        let hosts = if hosts == 0 {
            tasks.div_ceil(200)
        } else {
            hosts
        };
        measure(&mut report, "sized", tasks, hosts);
    } else {
        measure(&mut report, "c1m", 1_000_000, 5_000);
        measure(&mut report, "c2m", 2_000_000, 6_100);
    }
    report.finish();
}
