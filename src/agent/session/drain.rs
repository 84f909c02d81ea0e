//! Whether this machine takes new tasks. Told by whoever looks after it; remembered in the work directory.

use async_channel::{Receiver, Sender};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// There as long as the machine drains: a restart does not fill it again.
const FILE: &str = "draining";

/// A switch: while it is on, the machine offers nothing. What runs, runs on. All clones are one.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_on: AtomicBool,
    file: Mutex<Option<PathBuf>>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

impl Default for Drain {
    fn default() -> Self {
        let (wake, woken) = async_channel::bounded(1);
        Self(Arc::new(Inner {
            is_on: AtomicBool::new(false),
            file: Mutex::new(None),
            wake,
            woken,
        }))
    }
}

impl Drain {
    /// Takes up what an earlier agent remembered in `work_dir`; from now on changes are remembered there.
    pub(in crate::agent) fn open(&self, work_dir: &Path) {
        let file = work_dir.join(FILE);
        if file.exists() {
            self.0.is_on.store(true, Ordering::Release);
        }
        *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// Whether the machine offers nothing.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Acquire)
    }

    /// Turns it on or off. It takes effect even if it cannot be remembered.
    ///
    /// # Errors
    ///
    /// The mark cannot be written or removed.
    pub fn set(&self, on: bool) -> io::Result<()> {
        self.0.is_on.store(on, Ordering::Release);
        // A full channel wakes too.
        self.0.wake.try_send(()).unwrap_or_default();
        let file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.as_ref() {
            None => Ok(()),
            Some(file) if on => fs::write(file, ""),
            Some(file) => match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }

    /// Ends when it differs from `told`.
    pub(super) async fn differs_from(&self, told: bool) {
        while self.is_on() == told {
            if self.0.woken.recv().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::rt;

    #[test]
    fn it_is_remembered_and_wakes_whoever_waits() {
        let dir = std::env::temp_dir().join(format!("aurora-drain-{}", Rng::from_os().uuid()));
        fs::create_dir(&dir).unwrap();
        let drain = Drain::default();
        drain.open(&dir);
        drain.set(true).unwrap();
        rt::block_on(drain.differs_from(false));
        let next = Drain::default();
        next.open(&dir);
        assert!(next.is_on());
        next.set(false).unwrap();
        next.set(false).unwrap();
        let last = Drain::default();
        last.open(&dir);
        assert!(!last.is_on());
        fs::remove_dir_all(dir).unwrap();
    }
}
