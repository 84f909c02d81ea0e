//! What others hold of the log: a handle to append with, and the events that come back.

use super::ENTRY_BYTES_MAX;
use super::error::AppendError;
use super::peers::Network;
use super::store::{Store, Usage};
use super::wire::{Answer, Change};
use crate::base::clock;
use crate::paxos::{Ballot, Configuration, Member, Position};
use async_channel::{Receiver, Sender};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

pub use super::wire::StatusReport as EnsembleStatus;
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
    /// A read that was asked for cannot be answered: this replica does not lead any more, or cannot
    /// prove that it does.
    ReadFailed {
        /// What [`LogHandle::read`] was given.
        token: u64,
    },
    /// A read that was asked for may be answered from every entry given before this.
    ReadReady {
        /// What [`LogHandle::read`] was given.
        token: u64,
    },
    /// The other replicas refuse this one. The process must end; somebody has to do what `reason`
    /// says.
    Refused {
        /// Why, and what to do.
        reason: String,
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
    /// From an operator.
    Change {
        change: Change,
        answer: Sender<Answer>,
    },
    Close {
        closed: Sender<()>,
    },
    HandOver {
        /// Told whether another replica has been told to lead.
        done: Sender<bool>,
    },
    Read {
        ballot: Ballot,
        token: u64,
    },
    Truncate {
        ballot: Ballot,
        to: Position,
    },
}

/// The run loop's end of the queue of commands.
///
/// When it goes, what still waits in the queue goes with it: each command holds the other end of what its
/// caller waits for, and a channel keeps what is in it as long as there is a sender, here every handle.
pub(super) struct Commands(Receiver<Command>);

impl Commands {
    pub(super) fn new(queue: Receiver<Command>) -> Self {
        Self(queue)
    }
}

impl Deref for Commands {
    type Target = Receiver<Command>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.0.close();
        while let Ok(command) = self.0.try_recv() {
            drop(command);
        }
    }
}

/// What the run loop shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: ReplicaStatus,
    pub(super) leading: Option<Ballot>,
    /// Whose term it is believed to be.
    pub(super) leader: Option<Ballot>,
    /// Whether it leads, and its newest configuration has no other member.
    pub(super) is_alone: bool,
    pub(super) stats: LogStats,
    pub(super) ensemble: Ensemble,
}

impl Shown {
    /// The loop has ended.
    pub(super) fn retire(&mut self) {
        self.leading = None;
        self.leader = None;
        self.is_alone = false;
    }
}

/// What is known of the ensemble without asking the network.
#[derive(Clone, Debug, Default)]
pub(super) struct Ensemble {
    pub(super) me: Member,
    pub(super) address: Arc<str>,
    pub(super) configuration: Option<Arc<Configuration>>,
    pub(super) is_formed: bool,
    pub(super) promised: Ballot,
}

#[derive(Debug)]
pub(super) struct Shared(Mutex<Shown>);

impl Shared {
    pub(super) fn new(status: ReplicaStatus) -> Self {
        Self(Mutex::new(Shown {
            status,
            leading: None,
            leader: None,
            is_alone: false,
            stats: LogStats::default(),
            ensemble: Ensemble::default(),
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
    pub(super) store: Arc<OnceLock<Weak<dyn Store>>>,
    pub(super) network: Option<Network>,
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

    /// Asks whether this replica still led `ballot` when it was asked, and everything acknowledged by
    /// then is learned here. Waits while the queue is full.
    ///
    /// The answer is [`LogEvent::ReadReady`] with `token`, behind every entry that it covers, or
    /// [`LogEvent::ReadFailed`]. One round to the other replicas serves all that wait.
    ///
    /// # Errors
    ///
    /// Nothing was asked, and there will be no answer.
    ///
    /// # Cancellation
    ///
    /// Dropped before it is done, nothing is asked.
    pub async fn read(&self, ballot: Ballot, token: u64) -> Result<(), AppendError> {
        self.ask(ballot, Command::Read { ballot, token }).await
    }

    /// The term of the replica that is believed to lead, this one or another.
    ///
    /// `None` if none has been heard for as long as an election takes to begin.
    pub fn leader(&self) -> Option<Ballot> {
        self.shared.lock().leader
    }

    /// Whether this replica leads and nobody else could: its ensemble has no other member, nor will
    /// have one by a change under way.
    pub fn is_alone(&self) -> bool {
        self.shared.lock().is_alone
    }

    /// The feature level of the log: no entry needs a higher one. At least 1.
    pub fn feature_level(&self) -> u32 {
        let shown = self.shared.lock();
        let configuration = shown.ensemble.configuration.as_ref();
        configuration.map_or(1, |it| it.feature_level)
    }

    /// Lets another replica lead, having learned all that was appended. True once one has been told
    /// to; false if there is none that could at once, or this replica does not lead.
    pub async fn hand_over(&self) -> bool {
        let (done, is_done) = async_channel::bounded(1);
        if self
            .commands
            .send(Command::HandOver { done })
            .await
            .is_err()
        {
            return false;
        }
        is_done.recv().await.unwrap_or(false)
    }

    /// How every replica of the ensemble is, as far as it is known here.
    pub fn ensemble(&self) -> EnsembleStatus {
        let shown = self.shared.lock().clone();
        let known = self
            .network
            .as_ref()
            .map(Network::known)
            .unwrap_or_default();
        super::report::report(&shown, &known, clock::now())
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
        let store = self.store.get().and_then(Weak::upgrade);
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
