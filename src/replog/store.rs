//! The seam to whatever keeps keys and values on disk.

use std::ops::ControlFlow;
use thiserror::Error;

/// The disk has failed, or holds what it cannot have been given. Never retried.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{doing}: {cause}")]
pub struct StoreError {
    /// What was being done.
    pub doing: &'static str,
    /// What the store says.
    pub cause: String,
}

/// Changes that are made together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Keys with their new values.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys to delete.
    pub removes: Vec<Vec<u8>>,
}

/// How much is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Journal files.
    pub journals: u64,
}

/// Takes a key and its value; says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Keeps keys and values. Every call blocks.
pub trait Store: Send + Sync {
    /// Makes the changes, all or none, durable when it returns.
    ///
    /// # Errors
    ///
    /// The state is unknown then; the store must not be written again.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows the keys of runs from `from` on, in order, until told to stop.
    ///
    /// # Errors
    ///
    /// If one cannot be read.
    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Gives the space of deleted keys back to the file system. Slow; commits go on beside it.
    ///
    /// # Errors
    ///
    /// As for [`Store::commit`].
    fn compact(&self) -> Result<(), StoreError>;

    /// How much is used, at about this time.
    fn usage(&self) -> Usage;
}
