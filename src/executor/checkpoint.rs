//! The checkpoint: what happened to a task, appended by its executor alone and followed by the agent.
//!
//! A file of frames, each a versioned record with frozen types. A record that is cut off or damaged ends the
//! file: the executor cuts it away before it appends again, a reader waits for the rest. The header is on disk
//! before the first process starts, so that a task whose header cannot be read has never been started.

use crate::base::frame;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The most bytes a record may have.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Messages are cut to this many bytes before they are recorded.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The most bytes that are read at once.
const READ_BYTES_MAX: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
enum Envelope {
    V1(Record),
}

/// One thing that happened. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An executor has taken the task.
    Header(Header),
    /// A process changed its state.
    Process(ProcessRecord),
    /// The task changed its state.
    Task(TaskRecord),
}

/// Which executor has the task. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The task's id.
    pub task: String,
    /// The executor's process id.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Which boot of the machine that was.
    pub boot_id: String,
    /// When the executor took the task, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// A change of a process. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The process' name.
    pub process: String,
    /// The number of its run, from zero.
    pub run: u32,
    /// What happened.
    pub event: ProcessEvent,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// What happened to a process. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessEvent {
    /// It runs.
    Running {
        /// The process id of the shell, which leads a session of its own.
        pid: i32,
        /// When the shell started, in clock ticks since boot.
        start_ticks: u64,
    },
    /// It ended with status 0.
    Success,
    /// It ended with another status.
    Failed {
        /// The status.
        return_code: i32,
    },
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It could not be started.
    NotStarted {
        /// Why.
        reason: String,
    },
}

/// A state of the task. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Rises with each.
    pub sequence: u64,
    /// The state.
    pub state: TaskStateRecord,
    /// Why.
    pub message: Option<String>,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// The states of a task. Version 1, frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStateRecord {
    /// Ended badly.
    Failed,
    /// Ended well.
    Finished,
    /// Was killed.
    Killed,
    /// Gone.
    Lost,
    /// Runs and is healthy.
    Running,
    /// Being prepared.
    Starting,
}

impl Record {
    /// Appends the record's frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let payload = postcard::to_stdvec(&Envelope::V1(self.clone()))
            .expect("plain values serialize into memory");
        frame::encode(&payload, out);
    }

    /// Reads the record at `offset`; none where the file ends, is cut off or damaged.
    pub fn decode(bytes: &[u8], offset: usize) -> Option<(Self, usize)> {
        let (payload, end) = frame::decode(bytes, offset, RECORD_BYTES_MAX).ok()??;
        match postcard::take_from_bytes(payload) {
            Ok((Envelope::V1(record), [])) => Some((record, end)),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Cuts a message to what a record may hold.
pub fn cut_message(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

/// Appends records. What cannot be written is kept and tried again: a full disk must not end a task.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Where the next record goes: all before it is whole.
    offset: u64,
    pending: Vec<u8>,
    must_sync: bool,
}

impl Writer {
    /// Begins an empty checkpoint in `file`, which may hold what a dying executor could not finish.
    ///
    /// # Errors
    ///
    /// The file cannot be emptied.
    pub fn create(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        Ok(Self {
            file,
            offset: 0,
            pending: Vec::new(),
            must_sync: false,
        })
    }

    /// Queues a record. With `is_durable` it survives the loss of power once it is flushed.
    pub fn push(&mut self, record: &Record, is_durable: bool) {
        record.encode(&mut self.pending);
        self.must_sync |= is_durable;
    }

    /// Whether something is not written yet.
    pub fn is_behind(&self) -> bool {
        self.must_sync || !self.pending.is_empty()
    }

    /// Writes what is queued, and syncs it if a record asks for that.
    ///
    /// # Errors
    ///
    /// The file cannot be written or synced. Everything is kept for the next call.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            if let Err(error) = self.file.write_all_at(&self.pending, self.offset) {
                // A part may be there. Readers stop at it; the next try overwrites it.
                return self.file.set_len(self.offset).and(Err(error));
            }
            self.offset += self.pending.len() as u64;
            self.pending.clear();
        }
        if self.must_sync {
            self.file.sync_data()?;
            self.must_sync = false;
        }
        Ok(())
    }
}

/// Follows a checkpoint from record to record.
#[derive(Debug, Default)]
pub struct Tail {
    offset: u64,
}

impl Tail {
    /// All whole records that were appended since the last call.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn poll(&mut self, file: &File) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        loop {
            let length = file.metadata()?.len().saturating_sub(self.offset);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let mut bytes = vec![0; length.min(READ_BYTES_MAX)];
            let read = read_up_to(file, &mut bytes, self.offset)?;
            let mut at = 0;
            while let Some((record, next)) = Record::decode(&bytes[..read], at) {
                records.push(record);
                at = next;
            }
            if at == 0 {
                return Ok(records);
            }
            self.offset += at as u64;
        }
    }
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
