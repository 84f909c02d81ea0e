//! Real groups, where this machine has them and lets us.

use super::{Allowance, Cgroups};
use crate::supervise::limits::MB;
use std::fs;
use std::io::Write;

/// A parent of its own, or the reason why there is none.
fn open(test: &str) -> Option<Cgroups> {
    let id = crate::base::rng::Rng::from_os().next_u64();
    match Cgroups::open("aurora-test", &format!("{id:x}")) {
        Ok(groups) => Some(groups),
        Err(why) => {
            // Not by a macro, whose output the test runner keeps to itself.
            let line = format!("skipped: {test}: {why}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}

fn allowance() -> Allowance {
    Allowance {
        is_revocable: false,
        cpus_milli: 500,
        is_cpu_capped: true,
        memory: 32 * MB,
        pids: 10,
    }
}

#[test]
fn a_group_is_made_with_its_limits_and_removed_with_what_is_in_it() {
    let Some(groups) = open("a_group_is_made_with_its_limits_and_removed_with_what_is_in_it")
    else {
        return;
    };
    let group = groups.task("one");
    assert!(!group.exists());
    group.create(&allowance()).unwrap();
    group.create(&allowance()).unwrap();
    assert!(group.exists());
    let memory = group.memory().unwrap();
    let limit = fs::read_to_string(memory.join("memory.limit_in_bytes"))
        .or_else(|_| fs::read_to_string(memory.join("memory.max")));
    assert_eq!(limit.unwrap().trim(), (32 * MB).to_string());
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    for door in group.doors() {
        let mut door = fs::OpenOptions::new().write(true).open(door).unwrap();
        door.write_all(child.id().to_string().as_bytes()).unwrap();
    }
    let pid = i32::try_from(child.id()).unwrap();
    assert!(group.processes().contains(&pid));
    let names: Vec<_> = groups
        .leftovers()
        .iter()
        .map(|it| it.name().map(str::to_owned))
        .collect();
    assert_eq!(names, [Some("t-one".to_owned())]);
    // The child is reaped beside, as an executor's children are by whoever adopts them.
    let reaper = std::thread::spawn(move || child.wait().unwrap());
    assert_eq!(group.kill(1_000).unwrap(), 1);
    assert!(!reaper.join().unwrap().success());
    assert!(!group.exists());
    groups.remove_if_empty();
}

#[test]
fn names_of_any_length_are_taken() {
    let Some(groups) = open("names_of_any_length_are_taken") else {
        return;
    };
    let long = format!("{}-{}", "a".repeat(300), "end");
    for name in ["memory.max", "cgroup.procs", &long] {
        let group = groups.task(name);
        group.create(&allowance()).unwrap();
        assert!(group.exists());
        group.remove().unwrap();
    }
    groups.remove_if_empty();
}

#[test]
fn a_group_whose_limit_is_refused_is_not_used_and_not_left() {
    let Some(groups) = open("a_group_whose_limit_is_refused_is_not_used_and_not_left") else {
        return;
    };
    let group = groups.task("refused");
    // No kernel counts so many.
    let absurd = Allowance {
        pids: u32::MAX,
        ..allowance()
    };
    if groups.describe().contains("pids") {
        let refused = group.create(&absurd).unwrap_err().to_string();
        assert!(refused.contains("pids.max"), "{refused}");
        assert!(!group.exists());
    }
    groups.remove_if_empty();
}
