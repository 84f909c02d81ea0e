//! The ids of tasks that have ended here: they are never started again.

use super::durable;
use crate::base::clock::Timestamp;
use crate::base::frame;
use crate::model::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file's name in the work directory.
const FILE: &str = "ended";
/// So many ids are kept: an order for an older one cannot be under way any more.
const IDS_MAX: usize = 50_000;
/// The most bytes a record may have.
const RECORD_BYTES_MAX: usize = 4 << 10;

#[derive(Serialize, Deserialize)]
enum Envelope {
    V1(EndedRecord),
}

/// Version 1, frozen.
#[derive(Serialize, Deserialize)]
struct EndedRecord {
    task: String,
    at_ms: i64,
}

/// A file of ids, and the same in memory.
#[derive(Debug)]
pub(super) struct EndedLog {
    file: File,
    offset: u64,
    ids: BTreeMap<TaskId, Timestamp>,
}

fn encode(task: &TaskId, at: Timestamp, out: &mut Vec<u8>) {
    let record = Envelope::V1(EndedRecord {
        task: task.as_str().to_owned(),
        at_ms: at.as_ms(),
    });
    let payload = postcard::to_stdvec(&record).expect("plain values serialize into memory");
    frame::encode(&payload, out);
}

impl EndedLog {
    /// Opens the file, drops the oldest ids if there are too many, and cuts off what was not finished.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let bytes = durable::read(&path)?.unwrap_or_default();
        let mut ids = BTreeMap::new();
        let mut offset = 0;
        while let Ok(Some((payload, next))) = frame::decode(&bytes, offset, RECORD_BYTES_MAX) {
            let Ok((Envelope::V1(record), [])) = postcard::take_from_bytes(payload) else {
                break;
            };
            ids.insert(TaskId::new(&record.task), Timestamp(record.at_ms));
            offset = next;
        }
        if offset < bytes.len() {
            log::warn!(
                "{} is damaged or cut off at byte {offset} of {}; what follows is dropped",
                path.display(),
                bytes.len()
            );
        }
        if ids.len() > IDS_MAX {
            let mut by_age: Vec<_> = ids.into_iter().collect();
            by_age.sort_by_key(|(_, at)| *at);
            ids = by_age
                .split_off(by_age.len() - IDS_MAX / 2)
                .into_iter()
                .collect();
            let mut kept = Vec::new();
            for (task, at) in &ids {
                encode(task, *at, &mut kept);
            }
            durable::write(directory, FILE, &kept)?;
            offset = kept.len();
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(&path)?;
        file.set_len(offset as u64)?;
        durable::sync_directory(directory)?;
        Ok(Self {
            file,
            offset: offset as u64,
            ids,
        })
    }

    /// When the task ended, if it did.
    pub(super) fn ended_at(&self, task: &TaskId) -> Option<Timestamp> {
        self.ids.get(task).copied()
    }

    /// Remembers an id durably.
    ///
    /// # Errors
    ///
    /// It cannot be written; it counts as not remembered.
    pub(super) fn append(&mut self, task: &TaskId, at: Timestamp) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(task, at, &mut bytes);
        self.file.write_all_at(&bytes, self.offset)?;
        self.file.sync_data()?;
        self.offset += bytes.len() as u64;
        self.ids.insert(task.clone(), at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn ids_are_remembered_and_a_torn_record_is_not() {
        let scratch = Scratch::new("ended");
        let (a, b) = (TaskId::new("a"), TaskId::new("b"));
        let mut log = EndedLog::open(&scratch.0).unwrap();
        log.append(&a, Timestamp(1)).unwrap();
        log.append(&b, Timestamp(2)).unwrap();
        let length = log.offset;
        drop(log);
        let path = scratch.0.join(FILE);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length - 1).unwrap();
        let mut log = EndedLog::open(&scratch.0).unwrap();
        assert_eq!(log.ended_at(&a), Some(Timestamp(1)));
        assert_eq!(log.ended_at(&b), None);
        log.append(&b, Timestamp(3)).unwrap();
        drop(log);
        let log = EndedLog::open(&scratch.0).unwrap();
        assert_eq!(log.ended_at(&b), Some(Timestamp(3)));
    }

    #[test]
    fn an_id_that_could_not_be_written_or_synced_is_not_remembered() {
        let scratch = Scratch::new("ended-device");
        let a = TaskId::new("a");
        let mut log = EndedLog::open(&scratch.0).unwrap();
        let device = |name| OpenOptions::new().write(true).open(name).unwrap();
        let mut good = None;
        // One takes nothing, the other takes all and cannot be synced.
        for name in ["/dev/full", "/dev/null"] {
            let old = std::mem::replace(&mut log.file, device(name));
            good.get_or_insert(old);
            assert!(log.append(&a, Timestamp(1)).is_err(), "{name}");
            assert_eq!(log.ended_at(&a), None, "{name}");
        }
        log.file = good.unwrap();
        log.append(&a, Timestamp(2)).unwrap();
        drop(log);
        let log = EndedLog::open(&scratch.0).unwrap();
        assert_eq!(log.ended_at(&a), Some(Timestamp(2)));
    }
}
