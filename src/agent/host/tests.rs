//! What the tests of this module share.

use super::directory::TaskDirectory;
use crate::executor::checkpoint::{Header, Record};
use crate::executor::paths;
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
