//! fjall as the store: the only user of that crate.
//!
//! Small settings; `clear()` is never called, nothing is sought behind tombstones, and every commit
//! is one batch with one sync. What fjall does not tell (records that are missing after damage) is
//! found by the evidence kept beside it.
//!
//! Two keyspaces, written by the same batches: the runs, and the meta record by itself. That record
//! is written with every commit. Among the runs it would make every table of the database begin at its
//! key, so that all tables overlapped and each compaction rewrote the whole log: 40 % of the processor
//! time of an ensemble under load went there, and the stalls behind it. Alone, the tables of the runs
//! follow each other, and are moved down without being read.

use super::store::{Batch, Store, StoreError, Usage, Visit};
use super::stored::META_KEY;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

/// What is read is read once: when a replica starts, catches up, or sweeps.
const CACHE_BYTES: u64 = 1 << 20;
/// What is not flushed is in memory up to five times: once filling, four times waiting.
const RUNS_MEMTABLE_BYTES: u64 = 2 << 20;
/// Holds every version of the one record since the last flush.
const META_MEMTABLE_BYTES: u64 = 256 << 10;
const JOURNAL_BYTES: u64 = 64 << 20;

/// A fjall database.
pub struct FjallStore {
    database: Database,
    runs: Keyspace,
    meta: Keyspace,
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
        let open = |name, memtable_bytes| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
            let opened = database.keyspace(name, options);
            opened.map_err(failed("opening a keyspace"))
        };
        let runs = open("log", RUNS_MEMTABLE_BYTES)?;
        let meta = open("meta", META_MEMTABLE_BYTES)?;
        Ok(Self {
            database,
            runs,
            meta,
        })
    }

    fn keyspace_of(&self, key: &[u8]) -> &Keyspace {
        if key == META_KEY {
            &self.meta
        } else {
            &self.runs
        }
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
            write.insert(self.keyspace_of(&key), key, value);
        }
        for key in batch.removes {
            write.remove(self.keyspace_of(&key), key);
        }
        write.commit().map_err(failed("committing a batch"))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = |keyspace: &Keyspace| keyspace.get(key).map_err(failed("reading a key"));
        let mut value = read(self.keyspace_of(key))?;
        if value.is_none() {
            // The first databases kept everything in one keyspace. What is stale there is no danger: it
            // is older than the evidence.
            value = read(&self.runs)?;
        }
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for guard in self.runs.range(from..) {
            let (key, value) = guard.into_inner().map_err(failed("reading a range"))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        for keyspace in [&self.meta, &self.runs] {
            let flushed = keyspace.rotate_memtable_and_wait();
            flushed.map_err(failed("flushing a memtable"))?;
            keyspace.major_compact().map_err(failed("compacting"))?;
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage {
            disk_bytes: self.database.disk_space().unwrap_or(0),
            journals: self.database.journal_count() as u64,
        }
    }
}
