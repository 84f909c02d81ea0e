//! fjall as the store: the only user of that crate.
//!
//! One keyspace and small settings; `clear()` is never called, nothing is sought behind tombstones,
//! and every commit is one batch with one sync. What fjall does not tell (records that are missing
//! after damage) is found by the evidence kept beside it.

use super::store::{Batch, Store, StoreError, Usage, Visit};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

const CACHE_BYTES: u64 = 8 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;

/// A fjall database with one keyspace.
pub struct FjallStore {
    database: Database,
    keyspace: Keyspace,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").finish_non_exhaustive()
    }
}

fn failed<'a>(doing: &'static str) -> impl Fn(fjall::Error) -> StoreError + 'a {
    move |error| StoreError {
        doing,
        cause: match error {
            fjall::Error::Io(error) => error.to_string(),
            fjall::Error::Locked => "it is in use by another process".to_owned(),
            other => format!("{other:?}"),
        },
    }
}

impl FjallStore {
    /// Opens the database at `path`, or creates it.
    ///
    /// # Errors
    ///
    /// If it is in use, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(failed("opening the database"))?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = database
            .keyspace("log", options)
            .map_err(failed("opening the keyspace"))?;
        Ok(Self { database, keyspace })
    }
}

impl Store for FjallStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        // DURABILITY: the default of a batch is the page cache only.
        let mut write = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in batch.puts {
            write.insert(&self.keyspace, key, value);
        }
        for key in batch.removes {
            write.remove(&self.keyspace, key);
        }
        write.commit().map_err(failed("committing a batch"))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.keyspace.get(key).map_err(failed("reading a key"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for guard in self.keyspace.range(from..) {
            let (key, value) = guard.into_inner().map_err(failed("reading a range"))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.keyspace
            .rotate_memtable_and_wait()
            .map_err(failed("flushing the memtable"))?;
        self.keyspace.major_compact().map_err(failed("compacting"))
    }

    fn usage(&self) -> Usage {
        Usage {
            disk_bytes: self.database.disk_space().unwrap_or(0),
            journals: self.database.journal_count() as u64,
        }
    }
}
