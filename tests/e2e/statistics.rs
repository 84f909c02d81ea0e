//! What operators watch: the names that the monitoring guide explains, right under our own agents, and
//! `/metrics` by the rules of its format.

use crate::world::{AURORA, World, text, wait};
use crate::{job, names};
use serde_json::{Value, json};
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
        Err(error) => println!("skipped: promtool on /metrics: {error}"),
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

/// The names of a list, with what they stand for.
fn listed(list: &str) -> Vec<String> {
    let role = job::key("x").role.unwrap();
    let mut text = list.replace("{role}", &role);
    for name in ["broken", "paid", "watched"] {
        text = text.replace(&format!("{{{name}}}"), &format!("{role}/devel/{name}"));
    }
    let mut names = Vec::new();
    for name in text.split_whitespace() {
        match name.strip_suffix('*') {
            None => names.push(name.to_owned()),
            Some(timed) => {
                names.extend(["events", "nanos_total"].map(|part| format!("{timed}_{part}")));
            }
        }
    }
    names
}

/// A call in plain JSON that must go well; gives its result.
fn beta(world: &World, method: &str, args: &Value) -> Value {
    let body = serde_json::to_vec(args).unwrap();
    let (status, body) = world
        .post(&format!("/apibeta/{method}"), &[], &body)
        .unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let good = status == 200 && answer["responseCode"] == "OK";
    assert!(good, "{method}: {answer}");
    answer["result"].clone()
}

/// A job as plain JSON, changed.
fn described(name: &str, instances: i32, line: &str, change: impl FnOnce(&mut Value)) -> Value {
    let aurora::thrift::service::Request::CreateJob(call) =
        job::create(name, instances, true, line)
    else {
        panic!("no job");
    };
    let bytes = aurora::thrift::protocol::plain_json::to_bytes(&call.description.unwrap());
    let mut job: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut job);
    json!({ "description": job })
}

const LINE: &str = "exec sleep 1000";

/// Something of everything that is counted.
fn busy(world: &World) {
    let role = job::key("x").role.unwrap();
    let watched =
        serde_json::to_value(json!({"role": role, "environment": "devel", "name": "watched"}))
            .unwrap();
    let of_job = json!({"query": {"jobKeys": [watched]}});
    beta(world, "createJob", &described("watched", 2, LINE, |_| {}));
    beta(
        world,
        "createJob",
        &described("broken", 1, "exit 1", |_| {}),
    );
    let too_large = json!([{"numCpus": 900.0}, {"ramMb": 1}, {"diskMb": 1}]);
    let large = described("large", 1, LINE, |job| {
        job["taskConfig"]["resources"] = too_large
    });
    beta(world, "createJob", &large);
    let quota = json!([{"numCpus": 9.0}, {"ramMb": 4096}, {"diskMb": 4096}]);
    let quota = json!({"ownerRole": role, "quota": {"resources": quota}});
    beta(world, "setQuota", &quota);
    let paid = described("paid", 1, LINE, |job| {
        job["taskConfig"]["tier"] = "preferred".into()
    });
    beta(world, "createJob", &paid);
    wait("tasks to run", || vars(world)["task_store_RUNNING"] >= 3.0);

    let mut config = described("watched", 2, LINE, |_| {})["description"]["taskConfig"].clone();
    config["priority"] = 5.into();
    let settings = json!({"updateGroupSize": 2, "minWaitInInstanceRunningMs": 1});
    let update = json!({"taskConfig": config, "instanceCount": 2, "settings": settings});
    beta(world, "startJobUpdate", &json!({ "request": update }));
    wait("the update", || {
        vars(world)["update_transition_ROLLED_FORWARD"] >= 1.0
    });

    let nightly = described("nightly", 1, LINE, |job| {
        job["cronSchedule"] = "0 0 1 1 *".into();
        job["cronCollisionPolicy"] = "CANCEL_NEW".into();
        job["taskConfig"]["isService"] = false.into();
    });
    beta(world, "scheduleCronJob", &nightly);
    let job = json!({"job": nightly["description"]["key"]});
    beta(world, "startCronJob", &job);
    wait("the cron run", || {
        let query = json!({"query": {"jobKeys": [job["job"]]}});
        let found = beta(world, "getTasksStatus", &query);
        found["scheduleStatusResult"]["tasks"]
            .as_array()
            .is_some_and(|t| !t.is_empty())
    });
    beta(world, "startCronJob", &job);

    let found = beta(world, "getTasksStatus", &of_job);
    let tasks = found["scheduleStatusResult"]["tasks"]
        .as_array()
        .unwrap()
        .clone();
    let running = tasks
        .iter()
        .find(|task| task["status"] == "RUNNING")
        .unwrap();
    let (id, host) = (
        &running["assignedTask"]["taskId"],
        &running["assignedTask"]["slaveHost"],
    );
    for query in [
        json!({"taskIds": [id]}),
        json!({"slaveHosts": [host]}),
        json!({}),
    ] {
        beta(world, "getTasksStatus", &json!({ "query": query }));
    }
    beta(world, "getTasksWithoutConfigs", &of_job);
    beta(
        world,
        "getPendingReason",
        &json!({"query": {"jobName": "large"}}),
    );
    beta(world, "getConfigSummary", &json!({ "job": watched }));
    for method in ["getRoleSummary", "getJobSummary", "getJobs"] {
        beta(world, method, &json!({}));
    }
    beta(
        world,
        "getJobUpdateSummaries",
        &json!({"jobUpdateQuery": {"role": role}}),
    );
    beta(
        world,
        "getJobUpdateDetails",
        &json!({"query": {"role": role}}),
    );
    beta(
        world,
        "forceTaskState",
        &json!({"taskId": id, "status": "LOST"}),
    );
    wait("the lost one to run again", || {
        vars(world)["task_store_RUNNING"] >= 4.0
    });
    let first = json!({"jobKey": watched, "instanceId": 0});
    beta(world, "addInstances", &json!({"key": first, "count": 1}));
    wait("the new one to run", || {
        vars(world)["task_store_RUNNING"] >= 5.0
    });
    beta(
        world,
        "restartShards",
        &json!({"job": watched, "shardIds": [0]}),
    );
    beta(
        world,
        "killTasks",
        &json!({"job": watched, "instances": [2]}),
    );
    wait("the end of the killed one", || {
        vars(world)["task_store_KILLED"] >= 1.0
    });
    beta(
        world,
        "pruneTasks",
        &json!({"query": {"statuses": ["KILLED"]}}),
    );
    beta(
        world,
        "triggerExplicitTaskReconciliation",
        &json!({"settings": {"batchSize": 5}}),
    );
    beta(world, "triggerImplicitTaskReconciliation", &json!({}));
    beta(world, "performBackup", &json!({}));
    beta(world, "snapshot", &json!({}));
    let (_, refused) = world
        .post(
            "/apibeta/createJob",
            &[],
            &serde_json::to_vec(&large).unwrap(),
        )
        .unwrap();
    assert!(String::from_utf8_lossy(&refused).contains("already exists"));
}

/// Out of service and back, and what ends with it.
fn maintained(world: &World) {
    let hosts = json!({"hostNames": ["127.0.0.1"]});
    let policy = json!({"countSlaPolicy": {"count": 0, "durationSecs": 0}});
    let args = json!({"hosts": hosts, "defaultSlaPolicy": policy, "timeoutSecs": 600});
    for method in [
        "startMaintenance",
        "maintenanceStatus",
        "slaDrainHosts",
        "endMaintenance",
        "drainHosts",
    ] {
        let args = if method == "slaDrainHosts" {
            args.clone()
        } else {
            json!({ "hosts": hosts })
        };
        beta(world, method, &args);
    }
    beta(world, "endMaintenance", &json!({ "hosts": hosts }));
}

#[test]
fn every_name_of_upstreams_is_there_moves_or_has_a_reason() {
    let mut world = World::new("names");
    let mut args = world.scheduler_args();
    for flag in [
        "-async_slot_stat_update_interval=1secs",
        "-async_task_stat_update_interval=1secs",
        "-sla_stat_refresh_interval=1secs",
        "-initial_flapping_task_delay=1secs",
        "-max_flapping_task_delay=2secs",
    ] {
        args.push(flag.to_owned());
    }
    let mut scheduler = world.spawn(Path::new(AURORA), "scheduler", &args);
    world.wait_for_leader();
    let before = vars(&world);
    let mut args = world.agent_args();
    args.push("-attributes=rack:a".to_owned());
    world.start_agent_as(args);
    busy(&world);
    let moving = listed(names::MOVING);
    let still = |now: &BTreeMap<String, f64>| -> Vec<String> {
        let value = |all: &BTreeMap<String, f64>, name: &str| all.get(name).copied().unwrap_or(0.0);
        let still = moving
            .iter()
            .filter(|name| value(now, name) <= value(&before, name));
        still.cloned().collect()
    };
    let later = listed(
        "
        thrift_workload_startMaintenance thrift_workload_drainHosts thrift_workload_slaDrainHosts
        thrift_workload_maintenanceStatus thrift_workload_endMaintenance
    ",
    );
    // What the machine's end of service would stop is looked at first.
    let mut left = Vec::new();
    let deadline = crate::world::now() + crate::world::PATIENCE;
    wait("names to move", || {
        left = still(&vars(&world));
        left.retain(|name| !later.contains(name));
        left.is_empty() || crate::world::now() > deadline
    });
    assert!(left.is_empty(), "these do not move: {left:?}");
    maintained(&world);
    wait("the machine's part", || {
        let now = vars(&world);
        later
            .iter()
            .all(|name| now.get(name).is_some_and(|value| *value > 0.0))
    });
    let (_, text) = world.get("/vars").unwrap();
    let there: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let missing = listed(names::STANDING);
    let missing: Vec<&String> = missing
        .iter()
        .filter(|name| !there.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (absent, reason) in names::ABSENT {
        for name in absent.split_whitespace() {
            assert!(!there.contains(name), "{name} is there, although {reason}");
        }
    }
    scheduler.kill().unwrap();
    scheduler.wait().unwrap();
}
