//! The stored form of changes and snapshots: what the log's entries hold.
//!
//! A record is one frame (length, CRC-32C) of a postcard [`Envelope`], whose first number is the version.
//! Each version has types of its own, frozen for ever, because postcard misreads changed structs
//! without a word. A record that says a later version is refused by name, not guessed at.

#[cfg(test)]
pub(in crate::storage) mod tests;
mod v1;

use super::op::Op;
use crate::base::{frame, stamp};
use serde::Serialize;
use thiserror::Error;

/// The largest record that is read or written, in bytes.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// More versions than the byte that names them can tell apart are not possible.
const VERSIONS_MAX: u32 = 127;

/// What an entry of the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Changes, made together or not at all.
    Ops {
        /// The term of the leader that made them: the one of [`Op::SetLeader`] in the tables they make.
        ///
        /// [`Op::SetLeader`]: super::Op::SetLeader
        term: u64,
        /// The version of the tables once they are made. Rises by one from record to record.
        version: u64,
        /// The changes, in order.
        ops: Vec<Op>,
    },
    /// A part of the tables as they were.
    Snapshot(Chunk),
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The version of the tables it is of.
    pub version: u64,
    /// Tells apart snapshots of one version: one was not finished.
    pub attempt: u64,
    /// Its place, from zero.
    pub index: u32,
    /// Whether it is the last.
    pub last: bool,
    /// What makes this part of the tables.
    pub ops: Vec<Op>,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoredError {
    /// The frame is damaged.
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    /// The frame is cut short or something follows it.
    #[error("record of {have} bytes is not one whole frame")]
    Length {
        /// How many bytes there are.
        have: usize,
    },
    /// The bytes do not follow the format.
    #[error("malformed record: {0}")]
    Malformed(postcard::Error),
    /// A value that cannot be.
    #[error("record holds an impossible {what}: '{value}'")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// Written by a later program.
    #[error("record has version {version}, this program knows up to {known}: it needs a newer one")]
    Version {
        /// What it says.
        version: u32,
        /// The newest that is known.
        known: u32,
    },
}

/// All versions. Never reorder, never change what is inside one.
///
/// A version is the feature level that it takes to read it. A level whose records look like those of the one
/// before has no variant of its own: see [`decode`].
#[derive(Serialize)]
enum Envelope<'a> {
    #[serde(borrow)]
    V1(v1::RecordV1<'a>),
}

/// The bytes of a record that every program reads.
pub fn encode(record: &Record) -> Vec<u8> {
    encode_at(record, 1)
}

/// The bytes of a record in a log that has this feature level: all its members read them.
pub fn encode_at(record: &Record, level: u32) -> Vec<u8> {
    let envelope = Envelope::V1(v1::encode(record));
    let mut payload = postcard::to_stdvec(&envelope).expect("our types have known lengths");
    // One byte of the form that postcard gives numbers; nobody has as many levels as it cannot hold.
    let version = level.clamp(1, VERSIONS_MAX);
    payload[0] = u8::try_from(version - 1).unwrap_or(0);
    let mut bytes = Vec::with_capacity(frame::HEADER_BYTES + payload.len());
    frame::encode(&payload, &mut bytes);
    bytes
}

/// The record that these bytes are.
///
/// # Errors
///
/// Anything that is not exactly one whole record of a known version.
pub fn decode(bytes: &[u8]) -> Result<Record, StoredError> {
    decode_up_to(bytes, stamp::feature_level())
}

/// The same in a program that reads up to `known`.
fn decode_up_to(bytes: &[u8], known: u32) -> Result<Record, StoredError> {
    let length = StoredError::Length { have: bytes.len() };
    let Some((payload, end)) = frame::decode(bytes, 0, MAX_RECORD_BYTES)? else {
        return Err(length);
    };
    if end != bytes.len() {
        return Err(length);
    }
    let Some((index, content)) = payload.split_first() else {
        return Err(length);
    };
    let version = u32::from(*index) + 1;
    if version > known {
        return Err(StoredError::Version { version, known });
    }
    // Types of the newest version that is not above the record's.
    let (record, rest) = postcard::take_from_bytes(content).map_err(StoredError::Malformed)?;
    if !rest.is_empty() {
        return Err(StoredError::Malformed(
            postcard::Error::DeserializeBadEncoding,
        ));
    }
    v1::decode(record)
}
