//! Bytes to tables: believes nothing.

use super::envelope::{self, Part};
use super::{Backup, Header, MARK};
use crate::base::frame::{self, FrameError};
use crate::storage::ApplyError;
use crate::storage::stored::{self, Chunk, MAX_RECORD_BYTES, Record, StoredError};
use crate::storage::tables::Tables;
use thiserror::Error;

/// Why bytes are not a backup. Completes "it ...".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackupError {
    /// The beginning is not ours.
    #[error("is no backup of this program, or its beginning is damaged")]
    Foreign,
    /// The bytes end before the backup does.
    #[error("is cut short: it ends after {at} bytes, before its end")]
    Cut {
        /// How many bytes there are.
        at: u64,
    },
    /// A frame does not match its checksum, or claims an impossible length.
    #[error("is damaged in the frame that begins at byte {at}")]
    Damaged {
        /// Where.
        at: u64,
    },
    /// A frame is whole and holds nothing that belongs there.
    #[error("is malformed in the frame that begins at byte {at}")]
    Malformed {
        /// Where.
        at: u64,
    },
    /// A chunk is whole and cannot be read.
    #[error("cannot be read at byte {at}: {source}")]
    Chunk {
        /// Where.
        at: u64,
        /// Why.
        source: StoredError,
    },
    /// A chunk holds what does not fit.
    #[error("contradicts itself at byte {at}: {source}")]
    Contradiction {
        /// Where.
        at: u64,
        /// What.
        source: ApplyError,
    },
    /// All frames are whole, and yet they are not those that were written.
    #[error("does not match the checksum at its end")]
    Sum,
    /// Something stands behind the end.
    #[error("goes on behind its end, at byte {at}")]
    Behind {
        /// Where.
        at: u64,
    },
    /// Written by a later program.
    #[error("has version {0}, unknown to this program: restore it with the one that wrote it")]
    Version(u32),
}

/// What a backup holds, without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it says of itself.
    pub header: Header,
    /// How many bytes it has.
    pub bytes: u64,
    /// The checksum of all of them.
    pub sum: u32,
}

#[derive(Debug)]
enum Expected {
    Mark,
    Header,
    /// The chunk of this index, which follows if the one before was not the last.
    Chunk(Header, u32),
    End(Header, u32),
    Nothing(Header),
}

/// Takes the bytes of a backup in portions of any size.
#[derive(Debug)]
pub struct Decoder {
    expected: Expected,
    /// What was taken and is not a whole frame yet.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    at: u64,
    /// The checksum of everything before that.
    sum: u32,
    tables: Tables,
    /// Whether tables are made at all.
    keeps: bool,
}

impl Decoder {
    /// Makes the tables that the backup holds.
    pub fn new() -> Self {
        Self::that(true)
    }

    /// Only proves that every frame is whole, readable and in its place.
    pub fn that_looks() -> Self {
        Self::that(false)
    }

    fn that(keeps: bool) -> Self {
        Self {
            expected: Expected::Mark,
            buffer: Vec::new(),
            at: 0,
            sum: frame::checksum(&[]),
            tables: Tables::default(),
            keeps,
        }
    }

    /// Takes the bytes that follow.
    ///
    /// # Errors
    ///
    /// They are not those of a backup. Nothing may be taken after an error.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(end) = self.frame(used)? {
            let taken = self.buffer.get(used..end).unwrap_or_default();
            self.sum = frame::checksum_on(self.sum, taken);
            self.at += taken.len() as u64;
            used = end;
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// All bytes were given.
    ///
    /// # Errors
    ///
    /// They end before the backup does, or make other tables than it says.
    pub fn finish(self) -> Result<Backup, BackupError> {
        let at = self.at;
        let (looked, mut tables) = self.ended()?;
        if tables.task_count() as u64 != looked.header.tasks {
            return Err(BackupError::Malformed { at });
        }
        tables.set_version(looked.header.version);
        let header = looked.header;
        Ok(Backup { header, tables })
    }

    /// As [`Decoder::finish`], for one that only looks.
    ///
    /// # Errors
    ///
    /// They end before the backup does.
    pub fn finish_look(self) -> Result<Looked, BackupError> {
        self.ended().map(|(looked, _)| looked)
    }

    fn ended(self) -> Result<(Looked, Tables), BackupError> {
        let bytes = self.at + self.buffer.len() as u64;
        match self.expected {
            Expected::Nothing(header) => {
                let sum = self.sum;
                Ok((Looked { header, bytes, sum }, self.tables))
            }
            Expected::Chunk(..) | Expected::End(..) | Expected::Header | Expected::Mark => {
                Err(BackupError::Cut { at: bytes })
            }
        }
    }

    /// Takes the frame at `used` of the buffer, if it is whole: where it ends.
    fn frame(&mut self, used: usize) -> Result<Option<usize>, BackupError> {
        let rest = self.buffer.get(used..).unwrap_or_default();
        let at = self.at;
        if let Expected::Mark = self.expected {
            let have = rest.len().min(MARK.len());
            if rest.get(..have) != MARK.get(..have) {
                return Err(BackupError::Foreign);
            }
            if have < MARK.len() {
                return Ok(None);
            }
            self.expected = Expected::Header;
            return Ok(Some(used + have));
        }
        if let Expected::Nothing(_) = self.expected {
            return match rest.is_empty() {
                true => Ok(None),
                false => Err(BackupError::Behind { at }),
            };
        }
        let found = frame::decode(rest, 0, MAX_RECORD_BYTES).map_err(|error| match error {
            FrameError::Checksum { .. } | FrameError::TooLong { .. } => BackupError::Damaged { at },
        })?;
        let Some((payload, length)) = found else {
            return Ok(None);
        };
        let next = match std::mem::replace(&mut self.expected, Expected::Mark) {
            Expected::Header => match envelope::decode(payload, at)? {
                Part::Header(header) => Expected::Chunk(header, 0),
                Part::End { .. } => return Err(BackupError::Malformed { at }),
            },
            Expected::Chunk(header, index) => {
                let whole = rest.get(..length).unwrap_or_default();
                let record = stored::decode(whole);
                let record = record.map_err(|source| match source {
                    StoredError::Version { version, .. } => BackupError::Version(version),
                    source => BackupError::Chunk { at, source },
                })?;
                let Record::Snapshot(chunk) = record else {
                    return Err(BackupError::Malformed { at });
                };
                self.chunk(header, index, &chunk)?
            }
            Expected::End(header, count) => match envelope::decode(payload, at)? {
                Part::End { chunks, sum } if chunks == count && sum == self.sum => {
                    Expected::Nothing(header)
                }
                Part::End { .. } => return Err(BackupError::Sum),
                Part::Header(_) => return Err(BackupError::Malformed { at }),
            },
            Expected::Mark | Expected::Nothing(_) => return Err(BackupError::Malformed { at }),
        };
        self.expected = next;
        Ok(Some(used + length))
    }

    fn chunk(
        &mut self,
        header: Header,
        index: u32,
        chunk: &Chunk,
    ) -> Result<Expected, BackupError> {
        let at = self.at;
        if (chunk.version, chunk.index) != (header.version, index) {
            return Err(BackupError::Malformed { at });
        }
        if self.keeps {
            for op in &chunk.ops {
                let applied = self.tables.apply(op);
                applied.map_err(|source| BackupError::Contradiction { at, source })?;
            }
        }
        let next = index + 1;
        Ok(match chunk.last {
            true => Expected::End(header, next),
            false => Expected::Chunk(header, next),
        })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}
