//! Attempts and searches that find nothing.

use crate::cluster::{self, amount};
use crate::figures::{self, Report};
use crate::world::{World, create, task};
use aurora::model::{Constraint, ConstraintKind, ScheduleStatus, TaskConfig};
use std::collections::BTreeSet;
use std::time::Duration;

/// Demands a host that does not exist, as upstream's does.
fn denied(config: &mut TaskConfig) {
    config.constraints.insert(Constraint {
        name: "host".into(),
        kind: ConstraintKind::Value {
            negated: false,
            values: BTreeSet::from(["denied".to_owned()]),
        },
    });
}

fn limited(config: &mut TaskConfig) {
    config.constraints.insert(Constraint {
        name: "host".into(),
        kind: ConstraintKind::Limit(0),
    });
}

fn too_large(config: &mut TaskConfig) {
    config.resources = amount(32_000, 1_024, 1_024);
}

/// A production task of a job of its own.
fn waiting(name: &str, change: impl Fn(&mut TaskConfig)) -> TaskConfig {
    let mut config = cluster::config("jmh", name, task());
    (config.production, config.tier) = (true, Some("preferred".into()));
    change(&mut config);
    config
}

/// Attempts in vain per second, on so many hosts of which so many hold a sibling or a victim.
fn attempts(hosts: u64, siblings: u64, victims: u64, change: impl Fn(&mut TaskConfig)) -> f64 {
    let mut world = World::new(hosts, usize::try_from(hosts).unwrap());
    world.allow();
    world.place(waiting("sibling", |_| {}), siblings);
    world.place(cluster::config("jmh", "victim", task()), victims);
    let placed = world.engine.tables().count(ScheduleStatus::Assigned);
    assert_eq!(
        placed,
        i64::try_from(siblings + victims).unwrap(),
        "not filled"
    );
    world.command(&create(waiting("waiting", change), 1));
    world.settle();
    // No preemption takes part.
    let fired = |world: &World| world.counter("schedule_attempts_fired");
    let first = fired(&world);
    let mut attempts = 0.0;
    let rate = crate::rate(2.0, || {
        let start = figures::now();
        world.pass(Duration::from_millis(61_000));
        world.now.mono = world.now.mono + Duration::from_millis(1);
        let other = start.elapsed().as_secs_f64();
        world.engine.handle_timeout(world.now);
        attempts += 1.0;
        other
    });
    let done = (fired(&world) - first) as f64;
    assert!(
        done >= attempts * 0.9,
        "{done} attempts in {attempts} turns"
    );
    rate
}

/// The four workloads whose attempts fail.
pub fn in_vain(report: &mut Report) {
    let resources = attempts(1_000, 250, 250, too_large);
    report.figure(
        "attempts_insufficient_resources_per_s",
        resources,
        "attempts/s",
    );
    let value = attempts(1_000, 250, 250, denied);
    report.figure("attempts_value_mismatch_per_s", value, "attempts/s");
    let limit = attempts(1_000, 250, 250, limited);
    report.figure("attempts_limit_mismatch_per_s", limit, "attempts/s");
    let full = attempts(10_000, 1_000, 9_000, limited);
    report.figure("attempts_full_10k_hosts_per_s", full, "attempts/s");
}

/// The median time of a search for jobs that `change` makes hopeless, in milliseconds. Each waiting task is
/// of a job of its own, so that nothing is known from another one's search.
fn search(hosts: u64, jobs: u64, change: impl Fn(&mut TaskConfig)) -> f64 {
    let mut world = World::new(hosts, usize::try_from(hosts).unwrap());
    world.allow();
    world.place(cluster::config("jmh", "victims", task()), hosts);
    let tables = world.engine.tables();
    assert_eq!(tables.loaded_agents().count() as u64, hosts, "not full");
    for number in 0..jobs {
        world.command(&create(waiting(&format!("waiting-{number}"), &change), 1));
        world.turn();
    }
    world.pass(Duration::from_secs(999));
    world.settle();
    world.pass(Duration::from_secs(2));
    let searches = |world: &World| world.counter("preemptor_slot_search_attempts_for_prod");
    let (mut times, mut done) = (Vec::new(), 0);
    for _ in 0..10_000 {
        let start = figures::now();
        world.engine.handle_timeout(world.now);
        let took = start.elapsed().as_secs_f64() * 1_000.0;
        let now = searches(&world);
        // The first builds the index.
        if now > done && (done > 0 || jobs == 1) {
            times.push(took / (now - done) as f64);
        }
        done = now;
        if done >= i64::try_from(jobs).unwrap() {
            break;
        }
        world.settle();
        world.pass(Duration::from_millis(20));
    }
    figures::median(&mut times)
}

/// The slot search.
pub fn preemption(report: &mut Report) {
    let hosts = 10_000;
    for jobs in [10, 1_000] {
        let time = search(hosts, jobs, denied);
        report.figure(
            &format!("preemption_search_10k_hosts_{jobs}_jobs_ms"),
            time,
            "ms",
        );
    }
    let time = search(hosts, 100, denied);
    report.figure("preemption_search_10k_hosts_ms", time, "ms");
    let large = search(hosts, 100, too_large);
    report.figure("preemption_search_10k_hosts_too_large_ms", large, "ms");
    let limit = search(hosts, 100, limited);
    report.figure("preemption_search_10k_hosts_limit_ms", limit, "ms");
}
