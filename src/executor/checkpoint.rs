//! The checkpoint: what happened to a task, appended by its executor alone and followed by the agent.
//!
//! A file of frames, each a versioned record with frozen types. A record that is cut off or damaged ends the
//! file: the executor cuts it away before it appends again, a reader waits for the rest. The header is on disk
//! before the first process starts, so that a task whose header cannot be read has never been started.

use crate::base::frame;
use nix::fcntl::{FallocateFlags, fallocate};
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
/// So much room on the disk is kept for what is still to come: a task that fills the disk can end all the same.
const RESERVE_BYTES: u64 = 64 << 10;

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
    /// Whether it has to survive the loss of power once it is flushed.
    ///
    /// DURABILITY: a header, because a task with one is never started again; an end, because the task does not run
    /// any more. What runs does not survive the loss of power anyway.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Header(_) => true,
            Self::Process(_) => false,
            Self::Task(task) => match task.state {
                TaskStateRecord::Failed
                | TaskStateRecord::Finished
                | TaskStateRecord::Killed
                | TaskStateRecord::Lost => true,
                TaskStateRecord::Running | TaskStateRecord::Starting => false,
            },
        }
    }

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
    /// Up to here the disk has room for the file.
    reserved: u64,
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
        let mut new = Self {
            file,
            offset: 0,
            reserved: 0,
            pending: Vec::new(),
            must_sync: false,
        };
        new.reserve();
        Ok(new)
    }

    /// Keeps room ahead, without a change of the file's length. Where that cannot be the task runs all the same.
    fn reserve(&mut self) {
        if self.reserved >= self.offset + RESERVE_BYTES / 2 {
            return;
        }
        let until = self.offset + RESERVE_BYTES;
        let (from, length) = (
            self.reserved.cast_signed(),
            (until - self.reserved).cast_signed(),
        );
        if fallocate(
            &self.file,
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            from,
            length,
        )
        .is_ok()
        {
            self.reserved = until;
        }
    }

    /// Queues a record.
    pub fn push(&mut self, record: &Record) {
        record.encode(&mut self.pending);
        self.must_sync |= record.is_durable();
    }

    /// Whether something is not written yet.
    pub fn is_behind(&self) -> bool {
        self.must_sync || !self.pending.is_empty()
    }

    /// Writes what is queued, and syncs it if a record has to be durable.
    ///
    /// # Errors
    ///
    /// The file cannot be written or synced. Everything is kept for the next call.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            // After an error a part may be there. Readers stop at it, and the next try overwrites it. It is not cut
            // away: that would give the room that is kept ahead to whoever has filled the disk.
            self.file.write_all_at(&self.pending, self.offset)?;
            self.offset += self.pending.len() as u64;
            self.pending.clear();
            self.reserve();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    fn records() -> Vec<Record> {
        let event = |event| {
            Record::Process(ProcessRecord {
                process: "main".to_owned(),
                run: 1,
                event,
                at_ms: 2,
            })
        };
        vec![
            Record::Header(Header {
                task: "t".to_owned(),
                pid: 300,
                start_ticks: 4,
                boot_id: "b".to_owned(),
                at_ms: 5,
            }),
            event(ProcessEvent::Running {
                pid: 6,
                start_ticks: 7,
            }),
            event(ProcessEvent::Success),
            event(ProcessEvent::Failed { return_code: 8 }),
            event(ProcessEvent::Killed { signal: 9 }),
            event(ProcessEvent::NotStarted {
                reason: "r".to_owned(),
            }),
            Record::Task(TaskRecord {
                sequence: 10,
                state: TaskStateRecord::Starting,
                message: Some("m".to_owned()),
                at_ms: 11,
            }),
        ]
    }

    fn scratch(name: &str) -> File {
        let id = crate::base::rng::Rng::from_os().next_u64();
        let path = std::env::temp_dir().join(format!("aurora-checkpoint-{name}-{id:x}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path);
        std::fs::remove_file(path).unwrap();
        file.unwrap()
    }

    #[test]
    fn the_bytes_of_version_one_do_not_change() {
        let mut payloads = Vec::new();
        for record in records() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let hex: Vec<String> = bytes[8..].iter().map(|it| format!("{it:02x}")).collect();
            payloads.push(hex.concat());
        }
        let expected = [
            "00000174d8040401620a",
            "0001046d61696e01000c0704",
            "0001046d61696e010104",
            "0001046d61696e01021004",
            "0001046d61696e01031204",
            "0001046d61696e0104017204",
            "00020a0501016d16",
        ];
        assert_eq!(payloads, expected);
    }

    #[test]
    fn records_are_followed_as_they_come_and_a_torn_one_is_not_seen() {
        let file = scratch("tail");
        let mut writer = Writer::create(file.try_clone().unwrap()).unwrap();
        let mut tail = Tail::default();
        for record in records() {
            writer.push(&record);
            assert_eq!(tail.poll(&file).unwrap(), []);
            writer.flush().unwrap();
            assert_eq!(tail.poll(&file).unwrap(), [record]);
        }
        let length = file.metadata().unwrap().len();
        for cut in 0..length {
            file.set_len(cut).unwrap();
            let whole = Tail::default().poll(&file).unwrap();
            assert!(whole.len() < records().len());
            assert_eq!(whole, records()[..whole.len()]);
        }
    }

    #[test]
    fn what_could_not_be_written_comes_with_the_next_try() {
        let file = scratch("again");
        let mut writer = Writer::create(file.try_clone().unwrap()).unwrap();
        let device = |name| OpenOptions::new().write(true).open(name).unwrap();
        let good = std::mem::replace(&mut writer.file, device("/dev/full"));
        for record in &records()[..3] {
            writer.push(record);
        }
        let error = writer.flush().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert!(writer.is_behind());
        writer.file = good;
        writer.push(&records()[3]);
        writer.flush().unwrap();
        assert!(!writer.is_behind());
        assert_eq!(Tail::default().poll(&file).unwrap(), records()[..4]);
    }

    #[test]
    fn what_could_not_be_synced_is_not_done() {
        let file = scratch("sync");
        let mut writer = Writer::create(file.try_clone().unwrap()).unwrap();
        // It takes every byte, and cannot be synced.
        let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let good = std::mem::replace(&mut writer.file, device);
        let [header, running, .., starting] = &records()[..] else {
            panic!("too few records");
        };
        for record in [running, starting] {
            writer.push(record);
            writer.flush().unwrap();
            assert!(!writer.is_behind());
        }
        writer.push(header);
        assert!(writer.flush().is_err());
        assert!(writer.is_behind());
        writer.file = good;
        writer.flush().unwrap();
        assert!(!writer.is_behind());
    }

    #[test]
    fn headers_and_ends_have_to_be_durable() {
        let durable: Vec<bool> = records().iter().map(Record::is_durable).collect();
        assert_eq!(durable, [true, false, false, false, false, false, false]);
        use TaskStateRecord::{Failed, Finished, Killed, Lost, Running, Starting};
        for state in [Failed, Finished, Killed, Lost, Running, Starting] {
            let record = Record::Task(TaskRecord {
                sequence: 1,
                state,
                message: None,
                at_ms: 0,
            });
            let is_end = !matches!(state, Running | Starting);
            assert_eq!(record.is_durable(), is_end, "{state:?}");
        }
    }

    #[test]
    fn room_is_kept_ahead_however_long_the_file_grows() {
        use std::os::unix::fs::MetadataExt;
        let file = scratch("reserve");
        let mut writer = Writer::create(file.try_clone().unwrap()).unwrap();
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if fallocate(scratch("probe"), keep, 0, 4_096).is_err() {
            // Not by a macro, whose output the test runner keeps to itself.
            let line = b"skipped: room_is_kept_ahead_however_long_the_file_grows: no room can be kept here\n";
            return io::Write::write_all(&mut io::stderr(), line).unwrap();
        }
        let end = &records()[6];
        while writer.offset < 3 * RESERVE_BYTES {
            let taken = file.metadata().unwrap().blocks() * 512;
            let ahead = taken.saturating_sub(writer.offset);
            assert!(ahead >= RESERVE_BYTES / 2, "{ahead} at {}", writer.offset);
            for _ in 0..50 {
                writer.push(end);
            }
            writer.flush().unwrap();
            assert_eq!(file.metadata().unwrap().len(), writer.offset);
        }
    }

    #[test]
    fn a_record_is_whole_with_its_checksum_and_nothing_behind_it() {
        let mut good = Vec::new();
        records()[1].encode(&mut good);
        assert!(Record::decode(&good, 0).is_some());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(Record::decode(&bad, 0), None, "byte {at}");
        }
        // One that is longer than it should be is of another version.
        let mut long = Vec::new();
        let payload = [&good[frame::HEADER_BYTES..], &[0]].concat();
        frame::encode(&payload, &mut long);
        assert_eq!(Record::decode(&long, 0), None);
    }

    #[test]
    fn a_new_checkpoint_holds_nothing_of_what_was_there() {
        let file = scratch("again");
        let mut old = Vec::new();
        records().iter().for_each(|record| record.encode(&mut old));
        file.write_all_at(&old, 0).unwrap();
        let mut writer = Writer::create(file.try_clone().unwrap()).unwrap();
        assert_eq!(Tail::default().poll(&file).unwrap(), []);
        writer.push(&records()[0]);
        writer.flush().unwrap();
        assert_eq!(Tail::default().poll(&file).unwrap(), records()[..1]);
    }

    #[test]
    fn messages_are_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut_message(&long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(
            cut_message(&format!("x{long}")).len(),
            MESSAGE_BYTES_MAX - 1
        );
    }
}
