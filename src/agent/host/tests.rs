//! What the tests of this module share.

use std::fs;
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
