//! The evidence file: what the newest group commit was, apart from the store that may lose it.
//!
//! Two slots, written in turn and synced after the store. A torn write spoils one slot only, and
//! the commit it belongs to was not acknowledged. The file also carries the lock of the replica.

use super::stored::{Evidence, StoredError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Slots stand in different pages, so that no torn page spoils both.
const SLOT_BYTES: usize = 4096;
/// How often a lock that is held is tried again, and how long to wait between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The open, locked file.
#[derive(Debug)]
pub struct EvidenceFile {
    file: File,
}

/// Why the file could not be opened.
#[derive(Debug)]
pub enum EvidenceOpenError {
    /// Another process has it.
    InUse,
    /// The file cannot be read.
    Io(io::Error),
}

impl EvidenceFile {
    /// Creates the file with `evidence` in it, durably but for its directory.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written.
    pub fn create(path: &Path, evidence: &Evidence) -> io::Result<()> {
        let file = File::create_new(path)?;
        file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
        Self { file }.write(evidence)
    }

    /// Opens the file and takes its lock, which is held until this is dropped.
    ///
    /// # Errors
    ///
    /// If it is locked or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, EvidenceOpenError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(EvidenceOpenError::Io)?;
        let mut tries_left = LOCK_TRIES;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                // A child that the last holder has forked keeps the lock until it runs its program.
                Err(TryLockError::WouldBlock) if tries_left > 0 => {
                    tries_left -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(EvidenceOpenError::InUse),
                Err(TryLockError::Error(error)) => return Err(EvidenceOpenError::Io(error)),
            }
        }
    }

    /// The newest evidence that can be read.
    ///
    /// # Errors
    ///
    /// If neither slot can be read, or one was written by a newer program.
    pub fn newest(&self) -> Result<Evidence, StoredError> {
        let mut bytes = Vec::with_capacity(2 * SLOT_BYTES);
        let read = (&self.file)
            .take(2 * SLOT_BYTES as u64)
            .read_to_end(&mut bytes);
        read.map_err(|error| StoredError::Damaged {
            what: "the evidence file",
            why: error.to_string(),
        })?;
        let slots = [0, SLOT_BYTES].map(|at| {
            let end = (at + SLOT_BYTES).min(bytes.len());
            Evidence::decode(bytes.get(at..end).unwrap_or_default())
        });
        match slots {
            [Err(error @ StoredError::Newer { .. }), _]
            | [_, Err(error @ StoredError::Newer { .. })]
            | [Err(error), Err(_)] => Err(error),
            [Ok(one), Ok(other)] if one.sequence < other.sequence => Ok(other),
            [Ok(evidence), _] | [_, Ok(evidence)] => Ok(evidence),
        }
    }

    /// Writes the slot whose turn it is and syncs it.
    ///
    /// # Errors
    ///
    /// What is on disk is unknown then; the replica must not go on.
    pub fn write(&self, evidence: &Evidence) -> io::Result<()> {
        let bytes = evidence.encode();
        assert!(
            bytes.len() <= SLOT_BYTES,
            "evidence has a fixed, small size"
        );
        let at = if evidence.sequence.is_multiple_of(2) {
            0
        } else {
            SLOT_BYTES
        };
        self.file.write_all_at(&bytes, at as u64)?;
        // DURABILITY: the length never changes after creation, so the data is all there is to sync.
        self.file.sync_data()
    }
}
