//! What operators watch: the names that the monitoring guide explains, right under our own agents, and
//! `/metrics` by the rules of its format.

use crate::job;
use crate::world::{AURORA, World, text, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every variable by name; texts are left out.
fn vars(world: &World) -> BTreeMap<String, f64> {
    let (_, text) = world.get("/vars").unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// What the guide tells operators to alert on, and what dashboards show.
const GUIDE: &[&str] = &[
    "framework_registered",
    "http_500_responses_events",
    "jvm_uptime_secs",
    "process_cpu_cores_utilized",
    "scheduler_log_native_append_events",
    "scheduler_log_native_append_nanos_total",
    "scheduler_resource_offers",
    "system_load_avg",
    "task_store_LOST",
    "timed_out_tasks",
];

/// Others of upstream's that are there from the start, one of each group.
const STANDING: &[&str] = &[
    "cron_job_triggers",
    "cron_jobs_loaded",
    "empty_slots_small",
    "mem_storage_update_size",
    "offers_rescinded",
    "outstanding_offers",
    "preemptor_slot_search_attempts_for_prod",
    "process_open_fd_count",
    "quartz_scheduler_running",
    "reconciliation_explicit_runs",
    "reservation_cache_size",
    "resources_total_consumed_cpu_cores",
    "schedule_attempts_fired",
    "scheduled_task_penalty_ms_total",
    "scheduler_illegal_task_state_transitions",
    "scheduler_lifecycle_ACTIVE",
    "scheduler_log_entries_written",
    "scheduler_log_native_append_failures",
    "scheduler_log_native_append_nanos_per_event",
    "scheduler_log_un_snapshotted_transactions",
    "scheduling_veto_static",
    "sla_coordinator_attempts",
    "task_kill_retries",
    "task_store_PENDING",
    "tasks_pruned",
    "timeout_queue_size",
    "update_affinity_cache_size",
    "update_instance_transition_INSTANCE_UPDATED",
    "update_transition_ROLLED_FORWARD",
    "veto_evaluated_offers",
];

#[test]
fn what_the_monitoring_guide_explains_is_there_and_right() {
    let mut world = World::new("statistics");
    world.start_scheduler();
    world.wait_for_leader();
    let alone = vars(&world);
    world.start_agent();
    wait("the agent to offer itself", || {
        vars(&world)["scheduler_resource_offers"] > alone["scheduler_resource_offers"]
    });
    let appended = alone["scheduler_log_native_append_events"];
    let outcome = job::call(
        &world,
        &job::create("watched", 2, true, "exec sleep 1000"),
        None,
    );
    assert!(matches!(outcome, job::Outcome::Answered(ref r) if job::is_ok(r)));
    wait("the tasks to run", || {
        vars(&world)["task_store_RUNNING"] == 2.0
    });
    let first = vars(&world);
    // A healthy scheduler's offers rise although no machine comes or goes.
    wait("offers, uptime and consumption to go on", || {
        let now = vars(&world);
        now["scheduler_resource_offers"] > first["scheduler_resource_offers"]
            && now["jvm_uptime_secs"] > first["jvm_uptime_secs"]
            && now.contains_key("resources_total_consumed_cpu_cores")
            && now.contains_key("empty_slots_small")
    });
    let now = vars(&world);
    for name in GUIDE.iter().chain(STANDING) {
        assert!(now.contains_key(*name), "{name} is missing");
    }
    assert_eq!(now["framework_registered"], 1.0);
    assert_eq!(now["scheduler_lifecycle_ACTIVE"], 1.0);
    assert_eq!(now["task_store_LOST"], 0.0);
    assert_eq!(now["timed_out_tasks"], 0.0);
    assert_eq!(now["http_500_responses_events"], 0.0);
    assert!(now["scheduler_log_native_append_events"] > appended);
    let events = now["scheduler_log_native_append_events"];
    let nanos = now["scheduler_log_native_append_nanos_total"];
    assert!(nanos / events > 1_000.0, "{nanos} ns for {events} writes");
    check_metrics(&world);
}

/// The rules of the text format, as far as its checker knows them.
fn check_metrics(world: &World) {
    let (status, metrics) = world.get("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(metrics.ends_with('\n'));
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut samples = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "untyped"].contains(&kind), "{line}");
            assert!(told.insert(name, kind).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(series), "{line}: twice");
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(good) && !name.contains("__"), "{line}");
            assert!(helped.contains(name), "{line}: without help");
            let kind = told
                .get(name)
                .unwrap_or_else(|| panic!("{line}: without a type"));
            assert_eq!(
                *kind == "counter",
                name.ends_with("_total"),
                "{line}: {kind}"
            );
        }
    }
    assert!(samples.len() > 100, "{}", samples.len());
    promtool(world, &metrics);
}

/// The checker itself, where it is installed.
fn promtool(world: &World, metrics: &str) {
    let file = world.path("metrics.txt");
    fs::write(&file, metrics).unwrap();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    command.stdin(Stdio::from(fs::File::open(&file).unwrap()));
    match command.output() {
        Ok(output) => {
            let said = text(&output);
            assert!(output.status.success() && said.trim().is_empty(), "{said}");
        }
        Err(error) => println!("promtool is not run: {error}"),
    }
}

#[test]
fn with_a_mesos_master_named_the_scheduler_waits_serves_and_ends_unregistered() {
    let mut world = World::new("unregistered");
    let mut args = world.scheduler_args();
    args.push("-mesos_master_address=127.0.0.1:5050".to_owned());
    args.push("-max_registration_delay=20secs".to_owned());
    let mut child = world.spawn(Path::new(AURORA), "scheduler", &args);
    wait("the scheduler to wait", || {
        let known = world.get("/vars").map(|(_, text)| text);
        known
            .is_some_and(|text| text.contains("scheduler_lifecycle_LEADER_AWAITING_REGISTRATION 1"))
    });
    let now = vars(&world);
    assert_eq!(now["framework_registered"], 0.0);
    // What needs no driver is served.
    let outcome = job::call(&world, &job::create("waits", 1, true, "exec sleep 9"), None);
    assert!(matches!(outcome, job::Outcome::Answered(ref r) if job::is_ok(r)));
    // The embedded driver is off: an agent finds nobody.
    world.start_agent();
    wait("the scheduler to give up", || {
        assert_eq!(vars_or_none(&world, "outstanding_offers"), 0.0);
        child.try_wait().unwrap().is_some()
    });
    assert!(!child.wait().unwrap().success());
    let log = world.scheduler_log();
    let told = "Framework has not been registered within the tolerated delay.";
    assert!(log.contains(told), "{log}");
    assert!(log.contains("-mesos_master_address"), "{log}");
}

fn vars_or_none(world: &World, name: &str) -> f64 {
    let text = world.get("/vars").map(|(_, text)| text);
    let text = text.unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(known, _)| *known == name);
    found.map_or(0.0, |(_, value)| value.parse().unwrap())
}
