//! The evidence file: what the newest group commit was, apart from the store that may lose it.
//!
//! Two slots, written in turn and synced after the store. A torn write spoils one slot only, and
//! the commit it belongs to was not acknowledged. The file also carries the lock of the replica.

use super::stored::{Evidence, StoredError};
use crate::base::mistake;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Slots stand in different pages, so that no torn page spoils both.
const SLOT_BYTES: usize = 4096;
/// How often a lock that is held is tried again, and how long to wait between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The bytes of the evidence: a file, or a simulated one.
pub trait Slots: Send + Sync {
    /// Everything that is there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Writes `bytes` at `offset`. They are durable only once synced.
    ///
    /// # Errors
    ///
    /// What is there is unknown then.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// What is durable is unknown then. Syncing again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

impl Slots for File {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(2 * SLOT_BYTES);
        self.take(2 * SLOT_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // DURABILITY: the length never changes after creation, so the data is all there is to sync.
        self.sync_data()
    }
}

/// The open, locked file.
pub struct EvidenceFile {
    slots: Box<dyn Slots>,
    /// Where the newest evidence is not: the next goes there.
    next: AtomicUsize,
}

impl std::fmt::Debug for EvidenceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvidenceFile").finish_non_exhaustive()
    }
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
    /// The evidence in slots that are open, and whose lock is held.
    pub fn over(slots: Box<dyn Slots>) -> Self {
        Self {
            slots,
            next: AtomicUsize::new(0),
        }
    }

    /// Creates the file with `evidence` in it, durably but for its directory.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written.
    pub fn create(path: &Path, evidence: &Evidence) -> io::Result<()> {
        let file = File::create_new(path)?;
        file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
        Self::over(Box::new(file)).write(evidence)
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
                Ok(()) => return Ok(Self::over(Box::new(file))),
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
        let bytes = self.slots.read().map_err(|error| StoredError::Damaged {
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
            [Ok(one), Ok(other)]
                if (one.sequence < other.sequence) != mistake::is_on("older-slot") =>
            {
                self.next.store(0, Ordering::Relaxed);
                Ok(other)
            }
            [Ok(evidence), _] => {
                self.next.store(SLOT_BYTES, Ordering::Relaxed);
                Ok(evidence)
            }
            [_, Ok(evidence)] => {
                self.next.store(0, Ordering::Relaxed);
                Ok(evidence)
            }
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
        // Not by the sequence: where the evidence rides, two in a row may have the same parity.
        let at = self.next.load(Ordering::Relaxed);
        let at = if mistake::is_on("one-slot") { 0 } else { at };
        self.slots.write(&bytes, at as u64)?;
        self.next.store(SLOT_BYTES - at, Ordering::Relaxed);
        if mistake::is_on("skip-evidence-sync") {
            return Ok(());
        }
        match self.slots.sync() {
            Err(_) if mistake::is_on("retry-a-failed-sync") => self.slots.sync(),
            synced => synced,
        }
    }
}
