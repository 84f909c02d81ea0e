//! What others hold of the log: a handle to append with, and the events that come back.

use super::ENTRY_BYTES_MAX;
use super::error::AppendError;
use super::store::{Store, Usage};
use crate::paxos::{Ballot, Position};
use async_channel::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub use crate::paxos::Status as ReplicaStatus;

/// What the log tells. Given in order; the channel is bounded and pushes back.
#[derive(Clone, Debug)]
pub enum LogEvent {
    /// The term has ended. Whether what was in flight has been appended is unknown.
    Discarded {
        /// The term.
        ballot: Ballot,
    },
    /// This replica leads. Every earlier entry has been given as `Learned` before.
    Leading {
        /// The term, to append under.
        ballot: Ballot,
    },
    /// An appended entry is learned: it will never change or vanish until it is truncated.
    ///
    /// Positions rise; one may be left out where the log keeps something for itself.
    Learned {
        /// Where.
        position: Position,
        /// Under which ballot it was accepted.
        ballot: Ballot,
        /// What [`LogHandle::append`] was given, if this replica appended it in its present term.
        ticket: Option<u64>,
        /// The bytes appended.
        payload: Arc<[u8]>,
    },
    /// The disk has failed. The process must end; restarting recovers.
    Poisoned {
        /// What happened.
        reason: String,
    },
    /// The read of this token cannot be answered: nobody knows whether this replica still leads.
    ReadFailed {
        /// What [`LogHandle::read`] was given.
        token: u64,
    },
    /// This replica led after the read of this token was asked for. What had been acknowledged by
    /// then has been given as `Learned` before.
    ReadReady {
        /// What [`LogHandle::read`] was given.
        token: u64,
    },
    /// This replica was behind a truncation: state must be built anew from the entries at `first`
    /// on.
    Skipped {
        /// The first position that is kept.
        first: Position,
    },
    /// The status of the replica. `Empty` comes again once an interval.
    Status(ReplicaStatus),
}

/// Numbers for `/vars`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// The first position kept.
    pub first: u64,
    /// The watermark: everything up to here is learned.
    pub learned: u64,
    /// The last position that holds anything.
    pub end: u64,
    /// Entries taken by `append` since the start.
    pub appends: u64,
    /// Bytes of them.
    pub append_bytes: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// Bytes of runs written.
    pub commit_bytes: u64,
    /// Time that all commits took, syncs included.
    pub commit_nanos_total: u64,
    /// Time that the last commit took.
    pub commit_nanos_last: u64,
    /// The longest that a commit took.
    pub commit_nanos_max: u64,
    /// Entries in the queue.
    pub queued: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Journal files on disk.
    pub journals: u64,
}

/// What the run loop is asked.
#[derive(Debug)]
pub(super) enum Command {
    Append {
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
    },
    Close {
        closed: Sender<()>,
    },
    Truncate {
        ballot: Ballot,
        to: Position,
    },
}

/// What the run loop shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: ReplicaStatus,
    pub(super) leading: Option<Ballot>,
    pub(super) stats: LogStats,
}

#[derive(Debug)]
pub(super) struct Shared(Mutex<Shown>);

impl Shared {
    pub(super) fn new(status: ReplicaStatus) -> Self {
        Self(Mutex::new(Shown {
            status,
            leading: None,
            stats: LogStats::default(),
        }))
    }

    /// Plain numbers are whole even if somebody panicked while holding the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends to the log. Cheap to clone; when the last one is dropped, the log closes.
#[derive(Clone)]
pub struct LogHandle {
    pub(super) commands: Sender<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Option<Weak<dyn Store>>,
}

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogHandle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl LogHandle {
    /// Whether the replica takes part.
    pub fn status(&self) -> ReplicaStatus {
        self.shared.lock().status
    }

    /// The term that this replica leads, if it leads.
    pub fn leading(&self) -> Option<Ballot> {
        self.shared.lock().leading
    }

    /// Appends `payload` under `ballot`. Waits while the queue is full.
    ///
    /// `Ok` means that it is queued. It comes back as [`LogEvent::Learned`] with `ticket`, after
    /// every entry appended before it; or the term ends by [`LogEvent::Discarded`] and its outcome
    /// is unknown. Since events push back, somebody else must receive them while this waits.
    ///
    /// # Errors
    ///
    /// The entry has not been appended and never will be.
    ///
    /// # Cancellation
    ///
    /// Dropped before it is done, nothing is appended.
    pub async fn append(
        &self,
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
    ) -> Result<(), AppendError> {
        if payload.len() > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge {
                bytes: payload.len(),
                limit: ENTRY_BYTES_MAX,
            });
        }
        self.ask(
            ballot,
            Command::Append {
                ballot,
                ticket,
                payload,
            },
        )
        .await
    }

    /// Lets go of every entry below `to`, which must be learned. Itself an entry of the log.
    ///
    /// # Errors
    ///
    /// As for [`LogHandle::append`], and if `to` is beyond the end.
    pub async fn truncate(&self, ballot: Ballot, to: Position) -> Result<(), AppendError> {
        let learned = Position(self.shared.lock().stats.learned);
        if to > learned.next() {
            return Err(AppendError::BeyondEnd { to, learned });
        }
        self.ask(ballot, Command::Truncate { ballot, to }).await
    }

    /// Asks the members whether this replica still leads. The answer is [`LogEvent::ReadReady`] or
    /// [`LogEvent::ReadFailed`].
    ///
    /// # Errors
    ///
    /// There will be no answer.
    pub async fn read(&self, ballot: Ballot, token: u64) -> Result<(), AppendError> {
        let _ = token;
        match self.leading() == Some(ballot) {
            true => Err(AppendError::Closed),
            false => Err(AppendError::NotCoordinator),
        }
    }

    /// Whether this replica is the only member: then it leads as long as it lives, and reads need
    /// no round.
    pub fn is_alone(&self) -> bool {
        true
    }

    /// The ballot of the leader that is believed alive.
    pub fn leader(&self) -> Option<Ballot> {
        self.leading()
    }

    /// Lets another member lead, after everything appended is learned.
    ///
    /// False if there is none that can, at once or within about a second: this replica leads on.
    pub async fn hand_over(&self) -> bool {
        false
    }

    async fn ask(&self, ballot: Ballot, command: Command) -> Result<(), AppendError> {
        if self.commands.is_closed() {
            return Err(AppendError::Closed);
        }
        if self.leading() != Some(ballot) {
            return Err(AppendError::NotCoordinator);
        }
        let sent = self.commands.send(command).await;
        sent.map_err(|_| AppendError::Closed)
    }

    /// Numbers for `/vars`.
    pub fn stats(&self) -> LogStats {
        let store = self.store.as_ref().and_then(Weak::upgrade);
        let usage = store.map_or_else(Usage::default, |store| store.usage());
        LogStats {
            queued: self.commands.len() as u64,
            disk_bytes: usage.disk_bytes,
            journals: usage.journals,
            ..self.shared.lock().stats
        }
    }

    /// Makes durable what was asked for, ends the writer thread and releases the files.
    ///
    /// Entries still in the queue are dropped. Harmless if the log is closed already.
    pub async fn close(&self) {
        let (closed, is_closed) = async_channel::bounded(1);
        if self.commands.send(Command::Close { closed }).await.is_ok() {
            // Nothing is ever sent: the run loop drops the other end when it has ended.
            if is_closed.recv().await.is_ok() {
                log::debug!("a closing log has sent a value");
            }
        }
    }
}

impl LogStats {
    pub(super) fn count_commit(&mut self, run_bytes: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.commits += 1;
        self.commit_bytes += run_bytes;
        self.commit_nanos_last = nanos;
        self.commit_nanos_total = self.commit_nanos_total.saturating_add(nanos);
        self.commit_nanos_max = self.commit_nanos_max.max(nanos);
    }
}
