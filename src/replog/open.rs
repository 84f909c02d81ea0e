//! Opening a replica: from a path to a handle.

use super::disk::{Disk, DiskError};
use super::error::OpenError;
use super::evidence::{EvidenceFile, EvidenceOpenError};
use super::handle::{LogEvent, LogHandle, ReplicaStatus, Shared};
use super::keyspace::FjallStore;
use super::layout::{self, Holding};
use super::run::{self, Runner};
use super::store::Store;
use crate::base::rng::Rng;
use crate::paxos::Recovered;
use async_channel::Receiver;
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

/// Most commands waiting for the run loop.
const COMMANDS_MAX: usize = 4096;
/// Most events waiting for whoever holds the receiver.
const EVENTS_MAX: usize = 1024;

/// Which replica to open, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The directory given to `initialize`.
    pub path: PathBuf,
    /// `-native_log_quorum_size`.
    pub quorum_size: u32,
    /// How often a replica that is not initialised says so.
    pub empty_notice_interval: Duration,
}

/// Opens the replica in `options.path`; never makes one.
///
/// Blocks while everything is read and checked. A path that does not exist or is empty is no error:
/// the status is `Empty`, and says so once an interval, until the process is started again on a
/// path that has been initialised. Otherwise the events are every kept entry, then `Leading`.
///
/// # Errors
///
/// See [`OpenError`]. What was refused is refused again: the evidence is never changed to fit.
pub fn open(options: LogOptions, rng: Rng) -> Result<(LogHandle, Receiver<LogEvent>), OpenError> {
    let path = options.path.clone();
    match layout::inspect(&path) {
        Ok(Holding::Empty) => Ok(open_empty(&options)),
        Ok(Holding::Foreign(found)) => Err(OpenError::Foreign { path, found }),
        Ok(Holding::NotADirectory) => Err(OpenError::NotADirectory { path }),
        Ok(Holding::Replica) => {
            let (disk, recovered) = open_disk(&path)?;
            check_quorum(options.quorum_size, &recovered)?;
            let parts = run_replica(disk, recovered, rng);
            parts.map_err(|cause| OpenError::Io { path, cause })
        }
        Err(cause) => Err(OpenError::Io { path, cause }),
    }
}

/// Opens and proves the replica in `path`, which holds one.
pub(super) fn open_disk(path: &Path) -> Result<(Disk, Recovered), OpenError> {
    let path_buf = || path.to_path_buf();
    let unproven = |cause: DiskError| OpenError::Unproven {
        path: path_buf(),
        cause,
    };
    let evidence = match EvidenceFile::open(&layout::evidence_path(path)) {
        Ok(evidence) => evidence,
        Err(EvidenceOpenError::InUse) => return Err(OpenError::InUse { path: path_buf() }),
        Err(EvidenceOpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let cause = "the evidence file is missing".to_owned();
            return Err(unproven(DiskError::Unproven(cause)));
        }
        Err(EvidenceOpenError::Io(cause)) => {
            return Err(OpenError::Io {
                path: path_buf(),
                cause,
            });
        }
    };
    // The store is opened only if there is one: what is missing must not be made anew.
    let store_path = layout::store_path(path);
    if !store_path.is_dir() {
        let cause = "the database is missing".to_owned();
        return Err(unproven(DiskError::Unproven(cause)));
    }
    let cause = "the database cannot be read: its library gave up (see the panic above or below)";
    let refusal = unproven(DiskError::Unproven(cause.to_owned()));
    explained(refusal.to_string(), || {
        let store = FjallStore::open(&store_path).map_err(|error| unproven(error.into()))?;
        let store: Arc<dyn Store> = Arc::new(store);
        Disk::open(store, evidence).map_err(unproven)
    })
}

thread_local! {
    /// What to say if this thread panics now.
    static EXPLANATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does `work`; if it panics, says `explanation` first.
///
/// fjall panics on some damaged files. The process ends then, as it must, but the operator has to
/// be told what it means and what to do.
fn explained<T>(explanation: String, work: impl FnOnce() -> T) -> T {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(text) = EXPLANATION.with(|explanation| explanation.take()) {
                // The logger may not live to write it. Without a stream, nobody is there to read.
                writeln!(std::io::stderr(), "{text}").ok();
            }
            previous(info);
        }));
    });
    EXPLANATION.set(Some(explanation));
    let result = work();
    EXPLANATION.set(None);
    result
}

fn check_quorum(given: u32, recovered: &Recovered) -> Result<(), OpenError> {
    let stored = recovered.configuration.quorum;
    let members = recovered.configuration.members.len();
    let largest = u32::try_from(members).unwrap_or(u32::MAX);
    if (stored..=largest).contains(&given) {
        return Ok(());
    }
    Err(OpenError::Quorum {
        given,
        stored,
        members,
    })
}

fn run_replica(
    disk: Disk,
    recovered: Recovered,
    rng: Rng,
) -> std::io::Result<(LogHandle, Receiver<LogEvent>)> {
    let (commands, asked) = async_channel::bounded(COMMANDS_MAX);
    let (events, heard) = async_channel::bounded(EVENTS_MAX);
    let shared = Arc::new(Shared::new(ReplicaStatus::Recovering));
    let handle = LogHandle {
        commands,
        shared: Arc::clone(&shared),
        store: Some(Arc::downgrade(disk.store())),
    };
    let runner = Runner::new(disk, recovered, asked, events, shared, rng)?;
    crate::rt::spawn("replicated log", runner.run()).detach();
    Ok((handle, heard))
}

fn open_empty(options: &LogOptions) -> (LogHandle, Receiver<LogEvent>) {
    let (commands, asked) = async_channel::bounded(1);
    let (events, heard) = async_channel::bounded(EVENTS_MAX);
    let handle = LogHandle {
        commands,
        shared: Arc::new(Shared::new(ReplicaStatus::Empty)),
        store: None,
    };
    let notices = run::say_empty(
        options.path.clone(),
        options.empty_notice_interval,
        asked,
        events,
    );
    crate::rt::spawn("empty replica", notices).detach();
    (handle, heard)
}
