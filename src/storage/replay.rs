//! Tables from the entries of a log.
//!
//! A log that was truncated begins in the middle: its first changes build on tables that only a later
//! snapshot holds. Every record of changes says which version of the tables it makes, so changes that
//! come too early wait for the snapshot they build on. A snapshot that was never finished is ignored.
//!
//! What a leader had on its way when it was deposed is chosen late or never, each entry for itself: one may
//! survive on a single replica, be settled by a later leader that never knew of it, and stand in the log
//! behind a gap or behind the changes of the terms between. Its outcome was unknown to whoever asked, and
//! it builds on tables that are not these: so it counts only if it is the very next change, and no later
//! term has changed anything. Every replica sees the same log, hence leaves out the same entries.

use super::op::{ApplyError, Op};
use super::stored::{Chunk, Record, StoredError, decode};
use super::tables::Tables;
use crate::model::{AgentId, JobKey, ScheduledTask, TaskConfig};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
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

/// What a snapshot's tasks have in common: descriptions, machines. Each chunk brings its own copies; those
/// that are alike are made one, as they were before, or they would take memory and be compared word by word.
#[derive(Debug, Default)]
struct Alike {
    agents: HashSet<AgentId>,
    hosts: HashSet<Arc<str>>,
    by_job: BTreeMap<JobKey, Vec<Arc<TaskConfig>>>,
    /// The last one as it came, and the one it was made.
    last: Option<(Arc<TaskConfig>, Arc<TaskConfig>)>,
}

impl Alike {
    fn share(&mut self, mut task: Arc<ScheduledTask>) -> Arc<ScheduledTask> {
        let shared = match &self.last {
            Some((came, shared)) if Arc::ptr_eq(came, &task.config) => Arc::clone(shared),
            _ => self.find(&task.config),
        };
        let own = Arc::make_mut(&mut task);
        own.config = shared;
        if let Some(agent) = &mut own.agent {
            if let Some(known) = self.agents.get(agent) {
                *agent = known.clone();
            } else {
                self.agents.insert(agent.clone());
            }
        }
        if let Some(host) = &mut own.host {
            if let Some(known) = self.hosts.get(host) {
                *host = Arc::clone(known);
            } else {
                self.hosts.insert(Arc::clone(host));
            }
        }
        task
    }

    fn find(&mut self, came: &Arc<TaskConfig>) -> Arc<TaskConfig> {
        let known = self.by_job.entry(came.job.clone()).or_default();
        let shared = match known.iter().find(|known| *known == came) {
            Some(shared) => Arc::clone(shared),
            None => {
                known.push(Arc::clone(came));
                Arc::clone(came)
            }
        };
        self.last = Some((Arc::clone(came), Arc::clone(&shared)));
        shared
    }
}

#[derive(Debug)]
struct Partial {
    alike: Alike,
    version: u64,
    attempt: u64,
    next: u32,
    tables: Tables,
    /// Its tasks so far. They are entered together.
    tasks: Vec<Arc<ScheduledTask>>,
}

#[derive(Debug)]
struct Changes {
    term: u64,
    version: u64,
    ops: Vec<Op>,
}

/// Makes tables of entries, in the order of the log.
#[derive(Debug, Default)]
pub struct Replay {
    tables: Tables,
    partial: Option<Partial>,
    /// Changes that build on what is not there yet.
    waiting: Vec<Changes>,
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
        self.record(decode(payload)?)
    }

    /// Takes the next entry, which somebody has decoded.
    ///
    /// # Errors
    ///
    /// As of [`Replay::entry`].
    pub fn record(&mut self, record: Record) -> Result<(), ReplayError> {
        match record {
            Record::Ops { term, version, ops } => self.changes(Changes { term, version, ops }),
            Record::Snapshot(chunk) => self.chunk(chunk),
        }
    }

    /// Checks that the beginning is there: where it is, what still waits is what a deposed leader left.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Incomplete`].
    pub fn check_complete(&self) -> Result<(), ReplayError> {
        match self.waiting.first() {
            None => Ok(()),
            Some(_) if self.tables.version() > 0 => Ok(()),
            Some(first) => Err(ReplayError::Incomplete {
                first: first.version,
                have: self.tables.version(),
            }),
        }
    }

    fn changes(&mut self, changes: Changes) -> Result<(), ReplayError> {
        let have = self.tables.version();
        let version = changes.version;
        if changes.term < self.tables.term() {
            // A later leader has written without it.
            return Ok(());
        }
        if version <= have {
            return Err(ReplayError::Repeated { version, have });
        }
        if version > have + 1 {
            self.waiting.push(changes);
            return Ok(());
        }
        apply_all(&mut self.tables, version, &changes.ops)?;
        self.tables.advance();
        // What waited behind a gap that this change has closed in another way will never fit.
        let term = self.tables.term();
        self.waiting
            .retain(|waits| waits.version > version && waits.term >= term);
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
                alike: Alike::default(),
                tasks: Vec::new(),
            },
            _ => return Ok(()),
        };
        let failed = |source| ReplayError::Apply {
            version: chunk.version,
            source,
        };
        for op in chunk.ops {
            match op {
                Op::RestoreTask(task) => partial.tasks.push(partial.alike.share(task)),
                op => partial.tables.apply(&op).map_err(failed)?,
            }
        }
        partial.next += 1;
        if !chunk.last {
            self.partial = Some(partial);
            return Ok(());
        }
        partial.tables.enter_all(partial.tasks).map_err(failed)?;
        partial.tables.set_version(partial.version);
        self.tables = partial.tables;
        for changes in std::mem::take(&mut self.waiting) {
            if changes.version > self.tables.version() {
                self.changes(changes)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Snapshot;
    use crate::storage::op::Leader;
    use crate::storage::stored::encode;
    use std::sync::Arc;

    /// A change that says who leads. `mark` tells it from others of its term and version.
    fn change(term: u64, version: u64, mark: &str) -> Vec<u8> {
        encode(&Record::Ops {
            term,
            version,
            ops: vec![Op::SetLeader(Leader {
                term,
                http: mark.to_owned(),
                agents: String::new(),
            })],
        })
    }

    fn mark(replay: &Replay) -> &str {
        &replay.tables().leader().unwrap().http
    }

    fn replayed(entries: &[Vec<u8>]) -> Replay {
        let mut replay = Replay::default();
        for entry in entries {
            replay.entry(entry).unwrap();
        }
        replay
    }

    #[test]
    fn what_survives_of_a_deposed_leader_behind_a_gap_is_left_out() {
        // The leader of term 1 had 3 and 4 on their way: only 4 came through.
        let mut replay = replayed(&[change(1, 1, "a"), change(1, 2, "b"), change(1, 4, "lost")]);
        assert_eq!((replay.tables().version(), mark(&replay)), (2, "b"));
        replay.check_complete().unwrap();
        // The next leader goes on from what everybody has.
        replay.entry(&change(2, 3, "c")).unwrap();
        assert_eq!((replay.tables().version(), mark(&replay)), (3, "c"));
        // Now a survivor fits by its number, but not by what it builds on.
        replay.entry(&change(1, 4, "lost")).unwrap();
        assert_eq!((replay.tables().version(), mark(&replay)), (3, "c"));
        replay.entry(&change(1, 3, "lost")).unwrap();
        replay.entry(&change(2, 4, "d")).unwrap();
        assert_eq!((replay.tables().version(), mark(&replay)), (4, "d"));
    }

    #[test]
    fn what_survives_without_a_gap_and_before_anything_later_counts() {
        let replay = replayed(&[change(1, 1, "a"), Vec::new(), change(1, 2, "late")]);
        assert_eq!((replay.tables().version(), mark(&replay)), (2, "late"));
    }

    #[test]
    fn the_first_change_of_all_may_be_the_one_that_is_lost() {
        let mut replay = replayed(&[change(1, 2, "lost")]);
        assert!(replay.check_complete().is_err(), "it may begin elsewhere");
        replay.entry(&change(2, 1, "a")).unwrap();
        replay.check_complete().unwrap();
        replay.entry(&change(2, 2, "b")).unwrap();
        assert_eq!((replay.tables().version(), mark(&replay)), (2, "b"));
    }

    #[test]
    fn what_waits_for_a_snapshot_is_judged_by_it() {
        let base = replayed(&[change(1, 1, "a"), change(2, 2, "b")]);
        let mut snapshot = Snapshot::new(Arc::new(base.tables().clone()), 7);
        let mut log = vec![
            change(1, 3, "lost"),
            change(2, 3, "c"),
            change(2, 5, "lost"),
        ];
        while let Some(chunk) = snapshot.next_chunk() {
            log.push(encode(&Record::Snapshot(chunk)));
        }
        let replay = replayed(&log);
        replay.check_complete().unwrap();
        assert_eq!((replay.tables().version(), mark(&replay)), (3, "c"));
    }

    #[test]
    fn one_term_never_counts_a_change_twice() {
        let mut replay = replayed(&[change(1, 1, "a"), change(1, 2, "b")]);
        let again = replay.entry(&change(1, 2, "b"));
        assert_eq!(
            again,
            Err(ReplayError::Repeated {
                version: 2,
                have: 2
            })
        );
    }
}
