//! The ensemble of real schedulers is changed as `packaging/README.md` says, under load: it grows from one to
//! seven, a dead member is replaced, it shrinks, and at last its quorum is gone for good. Nothing acknowledged
//! is lost, and no task notices.

use crate::chaos::{Job, Stopping, judge_the_end, load, repeat_everything};
use crate::ensemble::{Ensemble, begin};
use crate::world::{free_ports, text, wait};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::AtomicBool;

/// Seven, and one that replaces another.
const MACHINES: usize = 8;

/// The command of a running ensemble, asked at `at`.
fn tool(ensemble: &Ensemble, at: usize, command: &[&str]) -> Output {
    let peer = format!("--peer={}", ensemble.address(at));
    let key = format!("--key={}", ensemble.world.path("replica.key").display());
    let args = [command, &[peer.as_str(), key.as_str()]].concat();
    ensemble.world.log_tool(&args)
}

/// Has a change made, and gives what is said of it.
fn change(ensemble: &Ensemble, at: usize, command: &[&str]) -> String {
    let out = tool(ensemble, at, command);
    assert!(out.status.success(), "{command:?}: {}", text(&out));
    text(&out)
}

/// Starts one that has these flags.
fn start(ensemble: &mut Ensemble, index: usize, named: &[usize], quorum: u32) {
    ensemble.members[index].named = named.to_vec();
    ensemble.members[index].quorum = quorum;
    ensemble.start(index);
}

fn stop(ensemble: &mut Ensemble, index: usize) {
    ensemble.signal(index, Signal::SIGTERM);
    assert_eq!(ensemble.join(index), 0);
}

/// All that are members vote.
fn wait_for(ensemble: &Ensemble, size: usize) {
    let what = format!("{size} members that vote");
    wait(&what, || ensemble.votes(size));
}

fn add(ensemble: &mut Ensemble, index: usize) {
    let named: Vec<usize> = (0..=index).collect();
    start(ensemble, index, &named, named.len() as u32 / 2 + 1);
    let member = format!("--member={}", ensemble.address(index));
    let said = change(ensemble, 0, &["add-member", &member]);
    assert!(said.contains(&ensemble.address(index)), "{said}");
}

/// From one to seven and back to three, while jobs are created and killed.
fn change_everything(ensemble: &mut Ensemble) {
    // Upstream's way: the quorum size first, on the one there is; then the new ones, initialised or not.
    stop(ensemble, 0);
    start(ensemble, 0, &[0, 1, 2], 2);
    ensemble.initialize(1);
    for index in [1, 2] {
        start(ensemble, index, &[0, 1, 2], 2);
    }
    wait_for(ensemble, 3);
    // By command: those have empty disks.
    for index in 3..7 {
        add(ensemble, index);
    }
    wait_for(ensemble, 7);
    // The leader is gone for good, and another takes its place.
    let dead = ensemble.wait_for_leader();
    let left: Vec<usize> = (0..7).filter(|index| *index != dead).collect();
    ensemble.kill(dead);
    let flags = [left.as_slice(), &[7]].concat();
    start(ensemble, 7, &flags, 4);
    let (old, new) = (
        format!("--member={}", ensemble.address(dead)),
        format!("--with={}", ensemble.address(7)),
    );
    let said = change(ensemble, left[0], &["replace-member", &old, &new]);
    assert!(said.contains(&ensemble.address(7)), "{said}");
    wait_for(ensemble, 7);
    // Down to three, the leader among those that go.
    for _ in 0..4 {
        let gone = ensemble.wait_for_leader();
        let member = format!("--member={}", ensemble.address(gone));
        let said = change(ensemble, gone, &["remove-member", &member]);
        assert!(!said.contains(&ensemble.address(gone)), "{said}");
        assert!(!said.contains("nothing to change"), "{said}");
        stop(ensemble, gone);
    }
    wait_for(ensemble, 3);
}

/// Two of three disks are lost; the third goes on, by the operator's word, and grows again.
fn lose_the_quorum(ensemble: &mut Ensemble) {
    let left: Vec<usize> = (0..MACHINES)
        .filter(|index| ensemble.members[*index].child.is_some())
        .collect();
    let [kept, lost, other] = left[..] else {
        panic!("three run: {left:?}");
    };
    for index in [lost, other] {
        ensemble.kill(index);
        fs::remove_dir_all(ensemble.disk(index)).unwrap();
    }
    stop(ensemble, kept);
    let path = format!("--path={}", ensemble.disk(kept).display());
    let asked = ensemble.world.log_tool(&["force-new-ensemble", &path]);
    let said = text(&asked);
    assert!(!asked.status.success(), "{said}");
    let loss = said
        .split_whitespace()
        .find(|word| word.starts_with("--accept-loss="));
    let command = ["force-new-ensemble", &path, loss.unwrap()];
    let forced = ensemble.world.log_tool(&command);
    assert!(forced.status.success(), "{}", text(&forced));
    start(ensemble, kept, &[kept, lost, other], 2);
    ensemble.wait_for_leader();
    for index in [lost, other] {
        start(ensemble, index, &[kept, lost, other], 2);
        let member = format!("--member={}", ensemble.address(index));
        change(ensemble, kept, &["add-member", &member]);
    }
    wait_for(ensemble, 3);
}

/// Does something while jobs are created and killed, and gives those.
fn under_load(ensemble: &mut Ensemble, judge: &Path, act: impl FnOnce(&mut Ensemble)) -> Vec<Job> {
    let stop = AtomicBool::new(false);
    let view = ensemble.world.view();
    std::thread::scope(|scope| {
        let (view, stop) = (&view, &stop);
        let stopping = Stopping(stop);
        let loader = scope.spawn(move || load(view, judge, 0, stop));
        act(ensemble);
        drop(stopping);
        loader.join().unwrap()
    })
}

#[test]
fn an_ensemble_grows_is_mended_shrinks_and_survives_the_loss_of_its_quorum() {
    let ports = free_ports::<{ 2 * MACHINES }>();
    let mut ensemble = Ensemble::of("membership", &ports);
    let judge = ensemble.world.path("judge");
    ensemble.initialize(0);
    start(&mut ensemble, 0, &[], 1);
    ensemble.start_agent();
    ensemble.wait_for_leader();
    let before = begin(&ensemble, &judge);

    let jobs = under_load(&mut ensemble, &judge, change_everything);
    println!("{} jobs", jobs.len() + 1);
    ensemble.wait_for_leader();
    judge_the_end(&ensemble.world, &judge, &jobs, &before);

    lose_the_quorum(&mut ensemble);
    repeat_everything(&ensemble.world, &jobs);
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
}
