//! What the tests of this module share.

use super::directory::TaskDirectory;
use crate::executor::checkpoint::{Header, Record};
use crate::executor::{os::proc, paths};
use crate::model::TaskState;
use std::fs::{self, File};
use std::path::PathBuf;

/// A directory that is removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let id = crate::base::rng::Rng::from_os().next_u64();
        let path = std::env::temp_dir().join(format!("aurora-host-{name}-{id:x}"));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[test]
fn no_verdict_is_spoken_over_an_executor_that_holds_the_lock_or_has_begun() {
    let scratch = Scratch::new("verdict");
    let directory = TaskDirectory::at(scratch.0.clone());
    let verdict = || directory.store_verdict_unstarted(TaskState::Lost, "gone");
    let is_spoken = || directory.read_verdict().unwrap().is_some();
    let lock = File::create(scratch.0.join(paths::LOCK)).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(verdict().unwrap(), None);
    assert!(!is_spoken());
    lock.unlock().unwrap();
    let header = Record::Header(Header {
        task: "t".to_owned(),
        pid: 1,
        start_ticks: 2,
        boot_id: String::new(),
        at_ms: 3,
    });
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let checkpoint = scratch.0.join(paths::CHECKPOINT);
    fs::write(&checkpoint, &bytes).unwrap();
    assert_eq!(verdict().unwrap(), None);
    assert!(!is_spoken());
    // Half a header was never acted upon.
    fs::write(&checkpoint, &bytes[..bytes.len() - 1]).unwrap();
    assert!(verdict().unwrap().is_some());
    assert!(is_spoken());
}

#[test]
fn an_executor_is_killed_only_if_it_is_the_one_that_wrote_the_header() {
    let scratch = Scratch::new("kill");
    let directory = TaskDirectory::at(scratch.0.clone());
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let header = Header {
        task: "t".to_owned(),
        pid,
        start_ticks: proc::stat(pid).unwrap().start_ticks,
        boot_id: proc::boot_id(),
        at_ms: 3,
    };
    let lock = File::create(scratch.0.join(paths::LOCK)).unwrap();
    // Nobody holds the lock: whoever has the id, it is no executor.
    assert!(!directory.kill_executor(&header).unwrap());
    lock.try_lock().unwrap();
    let later = Header {
        start_ticks: header.start_ticks + 1,
        ..header.clone()
    };
    let before = Header {
        boot_id: "another".to_owned(),
        ..header.clone()
    };
    for other in [later, before] {
        assert!(!directory.kill_executor(&other).unwrap(), "{other:?}");
    }
    let is_alive = child.try_wait().unwrap().is_none();
    let is_killed = directory.kill_executor(&header).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive && is_killed);
}
