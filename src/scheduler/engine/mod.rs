//! The engine: decides, one step after the other, what becomes of commands and reports.
//!
//! Sans-IO: it is told what happened and when, and says what to do by [`Engine::poll_effect`].
//!
//! It works on the *head*: the committed tables (the *bottom*) with every change on top that is still on
//! its way to the log. Steps gather in an open batch; [`Engine::seal`] proposes the batch as one entry of
//! the log. Each batch in flight keeps the tables that it makes and an outbox of replies and orders that
//! follow from it. When the front one is learned, its tables become the bottom and its outbox leaves. A
//! step that changes nothing still waits for what it has seen: its outbox joins the youngest batch.
//!
//! If a batch is discarded, the head is dropped, nothing later is proposed and the engine stands down.
//! What is in memory only (task groups, timers, the book of machines) is made again from the tables when
//! it leads again.

mod admin;
mod affinity;
mod attempts;
mod commands;
mod cron;
mod cron_runs;
mod expiry;
mod history;
mod maintenance;
mod options;
mod pending;
mod preempt;
mod reports;
mod restore;
mod revocable;
mod rouse;
mod settle;
mod spread;
mod step;
#[cfg(test)]
mod tests;
mod timers;
mod updates;
mod view;

pub use options::EngineOptions;
pub use revocable::RevocableRules;

use crate::base::clock::{Instant, Now, Timestamp};
use crate::base::rng::Rng;
use crate::domain::placement::Book;
use crate::driver::{DriverCommand, DriverEvent};
use crate::model::JobKey;
use crate::scheduler::admin::{AdminCommand, Question};
use crate::scheduler::handle::{Command, Reply, ReplyCode, SubmitError, id_of};
use crate::storage::stored::{Record, encode_at};
use crate::storage::{Answer, Leader, Op, Replay, ReplayError, Snapshot, Tables};
use affinity::Affinity;
use cron::CronQueue;
use maintenance::Coordination;
use pending::Pending;
use preempt::Preemption;
use restore::Restoring;
use revocable::Revocable;
use rouse::Rousing;
use std::collections::VecDeque;
use std::sync::Arc;
use step::{Done, Means, Outgoing, Step};
use timers::{Timer, Timers};
use updates::Live;

/// The longest request that is accepted, its id with a digest, in bytes.
const MAX_REQUEST_ID: usize = 256 + DIGEST;

/// How long a digest is, with the space before it.
const DIGEST: usize = 9;

/// How large a batch grows before it counts as full, in bytes of its entry, roughly.
///
/// Far below the longest entry of the log, as the last step comes on top.
const FULL_BATCH: usize = 2 << 20;

/// What the engine wants done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Ask a coordinator, and tell [`Engine::handle_answered`] in any case.
    Ask(Box<Question>),
    /// Append an entry to the log.
    Append {
        /// Names it when it is learned or discarded. Never used twice.
        ticket: u64,
        /// The entry.
        entry: Entry,
    },
    /// Tell the driver.
    Driver(DriverCommand),
    /// Show these committed tables to readers.
    Publish(Arc<Tables>),
    /// Answer a command.
    Reply {
        /// Names the command.
        token: u64,
        /// The answer.
        result: Result<Reply, SubmitError>,
    },
    /// A recovery has taken the place of everything: this scheduler has to end.
    Restored,
    /// A snapshot of these tables begins.
    Snapshot(Arc<Tables>),
    /// All before and at this position is in a finished snapshot.
    Truncate {
        /// The last position that is not needed any more.
        position: u64,
    },
}

/// An entry for the log that is not bytes yet. Making them is left to whoever carries it there: it takes a
/// tenth of the time of placing a task, and the engine has something better to do.
#[derive(Clone, Debug)]
pub struct Entry {
    record: Record,
    level: u32,
}

impl Entry {
    /// An entry in a log of this feature level.
    pub fn new(record: Record, level: u32) -> Self {
        Self { record, level }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode_at(&self.record, self.level)
    }
}

/// Changes and what follows from them, not yet proposed.
#[derive(Debug, Default)]
struct Open {
    ops: Vec<Op>,
    /// How many bytes the ops will take, roughly.
    weight: usize,
    outbox: Vec<Outgoing>,
}

/// A batch on its way to the log.
#[derive(Debug)]
struct Flight {
    ticket: u64,
    /// The tables that it makes; `None` if it is part of a snapshot and not the end of a recovery.
    tables: Option<Arc<Tables>>,
    outbox: Vec<Outgoing>,
    /// The last position that the snapshot it finishes makes superfluous.
    truncate: Option<u64>,
}

/// Decides. See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    means: Means,
    /// Made while following; taken when leading begins.
    replay: Option<Replay>,
    bottom: Arc<Tables>,
    /// The position of the entry that made the bottom.
    position: u64,
    head: Tables,
    open: Open,
    flights: VecDeque<Flight>,
    next_ticket: u64,
    /// The feature level of the log.
    level: u32,
    effects: VecDeque<Effect>,
    book: Book,
    cron: CronQueue,
    pending: Pending,
    /// Tasks that the term has yet to begin with.
    rousing: Option<Rousing>,
    /// When groups were last told that room was made.
    hurried: Instant,
    timers: Timers,
    updates: Live,
    snapshot: Option<(Snapshot, u64)>,
    /// Commands that wait for the snapshot.
    snapshot_waiters: Vec<u64>,
    restoring: Option<Restoring>,
    coordination: Coordination,
    preemption: Preemption,
    affinity: Affinity,
    revocable: Revocable,
    /// The job with which the search for too long histories goes on, if it has not ended.
    crowds_from: Option<JobKey>,
    /// The wall clock when something was last done.
    seen_at: Timestamp,
}

impl Engine {
    /// An engine with empty tables that follows.
    pub fn new(options: EngineOptions, rng: Rng) -> Self {
        let options = Arc::new(options);
        Self {
            pending: Pending::new(options.max_attempts_per_sec),
            means: Means {
                options,
                rng,
                pulses: Default::default(),
                held: Default::default(),
                ends_unknown: false,
                counters: Default::default(),
            },
            replay: Some(Replay::default()),
            bottom: Arc::default(),
            position: 0,
            head: Tables::default(),
            open: Open::default(),
            flights: VecDeque::new(),
            next_ticket: 1,
            level: 1,
            effects: VecDeque::new(),
            book: Book::default(),
            cron: CronQueue::default(),
            rousing: None,
            hurried: Instant::ZERO,
            timers: Timers::default(),
            updates: Live::default(),
            snapshot: None,
            snapshot_waiters: Vec::new(),
            restoring: None,
            coordination: Coordination::default(),
            preemption: Preemption::default(),
            affinity: Affinity::default(),
            revocable: Revocable::default(),
            crowds_from: None,
            seen_at: Timestamp::default(),
        }
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        self.replay.is_none()
    }

    /// The committed tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.bottom
    }

    /// It leads from now on: all that the log holds has been replayed.
    ///
    /// # Errors
    ///
    /// The log lacks something. The engine cannot lead.
    pub fn handle_leading(&mut self, now: Now) -> Result<(), ReplayError> {
        let Some(replay) = self.replay.take() else {
            return Ok(());
        };
        if let Err(error) = replay.check_complete() {
            self.replay = Some(replay);
            return Err(error);
        }
        self.bottom = Arc::new(replay.tables().clone());
        self.head = Tables::clone(&self.bottom);
        self.effects
            .push_back(Effect::Publish(Arc::clone(&self.bottom)));
        self.begin(now);
        Ok(())
    }

    /// What is proposed from now on may need this feature level: the log has it.
    pub fn set_level(&mut self, level: u32) {
        self.level = level;
    }

    /// Writes into the log where this scheduler is, so that the others can send clients here.
    pub fn announce(&mut self, now: Now, leader: Leader) {
        let mut step = Step::new(now, &mut self.means, &self.head);
        step.apply(Op::SetLeader(leader));
        let done = step.done();
        self.settle(now, done);
    }

    /// The tables as far as the log has been followed, while another one leads.
    pub fn followed(&self) -> Option<&Tables> {
        self.replay.as_ref().map(Replay::tables)
    }

    /// An entry of the log was learned.
    ///
    /// # Errors
    ///
    /// The entry does not follow from those before: the engine must not go on.
    pub fn handle_learned(
        &mut self,
        position: u64,
        ticket: Option<u64>,
        payload: &[u8],
    ) -> Result<(), ReplayError> {
        if let Some(replay) = &mut self.replay {
            replay.entry(payload)?;
            self.position = position;
            return Ok(());
        }
        if payload.is_empty() {
            return Ok(());
        }
        let next = self.flights.front().map(|flight| flight.ticket);
        let expected = next.filter(|next| Some(*next) == ticket);
        let Some(flight) = expected.and_then(|_| self.flights.pop_front()) else {
            // Someone else writes while we lead. Replaying it says what does not fit.
            let replay = Replay::from(Tables::clone(&self.bottom));
            self.stand_down();
            self.replay.insert(replay).entry(payload)?;
            return Ok(());
        };
        if let Some(tables) = flight.tables {
            self.bottom = tables;
            self.position = position;
            self.effects
                .push_back(Effect::Publish(Arc::clone(&self.bottom)));
        }
        if let Some(position) = flight.truncate {
            self.effects.push_back(Effect::Truncate { position });
        }
        self.release(flight.outbox);
        Ok(())
    }

    /// An entry of the log was learned while another one leads, or nobody; it has been decoded beside.
    ///
    /// # Errors
    ///
    /// As of [`Engine::handle_learned`].
    pub fn handle_followed(&mut self, position: u64, record: Record) -> Result<(), ReplayError> {
        if let Some(replay) = &mut self.replay {
            replay.record(record)?;
            self.position = position;
        }
        Ok(())
    }

    /// This replica was behind a truncation: the entries that follow make the tables anew.
    pub fn handle_skipped(&mut self) {
        if let Some(replay) = &mut self.replay {
            *replay = Replay::default();
        }
    }

    /// It leads no more: what was on its way may or may not be learned.
    pub fn handle_discarded(&mut self) {
        if self.is_leading() {
            self.stand_down();
        }
    }

    /// Someone asks for a change. The answer is an [`Effect::Reply`] with this token.
    ///
    /// A `request` that was answered before gets the same answer and changes nothing.
    pub fn handle_command(
        &mut self,
        now: Now,
        token: u64,
        request: Option<&str>,
        command: &Command,
    ) {
        if !self.is_leading() || self.is_restoring() {
            let result = Err(SubmitError::NotReady);
            self.effects.push_back(Effect::Reply { token, result });
            return;
        }
        if let Command::Admin(AdminCommand::Restore(restored)) = command {
            self.restore(now.wall, token, request, Arc::clone(&restored.0));
            return;
        }
        if let Command::Admin(command) = command
            && self.operate(token, command)
        {
            return;
        }
        let known = match request {
            Some(request) if request.len() > MAX_REQUEST_ID => {
                Some(Reply::invalid("The request id is too long."))
            }
            Some(request) => match self.head.answer(request) {
                Some(answer) => Some(answer.reply.clone()),
                None if self.is_another(request) => {
                    let message = "The request id was given to another request before.";
                    Some(Reply::invalid(message))
                }
                None => None,
            },
            None => None,
        };
        match known {
            Some(reply) => {
                let result = Ok(reply);
                self.open.outbox.push(Outgoing::Reply { token, result });
            }
            None => self.run_command(now, token, request, command),
        }
    }

    /// Whether something else was asked under the same id before: to answer what was answered then would
    /// be a lie.
    fn is_another(&self, request: &str) -> bool {
        let Some(id) = id_of(request) else {
            return false;
        };
        let mut alike = self.head.answered_from(id);
        alike.any(|known| id_of(known) == Some(id))
    }

    fn run_command(&mut self, now: Now, token: u64, request: Option<&str>, command: &Command) {
        if let Some(reply) = self.refuse_over_held(command) {
            let result = Ok(reply);
            self.open.outbox.push(Outgoing::Reply { token, result });
            return;
        }
        let mut step = Step::new(now, &mut self.means, &self.head);
        let reply = commands::run(&mut step, command);
        if reply.code != ReplyCode::Ok {
            // The savepoint: nothing of a step that failed is kept, except its answer.
            step = Step::new(now, &mut self.means, &self.head);
        }
        if let Some(request) = request {
            step.apply(Op::SetAnswer {
                request: request.to_owned(),
                answer: Answer {
                    at: now.wall,
                    reply: reply.clone(),
                },
            });
        }
        // In the step's own outbox: a full batch is proposed at once, and whoever asked for what is in
        // it must not be told that nothing was done.
        let result = Ok(reply);
        step.outbox.push(Outgoing::Reply { token, result });
        let done = step.done();
        self.settle(now, done);
    }

    /// Something happened on the machines.
    pub fn handle_driver(&mut self, now: Now, event: DriverEvent) {
        // What is reported during a recovery is reported again to the next leader.
        if !self.is_leading() || self.is_restoring() {
            return;
        }
        match event {
            DriverEvent::AgentDown { agent, session } => self.agent_down(now, &agent, session),
            DriverEvent::AgentUp { offer, tasks } => self.agent_up(now, offer, &tasks),
            DriverEvent::Status { agent, report } => self.status(now, &agent, &report),
        }
    }

    /// Time has passed: does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if !self.is_leading() || self.is_restoring() {
            return;
        }
        self.seen_at = now.wall;
        self.rouse(now);
        while let Some(timer) = self.timers.pop(now.mono) {
            self.expire(now, timer);
        }
        self.run_updates(now);
        self.run_cron(now);
        while !self.is_full() {
            let Some(group) = self.pending.take_due(now.mono) else {
                break;
            };
            self.attempt(now, group);
        }
    }

    /// When [`Engine::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Instant {
        if !self.is_leading() || self.is_restoring() {
            return Instant::FAR;
        }
        if self.rousing.is_some() {
            return Instant::ZERO;
        }
        let attempts = self.pending.deadline().filter(|_| !self.is_full());
        let updates = self.updates.deadline();
        let standing = attempts
            .into_iter()
            .chain(updates)
            .chain(self.cron.deadline());
        let standing = standing.filter(|_| !self.is_full());
        let first = self.timers.deadline().into_iter().chain(standing).min();
        first.unwrap_or(Instant::FAR)
    }

    /// Whether it should be given nothing more until the log has learned something.
    pub fn is_full(&self) -> bool {
        self.is_restoring() || self.open.weight >= FULL_BATCH && !self.has_window()
    }

    /// Whether nothing is on its way to the log or waits to be.
    pub fn is_idle(&self) -> bool {
        let open = &self.open;
        self.flights.is_empty() && open.ops.is_empty() && open.outbox.is_empty()
    }

    /// Proposes what has gathered, if the log may take more.
    pub fn seal(&mut self) {
        if !self.is_leading() {
            return;
        }
        if self.open.ops.is_empty() {
            let outbox = std::mem::take(&mut self.open.outbox);
            match self.flights.back_mut() {
                Some(flight) => flight.outbox.extend(outbox),
                None => self.release(outbox),
            }
        } else if self.has_window() {
            self.head.advance();
            let open = std::mem::take(&mut self.open);
            let record = Record::Ops {
                term: self.head.term(),
                version: self.head.version(),
                ops: open.ops,
            };
            let tables = Some(Arc::new(self.head.clone()));
            self.propose(record, tables, open.outbox, None);
        }
        match self.restoring {
            Some(_) => self.propose_restore(),
            None => self.propose_snapshot(),
        }
    }

    /// Takes what is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn has_window(&self) -> bool {
        self.flights.len() < self.means.options.window
    }

    fn propose(
        &mut self,
        record: Record,
        tables: Option<Arc<Tables>>,
        outbox: Vec<Outgoing>,
        truncate: Option<u64>,
    ) {
        let (ticket, entry) = (self.next_ticket, Entry::new(record, self.level));
        self.next_ticket += 1;
        self.flights.push_back(Flight {
            ticket,
            tables,
            outbox,
            truncate,
        });
        self.effects.push_back(Effect::Append { ticket, entry });
    }

    /// Begins a snapshot of the bottom, unless one is being taken.
    pub fn begin_snapshot(&mut self) {
        if self.is_leading() && self.snapshot.is_none() && self.bottom.version() > 0 {
            let attempt = self.means.rng.next_u64();
            let snapshot = Snapshot::new(Arc::clone(&self.bottom), attempt);
            self.snapshot = Some((snapshot, self.position));
            let tables = Arc::clone(&self.bottom);
            self.effects.push_back(Effect::Snapshot(tables));
        }
    }

    /// Proposes the next chunk of a snapshot: one at a time, so that others' entries go between.
    fn propose_snapshot(&mut self) {
        let waits = self.flights.iter().any(|flight| flight.tables.is_none());
        if waits || !self.has_window() {
            return;
        }
        let Some((snapshot, position)) = &mut self.snapshot else {
            return;
        };
        let position = *position;
        let Some(chunk) = snapshot.next_chunk() else {
            self.snapshot = None;
            return;
        };
        let truncate = chunk.last.then_some(position);
        let mut outbox = Vec::new();
        if truncate.is_some() {
            let waiters = std::mem::take(&mut self.snapshot_waiters);
            outbox.extend(waiters.into_iter().map(|token| Outgoing::Reply {
                token,
                result: Ok(Reply::ok()),
            }));
            self.snapshot = None;
            self.means.count("scheduler_log_snapshots", 1);
        }
        self.propose(Record::Snapshot(chunk), None, outbox, truncate);
    }
}
