//! The loop: feeds the core, carries out what it asks for, and passes events on.
//!
//! `effects` carries out, `inputs` waits and feeds, `members` looks after the ensemble: forming it,
//! inviting and changing its members, ending when the other replicas refuse this one. `replay` gives the
//! owner again, at the start, what was learned before, and what it has fallen behind with.

mod change;
mod effects;
mod empty;
mod inputs;
mod members;
mod replay;

pub use empty::Empty;
pub use members::Members;

use super::disk::Disk;
use super::handle::{Command, Commands, LogEvent, ReplicaStatus, Shared};
use super::peers::{Network, PeerEvent};
use super::store::Store;
use super::writer::{self, Done, JOBS_MAX, Job};
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::net::listener::Incoming;
use crate::paxos::{
    Ballot, Message, Options, Position, Recovered, Replica, ReplicaId, Run, Ticket,
};
use crate::rt;
use async_channel::{Receiver, Sender, TrySendError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

/// Most events kept back for a slow receiver before commands wait.
const OUTBOX_MAX: usize = 4096;
/// About how much is read at once when entries are given again at the start, or sent to a peer.
const READ_BYTES: usize = 1 << 20;
/// Most reads for peers that are under way.
const READS_MAX: usize = 8;

/// Why the loop ends.
enum End {
    Closed(Option<Sender<()>>),
    Poisoned(String),
    Refused(String),
}

/// Everything that reaches the loop from outside.
pub struct Inlets {
    /// What the handles ask.
    pub commands: Commands,
    /// Where events go.
    pub events: Sender<LogEvent>,
    /// What the handles show.
    pub shared: Arc<Shared>,
    /// The other replicas.
    pub wires: Option<Wires>,
}

/// The connections to the other replicas.
#[derive(Clone)]
pub struct Wires {
    /// To send.
    pub network: Network,
    /// News of the peers.
    pub news: Receiver<PeerEvent>,
    /// Their messages that carry entries.
    pub entries: Receiver<Message>,
    /// Connections that they make.
    pub incoming: Receiver<Incoming>,
}

/// What has been read.
struct ReadDone {
    reader: Reader,
    runs: Result<Vec<Run>, String>,
}

/// For whom something is read.
enum Reader {
    /// The owner of this replica, from this position on.
    Owner(Position),
    Peer(ReplicaId),
}

/// A read that waits for its turn.
#[derive(Clone, Copy)]
struct Wanted {
    peer: ReplicaId,
    from: Position,
    through: Position,
}

/// Everything the loop owns.
pub struct Runner {
    core: Replica,
    rng: Rng,
    alarm: rt::Alarm,
    store: Arc<dyn Store>,
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
    /// What is at the writer: tickets and bytes.
    at_writer: VecDeque<(Ticket, usize)>,
    at_writer_bytes: usize,
    /// The last durable commit, and the promise that it holds.
    sequence: u64,
    promised: Ballot,
    commands: Commands,
    /// A command that came behind the last proposal and was no part of it.
    held_back: Option<Command>,
    events: Sender<LogEvent>,
    outbox: VecDeque<LogEvent>,
    /// What the owner has to be given again, until it has been.
    replay: Option<replay::Replay>,
    started: Instant,
    /// The tickets of entries in flight, by position.
    in_flight: VecDeque<(Position, u64)>,
    shared: Arc<Shared>,
    wires: Option<Wires>,
    /// Reads for peers: those that wait, and those under way.
    wanted: VecDeque<Wanted>,
    reading: usize,
    reads: (Sender<ReadDone>, Receiver<ReadDone>),
    members: Members,
    /// Told when another replica has been told to lead.
    handing_over: Option<members::HandingOver>,
}

impl Runner {
    /// A loop over an opened disk, whose thread starts now.
    ///
    /// # Errors
    ///
    /// If the system has no thread to give.
    pub fn new(
        disk: Disk,
        recovered: Recovered,
        options: Options,
        inlets: Inlets,
        members: Members,
        rng: Rng,
    ) -> std::io::Result<Self> {
        let store = Arc::clone(disk.store());
        let (sequence, promised) = (disk.sequence(), disk.promised());
        let (jobs, todo) = std::sync::mpsc::sync_channel(JOBS_MAX);
        let (tell, done) = async_channel::bounded(JOBS_MAX);
        let thread = writer::spawn(disk, todo, tell)?;
        let core = Replica::new(recovered, options);
        Ok(Self {
            replay: Some(replay::Replay::new(core.first(), core.learned())),
            started: clock::now(),
            core,
            rng,
            alarm: rt::Alarm::default(),
            store,
            jobs,
            done,
            thread,
            at_writer: VecDeque::new(),
            at_writer_bytes: 0,
            sequence,
            promised,
            commands: inlets.commands,
            held_back: None,
            events: inlets.events,
            outbox: VecDeque::new(),
            in_flight: VecDeque::new(),
            shared: inlets.shared,
            wires: inlets.wires,
            wanted: VecDeque::new(),
            reading: 0,
            reads: async_channel::bounded(READS_MAX),
            members,
            handing_over: None,
        })
    }

    /// Runs until the log is closed, the disk fails or the other replicas refuse this one.
    pub async fn run(mut self) {
        let end = self.serve().await;
        self.finish(end).await;
    }

    async fn serve(&mut self) -> End {
        self.show(ReplicaStatus::Recovering);
        self.outbox
            .push_back(LogEvent::Status(ReplicaStatus::Recovering));
        self.join_network();
        let now = clock::now();
        self.core.set_warm(now, false, &mut self.rng);
        self.core.start(now, &mut self.rng);
        loop {
            let goes_on = self.go_on_with_replay();
            if let Some(end) = self.carry_out().await {
                return end;
            }
            // ORDER: who receives `Leading` may append at once.
            self.publish();
            if !self.pass_on() {
                return End::Closed(None);
            }
            if goes_on && self.outbox.is_empty() {
                continue;
            }
            if let Some(end) = self.take_inputs().await {
                return end;
            }
        }
    }

    /// Passes on what the receiver has room for. False if the receiver is gone.
    fn pass_on(&mut self) -> bool {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.outbox.push_front(event);
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        true
    }

    fn show(&self, status: ReplicaStatus) {
        self.shared.lock().status = status;
    }

    /// Ends the writer, releases the files, and says why.
    async fn finish(mut self, end: End) {
        self.shared.lock().retire();
        self.commands.close();
        let (closed, mut last) = match end {
            End::Closed(closed) => (closed, None),
            End::Poisoned(reason) => (None, Some(LogEvent::Poisoned { reason })),
            End::Refused(reason) => (None, Some(LogEvent::Refused { reason })),
        };
        if last.is_none() {
            self.core.flush();
            if let Some(End::Poisoned(reason)) = self.carry_out().await {
                last = Some(LogEvent::Poisoned { reason });
            }
        }
        if let Some(wires) = &self.wires {
            wires.network.close();
        }
        // The writer does every job before it ends.
        let Self {
            jobs,
            done,
            thread,
            store,
            mut outbox,
            events,
            reads,
            ..
        } = self;
        drop(jobs);
        // Readers hold the store.
        drop(reads.0);
        while reads.1.recv().await.is_ok() {}
        while let Ok(news) = done.recv().await {
            if let Done::Failed(reason) = news {
                last.get_or_insert(LogEvent::Poisoned { reason });
            }
        }
        rt::unblock(move || {
            writer::join(thread);
            drop(store);
        })
        .await;
        if let Some(event) = last {
            if let LogEvent::Poisoned { reason } = &event {
                log::error!("the replicated log has failed and takes nothing any more: {reason}");
            }
            outbox.push_back(event);
            for event in outbox {
                if events.send(event).await.is_err() {
                    break;
                }
            }
        }
        drop(closed);
    }
}
