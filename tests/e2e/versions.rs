//! Two versions of the program in one ensemble: nothing newer is written than all members read; one that cannot
//! read what was written keeps the log alive, and neither applies it nor leads.

use crate::chaos::insist;
use crate::ensemble::{Ensemble, page, status};
use crate::job::{create, id_of, tasks};
use crate::world::{AURORA, World, text, wait};
use aurora::thrift::api::ScheduleStatus;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the program that calls itself by another version and feature level, as `packaging/build` makes
/// them.
fn stamped(directory: &Path, version: &str, level: u32) -> PathBuf {
    let mut bytes = fs::read(AURORA).unwrap();
    let mark = b"aurora's stamp: ";
    let places: Vec<usize> = bytes
        .windows(mark.len())
        .enumerate()
        .filter(|(_, it)| it == mark)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1, "the stamp is in one place");
    let stamp = format!("{version:<32}{level:03}");
    let at = places[0] + mark.len();
    bytes[at..at + stamp.len()].copy_from_slice(stamp.as_bytes());
    let program = directory.join(format!("aurora-{version}"));
    fs::write(&program, bytes).unwrap();
    let mode = fs::metadata(AURORA).unwrap().permissions();
    fs::set_permissions(&program, mode).unwrap();
    program
}

fn level(ensemble: &Ensemble, index: usize) -> Option<u32> {
    let peer = format!("--peer=127.0.0.1:{}", ensemble.peer(index));
    let key = format!("--key={}", ensemble.world.path("replica.key").display());
    let out = ensemble.world.log_tool(&["status", &peer, &key, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text(&out)).ok()?;
    report.get("feature_level")?.as_u64()?.try_into().ok()
}

fn running(world: &World) -> Vec<String> {
    let mut running = Vec::new();
    for task in tasks(world).unwrap_or_default() {
        if task.status == Some(ScheduleStatus::Running) {
            running.push(id_of(&task));
        }
    }
    running.sort();
    running
}

/// Runs one more job; gives all tasks that run then, those of before among them.
fn run(ensemble: &Ensemble, name: &str, before: &[String]) -> Vec<String> {
    insist(
        &ensemble.world,
        &create(name, 1, true, "sleep 100000"),
        name,
    );
    let mut now = Vec::new();
    wait("the job to run", || {
        now = running(&ensemble.world);
        now.len() == before.len() + 1
    });
    let goes_on = |task: &String| now.contains(task);
    assert!(before.iter().all(goes_on), "a task was restarted");
    now
}

fn is_outdated(ensemble: &Ensemble, index: usize) -> bool {
    let body = page(ensemble.members[index].http, "/readyz?verbose");
    body.is_some_and(|body| body.contains("replica OUTDATED"))
}

fn replace(ensemble: &mut Ensemble, index: usize, program: &Path) {
    ensemble.kill(index);
    ensemble.members[index].program = program.to_owned();
    ensemble.start(index);
}

#[test]
fn an_ensemble_is_upgraded_member_by_member_and_an_old_version_holds_nobody_up() {
    let mut ensemble = Ensemble::new("versions");
    let old = stamped(&ensemble.world.dir, "0.1.0", 1);
    let new = stamped(&ensemble.world.dir, "0.2.0-rc1", 2);
    let said = Command::new(&new)
        .args(["scheduler", "--version"])
        .output()
        .unwrap();
    assert_eq!(text(&said).trim(), "aurora-scheduler 0.2.0-rc1");
    ensemble.flags = vec!["-feature_level_delay=0secs".to_owned()];
    for (index, program) in [&new, &new, &old].into_iter().enumerate() {
        ensemble.members[index].program.clone_from(program);
    }

    // One that waits for the others is healthy.
    ensemble.start(0);
    let alone = ensemble.members[0].http;
    wait("the first to be up", || {
        status(alone, "/leaderhealth") == Some(502)
    });
    assert_eq!(status(alone, "/health"), Some(200));
    ensemble.start(1);
    ensemble.start(2);
    ensemble.start_agent();
    let leader = ensemble.wait_for_leader();
    wait("all to vote", || ensemble.all_vote());
    let tasks_run = run(&ensemble, "first", &[]);
    assert_eq!(
        level(&ensemble, leader),
        Some(1),
        "one member reads no more"
    );

    // All read it: it is written.
    replace(&mut ensemble, 2, &new);
    wait("the level to rise", || level(&ensemble, 0) == Some(2));
    ensemble.wait_for_leader();
    let mut tasks_run = run(&ensemble, "second", &tasks_run);

    // The old version again: it cannot read what has been written, and is well.
    replace(&mut ensemble, 2, &old);
    wait("the old version to see it", || is_outdated(&ensemble, 2));
    let http = ensemble.members[2].http;
    assert_eq!(status(http, "/health"), Some(200));
    assert_ne!(status(http, "/leaderhealth"), Some(200));
    // It makes a quorum with either of the others, and only those lead.
    for index in [0, 1] {
        ensemble.kill(1 - index);
        wait("the new version to lead", || {
            status(ensemble.members[index].http, "/leaderhealth") == Some(200)
        });
        tasks_run = run(&ensemble, &format!("with{index}"), &tasks_run);
        ensemble.start(1 - index);
        wait("a new version to vote again", || {
            let body = page(ensemble.members[1 - index].http, "/readyz?verbose");
            body.is_some_and(|body| body.contains("replica VOTING"))
        });
    }
    assert!(is_outdated(&ensemble, 2));

    // Upgraded again, it applies all of it, and may lead.
    replace(&mut ensemble, 2, &new);
    wait("all to vote", || ensemble.all_vote());
    wait("the same tasks to run", || {
        running(&ensemble.world) == tasks_run
    });
}
