//! A few replicas on a network that loses, doubles and reorders, and disks that forget what was not
//! synced when their replica crashes, or everything. Members come and go meanwhile. One seed decides
//! everything. The checks share nothing with the core but its values.

use super::coordinator::Role;
use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a disk holds after a power cut.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    pub(super) me: Member,
    pub(super) status: Status,
    pub(super) promised: Ballot,
    pub(super) first: Position,
    pub(super) learned: Position,
    pub(super) configuration: Configuration,
    pub(super) configured: Position,
    pub(super) needs_incarnation: bool,
    pub(super) runs: Vec<Run>,
}

impl Durable {
    pub(super) fn fresh(me: Member, configuration: Configuration) -> Self {
        Self {
            me,
            status: Status::Voting,
            promised: Ballot::ZERO,
            first: Position::FIRST,
            learned: Position::ZERO,
            configuration,
            configured: Position::ZERO,
            needs_incarnation: false,
            runs: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Configuration(configured) => {
                self.configuration = (*configured.configuration).clone();
                self.configured = configured.position;
            }
            Record::Forming(configuration) => self.configuration = (*configuration).clone(),
            Record::Member(me) => {
                self.me = me;
                self.needs_incarnation = false;
            }
            Record::NeedsIncarnation => self.needs_incarnation = true,
            Record::First(first) => self.first = self.first.max(first),
            Record::Learned(learned) => self.learned = self.learned.max(learned),
            Record::Promise(ballot) => self.promised = self.promised.and_promise(ballot),
            Record::Status(status) => self.status = status,
            Record::Run(run) => self.runs.push(run),
        }
    }

    /// What is held at a position: the highest ballot.
    pub(super) fn at(&self, position: Position) -> Option<Entry> {
        let entries = self.runs.iter().flat_map(Run::entries);
        entries
            .filter(|e| e.position == position)
            .max_by_key(|e| e.ballot)
    }

    pub(super) fn recovered(&self) -> Recovered {
        Recovered {
            me: self.me,
            status: self.status,
            promised: self.promised,
            first: self.first,
            learned: self.learned,
            configuration: self.configuration.clone(),
            configured: self.configured,
            needs_incarnation: self.needs_incarnation,
            accepted: self.runs.clone(),
        }
    }
}

struct Node {
    core: Option<Replica>,
    durable: Durable,
    unsynced: VecDeque<(Ticket, Vec<Record>)>,
    /// The last position given to the owner.
    given: Position,
    /// The highest promise ever answered with: must survive every crash, though not a lost disk.
    promised: Ballot,
    /// Whether it has lost its disk and does not vote again yet.
    is_lost: bool,
}

/// What happens besides crashes and lost messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The replicas start without an ensemble, and form one.
    forms: bool,
    /// Members come and go.
    changes: bool,
    /// Disks are lost.
    wipes: bool,
}

fn seat(member: &Member) -> (ReplicaId, Seat) {
    let seat = Seat {
        incarnation: member.incarnation,
        address: member.id.to_string().into(),
    };
    (member.id, seat)
}

impl Node {
    fn new(me: Member, status: Status) -> Self {
        Self {
            core: None,
            durable: Durable {
                status,
                ..Durable::fresh(me, Configuration::alone(100 + u128::from(me.id.0), me))
            },
            unsynced: VecDeque::new(),
            given: Position::ZERO,
            promised: Ballot::ZERO,
            is_lost: false,
        }
    }

    fn initialized(me: Member) -> Self {
        Self::new(me, Status::Voting)
    }
}

struct World {
    rng: Rng,
    now: Instant,
    nodes: BTreeMap<ReplicaId, Node>,
    network: Vec<(ReplicaId, Message)>,
    /// What each position holds, once anybody has learned it.
    chosen: BTreeMap<Position, Value>,
    proposed: u64,
    /// Rounds that have led: at most one replica each.
    led: BTreeMap<u64, ReplicaId>,
    has_faults: bool,
    plan: Plan,
    /// The last position that was acknowledged to whoever proposed it.
    acknowledged: Position,
    /// What had been acknowledged when each read was asked for.
    reads: BTreeMap<u64, Position>,
    reads_asked: u64,
    reads_done: u64,
    /// Configurations learned by anybody.
    configurations: BTreeMap<Position, Arc<Configuration>>,
    next_id: u64,
    size: u64,
}

impl World {
    fn new(seed: u64, size: u64, plan: Plan) -> Self {
        let members: Vec<Member> = (1..=size)
            .map(|id| Member {
                id: ReplicaId(id),
                incarnation: Incarnation(0),
            })
            .collect();
        let together = Configuration::majority(7, members.iter().map(seat));
        let nodes = members.iter().map(|me| {
            let mut node = Node::initialized(*me);
            if !plan.forms {
                node.durable.configuration = together.clone();
            }
            (me.id, node)
        });
        let nodes = nodes.collect();
        let mut world = Self {
            rng: Rng::from_seed(seed),
            now: Instant::from_nanos(1),
            nodes,
            network: Vec::new(),
            chosen: BTreeMap::new(),
            proposed: 0,
            led: BTreeMap::new(),
            has_faults: true,
            plan,
            acknowledged: Position::ZERO,
            reads: BTreeMap::new(),
            reads_asked: 0,
            reads_done: 0,
            configurations: BTreeMap::new(),
            next_id: size + 1,
            size,
        };
        for member in members {
            world.restart(member.id);
        }
        world
    }

    fn node(&mut self, id: ReplicaId) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn any_node(&mut self) -> ReplicaId {
        let index = self.rng.index(self.nodes.len());
        *self.nodes.keys().nth(index).unwrap()
    }

    /// Calls into a core that is up, and carries out what it asks for.
    fn with(&mut self, id: ReplicaId, call: impl FnOnce(&mut Replica, Instant, &mut Rng)) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(mut core) = node.core.take() else {
            return;
        };
        call(&mut core, now, &mut self.rng);
        core.check_invariants();
        while let Some(effect) = core.poll_effect() {
            self.carry_out(id, &mut core, effect);
        }
        self.node(id).core = Some(core);
    }

    fn carry_out(&mut self, id: ReplicaId, core: &mut Replica, effect: Effect) {
        match effect {
            Effect::Persist { ticket, records } => {
                self.node(id).unsynced.push_back((ticket, records));
            }
            Effect::Send { to, message } => {
                self.check_sent(id, &message);
                self.network.push((to, message));
            }
            Effect::Learned(run) => run.entries().for_each(|entry| {
                if core.leading() == Some(entry.ballot) {
                    self.acknowledged = self.acknowledged.max(entry.position);
                }
                let node = self.nodes.get_mut(&id).unwrap();
                assert_eq!(entry.position, node.given.next(), "{id} is given a gap");
                node.given = entry.position;
                let value = entry.value.clone();
                let chosen = self.chosen.entry(entry.position).or_insert(value);
                assert_eq!(
                    *chosen, entry.value,
                    "{id} learned another value at {}",
                    entry.position
                );
            }),
            Effect::Skipped { first } => self.node(id).given = first.before(),
            Effect::Leading { ballot } => {
                let other = self.led.insert(ballot.round, id);
                assert!(other.is_none_or(|other| other == id), "{ballot} led twice");
                let last = self.chosen.last_key_value().map(|(at, _)| *at);
                assert!(
                    last.is_none_or(|last| last <= self.node(id).given),
                    "{id} leads blind"
                );
            }
            Effect::Broadcast { message } => {
                let others = self.nodes.keys().filter(|other| **other != id);
                let sent = others.map(|other| (*other, message.clone()));
                self.network.extend(sent);
            }
            Effect::Configured(configured) => {
                let at = self.configurations.entry(configured.position);
                let known = at.or_insert_with(|| Arc::clone(&configured.configuration));
                assert_eq!(
                    *known, configured.configuration,
                    "{id} is configured otherwise"
                );
            }
            Effect::ReadReady { token, position } => {
                let acknowledged = self.reads.remove(&token).unwrap();
                assert!(position >= acknowledged, "{id} reads from the past");
                assert!(
                    self.node(id).given >= position,
                    "{id} has not been given what it reads"
                );
                self.reads_done += 1;
            }
            Effect::ReadFailed { token } => {
                self.reads.remove(&token).unwrap();
            }
            Effect::ChangeFailed { .. }
            | Effect::Discarded { .. }
            | Effect::Leader(_)
            | Effect::Settled { .. }
            | Effect::Status(_) => {}
            Effect::Read {
                peer,
                from,
                through,
            } => {
                let durable = &self.node(id).durable;
                let entries =
                    (from.0..=through.0.min(from.0 + 5)).map_while(|at| durable.at(Position(at)));
                let runs = Run::collect(entries);
                core.handle_read(peer, runs);
            }
        }
    }

    /// What is promised or acknowledged must be on disk at that very moment.
    fn check_sent(&mut self, id: ReplicaId, message: &Message) {
        let node = self.nodes.get_mut(&id).unwrap();
        match &message.body {
            Body::Promise { .. } => {
                assert!(
                    node.durable.promised >= message.ballot,
                    "{id} promised before the sync"
                );
                node.promised = node.promised.max(message.ballot);
            }
            Body::Accepted { first, last, .. } => {
                for at in first.0..=last.0 {
                    // What is learned is safe at a quorum, durable here or not.
                    let held = node.durable.at(Position(at)).map(|e| e.ballot);
                    let is_safe = held >= Some(message.ballot) || node.given >= Position(at);
                    assert!(is_safe, "{id} acknowledged {at} before the sync");
                }
            }
            _ => {}
        }
    }

    fn restart(&mut self, id: ReplicaId) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.core.is_some() {
            return;
        }
        assert!(
            node.durable.promised >= node.promised,
            "{id} forgot a promise"
        );
        let timing = Timing {
            election: Duration::from_millis(150),
            heartbeat: Duration::from_millis(30),
        };
        node.given = node.durable.learned;
        let options = Options {
            timing,
            address: node.durable.me.id.to_string().into(),
            has_peers: self.size > 1 || id.0 > 1,
            ..Options::default()
        };
        node.core = Some(Replica::new(node.durable.recovered(), options));
        self.with(id, Replica::start);
    }

    fn crash(&mut self, id: ReplicaId) {
        let keep = self.rng.index(3);
        let node = self.node(id);
        node.core = None;
        // A few more writes may have reached the disk without anybody having been told.
        for (_, records) in node.unsynced.drain(..).take(keep) {
            for record in records {
                node.durable.apply(record);
            }
        }
    }

    /// The disk is gone; the replica knows who it is, and that it has lost everything.
    ///
    /// Only as many at a time as can be lost without losing what a quorum holds.
    fn wipe(&mut self, id: ReplicaId) {
        let lost = self.nodes.values().filter(|node| node.is_lost).count();
        let known = self.nodes.values().map(|node| &node.durable.configuration);
        let known = known.chain(self.configurations.values().map(AsRef::as_ref));
        // Also those that are under way.
        let asked = self.nodes.values().flat_map(|node| &node.unsynced);
        let asked = asked
            .flat_map(|(_, records)| records)
            .filter_map(|record| match record {
                Record::Run(run) => Some(run),
                _ => None,
            });
        let runs = self.nodes.values().flat_map(|node| &node.durable.runs);
        let values = runs.chain(asked).flat_map(|run| run.values.iter());
        let known = known.chain(values.filter_map(|value| match value {
            Value::Configure(configuration) => Some(configuration.as_ref()),
            _ => None,
        }));
        let spare = known
            .filter(|c| c.cluster == 7)
            .map(|c| c.members.len() - c.quorum as usize);
        let is_formed = self
            .nodes
            .values()
            .all(|node| node.durable.configured > Position::ZERO);
        let changes = self.nodes.values().any(|node| match &node.core {
            Some(core) => {
                matches!(&core.role, Role::Leader(l) if l.change.is_some())
            }
            None => false,
        });
        if changes || lost >= spare.min().unwrap_or(0) || !is_formed || !self.has_faults {
            return;
        }
        self.crash(id);
        // What was asked of the process that has ended is not answered.
        let forgets_life = self.rng.one_in(2);
        let node = self.node(id);
        node.unsynced.clear();
        let mut me = node.durable.me;
        if forgets_life {
            me.incarnation = Incarnation(0);
        }
        let configuration = node.durable.configuration.clone();
        *node = Node::new(me, Status::Recovering);
        node.durable.needs_incarnation = true;
        node.durable.configuration.cluster = configuration.cluster;
        node.is_lost = true;
    }

    /// Somebody changes the ensemble.
    fn change(&mut self, id: ReplicaId) {
        if !self.has_faults {
            return;
        }
        let others: Vec<ReplicaId> = self.nodes.keys().copied().collect();
        let other = others[self.rng.index(others.len())];
        let kind = self.rng.below(6);
        if kind == 3 && self.nodes.values().any(|node| node.is_lost) {
            // Who removes a healthy member while another is lost asks for a standstill.
            return;
        }
        if kind == 0 && self.nodes.len() < 6 {
            let member = Member {
                id: ReplicaId(self.next_id),
                incarnation: Incarnation(0),
            };
            self.next_id += 1;
            self.nodes.insert(member.id, Node::initialized(member));
            self.restart(member.id);
        }
        let newcomer = self.nodes.get(&other).map(|node| node.durable.me).unwrap();
        self.with(id, |core, now, rng| {
            let Some(ballot) = core.leading() else {
                return;
            };
            let size = core.configuration().members.len();
            let address = newcomer.id.to_string().into();
            let change = match kind {
                0..3 => Change::Add {
                    member: newcomer,
                    address,
                },
                3 if size > 1 => Change::Remove { id: other },
                4 => Change::Quorum {
                    size: 1 + u32::try_from(size / 2).unwrap(),
                },
                _ => {
                    core.hand_over(now, rng);
                    return;
                }
            };
            // A refusal is an answer too.
            core.change(now, ballot, change, rng).ok();
        });
    }

    fn read(&mut self, id: ReplicaId) {
        let token = self.reads_asked;
        self.reads_asked += 1;
        self.reads.insert(token, self.acknowledged);
        let is_up = self.node(id).core.is_some();
        self.with(id, |core, now, rng| core.read(now, token, rng));
        if !is_up {
            self.reads.remove(&token);
        }
    }

    fn form(&mut self) {
        let all = self.nodes.values().map(|node| node.core.as_ref());
        let Some(all) = all.collect::<Option<Vec<_>>>() else {
            return;
        };
        if all.iter().any(|core| core.is_bound()) {
            return;
        }
        let members: Vec<Member> = all.iter().map(|core| core.me()).collect();
        let together = Configuration::majority(7, members.iter().map(seat));
        self.with(members[0].id, |core, now, rng| {
            core.form(now, together, rng)
        });
    }

    fn sync(&mut self, id: ReplicaId) {
        let count = 1 + self.rng.index(4);
        let node = self.node(id);
        if node.core.is_none() {
            return;
        }
        let mut done = None;
        for (ticket, records) in node.unsynced.drain(..count.min(node.unsynced.len())) {
            for record in records {
                node.durable.apply(record);
            }
            done = Some(ticket);
        }
        node.is_lost &= node.durable.status != Status::Voting;
        if let Some(ticket) = done {
            self.with(id, |core, now, rng| core.handle_persisted(now, ticket, rng));
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let index = self.rng.index(self.network.len().min(30));
        let (to, message) = self.network.remove(index);
        if self.has_faults {
            if self.rng.one_in(12) {
                return;
            }
            if self.rng.one_in(12) {
                self.network.push((to, message.clone()));
            }
        }
        self.with(to, |core, now, rng| core.handle_message(now, message, rng));
    }

    fn propose(&mut self, id: ReplicaId) {
        let count = 1 + self.rng.below(4);
        let truncates = self.rng.one_in(20);
        let from = self.proposed;
        self.proposed += count;
        self.with(id, |core, now, rng| {
            let Some(ballot) = core.leading() else {
                return;
            };
            let mut values: Vec<Value> = (from..from + count)
                .map(|number| Value::Append(Arc::from(number.to_be_bytes())))
                .collect();
            if truncates {
                let to = Position(1 + rng.below(core.learned().0));
                values.push(Value::Truncate { to });
            }
            // Full is an answer too.
            core.propose(now, ballot, values, rng).ok();
        });
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_micros(self.rng.below(2000));
        let id = self.any_node();
        match self.rng.below(100) {
            0..50 => {
                // The more is under way, the more arrives: a network has bandwidth, and loses the
                // rest.
                for _ in 0..1 + self.network.len() / 4 {
                    self.deliver();
                }
            }
            50..80 => self.sync(id),
            80..88 => self.propose(id),
            88 => self.read(id),
            89 => self.disconnect(id),
            90 if self.has_faults => self.crash(id),
            91 if self.plan.wipes && self.rng.one_in(8) => self.wipe(id),
            92 if self.plan.changes && self.rng.one_in(4) => self.change(id),
            93 if self.plan.forms => self.form(),
            _ => self.restart(id),
        }
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.with(id, Replica::handle_timeout);
        }
    }

    /// A connection breaks, whether its other end is gone or not.
    fn disconnect(&mut self, id: ReplicaId) {
        let other = self.any_node();
        self.with(id, |core, now, rng| {
            core.handle_disconnected(now, other, rng)
        });
    }

    fn heal(&mut self) {
        self.has_faults = false;
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.restart(id);
        }
    }

    /// Everybody is up and has been given everything, and a new entry gets through.
    fn is_settled(&self, since: usize) -> bool {
        let last = self.chosen.last_key_value().map(|(at, _)| *at);
        let Some((_, newest)) = self.configurations.last_key_value() else {
            return false;
        };
        let is_settled = |(id, node): (&ReplicaId, &Node)| {
            let core = node.core.as_ref();
            let counts = core.is_some_and(|core| newest.counts(core.me()));
            let votes = core.is_some_and(|core| core.status() == Status::Voting);
            !newest.members.contains_key(id) || (counts && votes && Some(node.given) == last)
        };
        self.chosen.len() > since && self.nodes.iter().all(is_settled)
    }

    fn describe(&self) -> String {
        let last = self.chosen.last_key_value().map(|(at, _)| at.0);
        let mut text = format!("chosen to {last:?}, {} messages\n", self.network.len());
        for (id, node) in &self.nodes {
            let Some(core) = &node.core else {
                text += &format!("{id} down\n");
                continue;
            };
            text += &format!(
                "{id} {:?} {:?} given {} learned {} end {} promised {} configured {} {:?} leads {:?} \
                 hears {:?} needs {} peers {:?}\n",
                core.me().incarnation,
                core.status(),
                node.given,
                core.learned(),
                core.end(),
                core.promised(),
                core.configured(),
                core.configuration(),
                core.leading(),
                core.leader(),
                core.needs_incarnation(),
                core.peers(),
            );
            text += &format!(
                "{:?} deadline {:?} now {:?}\n",
                core.role,
                core.deadline(),
                self.now
            );
        }
        text
    }

    /// What is on each disk is what was chosen.
    fn check_disks(&self) {
        for (id, node) in &self.nodes {
            let durable = &node.durable;
            for at in durable.first.0..=durable.learned.0 {
                let entry = durable.at(Position(at));
                let chosen = self.chosen.get(&Position(at));
                assert_eq!(
                    entry.map(|e| e.value).as_ref(),
                    chosen,
                    "{id} holds another value at {at}"
                );
            }
        }
    }
}

/// How many seeds to run: many more in the long mode.
fn seeds(count: u64) -> u64 {
    match std::env::var("AURORA_LONG").as_deref() {
        Ok("1") => count * 50,
        Ok(_) | Err(_) => count,
    }
}

fn run(seed: u64, size: u64, steps: usize, plan: Plan) -> u64 {
    let mut world = World::new(seed, size, plan);
    for _ in 0..steps {
        world.step();
    }
    assert!(
        world.network.len() < 10_000,
        "seed {seed}: a storm of messages"
    );
    world.heal();
    let since = world.chosen.len() + 5;
    let mut left = 50_000;
    while !world.is_settled(since) {
        world.step();
        left -= 1;
        assert!(
            left > 0,
            "seed {seed}: no progress after the faults have ended\n{}",
            world.describe()
        );
    }
    world.check_disks();
    world.chosen.len() as u64
}

#[test]
fn three_replicas_agree_and_forget_nothing_under_faults() {
    let mut chosen = 0;
    for seed in 0..seeds(60) {
        chosen += run(seed, 3, 3_000, Plan::default());
    }
    assert!(chosen > 60 * 50, "only {chosen} entries were chosen");
}

#[test]
fn five_replicas_agree_and_forget_nothing_under_faults() {
    for seed in 100..120 {
        run(seed, 5, 3_000, Plan::default());
    }
}

#[test]
fn a_lone_replica_forgets_nothing_under_crashes() {
    for seed in 200..230 {
        assert!(run(seed, 1, 2_000, Plan::default()) > 20);
    }
}

#[test]
fn an_ensemble_is_formed_under_faults() {
    let plan = Plan {
        forms: true,
        ..Plan::default()
    };
    for seed in 300..300 + seeds(30) {
        run(seed, 3, 2_000, plan);
    }
}

#[test]
fn members_come_and_go_under_faults() {
    let plan = Plan {
        changes: true,
        ..Plan::default()
    };
    for seed in 400..400 + seeds(40) {
        run(seed, 1 + 2 * (seed % 3), 4_000, plan);
    }
}

#[test]
fn members_that_lose_their_disk_come_back_under_faults() {
    let plan = Plan {
        wipes: true,
        ..Plan::default()
    };
    for seed in 500..500 + seeds(40) {
        run(seed, 3 + 2 * (seed % 2), 4_000, plan);
    }
}

#[test]
fn everything_at_once() {
    let plan = Plan {
        forms: true,
        changes: true,
        wipes: true,
    };
    for seed in 600..600 + seeds(40) {
        run(seed, 3, 5_000, plan);
    }
}
