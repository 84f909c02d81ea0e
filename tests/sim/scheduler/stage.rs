//! The stage: the log's world, an engine on each machine, agents and clients.

use crate::agents::{Agent, addressee};
use crate::checker::ledger::EntryId;
use crate::clients::{BAD, Clients, INSTANCES, Promise, key};
use crate::clock::Nanos;
use crate::judge::Judge;
use crate::life::{Life, unwrap, wrap};
use crate::machine::News;
use crate::plan::{Fault, Plan};
use crate::world::{World, nanos};
use aurora::base::clock::{Instant, Now, Timestamp};
use aurora::base::rng::Rng;
use aurora::driver::{DriverCommand, DriverEvent};
use aurora::model::{
    AgentId, AgentSession, CronCollisionPolicy as Policy, ScheduleStatus, TaskId, TaskState,
    UpdateStatus,
};
use aurora::scheduler::update::UpdateChange;
use aurora::scheduler::{Effect, SubmitError};
use aurora::storage::{Leader, Reply, ReplyResult};
use cores::base::clock::Instant as LogInstant;
use cores::paxos::{Position, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const AGENTS: usize = 4;
const ROUNDS: u32 = 3;
const CHAOS: Duration = Duration::from_secs(60);
/// Within this long after the last fault everything has come to its end.
const SETTLES_WITHIN: Duration = Duration::from_secs(240);
/// The wall clock when a run begins, and how fast it goes on between jumps.
const BEGIN: i64 = 1_700_000_000_000;

/// What a run, or several, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub losses: u64,
    /// Changes that count, and those of deposed leaders that came too late.
    pub entries: u64,
    pub left_out: u64,
    pub cron_runs: u64,
    pub cron_missed: u64,
    pub updates: u64,
    pub rolled_back: u64,
    pub services: u64,
    pub started: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.losses += other.losses;
        self.entries += other.entries;
        self.left_out += other.left_out;
        self.cron_runs += other.cron_runs;
        self.cron_missed += other.cron_missed;
        self.updates += other.updates;
        self.rolled_back += other.rolled_back;
        self.services += other.services;
        self.started += other.started;
    }
}

enum What {
    /// Clients look whether they have been answered, and want something else.
    Clients,
    /// An agent reaches a leader.
    Connect {
        agent: usize,
        machine: usize,
        boot: u64,
        ballot: u64,
    },
    /// An agent's connection breaks.
    Disconnect { agent: usize },
    /// The wall clock of all machines is set.
    Jump,
    /// An order reaches an agent.
    Order {
        ballot: u64,
        order: Box<DriverCommand>,
    },
    /// A task does something.
    Progress {
        agent: usize,
        task: TaskId,
        state: TaskState,
    },
    /// Word of an agent reaches a machine.
    Word {
        machine: usize,
        boot: u64,
        event: Box<DriverEvent>,
    },
}

pub struct Stage {
    log: World,
    lives: Vec<Option<Life>>,
    agents: Vec<Agent>,
    queue: BTreeMap<(Nanos, u64), What>,
    number: u64,
    rng: Rng,
    judge: Judge,
    clients: Clients,
    /// How far the wall clock was set, in milliseconds.
    set: i64,
    is_rough: bool,
    losses: u64,
    started: BTreeSet<TaskId>,
    next_token: u64,
}

fn plan(seed: u64) -> Plan {
    let mut plan = Plan::sized(seed, 3);
    plan.spares = 0;
    // What the log's own simulator is for.
    let left_out = [
        Fault::Change,
        Fault::Damage,
        Fault::Wipe,
        Fault::Hold,
        Fault::FullDisk,
    ];
    plan.faults.kinds.retain(|kind| !left_out.contains(kind));
    // Leaders are to be lost, whatever else happens.
    plan.faults.kinds.extend([
        Fault::Crash,
        Fault::IsolateLeader,
        Fault::HandOver,
        Fault::Restart,
    ]);
    plan.faults.pause = Duration::from_millis(400 + seed % 7 * 200);
    plan.clock_spread = plan.clock_spread.min(0.01);
    plan.load.pause = Duration::from_secs(100_000_000);
    plan
}

impl Stage {
    pub fn new(seed: u64) -> Self {
        let mut log = World::new(plan(seed));
        log.has_owners = true;
        let machines = log.machines.len();
        let mut stage = Self {
            log,
            lives: (0..machines).map(|_| None).collect(),
            agents: (0..AGENTS).map(Agent::new).collect(),
            queue: BTreeMap::new(),
            number: 0,
            rng: Rng::from_seed(seed ^ 0x7363_6865),
            judge: Judge::default(),
            clients: Clients::default(),
            set: 0,
            is_rough: true,
            losses: 0,
            started: BTreeSet::new(),
            next_token: 0,
        };
        let clients = &mut stage.clients;
        clients.schedule("often", "* * * * *", Policy::KillExisting);
        clients.schedule("seldom", "*/2 * * * *", Policy::CancelNew);
        clients.create("updated", INSTANCES);
        stage.after(Duration::from_millis(500), What::Clients);
        stage.after(Duration::from_secs(5), What::Jump);
        stage
    }

    /// A whole run: trouble and calm in turn, and at the end everything must have come to its end.
    pub fn live(mut self) -> Outcome {
        for _ in 0..ROUNDS {
            self.is_rough = true;
            self.log.roughen();
            self.run(CHAOS, |_| false);
            self.is_rough = false;
            self.log.heal();
            let settled = self.run(SETTLES_WITHIN, Self::is_settled);
            assert!(settled, "not settled: {}", self.describe());
        }
        self.check_the_end();
        Outcome {
            losses: self.losses,
            entries: self.judge.version,
            left_out: self.judge.left_out,
            cron_runs: self.judge.runs,
            cron_missed: self.judge.missed,
            updates: self.judge.updates,
            rolled_back: self.judge.rolled_back,
            services: self.clients.services.len() as u64,
            started: self.started.len() as u64,
        }
    }

    fn after(&mut self, wait: Duration, what: What) {
        self.number += 1;
        let at = self.log.now + nanos(wait);
        self.queue.insert((at, self.number), what);
    }

    fn soon(&mut self) -> Duration {
        self.rng
            .duration(Duration::from_micros(200), Duration::from_millis(30))
    }

    fn now(&self, machine: usize) -> Now {
        let mono = self.log.machines[machine].clock.local(self.log.now);
        let ms = i64::try_from(self.log.now / 1_000_000).unwrap();
        // Machines disagree about the time of day by a second or two.
        let skew = machine as i64 * 700;
        Now {
            mono: Instant::from_nanos(mono.as_nanos()),
            wall: Timestamp(BEGIN + ms + self.set + skew),
        }
    }

    /// Lets time pass; gives whether `is_done` came true in it.
    fn run(&mut self, time: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let until = self.log.now + nanos(time);
        while self.log.now < until {
            let next = self.next_moment(until);
            let has_news = |machine: &crate::machine::Machine| {
                machine.process.as_ref().is_some_and(|p| !p.news.is_empty())
            };
            self.log.run(next, |log| log.machines.iter().any(has_news));
            self.serve();
            while let Some(entry) = self.queue.first_entry() {
                if entry.key().0 > self.log.now {
                    break;
                }
                let what = entry.remove();
                self.happen(what);
                self.serve();
            }
            self.judge_news();
            if is_done(self) {
                return true;
            }
        }
        false
    }

    fn next_moment(&self, until: Nanos) -> Nanos {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let lives = self.lives.iter().enumerate();
        let due = lives.filter_map(|(machine, life)| {
            let deadline = life.as_ref()?.engine.deadline();
            if deadline == Instant::FAR {
                return None;
            }
            let deadline = LogInstant::from_nanos(deadline.as_nanos());
            Some(self.log.machines[machine].clock.due(deadline))
        });
        let next = queued.into_iter().chain(due).min().unwrap_or(until);
        // Whatever is overdue is not done twice in one moment.
        next.clamp(self.log.now + 1, until.max(self.log.now + 1))
    }

    fn judge_news(&mut self) {
        let read = self.judge.read;
        for (at, value) in self.log.ledger.chosen.range(read.next()..) {
            let payload = match value {
                Value::Append(payload) => Some(&payload[..]),
                // No client has made these.
                Value::Configure(_) | Value::Nop | Value::Truncate { .. } => None,
            };
            self.judge.entry(*at, payload);
        }
    }

    /// Gives every engine its news and lets it do what is due, until all is quiet.
    fn serve(&mut self) {
        for machine in 0..self.lives.len() {
            while self.listen(machine) {}
            self.turn(machine);
            while self.listen(machine) {
                self.turn(machine);
            }
        }
    }

    /// Gives an engine its news; `false` if there are none.
    fn listen(&mut self, machine: usize) -> bool {
        let boot = self.log.machines[machine].boot;
        let Some(process) = &mut self.log.machines[machine].process else {
            self.bury(machine);
            return false;
        };
        let news = std::mem::take(&mut process.news);
        if self.lives[machine]
            .as_ref()
            .is_none_or(|life| life.boot != boot)
        {
            self.bury(machine);
            let seed = self.rng.next_u64();
            self.lives[machine] = Some(Life::new(boot, seed));
        }
        if news.is_empty() {
            return false;
        }
        for item in news {
            self.take(machine, item);
        }
        true
    }

    /// A process is gone, and what it knew with it.
    fn bury(&mut self, machine: usize) {
        if let Some(life) = self.lives[machine].take() {
            self.losses += u64::from(life.leading.is_some());
            self.clients.lost(machine, life.boot);
            self.cut_off(machine, life.boot);
        }
    }

    fn cut_off(&mut self, machine: usize, boot: u64) {
        for agent in &mut self.agents {
            agent.connected = agent.connected.filter(|it| *it != (machine, boot));
        }
    }

    fn take(&mut self, machine: usize, news: News) {
        let now = self.now(machine);
        let Some(life) = &mut self.lives[machine] else {
            return;
        };
        let boot = life.boot;
        match news {
            News::Skipped => life.engine.handle_skipped(),
            News::Discarded => {
                self.losses += u64::from(life.stand_down());
                self.cut_off(machine, boot);
            }
            News::Learned(entry) => {
                let Value::Append(payload) = &entry.value else {
                    return;
                };
                let Some((name, record)) = unwrap(payload) else {
                    return;
                };
                let mine = life.tickets.remove(&entry.position);
                let ticket = mine
                    .filter(|(_, own)| *own == name)
                    .map(|(ticket, _)| ticket);
                let position = entry.position.0;
                let learned = life.engine.handle_learned(position, ticket, record);
                learned.unwrap_or_else(|error| panic!("machine {machine} at {position}: {error}"));
                if life.leading.is_some() && !life.engine.is_leading() {
                    self.losses += u64::from(life.stand_down());
                    self.cut_off(machine, boot);
                }
            }
            News::Leading(ballot) => {
                life.stand_down();
                let led = life.engine.handle_leading(now);
                led.unwrap_or_else(|error| panic!("machine {machine} cannot lead: {error}"));
                life.leading = Some(ballot);
                let leader = Leader {
                    term: ballot.round,
                    http: format!("m{machine}:8081"),
                    agents: format!("m{machine}:8083"),
                };
                life.engine.announce(now, leader);
                for agent in 0..AGENTS {
                    let wait = self
                        .rng
                        .duration(Duration::ZERO, Duration::from_millis(300));
                    let ballot = ballot.round;
                    let connect = What::Connect {
                        agent,
                        machine,
                        boot,
                        ballot,
                    };
                    self.after(wait, connect);
                }
            }
        }
    }

    /// Lets an engine do what is due, and carries out what it wants.
    fn turn(&mut self, machine: usize) {
        let now = self.now(machine);
        let Some(life) = &mut self.lives[machine] else {
            return;
        };
        life.engine.handle_timeout(now);
        life.engine.seal();
        let ballot = life.leading.map(|ballot| ballot.round);
        let boot = life.boot;
        let effects: Vec<Effect> = std::iter::from_fn(|| life.engine.poll_effect()).collect();
        for effect in effects {
            match effect {
                Effect::Append { ticket, entry } => {
                    if let Some(life) = &mut self.lives[machine] {
                        life.to_append.push_back((ticket, entry.encode()));
                    }
                }
                Effect::Ask(_) | Effect::Publish(_) | Effect::Restored | Effect::Snapshot(_) => {}
                Effect::Driver(order) => {
                    let wait = self.soon();
                    if let Some(ballot) = ballot {
                        let order = Box::new(order);
                        self.after(wait, What::Order { ballot, order });
                    }
                }
                Effect::Reply { token, result } => self.replied(machine, boot, token, result),
                Effect::Truncate { position } => {
                    let to = Position(position + 1);
                    self.log
                        .propose(machine, vec![Value::Truncate { to }], &[None]);
                }
            }
        }
        self.append(machine);
    }

    /// Hands the log what it takes.
    fn append(&mut self, machine: usize) {
        while let Some(life) = &mut self.lives[machine]
            && let Some(ballot) = life.leading
            && let Some((ticket, record)) = life.to_append.front().cloned()
        {
            let name: EntryId = self.log.ledger.name();
            let value = Value::Append(wrap(name, &record).into());
            let proposed = self.log.call(machine, |core, now, rng| {
                core.has_room()
                    .then(|| core.propose(now, ballot, vec![value], rng))
            });
            let Some(Some(Ok(first))) = proposed else {
                return;
            };
            life.to_append.pop_front();
            life.tickets.insert(first, (ticket, name));
            if let Some(process) = &mut self.log.machines[machine].process
                && process.leading == Some(ballot)
                && first > process.given
            {
                process.in_flight.push_back((first, name));
            }
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Clients => self.people(),
            What::Connect {
                agent,
                machine,
                boot,
                ballot,
            } => {
                self.connect(agent, machine, boot, ballot);
            }
            What::Disconnect { agent } => self.disconnect(agent),
            What::Jump => {
                let pause = self
                    .rng
                    .duration(Duration::from_secs(5), Duration::from_secs(60));
                self.after(pause, What::Jump);
                let ms = self.rng.below(90_000).cast_signed();
                if self.is_rough {
                    self.set += if self.rng.one_in(3) { -ms } else { ms };
                }
            }
            What::Order { ballot, order } => self.order(ballot, *order),
            What::Progress { agent, task, state } => self.progress(agent, &task, state),
            What::Word {
                machine,
                boot,
                event,
            } => {
                let now = self.now(machine);
                if let Some(life) = &mut self.lives[machine]
                    && life.boot == boot
                {
                    life.engine.handle_driver(now, *event);
                }
            }
        }
    }

    fn connect(&mut self, agent: usize, machine: usize, boot: u64, ballot: u64) {
        let now = self.now(machine);
        let Some(life) = &mut self.lives[machine] else {
            return;
        };
        let leads = life.boot == boot && life.leading.is_some_and(|b| b.round == ballot);
        let fake = &mut self.agents[agent];
        if !leads || fake.ballot > ballot {
            return;
        }
        fake.ballot = ballot;
        fake.connected = Some((machine, boot));
        let tasks = fake.tasks.values().cloned().collect();
        let offer = fake.offer();
        life.engine
            .handle_driver(now, DriverEvent::AgentUp { offer, tasks });
        if self.is_rough && self.rng.one_in(3) {
            let wait = self
                .rng
                .duration(Duration::from_secs(1), Duration::from_secs(9));
            self.after(wait, What::Disconnect { agent });
        }
    }

    /// A connection breaks; the agent comes back to whoever it was connected to, if that one still leads.
    fn disconnect(&mut self, agent: usize) {
        let fake = &mut self.agents[agent];
        let Some((machine, boot)) = fake.connected.take() else {
            return;
        };
        let event = DriverEvent::AgentDown {
            agent: fake.id.clone(),
            session: AgentSession(fake.session),
        };
        let ballot = fake.ballot;
        if self.rng.one_in(2) {
            // It is another process that comes back.
            self.agents[agent].session += 1;
        }
        let wait = self.soon();
        let event = Box::new(event);
        self.after(
            wait,
            What::Word {
                machine,
                boot,
                event,
            },
        );
        let back = wait
            + self
                .rng
                .duration(Duration::from_millis(10), Duration::from_secs(3));
        let connect = What::Connect {
            agent,
            machine,
            boot,
            ballot,
        };
        self.after(back, connect);
    }

    fn order(&mut self, ballot: u64, order: DriverCommand) {
        let to: AgentId = addressee(&order).clone();
        let found = self.agents.iter().position(|agent| agent.id == to);
        let agent = found.expect("an order for nobody");
        // One of a leader that is none any more, or on a connection that has ended.
        let fake = &mut self.agents[agent];
        if ballot != fake.ballot || fake.connected.is_none() {
            return;
        }
        let cpus = match &order {
            DriverCommand::Launch { order, .. } => order.resources.cpus.0,
            _ => 0,
        };
        let is_cron = match &order {
            DriverCommand::Launch { order, .. } => ["often", "seldom"].contains(&order.job.name()),
            _ => false,
        };
        let (news, begun) = fake.obey(order);
        if let Some(task) = begun {
            assert!(self.started.insert(task.clone()), "{task} is started twice");
            let wait = self
                .rng
                .duration(Duration::from_millis(50), Duration::from_secs(2));
            let is_bad = cpus > 100 && cpus % 10 == BAD && !is_cron;
            let state = if is_bad {
                TaskState::Failed
            } else {
                TaskState::Running
            };
            self.after(
                wait,
                What::Progress {
                    agent,
                    task: task.clone(),
                    state,
                },
            );
            if is_cron {
                let more = self
                    .rng
                    .duration(Duration::from_secs(1), Duration::from_secs(90));
                let state = match self.rng.one_in(4) {
                    true => TaskState::Failed,
                    false => TaskState::Finished,
                };
                self.after(wait + more, What::Progress { agent, task, state });
            }
        }
        for (task, state) in news {
            self.report(agent, &task, state);
        }
    }

    fn progress(&mut self, agent: usize, task: &TaskId, state: TaskState) {
        let known = self.agents[agent].tasks.get(task);
        if known.is_some_and(|report| !report.state.is_terminal()) {
            self.report(agent, task, state);
        }
    }

    fn report(&mut self, agent: usize, task: &TaskId, state: TaskState) {
        let at = self.now(0).wall;
        let fake = &mut self.agents[agent];
        let report = fake.note(task, state, at);
        let (id, connected) = (fake.id.clone(), fake.connected);
        if let Some((machine, boot)) = connected {
            let event = Box::new(DriverEvent::Status { agent: id, report });
            // In order, as on one connection.
            let wait = Duration::from_millis(1);
            self.after(
                wait,
                What::Word {
                    machine,
                    boot,
                    event,
                },
            );
        }
    }

    /// Clients ask again, and for something else now and then.
    fn people(&mut self) {
        let pause = self
            .rng
            .duration(Duration::from_millis(200), Duration::from_millis(1_500));
        self.after(pause, What::Clients);
        let active = self.judge.tables.updates().active().next();
        let active = active.map(|record| (record.key().clone(), record.status()));
        let is_waiting = !self.clients.waiting.is_empty();
        match active {
            None if self.is_rough && !is_waiting && self.all_up() => {
                self.clients.start_update(&mut self.rng);
            }
            Some((key, status)) if !status.is_rolling() && !is_waiting => {
                self.clients.change(&key, UpdateChange::Resume);
            }
            Some((key, UpdateStatus::RollingForward)) if self.is_rough && self.rng.one_in(12) => {
                self.clients.change(&key, UpdateChange::Pause);
            }
            _ => {}
        }
        if self.is_rough && self.rng.one_in(15) {
            let name = format!("service-{}", self.clients.next);
            self.clients.create(&name, 1 + self.rng.index(3) as u32);
        }
        self.ask_again();
    }

    fn ask_again(&mut self) {
        let leading = |life: &Option<Life>| life.as_ref().and_then(|life| life.leading);
        let leader = (0..self.lives.len()).max_by_key(|machine| leading(&self.lives[*machine]));
        let Some(machine) = leader.filter(|machine| leading(&self.lives[*machine]).is_some())
        else {
            return;
        };
        let now = self.now(machine);
        let Some(life) = &mut self.lives[machine] else {
            return;
        };
        for request in &mut self.clients.waiting {
            if request
                .asked
                .is_some_and(|(m, boot, _)| (m, boot) == (machine, life.boot))
            {
                continue;
            }
            self.next_token += 1;
            request.asked = Some((machine, life.boot, self.next_token));
            life.engine
                .handle_command(now, self.next_token, Some(&request.id), &request.command);
        }
    }

    fn replied(
        &mut self,
        machine: usize,
        boot: u64,
        token: u64,
        result: Result<Reply, SubmitError>,
    ) {
        let asked = Some((machine, boot, token));
        let waiting = &mut self.clients.waiting;
        let Some(index) = waiting.iter().position(|request| request.asked == asked) else {
            return;
        };
        let Ok(reply) = result else {
            // Nobody knows whether it was done: the same request, once more.
            waiting[index].asked = None;
            return;
        };
        let request = waiting.remove(index);
        let is_well = reply.code == aurora::storage::ReplyCode::Ok;
        match (request.promise, &reply.result) {
            (Promise::Service(job, instances), _) if is_well => {
                self.clients.services.insert(job, instances);
            }
            (Promise::Update, Some(ReplyResult::Update(key))) if is_well => {
                self.clients.updates.push(key.clone());
            }
            (Promise::Cron, _) => assert!(is_well, "{reply:?}"),
            _ => {}
        }
    }

    fn all_up(&self) -> bool {
        let job = key("updated");
        let tasks = self.judge.tables.active_tasks_of_job(&job);
        let up = tasks.filter(|task| task.status == ScheduleStatus::Running);
        up.count() == INSTANCES as usize
    }

    /// Whether everything that was begun has come to its end.
    fn is_settled(&self) -> bool {
        let tables = &self.judge.tables;
        let is_up = |(job, instances): (&_, &u32)| {
            let tasks = tables.active_tasks_of_job(job);
            let up = tasks.filter(|task| task.status == ScheduleStatus::Running);
            up.count() == *instances as usize
        };
        self.clients.waiting.is_empty()
            && tables.updates().active().next().is_none()
            && self.clients.services.iter().all(is_up)
    }

    /// Nothing that was acknowledged is lost, and what runs is what the log says.
    fn check_the_end(&self) {
        let tables = &self.judge.tables;
        for key in &self.clients.updates {
            let record = tables.updates().get(key);
            let record = record.unwrap_or_else(|| panic!("{key} was acknowledged and is lost"));
            assert!(!record.status().is_active(), "{key}");
        }
        for agent in &self.agents {
            for task in agent.live() {
                let known = tables.task(task);
                let known = known.filter(|task| task.agent.as_ref() == Some(&agent.id));
                assert!(known.is_some(), "{task} runs and nobody knows");
            }
        }
        let job = key("updated");
        for task in tables.active_tasks_of_job(&job) {
            let agent = self
                .agents
                .iter()
                .find(|a| Some(&a.id) == task.agent.as_ref());
            assert!(
                agent.unwrap().live().any(|id| *id == task.id),
                "{}",
                task.id
            );
        }
    }

    fn describe(&self) -> String {
        let tables = &self.judge.tables;
        let mut text = format!("{}\n", self.log.describe());
        for record in tables.updates().active() {
            text.push_str(&format!("update {} is {}\n", record.key(), record.status()));
        }
        for task in tables.tasks().filter(|task| task.status.is_active()) {
            text.push_str(&format!(
                "{} is {} on {:?}\n",
                task.id, task.status, task.agent
            ));
        }
        for agent in &self.agents {
            text.push_str(&format!(
                "{} hears {:?}, ballot {}\n",
                agent.id, agent.connected, agent.ballot
            ));
        }
        text.push_str(&format!("{} requests wait", self.clients.waiting.len()));
        text
    }
}
