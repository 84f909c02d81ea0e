//! Tables from the entries of a log.
//!
//! A log that was truncated begins in the middle: its first changes build on tables that only a later
//! snapshot holds. Every record of changes says which version of the tables it makes, so changes that
//! come too early wait for the snapshot they build on. A snapshot that was never finished is ignored.

use super::op::{ApplyError, Op};
use super::stored::{Chunk, Record, StoredError, decode};
use super::tables::Tables;
use thiserror::Error;

/// Why entries do not make tables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// A change does not fit.
    #[error("change {version} does not fit the tables: {source}")]
    Apply {
        /// The version the change should make.
        version: u64,
        /// Why.
        source: ApplyError,
    },
    /// What the log begins with is missing.
    #[error("the log lacks what leads to change {first}: only changes up to {have} are there")]
    Incomplete {
        /// The first change that waits.
        first: u64,
        /// The version of the tables.
        have: u64,
    },
    /// A change came twice or too late.
    #[error("change {version} came again: the tables have {have}")]
    Repeated {
        /// The version the change should make.
        version: u64,
        /// The version of the tables.
        have: u64,
    },
    /// The entry cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

#[derive(Debug)]
struct Partial {
    version: u64,
    attempt: u64,
    next: u32,
    tables: Tables,
}

/// Makes tables of entries, in the order of the log.
#[derive(Debug, Default)]
pub struct Replay {
    tables: Tables,
    partial: Option<Partial>,
    /// Changes that build on what is not there yet.
    waiting: Vec<(u64, Vec<Op>)>,
}

impl Replay {
    /// Goes on from these tables.
    pub fn from(tables: Tables) -> Self {
        Self {
            tables,
            ..Self::default()
        }
    }

    /// The tables so far.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Takes the next entry. Empty ones mean nothing.
    ///
    /// # Errors
    ///
    /// See [`ReplayError`]; nothing may be replayed after one.
    pub fn entry(&mut self, payload: &[u8]) -> Result<(), ReplayError> {
        if payload.is_empty() {
            return Ok(());
        }
        match decode(payload)? {
            Record::Ops { version, ops } => self.changes(version, ops),
            Record::Snapshot(chunk) => self.chunk(chunk),
        }
    }

    /// Checks that nothing waits for what is not there.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Incomplete`].
    pub fn check_complete(&self) -> Result<(), ReplayError> {
        match self.waiting.first() {
            None => Ok(()),
            Some((first, _)) => Err(ReplayError::Incomplete {
                first: *first,
                have: self.tables.version(),
            }),
        }
    }

    fn changes(&mut self, version: u64, ops: Vec<Op>) -> Result<(), ReplayError> {
        let have = self.tables.version();
        if version <= have {
            return Err(ReplayError::Repeated { version, have });
        }
        if version > have + 1 {
            self.waiting.push((version, ops));
            return Ok(());
        }
        apply_all(&mut self.tables, version, &ops)?;
        self.tables.advance();
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), ReplayError> {
        if chunk.version <= self.tables.version() {
            return Ok(());
        }
        let mut partial = match self.partial.take() {
            Some(partial)
                if (partial.version, partial.attempt, partial.next)
                    == (chunk.version, chunk.attempt, chunk.index) =>
            {
                partial
            }
            _ if chunk.index == 0 => Partial {
                version: chunk.version,
                attempt: chunk.attempt,
                next: 0,
                tables: Tables::default(),
            },
            _ => return Ok(()),
        };
        apply_all(&mut partial.tables, chunk.version, &chunk.ops)?;
        partial.next += 1;
        if !chunk.last {
            self.partial = Some(partial);
            return Ok(());
        }
        partial.tables.set_version(partial.version);
        self.tables = partial.tables;
        for (version, ops) in std::mem::take(&mut self.waiting) {
            if version > self.tables.version() {
                self.changes(version, ops)?;
            }
        }
        Ok(())
    }
}

fn apply_all(tables: &mut Tables, version: u64, ops: &[Op]) -> Result<(), ReplayError> {
    for op in ops {
        let applied = tables.apply(op);
        applied.map_err(|source| ReplayError::Apply { version, source })?;
    }
    Ok(())
}
