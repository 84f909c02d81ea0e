//! Filling a large cluster.

use crate::cluster;
use crate::figures::{self, Report};
use crate::live::{Live, Place, call};
use crate::world::{World, create, host, task};
use aurora::model::{JobConfiguration, ScheduleStatus};
use aurora::rt;
use aurora::scheduler::EngineOptions;
use aurora::thrift::convert::job_configuration_to_wire;
use aurora::thrift::service::{CreateJob, Request};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Tasks of one operation, and how many of them an attempt places.
const TASKS: u64 = 10;
const PORTION: usize = 5;

fn hosts() -> u64 {
    figures::argument("hosts", 200_000)
}

/// A cluster with one percent siblings and one percent victims.
fn prefilled(hosts: u64) -> World {
    let mut world = World::new(hosts, PORTION);
    world.allow();
    let mut sibling = cluster::config("jmh", "sibling", task());
    (sibling.production, sibling.tier) = (true, Some("preferred".into()));
    world.place(sibling, (hosts / 100).max(1));
    world.place(
        cluster::config("jmh", "victim", task()),
        (hosts / 100).max(1),
    );
    world
}

/// Makes and places so many tasks, ten by ten; tasks per second.
fn fill(world: &mut World, tasks: u64, name: &str) -> f64 {
    let before = world.engine.tables().count(ScheduleStatus::Assigned);
    let start = figures::now();
    for operation in 0..tasks / TASKS {
        let config = cluster::config("jmh", &format!("{name}-{operation}"), task());
        world.command(&create(config, TASKS));
        // An attempt waits a millisecond for others to join, and so does the next portion.
        for _ in 0..TASKS.div_ceil(PORTION as u64) {
            world.pass(Duration::from_millis(1));
            world.engine.handle_timeout(world.now);
        }
        world.turn();
    }
    world.pass(Duration::from_millis(5));
    world.settle();
    let took = start.elapsed().as_secs_f64();
    let placed = world.engine.tables().count(ScheduleStatus::Assigned) - before;
    assert_eq!(
        placed,
        i64::try_from(tasks / TASKS * TASKS).unwrap(),
        "not all were placed"
    );
    tasks as f64 / took
}

/// FillCluster in memory.
pub fn in_memory(report: &mut Report) {
    let hosts = hosts();
    let mut world = prefilled(hosts);
    let portion = (hosts / 10).min(20_000);
    let mut rates: Vec<f64> = (0..7)
        .map(|round| fill(&mut world, portion, &format!("fill-{round}")))
        .collect();
    report.figure(
        "fill_cluster_200k_hosts_tasks_per_s",
        figures::median(&mut rates),
        "tasks/s",
    );
}

/// FillCluster with 100,000 tasks of 1,000 jobs that no machine can take, and without, in turns.
pub fn crowd(report: &mut Report) {
    let hosts = hosts().min(50_000);
    let mut without = prefilled(hosts);
    let mut with = prefilled(hosts);
    for number in 0..1_000 {
        let needs = cluster::amount(32_000, 1_024, 1_024);
        let config = cluster::config("jmh", &format!("crowd-{number}"), needs);
        with.command(&create(config, 100));
        with.turn();
    }
    // Each group has looked at every machine once.
    for _ in 0..100 {
        with.pass(Duration::from_millis(100));
        with.settle();
    }
    let waiting = with.engine.tables().count(ScheduleStatus::Pending);
    assert_eq!(waiting, 100_000, "not all of the crowd wait");
    let portion = (hosts / 20).min(10_000);
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for round in 0..7 {
        fast.push(fill(&mut without, portion, &format!("fill-{round}")));
        slow.push(fill(&mut with, portion, &format!("fill-{round}")));
    }
    let (fast, slow) = (figures::median(&mut fast), figures::median(&mut slow));
    let cost = (1.0 - slow / fast) * 100.0;
    report.figure("unschedulable_100k_cost_percent", cost, "%");
}

/// FillCluster by the API's bytes, into a log that syncs, with many callers at once.
pub fn committed(report: &mut Report) {
    let hosts = hosts();
    let dir = Place::new("placement");
    let options = EngineOptions {
        max_tasks_per_attempt: PORTION,
        max_attempts_per_sec: 1_000_000_000,
        ..EngineOptions::default()
    };
    let offers = (0..hosts).map(|n| cluster::offer(n, host())).collect();
    let live = Arc::new(Live::new(&dir.0.join("db"), options, offers, false));
    let portion = (hosts / 10).min(20_000);
    let mut rates: Vec<f64> = (0..5)
        .map(|round| fill_live(&live, portion, round))
        .collect();
    let name = "fill_cluster_200k_hosts_committed_tasks_per_s";
    report.figure(name, figures::median(&mut rates), "tasks/s");
    let held = crate::live::rss_mb();
    report.figure("fill_cluster_committed_rss_mb", held, "MB");
    let probe = crate::live::probe_ms(&dir.0);
    report.figure("fill_cluster_fdatasync_probe_p50_ms", probe, "ms");
    Arc::into_inner(live).unwrap().stop();
}

fn fill_live(live: &Arc<Live>, tasks: u64, round: u64) -> f64 {
    const CALLERS: usize = 256;
    let before = live.handle.tables().count(ScheduleStatus::Assigned);
    let start = figures::now();
    rt::block_on(async {
        let mut asked = VecDeque::new();
        for operation in 0..tasks / TASKS {
            let config = cluster::config("jmh", &format!("fill-{round}-{operation}"), task());
            let live = Arc::clone(live);
            let calling = async move { create_live(&live, config).await };
            asked.push_back(rt::spawn("caller", calling));
            if asked.len() >= CALLERS
                && let Some(first) = asked.pop_front()
            {
                first.join().await;
            }
        }
        for caller in asked {
            caller.join().await;
        }
    });
    let wanted = before + i64::try_from(tasks / TASKS * TASKS).unwrap();
    live.wait_until(|live| live.handle.tables().count(ScheduleStatus::Assigned) >= wanted);
    tasks as f64 / start.elapsed().as_secs_f64()
}

async fn create_live(live: &Live, mut config: aurora::model::TaskConfig) {
    config.executor = Some(aurora::model::ExecutorConfig {
        name: Some("AuroraExecutor".to_owned()),
        data: Some("{}".to_owned()),
    });
    let job = JobConfiguration {
        key: config.job.clone(),
        owner: None,
        cron_schedule: None,
        cron_collision_policy: Default::default(),
        task: Arc::new(config),
        instance_count: u32::try_from(TASKS).unwrap(),
    };
    let args = CreateJob {
        description: Some(job_configuration_to_wire(&job)),
    };
    call(&live.api, Request::CreateJob(Box::new(args))).await;
}
