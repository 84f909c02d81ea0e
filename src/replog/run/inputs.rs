//! Waiting, and telling the core what has happened.

use super::members;
use super::{End, OUTBOX_MAX, ReadDone, Reader, Runner, Wires};
use crate::base::clock;
use crate::paxos::{Message, ProposeError, Run, Value};
use crate::replog::handle::Command;
use crate::replog::peers::PeerEvent;
use crate::replog::writer::{Done, JOBS_MAX};
use crate::rt;
use futures_lite::FutureExt;

/// Most jobs at the writer before commands and entries wait. The core adds a few of its own.
const JOBS_BUSY: usize = JOBS_MAX / 2;
/// Most bytes at the writer before commands and entries wait.
const JOBS_BUSY_BYTES: usize = 16 << 20;
/// Most commands and bytes in one proposal.
const PROPOSAL_COMMANDS: usize = Run::VALUES_MAX;
const PROPOSAL_BYTES: usize = Run::BYTES_SOFT;
/// Most of each kind that is taken before what the core asks for is done.
const TAKEN_MAX: usize = 64;

/// What the loop waits for.
enum Input {
    /// A command, or every handle is gone.
    Command(Option<Command>),
    /// News from the writer, or it is gone.
    Done(Option<Done>),
    /// Entries from a peer.
    Entries(Message),
    /// News of a peer.
    News(PeerEvent),
    /// What was read for a peer.
    Read(ReadDone),
    /// The receiver has taken an event, or is gone.
    Taken(bool),
    /// A deadline has passed.
    Timeout,
}

impl Runner {
    /// Waits for something to happen, and takes it and what else has happened by then.
    pub(super) async fn take_inputs(&mut self) -> Option<End> {
        let input = match self.take_held_back() {
            Some(command) => Input::Command(Some(command)),
            None => {
                let mut alarm = std::mem::take(&mut self.alarm);
                let input = self.input(&mut alarm).await;
                self.alarm = alarm;
                input
            }
        };
        if let Some(end) = self.take(input) {
            return Some(end);
        }
        for _ in 0..TAKEN_MAX {
            let Ok(done) = self.done.try_recv() else {
                break;
            };
            if let Some(end) = self.take(Input::Done(Some(done))) {
                return Some(end);
            }
        }
        if let Some(wires) = self.wires.clone() {
            self.take_from_peers(&wires);
        }
        if self.takes_commands()
            && self.held_back.is_none()
            && let Ok(command) = self.commands.try_recv()
            && let Some(end) = self.take(Input::Command(Some(command)))
        {
            return Some(end);
        }
        let now = clock::now();
        // Whatever happens all the time, nothing that is due waits for it to stop.
        if now >= self.core.deadline() {
            self.core.handle_timeout(now, &mut self.rng);
        }
        self.look_after_members(now)
    }

    fn take_from_peers(&mut self, wires: &Wires) {
        for _ in 0..TAKEN_MAX {
            let Ok(news) = wires.news.try_recv() else {
                break;
            };
            self.hear(news);
        }
        for _ in 0..TAKEN_MAX {
            if !self.takes_entries() {
                break;
            }
            let Ok(message) = wires.entries.try_recv() else {
                break;
            };
            self.core
                .handle_message(clock::now(), message, &mut self.rng);
        }
    }

    fn take(&mut self, input: Input) -> Option<End> {
        match input {
            Input::Command(None) | Input::Taken(false) => return Some(End::Closed(None)),
            Input::Command(Some(command)) => return self.command(command),
            Input::Done(Some(Done::Persisted { ticket, committed })) => {
                while let Some((waiting, bytes)) = self.at_writer.front().copied()
                    && waiting <= ticket
                {
                    self.at_writer.pop_front();
                    self.at_writer_bytes -= bytes;
                }
                self.sequence = committed.sequence;
                self.promised = committed.promised;
                let mut shown = self.shared.lock();
                shown
                    .stats
                    .count_commit(committed.run_bytes, committed.took);
                drop(shown);
                // ORDER: what the core releases now is sent with a pulse that counts this commit.
                self.beat();
                self.core
                    .handle_persisted(clock::now(), ticket, &mut self.rng);
            }
            Input::Done(Some(Done::Failed(reason))) => return Some(End::Poisoned(reason)),
            Input::Done(None) => {
                let reason = "the writer thread of the log has ended".to_owned();
                return Some(End::Poisoned(reason));
            }
            Input::Entries(message) => {
                self.core
                    .handle_message(clock::now(), message, &mut self.rng);
            }
            Input::News(news) => self.hear(news),
            Input::Read(done) => return self.has_read(done),
            Input::Taken(true) => drop(self.outbox.pop_front()),
            Input::Timeout => {}
        }
        None
    }

    fn command(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Close { closed } => return Some(End::Closed(Some(closed))),
            Command::Append { ballot, .. } | Command::Truncate { ballot, .. } => {
                self.propose(ballot, command);
            }
            Command::Change { change, answer } => self.asked_to_change(change, answer),
            Command::HandOver { done } => self.asked_to_hand_over(done),
            Command::Read { ballot, token } => self.asked_to_read(ballot, token),
        }
        None
    }

    fn has_read(&mut self, done: ReadDone) -> Option<End> {
        let runs = match done.runs {
            Ok(runs) => runs,
            Err(reason) => return Some(End::Poisoned(reason)),
        };
        match done.reader {
            Reader::Owner(from) => self.has_read_again(from, &runs),
            Reader::Peer(peer) => {
                self.reading -= 1;
                self.core.handle_read(peer, runs);
                None
            }
        }
    }

    /// The next thing that happens. Every part of this may be dropped unfinished without a loss.
    async fn input(&self, alarm: &mut rt::Alarm) -> Input {
        let done = async { Input::Done(self.done.recv().await.ok()) };
        let command = async {
            if !self.takes_commands() || self.held_back.is_some() {
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
        let news = async {
            match &self.wires {
                Some(wires) => match wires.news.recv().await {
                    Ok(news) => Input::News(news),
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        let entries = async {
            match &self.wires {
                Some(wires) if self.takes_entries() => match wires.entries.recv().await {
                    Ok(message) => Input::Entries(message),
                    Err(_) => std::future::pending().await,
                },
                Some(_) | None => std::future::pending().await,
            }
        };
        let read = async {
            match self.reads.1.recv().await {
                Ok(done) => Input::Read(done),
                Err(_) => std::future::pending().await,
            }
        };
        let inputs = done.or(news).or(entries).or(command).or(taken).or(read);
        let due = self.core.deadline().min(self.members.due());
        let timeout = async {
            alarm.until(due).await;
            Input::Timeout
        };
        inputs.or(timeout).await
    }

    fn is_writer_busy(&self) -> bool {
        self.at_writer.len() >= JOBS_BUSY || self.at_writer_bytes >= JOBS_BUSY_BYTES
    }

    fn takes_commands(&self) -> bool {
        self.core.has_room() && !self.is_outbox_full() && !self.is_writer_busy()
    }

    fn takes_entries(&self) -> bool {
        !self.is_outbox_full() && !self.is_writer_busy()
    }

    /// Whether the owner has to take events before there are more. A replay is no reason to wait: it fills
    /// the outbox by itself, and bounds what is learned meanwhile. A follower begins one.
    fn is_outbox_full(&self) -> bool {
        self.replay.is_none() && self.outbox.len() >= OUTBOX_MAX && !self.follows()
    }

    /// The command that came behind the last proposal and was no part of it, if its turn has come.
    fn take_held_back(&mut self) -> Option<Command> {
        let is_proposed = self
            .held_back
            .as_ref()
            .and_then(members::ballot_of)
            .is_some();
        if is_proposed && !self.takes_commands() {
            return None;
        }
        self.held_back.take()
    }

    /// Proposes a command of `ballot` and what has queued up behind it under the same.
    fn propose(&mut self, ballot: crate::paxos::Ballot, command: Command) {
        let mut values = Vec::new();
        let mut tickets = Vec::new();
        let mut bytes = 0;
        let mut next = Some(command);
        let mut behind = None;
        while let Some(command) = next {
            if members::ballot_of(&command) != Some(ballot) {
                behind = Some(command);
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
                Command::Change { .. }
                | Command::Close { .. }
                | Command::HandOver { .. }
                | Command::Read { .. } => {}
            }
            if values.len() >= PROPOSAL_COMMANDS || bytes >= PROPOSAL_BYTES {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        self.propose_values(ballot, values, tickets, bytes);
        self.held_back = behind;
    }

    fn propose_values(
        &mut self,
        ballot: crate::paxos::Ballot,
        values: Vec<Value>,
        tickets: Vec<Option<u64>>,
        bytes: usize,
    ) {
        let first = self
            .core
            .propose(clock::now(), ballot, values, &mut self.rng);
        match first {
            Ok(first) => {
                let tickets = tickets.into_iter().zip(first.0..);
                let before = self.in_flight.len();
                self.in_flight
                    .extend(tickets.filter_map(|(t, at)| Some((crate::paxos::Position(at), t?))));
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
}
