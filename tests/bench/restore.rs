//! Backing up and restoring many tasks, on a real log and a real disk.
//!
//! `backup_100k_s` is the writing and proving of a backup, `restore_100k_s` staging and committing it on a
//! new log until the answer, `restored_restart_100k_s` the next start until the tasks can be read.
//! Arguments: `--tasks=N`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

mod figures;

use aurora::base::clock::Timestamp;
use aurora::base::rng::Rng;
use aurora::driver::{Driver, DriverCommand};
use aurora::model::{
    AgentId, Container, ExecutorConfig, JobKey, MilliCpus, Resources, ScheduleStatus,
    ScheduledTask, TaskConfig, TaskEvent, TaskId,
};
use aurora::replog::{self, LogHandle, LogOptions};
use aurora::rt::{self, Shutdown, ShutdownTrigger};
use aurora::scheduler::backups::{BackupFolder, BackupOptions, Backups};
use aurora::scheduler::{self, AdminCommand, Command, EngineOptions, Handle, Options, Restored};
use aurora::storage::{Op, Tables};
use figures::{Report, argument, median, now};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PER_JOB: u32 = 100;

/// No machines.
struct Nothing;

impl Driver for Nothing {
    fn command(&self, _: DriverCommand) {}
    fn lead(&self, _: u64) {}
    fn set_leader(&self, _: Option<String>) {}
    fn stand_down(&self) {}
}

fn config(job: u64) -> TaskConfig {
    TaskConfig {
        job: JobKey::new("role", "prod", &format!("job-{job}")).unwrap(),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources: Resources {
            cpus: MilliCpus(100),
            ram_mb: 64,
            disk_mb: 64,
            ports: 1,
            gpus: 0,
        },
        port_names: BTreeSet::from(["http".to_owned()]),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: Some(ExecutorConfig {
            name: Some("AuroraExecutor".into()),
            data: Some("x".repeat(2_000)),
        }),
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    }
}

/// Running tasks with the history that such tasks have.
fn many(count: u64) -> Tables {
    let mut tables = Tables::default();
    let mut rng = Rng::from_seed(1);
    let event = |status, at: i64| TaskEvent {
        at: Timestamp(1_700_000_000_000 + at),
        status,
        message: None,
        scheduler: Some("scheduler.example.org".into()),
    };
    for job in 0..count.div_ceil(u64::from(PER_JOB)) {
        let config = Arc::new(config(job));
        for instance in 0..PER_JOB {
            let host = format!("host-{}.example.org", rng.next_u64() % 1_000);
            let task = ScheduledTask {
                id: TaskId::fresh(&config.job, instance, &mut rng),
                config: Arc::clone(&config),
                instance,
                status: ScheduleStatus::Running,
                failure_count: 0,
                times_partitioned: 0,
                ancestor: None,
                agent: Some(AgentId::new(&host)),
                host: Some(host.as_str().into()),
                ports: [("http".into(), 31_000)].into_iter().collect(),
                events: vec![
                    event(ScheduleStatus::Pending, 0),
                    event(ScheduleStatus::Assigned, 50),
                    event(ScheduleStatus::Starting, 90),
                    event(ScheduleStatus::Running, 900),
                ],
            };
            tables.apply(&Op::RestoreTask(Arc::new(task))).unwrap();
        }
    }
    tables.set_version(count);
    tables
}

/// A scheduler on the log at `path`.
fn start(path: &Path) -> (Handle, LogHandle, ShutdownTrigger) {
    let options = LogOptions {
        path: path.to_path_buf(),
        quorum_size: 1,
        feature_level_delay: Duration::from_secs(3_600),
        empty_notice_interval: Duration::from_secs(60),
        peers: Vec::new(),
        address: String::new(),
    };
    let (log, log_events) = replog::open(options, None, Rng::from_os()).unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let (held, driver_events) = async_channel::bounded(1);
    let options = Options {
        engine: EngineOptions::default(),
        queue: 16,
        address: "here:8081".into(),
        agents_address: "here:8083".into(),
        max_leading: Duration::from_secs(86_400),
        awaits_master: None,
        backups: None,
        coordinators: None,
    };
    let driver = Arc::new(Nothing);
    let (handle, running) = scheduler::start(
        options,
        log.clone(),
        log_events,
        driver,
        driver_events,
        shutdown,
    );
    rt::spawn("bench", async move {
        // Its end is what a recovery is about.
        drop(running.join().await);
        drop(held);
    })
    .detach();
    (handle, log, trigger)
}

/// Waits until tables can be read, and gives them.
async fn read(handle: &Handle) -> Arc<Tables> {
    loop {
        if let Ok(tables) = handle.read().await {
            return tables;
        }
        rt::sleep(Duration::from_millis(1)).await;
    }
}

fn main() {
    let count = argument("tasks", 100_000);
    let dir = std::env::temp_dir().join(format!("aurora-bench-{}", Rng::from_os().uuid()));
    let log_path = dir.join("db");
    let mut report = Report::new("restore");
    rt::block_on(async {
        replog::initialize(&log_path, &mut Rng::from_os()).unwrap();
        let backups = Backups::start(BackupOptions {
            folder: BackupFolder {
                dir: dir.join("backups"),
                keep: 3,
            },
            interval: Duration::from_secs(3_600),
            cluster: "bench".into(),
        });
        let tables = Arc::new(many(count));
        let mut took = Vec::new();
        let mut path = dir.clone();
        for _ in 0..3 {
            let begun = now();
            path = backups.save(Arc::clone(&tables)).await.unwrap();
            took.push(begun.elapsed().as_secs_f64());
        }
        report.figure("backup_100k_s", median(&mut took), "s");
        let bytes = std::fs::metadata(&path).unwrap().len();
        report.figure("backup_100k_mb", bytes as f64 / 1e6, "MB");
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (handle, log, trigger) = start(&log_path);
        read(&handle).await;
        let begun = now();
        let staged = backups.stage(&name).await.unwrap();
        let command = Command::Admin(AdminCommand::Restore(Restored(staged)));
        handle.submit(None, command).await.unwrap();
        report.figure("restore_100k_s", begun.elapsed().as_secs_f64(), "s");
        trigger.fire();
        log.close().await;
        drop((handle, log));
        let begun = now();
        let (handle, log, trigger) = start(&log_path);
        let restored = read(&handle).await;
        report.figure(
            "restored_restart_100k_s",
            begun.elapsed().as_secs_f64(),
            "s",
        );
        assert_eq!(restored.task_count(), tables.task_count());
        trigger.fire();
        log.close().await;
    });
    report.finish();
    std::fs::remove_dir_all(dir).unwrap();
}
