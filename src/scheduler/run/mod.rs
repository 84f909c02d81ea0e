//! The loop around the engine: gathers what comes, lets the engine decide, carries out what it says.
//!
//! A turn takes what has come from the log, the driver and people, a bounded share of each, then lets
//! the engine do what is due and proposes everything as one entry: under load one sync serves many.
//! Never blocks: what waits for the log waits in the engine, what waits for the engine waits in bounded
//! queues.
//!
//! - `inputs` is where news comes from, `writer` hands entries to the log.
//! - `ahead` decodes what a start replays. `level` is about logs that newer programs write.
//! - `leading` begins, limits and hands over a term, and knows who leads instead.
//! - `reads` confirms reads by a quorum. `shown` makes the view.

mod ahead;
mod inputs;
mod latency;
mod leading;
mod level;
mod reads;
mod shown;
#[cfg(test)]
mod tests;
mod timed;
mod writer;

use super::admin::{Answered, Question, Ruling};
use super::backups::Backups;
use super::engine::{Effect, Engine, EngineOptions};
use super::handle::{Handle, Lifecycle, NotReady, Reply, SubmitError};
use super::port::LogPort;
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::driver::{Driver, DriverEvent};
use crate::replog::{AppendError, Ballot, LogEvent, Position};
use crate::rt::{self, Fiber, Shutdown};
use crate::storage::{Leader, ReplayError};
use async_channel::{Receiver, Sender, bounded};
use inputs::{Input, Inputs};
use latency::Latency;
use leading::Term;
pub(super) use reads::Reader;
use reads::Reads;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use timed::{Kind, Timed};
use writer::Write;

/// How much of each queue one turn takes.
const TAKEN_PER_TURN: usize = 256;
/// A turn that has heard machines for so long hears no more of them. One that comes back says all that it
/// has, and after a fail-over they all do: clients need not wait for that. What else a turn does is not
/// counted, or clients that ask for much would keep machines unheard until they are given up.
const MACHINES_PER_TURN: Duration = Duration::from_millis(5);

/// The loop turns at least this often, so that a stuck one can be told.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A follower looks this often who leads.
const LOOK_FOR_LEADER: Duration = Duration::from_millis(100);

/// The view is made anew at most this often.
const VIEW_INTERVAL: Duration = Duration::from_millis(100);
/// Making the view takes at most one part in so many of the loop's time: it lists every machine and every
/// task that waits, which is nothing on a few machines and much on a hundred thousand.
const VIEW_SHARE: u32 = 20;

/// How long a stop waits for what is on its way to the log.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the scheduler runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine's settings.
    pub engine: EngineOptions,
    /// How many commands may wait.
    pub queue: usize,
    /// Our `host:port` for clients, shown as the leader's while we lead.
    pub address: String,
    /// Our `host:port` for agents.
    pub agents_address: String,
    /// How long a term lasts before it is handed over, if somebody else can lead.
    pub max_leading: Duration,
    /// A Mesos master is to be registered with, which nothing does yet: the scheduler leads, stays in
    /// LEADER_AWAITING_REGISTRATION, and ends after this long (`-max_registration_delay`). The embedded
    /// driver needs no registration.
    pub awaits_master: Option<Duration>,
    /// Where backups go, if anywhere.
    pub backups: Option<Backups>,
    /// Who asks coordinators; without it each of them counts as unreachable.
    pub coordinators: Option<Coordinators>,
}

/// The way to whoever asks coordinators. Every question gets an answer.
#[derive(Clone, Debug)]
pub struct Coordinators {
    /// Where questions go.
    pub questions: Sender<Question>,
    /// Where answers come from.
    pub answers: Receiver<Answered>,
}

/// Why the scheduler ended by itself. The process must end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The log took no more.
    #[error("the log refuses entries: {0}")]
    Append(AppendError),
    /// The log's disk failed.
    #[error("the log has failed: {0}")]
    Poisoned(String),
    /// It has led for too long without a Mesos master that knows it.
    #[error("Framework has not been registered within the tolerated delay.")]
    NotRegistered,
    /// The other replicas of the log refuse this one.
    #[error("{0}")]
    Refused(String),
    /// The log's entries make no tables.
    #[error("the log cannot be replayed: {0}")]
    Replay(#[from] ReplayError),
    /// The log is led where it cannot be read.
    #[error("it takes a program of feature level {0} to lead this log")]
    Outdated(u32),
    /// A recovery was committed: the next leader begins with it.
    #[error("a recovery was committed")]
    Restored,
    /// The driver or the log ended.
    #[error("{0} has ended")]
    SourceEnded(&'static str),
}

/// Starts the scheduler on a log and a driver that have been opened.
///
/// The fiber ends when `shutdown` is given or with the reason why it cannot go on; the handle says
/// [`Lifecycle::Dead`] then.
pub fn start<L: LogPort>(
    options: Options,
    log: L,
    log_events: Receiver<LogEvent>,
    driver: Arc<dyn Driver>,
    driver_events: Receiver<DriverEvent>,
    shutdown: Shutdown,
) -> (Handle, Fiber<Result<(), RunError>>) {
    let log = Arc::new(log);
    let port = Arc::clone(&log);
    let (handle, arrivals) = Handle::new(options.queue, move || port.is_alone());
    // As long as the engine's window, so that handing over never waits.
    let (writes, to_write) = bounded(options.engine.window + 16);
    let (refusals, refused) = bounded(16);
    let writing = writer::write(Arc::clone(&log), to_write, refusals);
    rt::spawn("log writer", writing).detach();
    let (rounds, to_ask) = bounded(4);
    let (fail, unread) = bounded(4);
    let asking = reads::ask(Arc::clone(&log), to_ask, fail);
    rt::spawn("quorum reads", asking).detach();
    let (tell_handed_over, handed_over) = bounded(1);
    let coordinators = options.coordinators.as_ref();
    let answered = coordinators.map(|coordinators| coordinators.answers.clone());
    let scheduler = Loop {
        engine: Engine::new(options.engine.clone(), Rng::from_os()),
        options,
        handle: handle.clone(),
        inputs: Inputs {
            answered,
            commands: arrivals.commands,
            driver: driver_events,
            handed_over,
            log: log_events,
            reads: arrivals.reads,
            refused,
            shutdown,
            unread,
        },
        driver,
        log,
        writes,
        rounds,
        reads: Reads::default(),
        term: None,
        elsewhere: None,
        tell_handed_over,
        lifecycle: Lifecycle::PreparingStorage,
        replica: "STARTING",
        outdated: None,
        replies: BTreeMap::new(),
        latency: Latency::default(),
        timed: Timed::default(),
        next_token: 0,
        shown: Instant::ZERO,
        view_pause: VIEW_INTERVAL,
        stale: true,
        urgent: false,
        held: 0,
    };
    // A long turn delays no health check and no heartbeat of the log; and health checks tell a stuck one.
    let fiber = rt::spawn_apart("scheduler", scheduler.run());
    (handle, fiber)
}

struct Loop<L> {
    options: Options,
    engine: Engine,
    handle: Handle,
    inputs: Inputs,
    driver: Arc<dyn Driver>,
    log: Arc<L>,
    writes: Sender<Write>,
    /// Rounds to ask the log for.
    rounds: Sender<(Ballot, u64)>,
    reads: Reads,
    /// The term that we lead.
    term: Option<Term>,
    /// Another scheduler that leads, if one is known.
    elsewhere: Option<Arc<Leader>>,
    tell_handed_over: Sender<bool>,
    lifecycle: Lifecycle,
    replica: &'static str,
    /// The feature level that it would take to read the log, if this program does not have it.
    outdated: Option<u32>,
    replies: BTreeMap<u64, Sender<Result<Reply, SubmitError>>>,
    latency: Latency,
    timed: Timed,
    next_token: u64,
    /// When the view was last made.
    shown: Instant,
    /// How long until it may be made again.
    view_pause: Duration,
    stale: bool,
    /// Whether what clients are told or refused by has changed: that is shown at once.
    urgent: bool,
    /// How many tasks were shown last that are left alone.
    held: usize,
}

impl<L: LogPort> Loop<L> {
    async fn run(mut self) -> Result<(), RunError> {
        self.show();
        let result = self.turn_until_the_end().await;
        self.handle.set_ready(false);
        self.hand_over_at_the_end().await;
        if self.term.take().is_some() {
            self.driver.stand_down();
        }
        self.reads.fail_all();
        self.refuse_the_rest();
        self.enter(Lifecycle::Dead);
        self.show();
        result
    }

    /// Nobody takes commands and reads any more: those who still wait are told, or would wait for ever.
    fn refuse_the_rest(&mut self) {
        self.inputs.reads.close();
        while let Ok(reader) = self.inputs.reads.try_recv() {
            reads::answer(&reader, Err(NotReady));
        }
        self.inputs.commands.close();
        while let Ok(submission) = self.inputs.commands.try_recv() {
            if submission
                .reply
                .try_send(Err(SubmitError::NotReady))
                .is_err()
            {
                log::debug!("nobody waits for the answer to a command that was not taken");
            }
        }
    }

    async fn turn_until_the_end(&mut self) -> Result<(), RunError> {
        let mut end = Instant::FAR;
        let mut alarm = rt::Alarm::default();
        loop {
            let now = clock::now();
            if end != Instant::FAR && (self.engine.is_idle() || now >= end) {
                return Ok(());
            }
            let full = self.engine.is_full();
            let deadline = self.deadline(now).min(end);
            let input = match end {
                Instant::FAR => self.inputs.next(full, deadline, &mut alarm).await?,
                // Only what is on its way is waited for.
                _ => self.inputs.last(end, &mut alarm).await?,
            };
            if matches!(input, Input::Shutdown) {
                self.handle.set_ready(false);
                end = clock::now() + LAST_WORDS;
            }
            let began = clock::now();
            let is_machine = matches!(input, Input::Driver(_));
            self.take(input)?;
            if end == Instant::FAR {
                let heard = if is_machine {
                    clock::now().since(began)
                } else {
                    Duration::ZERO
                };
                self.take_more(heard)?;
            }
            self.act()?;
        }
    }

    fn deadline(&self, now: Instant) -> Instant {
        let view = match self.stale {
            true => self.shown + self.view_pause,
            false => Instant::FAR,
        };
        let turn = match self.term {
            None if !self.log.is_alone() => LOOK_FOR_LEADER,
            None | Some(_) => HEARTBEAT,
        };
        let deadline = self.engine.deadline().min(self.term_deadline());
        deadline.min(view).min(now + turn)
    }

    /// Takes what else has come, a share of each kind, in a turn that has `heard` machines for so long.
    fn take_more(&mut self, heard: Duration) -> Result<(), RunError> {
        let mut events = Vec::new();
        while events.len() < TAKEN_PER_TURN
            && let Ok(event) = self.inputs.log.try_recv()
        {
            events.push(event);
        }
        self.take_events(events)?;
        for _ in 0..TAKEN_PER_TURN {
            if self.engine.is_full() {
                break;
            }
            let Ok(submission) = self.inputs.commands.try_recv() else {
                break;
            };
            self.take(Input::Command(submission))?;
        }
        let began = clock::now();
        for _ in 0..TAKEN_PER_TURN {
            let is_late = heard + clock::now().since(began) >= MACHINES_PER_TURN;
            if self.engine.is_full() || is_late {
                break;
            }
            let Ok(event) = self.inputs.driver.try_recv() else {
                break;
            };
            self.take(Input::Driver(event))?;
        }
        while let Ok(reader) = self.inputs.reads.try_recv() {
            self.take(Input::Read(reader))?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) -> Result<(), RunError> {
        let now = clock::both();
        match input {
            Input::Command(submission) => {
                self.next_token += 1;
                self.timed.waited(now.mono, submission.at);
                self.replies.insert(self.next_token, submission.reply);
                let request = submission.request.as_deref();
                let command = &submission.command;
                self.engine
                    .handle_command(now, self.next_token, request, command);
                self.timed.taken(Kind::Change, now.mono);
            }
            Input::Answered(answered) => self.engine.handle_answered(now, &answered),
            Input::Driver(event) => {
                let kind = match &event {
                    DriverEvent::AgentDown { .. } => Kind::Change,
                    DriverEvent::AgentUp { .. } => Kind::Offer,
                    DriverEvent::Status { report, .. } => {
                        self.timed.delivered(now.wall, report.at);
                        Kind::StatusUpdate
                    }
                };
                self.engine.handle_driver(now, event);
                self.timed.taken(kind, now.mono);
            }
            Input::Log(event) => self.take_log(event)?,
            Input::HandedOver(well) => self.handed_over(well),
            // Does not change what is shown.
            Input::Read(reader) => {
                match self.term {
                    Some(_) => self.reads.add(reader),
                    None => reads::answer(&reader, Err(NotReady)),
                }
                return Ok(());
            }
            Input::Unread(token) => self.reads.fail(token),
            Input::Refused(refused) if Some(refused.ballot) == self.ballot() => {
                match refused.error {
                    AppendError::NotCoordinator => self.stand_down(),
                    // It closes before it can say why: its last event, or the end of its events, does.
                    AppendError::Closed => {}
                    error => return Err(RunError::Append(error)),
                }
            }
            Input::Refused(_) | Input::Shutdown | Input::Timeout => return Ok(()),
        }
        self.stale = true;
        Ok(())
    }

    fn take_log(&mut self, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Discarded { ballot } if self.ballot() == Some(ballot) => self.stand_down(),
            LogEvent::Discarded { .. } => {}
            LogEvent::Leading { ballot } => self.lead(ballot)?,
            LogEvent::Learned {
                position,
                ticket,
                payload,
                ..
            } => {
                self.latency.learned(clock::now(), ticket);
                if ticket.is_none() {
                    self.timed.read(payload.len());
                }
                self.learn(position, ticket, &payload)?;
                if self.term.is_some() && !self.engine.is_leading() {
                    self.stand_down();
                }
            }
            LogEvent::Poisoned { reason } => return Err(RunError::Poisoned(reason)),
            LogEvent::Refused { reason } => return Err(RunError::Refused(reason)),
            LogEvent::ReadFailed { token } => self.reads.fail(token),
            LogEvent::ReadReady { token } => self.reads.confirm(token),
            LogEvent::Skipped { .. } => self.engine.handle_skipped(),
            LogEvent::Status(status) => {
                if self.outdated.is_none() {
                    self.replica = status.name();
                }
                if self.lifecycle == Lifecycle::PreparingStorage {
                    self.timed.prepared();
                    self.enter(Lifecycle::StoragePrepared);
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, lifecycle: Lifecycle) {
        if self.lifecycle != lifecycle {
            log::info!("scheduler lifecycle: {} -> {lifecycle}", self.lifecycle);
            self.lifecycle = lifecycle;
            self.stale = true;
            self.urgent = true;
        }
    }

    /// Lets the engine do what is due and carries out what it says.
    fn act(&mut self) -> Result<(), RunError> {
        let now = clock::both();
        self.stale |= self.engine.deadline() <= now.mono;
        self.look_at_level();
        self.do_what_is_due(now);
        self.engine.seal();
        while let Some(effect) = self.engine.poll_effect() {
            self.carry_out(effect)?;
        }
        self.limit_term(now.mono);
        self.check_registration(now.mono)?;
        self.look_for_leader();
        self.read()?;
        self.handle.turned(now.mono);
        if self.stale && now.mono.since(self.shown) >= self.view_pause {
            self.show();
        } else if self.urgent {
            self.show_view();
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            Effect::Append { ticket, entry } => {
                if let Some(ballot) = self.ballot() {
                    self.latency.proposed(clock::now(), ticket);
                    self.write(Write::Append {
                        ballot,
                        ticket,
                        entry,
                    })?;
                }
            }
            Effect::Ask(question) => self.ask(*question),
            Effect::Driver(command) => self.driver.command(command),
            Effect::Publish(tables) => self.handle.publish_tables(tables),
            Effect::Reply { token, result } => {
                if let Some(reply) = self.replies.remove(&token)
                    && reply.try_send(result).is_err()
                {
                    log::debug!("nobody waits for the answer to command {token}");
                }
            }
            Effect::Restored => return Err(RunError::Restored),
            Effect::Snapshot(tables) => {
                self.timed.snapshot_begins();
                if let Some(backups) = &self.options.backups {
                    backups.offer(tables);
                }
            }
            Effect::Truncate { position } => {
                self.timed.snapshot_ends();
                if let Some(ballot) = self.ballot() {
                    let to = Position(position + 1);
                    self.write(Write::Truncate { ballot, to })?;
                }
            }
        }
        Ok(())
    }

    /// Answers the reads that are confirmed, and begins the next round.
    fn read(&mut self) -> Result<(), RunError> {
        for reader in self.reads.take_confirmed() {
            reads::answer(&reader, Ok(Arc::clone(self.engine.tables())));
        }
        if let Some(ballot) = self.ballot()
            && let Some(token) = self.reads.begin()
        {
            // One round at a time: there is room.
            let sent = self.rounds.try_send((ballot, token));
            sent.map_err(|_| RunError::SourceEnded("the log's reader"))?;
        }
        Ok(())
    }

    fn ballot(&self) -> Option<Ballot> {
        self.term.map(|term| term.ballot)
    }

    fn ask(&mut self, question: Question) {
        let task = question.task.id.clone();
        let sent = match &self.options.coordinators {
            Some(coordinators) => coordinators.questions.try_send(question).is_ok(),
            None => false,
        };
        if !sent {
            let ruling = Ruling::Unreachable;
            let answered = Answered { task, ruling };
            self.engine.handle_answered(clock::both(), &answered);
        }
    }

    /// The queue is as long as the engine's window, so a full one means that its writer is gone or
    /// waits for a log that takes nothing.
    fn write(&mut self, write: Write) -> Result<(), RunError> {
        let sent = self.writes.try_send(write);
        sent.map_err(|_| RunError::SourceEnded("the log's writer"))
    }
}
