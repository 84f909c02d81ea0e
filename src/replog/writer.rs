//! The thread that owns the disk: whatever has queued up becomes one commit with one pair of syncs.

use super::disk::{Committed, Disk};
use super::store::Store;
use crate::paxos::{Record, Ticket};
use async_channel::{Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Records to make durable.
#[derive(Debug)]
pub struct Job {
    /// Handed back when they are.
    pub ticket: Ticket,
    /// What to keep.
    pub records: Vec<Record>,
}

/// What the thread reports.
#[derive(Debug)]
pub enum Done {
    /// The disk has failed. Nothing more will be written.
    Failed(String),
    /// Every job up to this ticket is durable.
    Persisted {
        /// The last job of the group.
        ticket: Ticket,
        /// What the group took.
        committed: Committed,
    },
}

/// Most jobs waiting for the thread. Who sends them keeps below this.
pub const JOBS_MAX: usize = 1024;
/// Most records made durable by one commit.
const GROUP_RECORDS: usize = 4096;
/// Deleted bytes that make a compaction worth it.
const COMPACT_BYTES: u64 = 16 << 20;

/// Starts the thread. It ends when the sender of jobs is dropped, having done them all.
///
/// # Errors
///
/// If the system has no thread to give.
pub fn spawn(
    disk: Disk,
    jobs: Receiver<Job>,
    done: Sender<Done>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || {
            let mut compaction = None;
            if let Err(reason) = write(disk, &jobs, &done, &mut compaction) {
                tell(&done, Done::Failed(reason));
            }
            if let Some(thread) = compaction {
                join(thread);
            }
        })
}

fn write(
    mut disk: Disk,
    jobs: &Receiver<Job>,
    done: &Sender<Done>,
    compaction: &mut Option<JoinHandle<()>>,
) -> Result<(), String> {
    while let Ok(job) = jobs.recv_blocking() {
        let mut ticket = job.ticket;
        let mut records = job.records;
        while records.len() < GROUP_RECORDS
            && let Ok(job) = jobs.try_recv()
        {
            ticket = job.ticket;
            records.extend(job.records);
        }
        let committed = disk.commit(records).map_err(|error| error.to_string())?;
        tell(done, Done::Persisted { ticket, committed });
        while disk.needs_sweep() && jobs.is_empty() {
            disk.sweep().map_err(|error| error.to_string())?;
        }
        let is_idle = compaction.as_ref().is_none_or(JoinHandle::is_finished);
        if is_idle && disk.take_swept_bytes(COMPACT_BYTES).is_some() {
            *compaction = compact(Arc::clone(disk.store()), done.clone());
        }
    }
    Ok(())
}

/// Compacts beside the writer. Without a thread to do it, space is given back later.
fn compact(store: Arc<dyn Store>, done: Sender<Done>) -> Option<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("log-compact".to_owned());
    let work = move || {
        if let Err(error) = store.compact() {
            tell(&done, Done::Failed(error.to_string()));
        }
    };
    thread.spawn(work).ok()
}

fn tell(done: &Sender<Done>, news: Done) {
    if done.send_blocking(news).is_err() {
        // The run loop is gone, and with it everybody who could have been told.
        log::debug!("nobody waits for the log's writer any more");
    }
}

/// Waits for a thread of the log to end.
pub fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        log::error!("a thread of the log panicked");
    }
}
