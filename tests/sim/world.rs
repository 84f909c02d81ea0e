//! The world: machines, links, clients and trouble, one event after the other.

use crate::checker::Ledger;
use crate::clock::{Clock, Nanos};
use crate::machine::{Commit, Machine, News, Process, Refusal};
use crate::network::Network;
use crate::overhear::Overheard;
use crate::plan::Plan;
use crate::trouble::Undo;
use cores::base::clock::Instant;
use cores::base::rng::Rng;
use cores::paxos::{
    Ballot, Effect, Entry, Incarnation, Member, Message, Options, Position, Replica, ReplicaId,
    Run, Status,
};
use cores::replog::disk::read_entries;
use cores::replog::evidence::EvidenceFile;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What happens.
pub enum Event {
    /// A message reaches a machine; if `boot` is set, only that process of it.
    Deliver {
        to: usize,
        boot: Option<u64>,
        message: Box<Message>,
    },
    /// A call to the disk comes back.
    Synced { machine: usize, boot: u64 },
    /// The connection to a replica has broken.
    Gone {
        machine: usize,
        boot: u64,
        peer: ReplicaId,
    },
    /// The owners look whether an ensemble can be formed.
    Form,
    /// A deadline may have passed.
    Timer { machine: usize, boot: u64 },
    /// The owner of a replica has taken what it was given at the start.
    Warm { machine: usize, boot: u64 },
    /// A process starts, if none runs.
    Start { machine: usize },
    /// A client does something.
    Load,
    /// Something goes wrong.
    Trouble,
    /// And is over.
    Lift { era: u64, undo: Undo },
    /// Something goes wrong where a change of the ensemble is under way.
    Strike { era: u64, leader: usize },
    /// An operator asks for another change on the heels of the last.
    ChangeAgain { era: u64 },
}

struct Scheduled {
    at: Nanos,
    /// Keeps events of one moment in order.
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Everything there is.
pub struct World {
    pub plan: Plan,
    pub rng: Rng,
    pub now: Nanos,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub machines: Vec<Machine>,
    pub network: Network,
    pub ledger: Ledger,
    /// Whether trouble is about.
    pub is_rough: bool,
    /// Counts the spells of trouble: what was to be lifted in an older one has been.
    pub era: u64,
    pub handled: u64,
    /// The term in which a change of the ensemble was asked for whose outcome is not known yet.
    pub changing: Option<Ballot>,
    /// The newest configuration that is known not to be forgotten.
    pub settled: Position,
    pub overheard: Overheard,
    /// The last change of the ensemble that was under way when something went wrong.
    pub struck: Position,
    next_id: u64,
    pub next_token: u64,
    pub is_traced: bool,
    /// Whether replicas have owners that take their news.
    pub has_owners: bool,
}

/// More than this many events at once are a storm.
const EVENTS_MAX: usize = 200_000;

pub fn address(index: usize) -> Arc<str> {
    format!("m{index}:8083").into()
}

pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

macro_rules! trace {
    ($world:expr, $($argument:tt)*) => {
        if $world.is_traced {
            eprintln!("{:12.6} {}", $world.now as f64 / 1e9, format!($($argument)*));
        }
    };
}
pub(crate) use trace;

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::from_seed(plan.seed);
        let spread = 1.0 + plan.clock_spread;
        let spares = if plan.size > 1 { plan.spares } else { 0 };
        let machines: Vec<Machine> = (1..=(plan.size + spares) as u64)
            .map(|id| {
                let shown = rng.below(1 << 40);
                let rate = spread.powf(rng.unit() * 2.0 - 1.0);
                let me = Member {
                    id: ReplicaId(id),
                    incarnation: Incarnation(0),
                };
                // Those that join have been initialised later.
                let begins = if id > plan.size as u64 { id << 20 } else { 0 };
                Machine::new(me, u128::from(id), begins, Clock::new(0, shown, rate))
            })
            .collect();
        let mut world = Self {
            network: Network::new(plan.network.clone(), machines.len()),
            rng,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            machines,
            ledger: Ledger::default(),
            is_rough: true,
            era: 0,
            handled: 0,
            changing: None,
            settled: Position::ZERO,
            overheard: Overheard::default(),
            struck: Position::ZERO,
            next_id: 100,
            next_token: 0,
            has_owners: false,
            is_traced: std::env::var_os("AURORA_TRACE").is_some(),
            plan,
        };
        for machine in world.plan.size..world.machines.len() {
            let me = world.machines[machine].me;
            world.machines[machine].make_joining(me, false);
        }
        if world.plan.size > 1 {
            world.after(Duration::from_millis(1), Event::Form);
        }
        for machine in 0..world.machines.len() {
            let wait = world
                .rng
                .duration(Duration::ZERO, Duration::from_millis(200));
            world.after(wait, Event::Start { machine });
        }
        world.after(Duration::from_millis(1), Event::Load);
        world
    }

    /// Schedules an event.
    pub fn at(&mut self, at: Nanos, event: Event) {
        assert!(
            self.events.len() < EVENTS_MAX,
            "a storm: too many events are under way"
        );
        self.scheduled += 1;
        let number = self.scheduled;
        self.events.push(Reverse(Scheduled { at, number, event }));
    }

    pub fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + nanos(wait), event);
    }

    /// A time from now, `mean` on average.
    pub fn some_time(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.rng.unit()).ln())
    }

    /// Lets time pass until `deadline`, or until `is_done` says so. Gives whether it did.
    pub fn run(&mut self, deadline: Nanos, is_done: impl Fn(&Self) -> bool) -> bool {
        while let Some(Reverse(next)) = self.events.peek() {
            if next.at > deadline {
                break;
            }
            let Some(Reverse(next)) = self.events.pop() else {
                break;
            };
            self.now = self.now.max(next.at);
            self.handled += 1;
            self.handle(next.event);
            if is_done(self) {
                return true;
            }
        }
        self.now = self.now.max(deadline);
        is_done(self)
    }

    fn handle(&mut self, event: Event) {
        let concerned = match &event {
            Event::Deliver { to: machine, .. }
            | Event::Synced { machine, .. }
            | Event::Gone { machine, .. }
            | Event::Timer { machine, .. }
            | Event::Warm { machine, .. } => Some(*machine),
            _ => None,
        };
        if let Some(machine) = concerned
            && self.machines[machine].stalled_until > self.now
        {
            let until = self.machines[machine].stalled_until;
            return self.at(until, event);
        }
        match event {
            Event::Deliver { to, boot, message } => {
                if boot.is_none_or(|boot| boot == self.machines[to].boot) {
                    trace!(self, "{to} hears {message:?}");
                    self.call(to, |core, now, rng| core.handle_message(now, *message, rng));
                }
            }
            Event::Synced { machine, boot } => {
                if boot == self.machines[machine].boot {
                    self.synced(machine);
                }
            }
            Event::Gone {
                machine,
                boot,
                peer,
            } => {
                if boot == self.machines[machine].boot {
                    self.call(machine, |core, now, rng| {
                        core.handle_disconnected(now, peer, rng)
                    });
                }
            }
            Event::Form => self.form(),
            Event::Timer { machine, boot } => self.timer(machine, boot),
            Event::Warm { machine, boot } => self.warm(machine, boot),
            Event::Start { machine } => self.start(machine),
            Event::Load => self.load(),
            Event::Trouble => self.make_trouble(),
            Event::Lift { era, undo } => {
                if era == self.era {
                    self.lift(undo);
                }
            }
            Event::ChangeAgain { era } => {
                if era == self.era {
                    let machine = self.rng.index(self.machines.len());
                    self.change(machine);
                }
            }
            Event::Strike { era, leader } => {
                if era == self.era {
                    self.strike(leader);
                }
            }
        }
    }

    fn timer(&mut self, machine: usize, boot: u64) {
        let now = self.now;
        if boot != self.machines[machine].boot {
            return;
        }
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        if process.timer.is_some_and(|timer| timer <= now) {
            process.timer = None;
        }
        self.call(machine, Replica::handle_timeout);
    }

    /// Calls into a replica that runs, and carries out what it asks for.
    pub fn call<R>(
        &mut self,
        machine: usize,
        call: impl FnOnce(&mut Replica, Instant, &mut Rng) -> R,
    ) -> Option<R> {
        let mut process = self.machines[machine].process.take()?;
        let now = self.machines[machine].clock.local(self.now);
        let result = call(&mut process.core, now, &mut self.rng);
        while let Some(effect) = process.core.poll_effect() {
            self.carry_out(machine, &mut process, effect);
        }
        self.pump(machine, &mut process);
        self.arm(machine, &mut process);
        self.machines[machine].process = Some(process);
        Some(result)
    }

    /// Makes sure that the replica hears of its deadline.
    fn arm(&mut self, machine: usize, process: &mut Process) {
        let deadline = process.core.deadline();
        if deadline == Instant::FAR {
            return;
        }
        let due = self.machines[machine].clock.due(deadline).max(self.now + 1);
        if process.timer.is_none_or(|timer| due < timer) {
            process.timer = Some(due);
            let boot = self.machines[machine].boot;
            self.at(due, Event::Timer { machine, boot });
        }
    }

    /// A clock has changed: deadlines come at other times.
    pub fn rearm(&mut self, machine: usize) {
        if let Some(mut process) = self.machines[machine].process.take() {
            process.timer = None;
            self.arm(machine, &mut process);
            self.machines[machine].process = Some(process);
        }
    }

    fn carry_out(&mut self, machine: usize, process: &mut Process, effect: Effect) {
        match effect {
            Effect::Persist { ticket, records } => process.jobs.push_back((ticket, records)),
            Effect::Send { to, message } => {
                let to = self.machines.iter().position(|machine| machine.id() == to);
                self.send(machine, process, to, &message);
            }
            Effect::Broadcast { message } => {
                for to in 0..self.machines.len() {
                    if to != machine {
                        self.send(machine, process, Some(to), &message);
                    }
                }
            }
            Effect::Learned(run) => {
                for entry in run.entries() {
                    self.learned(machine, process, &entry);
                }
            }
            Effect::ReadReady { token, position } => {
                let before = process
                    .reads
                    .remove(&token)
                    .expect("a read that nobody asked for");
                assert!(
                    position <= process.given,
                    "a read is answered before it is learned"
                );
                self.ledger
                    .read(self.machines[machine].id(), before, position);
            }
            Effect::ReadFailed { token } => {
                process
                    .reads
                    .remove(&token)
                    .expect("a read that nobody asked for");
            }
            Effect::ChangeFailed { error } => {
                trace!(self, "{machine} gives up a change: {error}");
                self.changing = None;
            }
            Effect::Configured(configured) => {
                trace!(self, "{machine} is configured: {configured:?}");
                if self.changing.is_some() && self.changing == process.leading {
                    self.changing = None;
                    self.consider_changing_again();
                }
            }
            Effect::Settled { position } => {
                trace!(self, "{machine} has settled {position}");
                if position >= self.ledger.configured() {
                    self.check_settled();
                }
                self.settled = self.settled.max(position);
            }
            Effect::Leader(leader) => trace!(self, "{machine} hears {leader:?} lead"),
            Effect::Skipped { first } => {
                trace!(self, "{machine} skips to {first}");
                self.ledger.skipped(self.machines[machine].id(), first);
                process.given = first.before();
                self.tell(process, || News::Skipped);
            }
            Effect::Leading { ballot } => {
                trace!(self, "{machine} leads under {ballot}");
                assert!(
                    !process.is_cold,
                    "{machine} leads before its owner is ready"
                );
                let id = self.machines[machine].id();
                self.ledger.leads(id, ballot, process.given);
                process.leading = Some(ballot);
                self.tell(process, || News::Leading(ballot));
                process.in_flight.clear();
                if self.changing.is_some_and(|changing| changing < ballot) {
                    self.changing = None;
                }
            }
            Effect::Discarded { ballot } => {
                trace!(self, "{machine} has lost {ballot}");
                process.leading = None;
                process.in_flight.clear();
                process.stale.push(ballot);
                self.tell(process, || News::Discarded);
            }
            Effect::Status(status) => {
                trace!(self, "{machine} is {status:?}");
            }
            Effect::Read {
                peer,
                from,
                through,
            } => {
                let bytes = 500 << self.rng.index(8);
                let read = read_entries(process.reader.as_ref(), from, through, bytes);
                let entries = read.expect("what is durable can be read");
                process.core.handle_read(peer, Run::collect(entries));
            }
        }
    }

    fn send(&mut self, from: usize, process: &Process, to: Option<usize>, message: &Message) {
        // A new incarnation is taken by the core. What the old one had to say may come behind it, if it
        // waited for the disk: no vote is among that.
        let me = &mut self.machines[from].me;
        if message.from.id != me.id || message.from.incarnation >= me.incarnation {
            *me = message.from;
        }
        self.overhear(from, process, message);
        let Some(to) = to else {
            return;
        };
        let arrivals = self
            .network
            .send(self.now, from, to, message, &mut self.rng);
        for at in arrivals.into_iter().flatten() {
            self.deliver(at, to, message.clone());
        }
    }

    pub fn deliver(&mut self, at: Nanos, to: usize, message: Message) {
        let machine = &self.machines[to];
        let boot = (!self.plan.network.outlives_processes).then_some(machine.boot);
        let message = Box::new(message);
        self.at(at, Event::Deliver { to, boot, message });
    }

    /// A replica gives its owner an entry: a client may have waited for it.
    fn learned(&mut self, machine: usize, process: &mut Process, entry: &Entry) {
        let id = self.machines[machine].id();
        trace!(self, "{machine} learns {}", entry.position);
        assert_eq!(entry.position, process.given.next(), "{id} is given a gap");
        process.given = entry.position;
        self.tell(process, || News::Learned(entry.clone()));
        self.check_chosen(id, entry);
        self.ledger.learned(id, entry);
        while let Some((at, name)) = process.in_flight.front().copied()
            && at <= entry.position
        {
            process.in_flight.pop_front();
            if let Some(ballot) = process.leading {
                self.ledger.acknowledge(ballot, name, at);
            }
        }
    }

    /// Leaves something for the owner of a replica, if it has one.
    fn tell(&self, process: &mut Process, news: impl FnOnce() -> News) {
        if !self.has_owners {
            return;
        }
        let news = news();
        match &news {
            News::Leading(ballot) => assert_eq!(process.leading, Some(*ballot)),
            News::Learned(entry) => assert_eq!(process.given, entry.position),
            News::Discarded | News::Skipped => {}
        }
        process.news.push(news);
    }

    /// Hands the disk what has queued up, if it is idle.
    fn pump(&mut self, machine: usize, process: &mut Process) {
        if process.commit.is_some() {
            return;
        }
        let commit = if process.jobs.is_empty() {
            let result = if process.durable.needs_sweep() {
                process.durable.sweep()
            } else if process.durable.is_riding() {
                process.durable.attest()
            } else {
                return;
            };
            Commit {
                ticket: None,
                records: Vec::new(),
                result,
            }
        } else {
            let jobs = std::mem::take(&mut process.jobs);
            let ticket = jobs.back().map(|(ticket, _)| *ticket);
            let records: Vec<_> = jobs.into_iter().flat_map(|(_, records)| records).collect();
            let result = process.durable.commit(records.iter().cloned());
            Commit {
                ticket,
                records,
                result: result.map(drop),
            }
        };
        process.commit = Some(commit);
        let plan = &self.plan.disk;
        let mut wait = self.rng.duration(plan.sync.0, plan.sync.1);
        if self.is_rough && self.rng.below(1000) < plan.slow_per_mille {
            wait += self.rng.duration(Duration::ZERO, plan.slow);
        }
        let boot = self.machines[machine].boot;
        let from = self.now.max(self.machines[machine].disk_slow_until);
        self.at(from + nanos(wait), Event::Synced { machine, boot });
    }

    fn synced(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        let Some(commit) = process.commit.take() else {
            return;
        };
        if let Err(error) = commit.result {
            trace!(self, "{machine} is poisoned: {error}");
            self.crash(machine);
            return self.start_soon(machine);
        }
        let journal = self.plan.disk.journal_batches;
        self.machines[machine].reported = process.durable.sequence();
        self.machines[machine].disk.settle(journal);
        self.machines[machine].witness().persisted(&commit.records);
        self.call(machine, |core, now, rng| {
            if let Some(ticket) = commit.ticket {
                core.handle_persisted(now, ticket, rng);
            }
        });
    }

    /// A process ends at once; its disk keeps what it wants of what was not synced.
    pub fn crash(&mut self, machine: usize) {
        trace!(self, "{machine} crashes");
        let peer = self.machines[machine].id();
        let dead = &mut self.machines[machine];
        let did_run = dead.process.take().is_some();
        if did_run {
            dead.disk.crash(&mut self.rng);
        }
        dead.stalled_until = 0;
        dead.boot += 1;
        // The system of a dead process closes its connections; that of a dead machine does not.
        if did_run && self.rng.one_in(2) {
            for other in 0..self.machines.len() {
                if other != machine && self.network.is_open(machine, other) {
                    let wait = self.rng.duration(Duration::ZERO, Duration::from_millis(20));
                    let boot = self.machines[other].boot;
                    let machine = other;
                    self.after(
                        wait,
                        Event::Gone {
                            machine,
                            boot,
                            peer,
                        },
                    );
                }
            }
        }
    }

    /// A name that no replica has had.
    pub fn fresh_id(&mut self) -> Member {
        self.next_id += 1;
        Member {
            // Not in order, as random ones are not.
            id: ReplicaId(self.next_id * 7919 % 1000 + 100 + self.next_id * 1000),
            incarnation: Incarnation(0),
        }
    }

    pub fn start_soon(&mut self, machine: usize) {
        let wait = self.some_time(Duration::from_millis(300));
        self.after(wait, Event::Start { machine });
    }

    fn start(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        if machine.process.is_some() || machine.is_out {
            return;
        }
        let opened = machine.open();
        let (durable, recovered) = match opened {
            Ok(opened) => opened,
            Err(Refusal::Failing(cause)) => {
                trace!(self, "{index} cannot start: {cause}");
                self.machines[index].disk.crash(&mut self.rng);
                return self.start_soon(index);
            }
            Err(Refusal::Unproven(cause)) => {
                let me = machine.me;
                assert!(
                    machine.damage.is_some(),
                    "{} refuses a disk that has only been crashed: {cause}",
                    me.id
                );
                trace!(self, "{index} cannot prove what it holds: {cause}");
                if self.plan.size == 1 {
                    self.machines[index].is_out = true;
                    return;
                }
                // Its identity is kept as long as the evidence can be read.
                let is_known = EvidenceFile::over(machine.disk.slots()).newest().is_ok();
                if is_known && machine.disk.has_slots() {
                    machine.make_joining(me, true);
                } else {
                    let me = self.fresh_id();
                    self.machines[index].make_joining(me, false);
                }
                return self.start_soon(index);
            }
        };
        machine.disk.settle(self.plan.disk.journal_batches);
        machine.me = recovered.me;
        if !recovered.needs_incarnation {
            machine.witness().opened(&recovered);
        }
        trace!(self, "{index} starts with {} learned", recovered.learned);
        let configuration = self.ledger.configuration();
        let is_seated = configuration.is_none_or(|c| c.counts(recovered.me));
        if recovered.status == Status::Voting && !recovered.needs_incarnation && is_seated {
            // Whatever was done to it, it has lost nothing, or has come back before.
            machine.damage = None;
        }
        let options = Options {
            address: if self.plan.size > 1 {
                address(index)
            } else {
                "".into()
            },
            has_peers: self.plan.size > 1,
            ..Options::default()
        };
        let mut news = Vec::new();
        let given = self.replay(index, recovered.first, recovered.learned, &mut news);
        let machine = &mut self.machines[index];
        machine.boot += 1;
        machine.process = Some(Process {
            core: Replica::new(recovered, options),
            durable,
            reader: machine.disk.reader(),
            jobs: VecDeque::new(),
            commit: None,
            given,
            news,
            in_flight: VecDeque::new(),
            leading: None,
            is_cold: false,
            reads: BTreeMap::new(),
            stale: Vec::new(),
            timer: None,
        });
        self.cool(index);
        self.call(index, Replica::start);
    }

    /// The owner of a replica that starts may take its time. It is drawn apart, so that it leaves what the
    /// seed decides otherwise as it is.
    fn cool(&mut self, machine: usize) {
        let boot = self.machines[machine].boot;
        let mut rng = Rng::from_seed(self.plan.seed ^ (boot << 32) ^ ((machine as u64) << 56));
        if !rng.one_in(3) {
            return;
        }
        let wait = rng.duration(Duration::ZERO, Duration::from_secs(1));
        if let Some(process) = &mut self.machines[machine].process {
            process.is_cold = true;
        }
        self.call(machine, |core, now, rng| core.set_warm(now, false, rng));
        self.after(wait, Event::Warm { machine, boot });
    }

    fn warm(&mut self, machine: usize, boot: u64) {
        if boot != self.machines[machine].boot {
            return;
        }
        if let Some(process) = &mut self.machines[machine].process {
            trace!(self, "{machine} is ready to lead");
            process.is_cold = false;
        }
        self.call(machine, |core, now, rng| core.set_warm(now, true, rng));
    }

    /// Reads back every learned entry, as a starting log gives them again to its owner.
    fn replay(
        &mut self,
        index: usize,
        first: Position,
        learned: Position,
        news: &mut Vec<News>,
    ) -> Position {
        let id = self.machines[index].id();
        let reader = self.machines[index].disk.reader();
        self.ledger.skipped(id, first);
        let mut next = first;
        while next <= learned {
            let entries = read_entries(reader.as_ref(), next, learned, 100_000).unwrap();
            assert!(!entries.is_empty(), "{id} has lost the entry at {next}");
            for entry in entries {
                assert_eq!(entry.position, next, "{id} reads back a gap");
                self.ledger.read_back(id, &entry);
                if self.has_owners {
                    news.push(News::Learned(entry.clone()));
                }
                next = next.next();
            }
        }
        learned.max(first.before())
    }

    /// Everything works from now on, and everybody is up.
    pub fn heal(&mut self) {
        trace!(self, "the faults end");
        self.is_rough = false;
        self.era += 1;
        for (to, message) in self.network.heal() {
            self.deliver(self.now, to, message);
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].stalled_until = 0;
            self.machines[machine].disk_slow_until = 0;
            self.machines[machine].disk.set_weather(Default::default());
            self.after(Duration::ZERO, Event::Start { machine });
        }
    }

    /// Trouble begins, again.
    pub fn roughen(&mut self) {
        trace!(self, "the faults begin");
        self.is_rough = true;
        self.network.roughen();
        self.after(Duration::ZERO, Event::Trouble);
    }
}
