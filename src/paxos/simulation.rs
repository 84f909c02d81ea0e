//! Three replicas on a network that loses, doubles and reorders, and disks that forget what was not
//! synced when their replica crashes. One seed decides everything. The checks share nothing with
//! the core but its values.

use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a disk holds after a power cut.
#[derive(Clone, Debug)]
struct Durable {
    me: Member,
    status: Status,
    promised: Ballot,
    first: Position,
    learned: Position,
    configuration: Configuration,
    configured: Position,
    needs_incarnation: bool,
    runs: Vec<Run>,
}

impl Durable {
    fn apply(&mut self, record: Record) {
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
            Record::Promise(ballot) => self.promised = self.promised.max(ballot),
            Record::Status(status) => self.status = status,
            Record::Run(run) => self.runs.push(run),
        }
    }

    /// What is held at a position: the highest ballot.
    fn at(&self, position: Position) -> Option<Entry> {
        let entries = self.runs.iter().flat_map(Run::entries);
        entries
            .filter(|e| e.position == position)
            .max_by_key(|e| e.ballot)
    }

    fn recovered(&self) -> Recovered {
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
    /// The highest promise ever answered with: must survive every crash.
    promised: Ballot,
}

fn seat(member: &Member) -> (ReplicaId, Seat) {
    let seat = Seat {
        incarnation: member.incarnation,
        address: member.id.to_string().into(),
    };
    (member.id, seat)
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
}

impl World {
    fn new(seed: u64, size: u64) -> Self {
        let members: Vec<Member> = (1..=size)
            .map(|id| Member {
                id: ReplicaId(id),
                incarnation: Incarnation(0),
            })
            .collect();
        let node = |me: &Member| Node {
            core: None,
            durable: Durable {
                me: *me,
                status: Status::Voting,
                promised: Ballot::ZERO,
                first: Position::FIRST,
                learned: Position::ZERO,
                configuration: Configuration::majority(7, members.iter().map(seat)),
                configured: Position::ZERO,
                needs_incarnation: false,
                runs: Vec::new(),
            },
            unsynced: VecDeque::new(),
            given: Position::ZERO,
            promised: Ballot::ZERO,
        };
        let nodes = members.iter().map(|me| (me.id, node(me))).collect();
        let mut world = Self {
            rng: Rng::from_seed(seed),
            now: Instant::from_nanos(1),
            nodes,
            network: Vec::new(),
            chosen: BTreeMap::new(),
            proposed: 0,
            led: BTreeMap::new(),
            has_faults: true,
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
            Effect::Broadcast { .. }
            | Effect::ChangeFailed { .. }
            | Effect::Configured(_)
            | Effect::Discarded { .. }
            | Effect::Leader(_)
            | Effect::ReadFailed { .. }
            | Effect::ReadReady { .. }
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
            has_peers: node.durable.configuration.members.len() > 1,
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
            80..90 => self.propose(id),
            90 if self.has_faults => self.crash(id),
            _ => self.restart(id),
        }
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.with(id, Replica::handle_timeout);
        }
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
        self.chosen.len() > since && self.nodes.values().all(|n| Some(n.given) == last)
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

fn run(seed: u64, size: u64, steps: usize) -> u64 {
    let mut world = World::new(seed, size);
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
            "seed {seed}: no progress after the faults have ended"
        );
    }
    world.check_disks();
    world.chosen.len() as u64
}

#[test]
fn three_replicas_agree_and_forget_nothing_under_faults() {
    let mut chosen = 0;
    for seed in 0..60 {
        chosen += run(seed, 3, 3_000);
    }
    assert!(chosen > 60 * 50, "only {chosen} entries were chosen");
}

#[test]
fn five_replicas_agree_and_forget_nothing_under_faults() {
    for seed in 100..120 {
        run(seed, 5, 3_000);
    }
}

#[test]
fn a_lone_replica_forgets_nothing_under_crashes() {
    for seed in 200..230 {
        assert!(run(seed, 1, 2_000) > 20);
    }
}
