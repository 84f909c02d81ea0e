//! Backups and restoring, with the commands of the seed's procedure and with the one that does it all.

use crate::ensemble::Ensemble;
use crate::job::{self, Outcome, create, id_of, job_of, status_of};
use crate::world::{World, text, wait};
use aurora::thrift::api::ScheduleStatus;
use aurora::thrift::service::Request;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn admin(world: &World, line: &str) -> String {
    let mut args = vec!["admin"];
    args.extend(line.split_whitespace());
    let output = world.client(&args);
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

fn make(world: &World, request: &Request) {
    wait("an answer", || match job::call(world, request, None) {
        Outcome::Answered(response) if job::is_transient(&response) => false,
        Outcome::Answered(response) => {
            assert!(job::is_ok(&response), "{response:?}");
            true
        }
        Outcome::Unknown => false,
    });
}

/// A service whose every start leaves a line in a file, with its process behind it.
fn service(world: &World, name: &str, instances: i32) -> Request {
    let starts = world.path(&format!("{name}.starts"));
    let line = format!("echo $$ >> {}; exec sleep 1000", starts.display());
    create(name, instances, true, &line)
}

/// The processes that were ever started for a job.
fn starts(world: &World, name: &str) -> Vec<u32> {
    let lines = fs::read_to_string(world.path(&format!("{name}.starts"))).unwrap_or_default();
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn running(world: &World, name: &str) -> BTreeSet<String> {
    let tasks = job::tasks(world).unwrap_or_default();
    let of = tasks
        .iter()
        .filter(|it| job_of(it) == name && status_of(it) == ScheduleStatus::Running);
    of.map(id_of).collect()
}

fn wait_for(world: &World, name: &str, count: usize) -> BTreeSet<String> {
    wait("the tasks to run", || running(world, name).len() == count);
    wait("the processes", || starts(world, name).len() == count);
    running(world, name)
}

fn newest_backup(listed: &str) -> String {
    let mut names = listed
        .lines()
        .filter(|it| it.starts_with("scheduler-backup-"));
    names.next_back().expect(listed).to_owned()
}

#[test]
fn three_schedulers_that_lost_their_disks_are_restored_by_one_command() {
    let mut ensemble = Ensemble::new("drill");
    ensemble.start_all();
    ensemble.wait_for_leader();
    let doors: Vec<String> = ensemble
        .world
        .doors
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"))
        .collect();
    let clusters = format!(
        r#"[{{"name": "local", "scheduler_uri": "{}"}}]"#,
        doors.join(",")
    );
    fs::write(ensemble.world.path("clusters.json"), clusters).unwrap();
    make(&ensemble.world, &service(&ensemble.world, "kept", 3));
    let kept = wait_for(&ensemble.world, "kept", 3);
    admin(&ensemble.world, "scheduler_backup_now local");
    let backup = newest_backup(&admin(&ensemble.world, "scheduler_list_backups local"));
    make(&ensemble.world, &service(&ensemble.world, "later", 1));
    let later = wait_for(&ensemble.world, "later", 1);
    for index in 0..3 {
        ensemble.kill(index);
    }
    for index in 0..3 {
        fs::remove_dir_all(ensemble.disk(index)).unwrap();
        ensemble.initialize(index);
        ensemble.start(index);
    }
    let leader = ensemble.wait_for_leader();
    let log = ensemble.world.path(&format!("scheduler{leader}.log"));
    wait("the tasks to be held", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("4 tasks run that this log")
    });
    let said = admin(
        &ensemble.world,
        &format!("scheduler_restore local {backup} --yes"),
    );
    assert!(said.contains("has 3 active task(s)"), "{said}");
    assert!(said.contains("1 running task(s) are not in"), "{said}");
    assert!(said.contains(later.first().unwrap().as_str()), "{said}");
    assert_eq!(ensemble.join(leader), 0);
    // As a supervisor does.
    ensemble.start(leader);
    ensemble.wait_for_leader();
    wait("what the backup does not know to end", || {
        let pids = starts(&ensemble.world, "later");
        pids.iter().all(|pid| !is_alive(*pid))
    });
    assert_eq!(wait_for(&ensemble.world, "kept", 3), kept);
    let pids = starts(&ensemble.world, "kept");
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    let tasks = job::tasks(&ensemble.world).unwrap();
    assert!(tasks.iter().all(|task| job_of(task) == "kept"));
}
