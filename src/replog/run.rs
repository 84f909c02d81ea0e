//! The loop: feeds the core, carries out what it asks for, and passes events on.

use super::disk::{self, Disk};
use super::handle::{Command, LogEvent, ReplicaStatus, Shared};
use super::store::Store;
use super::writer::{self, Done, JOBS_MAX, Job};
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::paxos::{
    Ballot, Effect, Entry, Options, Position, ProposeError, Recovered, Replica, Run, Ticket, Value,
};
use crate::rt;
use async_channel::{Receiver, Sender, TrySendError};
use futures_lite::FutureExt;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Most events kept back for a slow receiver before commands wait.
const OUTBOX_MAX: usize = 4096;
/// Most jobs at the writer before commands wait. The core adds a few of its own.
const JOBS_BUSY: usize = JOBS_MAX / 2;
/// Most commands and bytes in one proposal.
const PROPOSAL_COMMANDS: usize = Run::VALUES_MAX;
const PROPOSAL_BYTES: usize = Run::BYTES_SOFT;
/// About how much is read at once when entries are given again at the start.
const REPLAY_BYTES: usize = 1 << 20;

/// Says once an interval that the replica is not initialised, until every handle is gone.
pub async fn say_empty(
    path: PathBuf,
    interval: Duration,
    commands: Receiver<Command>,
    events: Sender<LogEvent>,
) {
    loop {
        log::info!(
            "Replica in EMPTY status: the replicated log in {path} has not been initialized. Stop \
             this scheduler, run: aurora-log initialize --path={path} (as the user it runs as, or \
             as root), and start it again",
            path = path.display()
        );
        if let Err(TrySendError::Closed(_)) =
            events.try_send(LogEvent::Status(ReplicaStatus::Empty))
        {
            return;
        }
        let asked = async { Some(commands.recv().await) };
        let due = async {
            rt::sleep(interval).await;
            None
        };
        if asked.or(due).await.is_some() {
            return;
        }
    }
}

/// What the loop waits for.
enum Input {
    /// A command, or every handle is gone.
    Command(Option<Command>),
    /// News from the writer, or it is gone.
    Done(Option<Done>),
    /// The receiver has taken an event, or is gone.
    Taken(bool),
    /// The core's deadline.
    Timeout,
}

/// Why the loop ends.
enum End {
    Closed(Option<Sender<()>>),
    Poisoned(String),
}

/// Everything the loop owns.
pub struct Runner {
    core: Replica,
    rng: Rng,
    store: Arc<dyn Store>,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
    /// The last ticket given to the writer, and the last it has done.
    asked: Ticket,
    persisted: Ticket,
    commands: Receiver<Command>,
    /// A command that did not fit into the last proposal.
    held_back: Option<Command>,
    events: Sender<LogEvent>,
    outbox: VecDeque<LogEvent>,
    /// The tickets of entries in flight, by position.
    in_flight: VecDeque<(Position, u64)>,
    shared: Arc<Shared>,
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
        commands: Receiver<Command>,
        events: Sender<LogEvent>,
        shared: Arc<Shared>,
        rng: Rng,
    ) -> std::io::Result<Self> {
        let store = Arc::clone(disk.store());
        let (jobs, todo) = async_channel::bounded(JOBS_MAX);
        let (tell, done) = async_channel::bounded(JOBS_MAX);
        let thread = writer::spawn(disk, todo, tell)?;
        Ok(Self {
            core: Replica::new(recovered, Options::default()),
            rng,
            store,
            jobs,
            done,
            thread,
            asked: Ticket(0),
            persisted: Ticket(0),
            commands,
            held_back: None,
            events,
            outbox: VecDeque::new(),
            in_flight: VecDeque::new(),
            shared,
        })
    }

    /// Runs until the log is closed or the disk fails.
    pub async fn run(mut self) {
        let end = match self.replay().await {
            Some(end) => end,
            None => self.serve().await,
        };
        self.finish(end).await;
    }

    /// Gives every learned entry again, from the first kept on.
    async fn replay(&mut self) -> Option<End> {
        self.show(ReplicaStatus::Recovering);
        self.outbox
            .push_back(LogEvent::Status(ReplicaStatus::Recovering));
        let mut next = self.core.first();
        let through = self.core.learned();
        loop {
            if let Some(end) = self.empty_outbox().await {
                return Some(end);
            }
            if next > through {
                return None;
            }
            let store = Arc::clone(&self.store);
            let read = rt::unblock(move || {
                disk::read_entries(store.as_ref(), next, through, REPLAY_BYTES)
            });
            match read.await {
                Ok(entries) if entries.is_empty() => {
                    let missing = format!("the entry at position {next} is missing");
                    return Some(End::Poisoned(missing));
                }
                Ok(entries) => {
                    for entry in entries {
                        next = entry.position.next();
                        self.give(entry);
                    }
                }
                Err(error) => return Some(End::Poisoned(error.to_string())),
            }
        }
    }

    /// Waits until the receiver has taken every event.
    async fn empty_outbox(&mut self) -> Option<End> {
        while let Some(event) = self.outbox.front().cloned() {
            let closed = async { Some(self.commands.recv().await) };
            let sent = async {
                match self.events.send(event).await {
                    Ok(()) => None,
                    Err(_) => Some(Err(async_channel::RecvError)),
                }
            };
            match sent.or(closed).await {
                None => drop(self.outbox.pop_front()),
                Some(Ok(Command::Close { closed })) => return Some(End::Closed(Some(closed))),
                // Nobody leads yet: what is appended now is refused by the next look at the ballot.
                Some(Ok(Command::Append { .. } | Command::Truncate { .. })) => {}
                Some(Err(_)) => return Some(End::Closed(None)),
            }
        }
        None
    }

    async fn serve(&mut self) -> End {
        let status = self.core.status();
        self.show(status);
        self.outbox.push_back(LogEvent::Status(status));
        self.core.start(clock::now(), &mut self.rng);
        loop {
            if let Some(end) = self.carry_out().await {
                return end;
            }
            // ORDER: who receives `Leading` may append at once.
            self.publish();
            if !self.pass_on() {
                return End::Closed(None);
            }
            match self.held_back.take() {
                Some(Command::Close { closed }) => return End::Closed(Some(closed)),
                Some(command) if self.takes_commands() => {
                    self.propose(command);
                    continue;
                }
                held_back => self.held_back = held_back,
            }
            match self.input().await {
                Input::Command(None) | Input::Taken(false) => return End::Closed(None),
                Input::Command(Some(Command::Close { closed })) => {
                    return End::Closed(Some(closed));
                }
                Input::Command(Some(command)) => self.propose(command),
                Input::Done(Some(Done::Persisted { ticket, committed })) => {
                    self.persisted = ticket;
                    let mut shown = self.shared.lock();
                    shown
                        .stats
                        .count_commit(committed.run_bytes, committed.took);
                    drop(shown);
                    self.core
                        .handle_persisted(clock::now(), ticket, &mut self.rng);
                }
                Input::Done(Some(Done::Failed(reason))) => return End::Poisoned(reason),
                Input::Done(None) => {
                    return End::Poisoned("the writer thread of the log has ended".to_owned());
                }
                Input::Taken(true) => drop(self.outbox.pop_front()),
                Input::Timeout => self.core.handle_timeout(clock::now(), &mut self.rng),
            }
        }
    }

    /// The next thing that happens. Every part of this may be dropped unfinished without a loss.
    async fn input(&self) -> Input {
        let done = async { Input::Done(self.done.recv().await.ok()) };
        let command = async {
            if self.held_back.is_some() || !self.takes_commands() {
                return std::future::pending().await;
            }
            Input::Command(self.commands.recv().await.ok())
        };
        let taken = async {
            match self.outbox.front().cloned() {
                Some(event) => Input::Taken(self.events.send(event).await.is_ok()),
                None => std::future::pending().await,
            }
        };
        let timeout = async {
            rt::sleep_until(self.core.deadline()).await;
            Input::Timeout
        };
        if self.core.deadline() == Instant::FAR {
            return done.or(command).or(taken).await;
        }
        done.or(command).or(taken).or(timeout).await
    }

    fn takes_commands(&self) -> bool {
        let jobs = self.asked.0 - self.persisted.0;
        self.core.has_room() && self.outbox.len() < OUTBOX_MAX && jobs < JOBS_BUSY as u64
    }

    /// Proposes a command and what has queued up behind it under the same ballot.
    fn propose(&mut self, command: Command) {
        let Some(ballot) = ballot_of(&command) else {
            return;
        };
        let mut values = Vec::new();
        let mut tickets = Vec::new();
        let mut bytes = 0;
        let mut next = Some(command);
        while let Some(command) = next {
            if ballot_of(&command) != Some(ballot) {
                self.held_back = Some(command);
                break;
            }
            match command {
                Command::Append {
                    ticket, payload, ..
                } => {
                    bytes += payload.len();
                    tickets.push(Some(ticket));
                    values.push(Value::Append(payload.into()));
                }
                Command::Truncate { to, .. } => {
                    tickets.push(None);
                    values.push(Value::Truncate { to });
                }
                Command::Close { .. } => {}
            }
            if values.len() >= PROPOSAL_COMMANDS || bytes >= PROPOSAL_BYTES {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        match self
            .core
            .propose(clock::now(), ballot, values, &mut self.rng)
        {
            Ok(first) => {
                let tickets = tickets.into_iter().zip(first.0..);
                let before = self.in_flight.len();
                self.in_flight
                    .extend(tickets.filter_map(|(t, at)| Some((Position(at), t?))));
                let mut shown = self.shared.lock();
                shown.stats.appends += (self.in_flight.len() - before) as u64;
                shown.stats.append_bytes += bytes as u64;
            }
            // The term has ended since they were queued: `Discarded` has told so, or is about to.
            Err(ProposeError::NotCoordinator) => {}
            Err(error @ (ProposeError::BeyondEnd { .. } | ProposeError::Full)) => {
                // The handle checks against the watermark and the loop against the window.
                unreachable!("a proposal was checked before: {error}");
            }
        }
    }

    /// Does everything that the core asks for.
    async fn carry_out(&mut self) -> Option<End> {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Persist { ticket, records } => {
                    self.asked = ticket;
                    let job = Job { ticket, records };
                    if self.jobs.send(job).await.is_err() {
                        return Some(self.writer_failed());
                    }
                }
                Effect::Learned(run) => run.entries().for_each(|entry| self.give(entry)),
                Effect::Leading { ballot } => self.outbox.push_back(LogEvent::Leading { ballot }),
                Effect::Discarded { ballot } => {
                    self.in_flight.clear();
                    self.outbox.push_back(LogEvent::Discarded { ballot });
                }
                Effect::Skipped { first } => self.outbox.push_back(LogEvent::Skipped { first }),
                Effect::Status(status) => {
                    self.show(status);
                    self.outbox.push_back(LogEvent::Status(status));
                }
                Effect::Read {
                    peer,
                    from,
                    through,
                } => {
                    let store = Arc::clone(&self.store);
                    let read = rt::unblock(move || {
                        disk::read_entries(store.as_ref(), from, through, REPLAY_BYTES)
                    });
                    match read.await {
                        Ok(entries) => self.core.handle_read(peer, Run::collect(entries)),
                        Err(error) => return Some(End::Poisoned(error.to_string())),
                    }
                }
                // A replica without peers has nobody to send to; one with peers loses messages.
                Effect::Broadcast { .. }
                | Effect::ChangeFailed { .. }
                | Effect::Configured(_)
                | Effect::Leader(_)
                | Effect::ReadFailed { .. }
                | Effect::ReadReady { .. } => {}
                Effect::Send { to, message } => {
                    log::debug!("no way to replica {to} for {:?}", message.body);
                }
            }
        }
        None
    }

    /// The writer takes no jobs any more: what it said last is why.
    fn writer_failed(&self) -> End {
        while let Ok(news) = self.done.try_recv() {
            if let Done::Failed(reason) = news {
                return End::Poisoned(reason);
            }
        }
        End::Poisoned("the writer thread of the log has ended".to_owned())
    }

    /// Gives a learned entry to the receiver, if it is one of the owner's.
    fn give(&mut self, entry: Entry) {
        let mut ticket = None;
        while let Some((position, mine)) = self.in_flight.front().copied()
            && position <= entry.position
        {
            self.in_flight.pop_front();
            if position == entry.position {
                ticket = Some(mine);
            }
        }
        match entry.value {
            Value::Append(payload) => self.outbox.push_back(LogEvent::Learned {
                position: entry.position,
                ballot: entry.ballot,
                ticket,
                payload,
            }),
            // The log's own.
            Value::Configure(_) | Value::Nop | Value::Truncate { .. } => {}
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

    fn publish(&self) {
        let mut shown = self.shared.lock();
        shown.leading = self.core.leading();
        shown.stats.first = self.core.first().0;
        shown.stats.learned = self.core.learned().0;
        shown.stats.end = self.core.end().0;
    }

    /// Ends the writer, releases the files, and says why.
    async fn finish(mut self, end: End) {
        self.shared.lock().leading = None;
        self.commands.close();
        let (closed, mut poison) = match end {
            End::Closed(closed) => (closed, None),
            End::Poisoned(reason) => (None, Some(reason)),
        };
        if poison.is_none() {
            self.core.flush();
            poison = match self.carry_out().await {
                Some(End::Poisoned(reason)) => Some(reason),
                Some(End::Closed(_)) | None => None,
            };
        }
        // The writer does every job before it ends.
        let Self {
            jobs,
            done,
            thread,
            store,
            mut outbox,
            events,
            ..
        } = self;
        drop(jobs);
        while let Ok(news) = done.recv().await {
            if let Done::Failed(reason) = news {
                poison.get_or_insert(reason);
            }
        }
        rt::unblock(move || {
            writer::join(thread);
            drop(store);
        })
        .await;
        if let Some(reason) = poison {
            log::error!("the replicated log has failed and takes nothing any more: {reason}");
            outbox.push_back(LogEvent::Poisoned { reason });
            for event in outbox {
                if events.send(event).await.is_err() {
                    break;
                }
            }
        }
        drop(closed);
    }
}

fn ballot_of(command: &Command) -> Option<Ballot> {
    match command {
        Command::Append { ballot, .. } | Command::Truncate { ballot, .. } => Some(*ballot),
        Command::Close { .. } => None,
    }
}
