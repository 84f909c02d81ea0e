//! The thread that owns the disk: whatever has queued up becomes one commit with one pair of syncs.
//!
//! It waits on a plain channel, not on one of fibers: a wait with a time limit there sets a timer, and wakes
//! the reactor's thread, with every commit.

use super::disk::{Committed, Disk, DiskError};
use super::store::Store;
use crate::base::clock;
use crate::paxos::{Record, Run, Ticket, Value};
use async_channel::Sender;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

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
/// The evidence of a group follows after this long, also while more groups come...
const RIDE_MAX: Duration = Duration::from_millis(10);
/// ... and after this long when none comes.
const RIDE_IDLE: Duration = Duration::from_millis(2);
/// Runs are joined up to this many bytes: longer ones would cost the allocator more than they save.
const MERGED_BYTES: usize = 128 << 10;
/// Deleted bytes that make a compaction worth it: this many at least, and this part of what is on disk,
/// since compacting writes everything else again.
const COMPACT_BYTES: u64 = 16 << 20;
const COMPACT_PART: u64 = 3;

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
    let failed = |error: DiskError| error.to_string();
    let mut riding_since = None;
    let mut taken = None;
    while let Some(job) = match taken.take() {
        Some(job) => Some(job),
        None => next_job(&mut disk, jobs).map_err(failed)?,
    } {
        let mut ticket = job.ticket;
        let mut records = job.records;
        while records.len() < GROUP_RECORDS
            && let Ok(job) = jobs.try_recv()
        {
            ticket = job.ticket;
            records.extend(job.records);
        }
        let committed = disk.commit(merged(records)).map_err(failed)?;
        tell(done, Done::Persisted { ticket, committed });
        let now = clock::now();
        let since = *riding_since.get_or_insert(now);
        if !disk.is_riding() {
            riding_since = None;
        } else if now.since(since) >= RIDE_MAX {
            disk.attest().map_err(failed)?;
            riding_since = None;
        }
        while disk.needs_sweep() {
            taken = jobs.try_recv().ok();
            if taken.is_some() {
                break;
            }
            disk.sweep().map_err(failed)?;
        }
        let is_idle = compaction.as_ref().is_none_or(JoinHandle::is_finished);
        if is_idle && is_compaction_due(&mut disk) {
            *compaction = compact(Arc::clone(disk.store()), done.clone());
        }
    }
    Ok(())
}

fn is_compaction_due(disk: &mut Disk) -> bool {
    // Asking the store how much it uses costs system calls: not with every commit.
    if disk.swept_bytes() < COMPACT_BYTES {
        return false;
    }
    let part = disk.store().usage().disk_bytes / COMPACT_PART;
    disk.take_swept_bytes(COMPACT_BYTES.max(part)).is_some()
}

/// Waits for a job; while there is none, the evidence catches up. `None` if there will be none.
fn next_job(disk: &mut Disk, jobs: &Receiver<Job>) -> Result<Option<Job>, DiskError> {
    if disk.is_riding() {
        match jobs.recv_timeout(RIDE_IDLE) {
            Ok(job) => return Ok(Some(job)),
            Err(RecvTimeoutError::Timeout) => disk.attest()?,
            Err(RecvTimeoutError::Disconnected) => {
                disk.attest()?;
                return Ok(None);
            }
        }
    }
    Ok(jobs.recv().ok())
}

/// Joins runs that continue each other, so that the store holds few long ones.
fn merged(records: Vec<Record>) -> Vec<Record> {
    let mut out: Vec<Record> = Vec::with_capacity(records.len());
    let mut growing: Option<Growing> = None;
    for record in records {
        let Record::Run(run) = record else {
            out.push(record);
            continue;
        };
        if let Some(grown) = &mut growing
            && grown.takes(&run)
        {
            grown.add(&run);
            continue;
        }
        out.extend(growing.replace(Growing::new(run)).map(Growing::finish));
    }
    out.extend(growing.map(Growing::finish));
    out
}

/// A run that others may continue.
struct Growing {
    run: Run,
    bytes: usize,
    values: Vec<Value>,
}

impl Growing {
    fn new(run: Run) -> Self {
        Self {
            bytes: run.size_bytes(),
            run,
            values: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.values.len().max(self.run.values.len())
    }

    fn takes(&self, next: &Run) -> bool {
        self.run.ballot == next.ballot
            && self.run.first.plus(self.len() as u64) == next.first
            && self.len() + next.values.len() <= Run::VALUES_MAX
            && self.bytes + next.size_bytes() <= MERGED_BYTES
    }

    fn add(&mut self, next: &Run) {
        if self.values.is_empty() {
            self.values.extend_from_slice(&self.run.values);
        }
        self.values.extend_from_slice(&next.values);
        self.bytes += next.size_bytes();
    }

    fn finish(mut self) -> Record {
        if !self.values.is_empty() {
            self.run.values = self.values.into();
        }
        Record::Run(self.run)
    }
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
