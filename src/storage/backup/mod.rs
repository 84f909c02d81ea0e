//! Backups: the tables of one moment as the bytes of a file, and back.
//!
//! A file is a mark, then frames (length, CRC-32C): a header, the chunks of a [`Snapshot`] as the log
//! holds them, and an end that counts the chunks and has the checksum of everything before it. A file
//! without its end, or with one bit that is another, is refused as a whole.
//!
//! Sans-IO: [`Encoder`] gives portions to write, [`Decoder`] is given portions as they are read. Both
//! hold one chunk at a time, whatever the size of the backup.

mod decode;
mod envelope;
#[cfg(test)]
mod tests;

pub use decode::{BackupError, Decoder, Looked};

use super::snapshot::Snapshot;
use super::stored::{self, Record};
use super::tables::Tables;
use crate::base::clock::Timestamp;
use crate::base::{frame, stamp};
use envelope::Part;
use std::sync::Arc;

/// What every backup begins with.
const MARK: &[u8] = b"aurora backup\n";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// When it was taken.
    pub taken: Timestamp,
    /// The cluster it is of (`-cluster_name`).
    pub cluster: String,
    /// The version of the program that wrote it.
    pub program: String,
    /// The version of the tables it holds.
    pub version: u64,
    /// How many tasks it holds, ended ones among them.
    pub tasks: u64,
}

impl Header {
    /// The header of a backup of `tables` by this program.
    pub fn of(tables: &Tables, cluster: &str, taken: Timestamp) -> Self {
        Self {
            taken,
            cluster: cluster.to_owned(),
            program: stamp::version().to_owned(),
            version: tables.version(),
            tasks: tables.task_count() as u64,
        }
    }
}

/// A whole backup that has been read.
#[derive(Clone, Debug)]
pub struct Backup {
    /// What it says of itself.
    pub header: Header,
    /// The tables it holds.
    pub tables: Tables,
}

/// Gives the bytes of a backup in portions. The tables are shared, not copied.
#[derive(Debug)]
pub struct Encoder {
    header: Option<Header>,
    snapshot: Snapshot,
    chunks: u32,
    /// The checksum of all that was given.
    sum: u32,
    ended: bool,
}

impl Encoder {
    /// The backup of `tables` that `header` was made for.
    pub fn new(header: Header, tables: Arc<Tables>) -> Self {
        Self {
            header: Some(header),
            snapshot: Snapshot::new(tables, 0),
            chunks: 0,
            sum: frame::checksum(&[]),
            ended: false,
        }
    }

    fn give(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        self.sum = frame::checksum_on(self.sum, &bytes);
        Some(bytes)
    }
}

impl Iterator for Encoder {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(header) = self.header.take() {
            let mut bytes = MARK.to_vec();
            envelope::encode(Part::Header(header), &mut bytes);
            return self.give(bytes);
        }
        if let Some(chunk) = self.snapshot.next_chunk() {
            self.chunks += 1;
            return self.give(stored::encode(&Record::Snapshot(chunk)));
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let mut bytes = Vec::new();
        let end = Part::End {
            chunks: self.chunks,
            sum: self.sum,
        };
        envelope::encode(end, &mut bytes);
        self.give(bytes)
    }
}
