//! A few replicas on a network and disks without faults, but for those that a test asks for.

use super::super::simulation::Durable;
use super::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// One replica and its disk.
pub(super) struct Node {
    pub(super) core: Option<Replica>,
    pub(super) durable: Durable,
    unsynced: VecDeque<(Ticket, Vec<Record>)>,
    /// Persisting waits until this is unset.
    pub(super) is_stalled: bool,
    /// What it has told its owner, messages and disk apart.
    pub(super) told: Vec<Effect>,
}

pub(super) struct Ensemble {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) now: Instant,
    network: VecDeque<(u64, u64, Message)>,
    /// Nothing gets from one to the other.
    pub(super) cut: BTreeSet<(u64, u64)>,
    /// Messages that do not get through are kept here.
    pub(super) held_up: Vec<(u64, u64, Message)>,
    /// Whether a message is held up.
    pub(super) holds_up: fn(u64, u64, &Body) -> bool,
    has_peers: bool,
    rng: Rng,
}

impl Ensemble {
    /// Replicas `1..=size` that belong together already, if not formed.
    pub(super) fn of(size: u64) -> Self {
        let together = Configuration::majority(1, (1..=size).map(seat));
        let mut ensemble = Self::empty(size > 1);
        for id in 1..=size {
            let durable = Durable::fresh(member(id), together.clone());
            ensemble.add(id, durable);
        }
        ensemble
    }

    /// Without any replica.
    pub(super) fn empty(has_peers: bool) -> Self {
        Self {
            nodes: BTreeMap::new(),
            now: NOW,
            network: VecDeque::new(),
            cut: BTreeSet::new(),
            held_up: Vec::new(),
            holds_up: |_, _, _| false,
            has_peers,
            rng: Rng::from_seed(7),
        }
    }

    /// As `initialize` leaves it: alone, not formed.
    pub(super) fn initialized(id: u64) -> Durable {
        let alone = Configuration::alone(1000 + u128::from(id), member(id));
        Durable::fresh(member(id), alone)
    }

    /// As a replica that has never been initialised joins.
    pub(super) fn never_initialized(id: u64) -> Durable {
        Durable {
            status: Status::Recovering,
            ..Self::initialized(id)
        }
    }

    pub(super) fn add(&mut self, id: u64, durable: Durable) {
        let node = Node {
            core: None,
            durable,
            unsynced: VecDeque::new(),
            is_stalled: false,
            told: Vec::new(),
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub(super) fn start(&mut self, id: u64) {
        self.start_at(id, id);
    }

    /// Starts a replica on the machine that `host` names.
    pub(super) fn start_at(&mut self, id: u64, host: u64) {
        let options = Options {
            address: seat(host).1.address,
            has_peers: self.has_peers,
            ..Options::default()
        };
        let node = self.node(id);
        node.core = Some(Replica::new(node.durable.recovered(), options));
        self.call(id, Replica::start);
    }

    /// `kill -9` and a power cut: what was not synced is gone.
    pub(super) fn crash(&mut self, id: u64) {
        let node = self.node(id);
        node.core = None;
        node.unsynced.clear();
        self.network.retain(|(_, to, _)| *to != id);
    }

    /// The machine comes back with an empty disk and the name it had.
    pub(super) fn wipe(&mut self, id: u64) {
        self.crash(id);
        let node = self.node(id);
        let cluster = node.durable.configuration.cluster;
        let me = node.durable.me;
        node.durable = Durable {
            status: Status::Recovering,
            needs_incarnation: true,
            ..Durable::fresh(me, Configuration::alone(cluster, me))
        };
    }

    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(super) fn core(&self, id: u64) -> &Replica {
        self.nodes[&id].core.as_ref().expect("it is up")
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Calls into a replica that is up, and lets everything that follows happen.
    pub(super) fn call<T>(
        &mut self,
        id: u64,
        call: impl FnOnce(&mut Replica, Instant, &mut Rng) -> T,
    ) -> T {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let core = node.core.as_mut().expect("it is up");
        let result = call(core, now, &mut self.rng);
        self.settle();
        result
    }

    /// Delivers and syncs until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for id in self.ids() {
                is_quiet &= !self.carry_out(id);
            }
            if let Some((from, to, message)) = self.network.pop_front() {
                is_quiet = false;
                self.deliver(from, to, message);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn deliver(&mut self, from: u64, to: u64, message: Message) {
        if self.cut.contains(&(from, to)) {
            return;
        }
        if (self.holds_up)(from, to, &message.body) {
            return self.held_up.push((from, to, message));
        }
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&to)
            && let Some(core) = &mut node.core
        {
            core.handle_message(now, message, &mut self.rng);
        }
    }

    /// Delivers what was held up, and holds nothing up any more.
    pub(super) fn let_go(&mut self) {
        self.holds_up = |_, _, _| false;
        let held_up = std::mem::take(&mut self.held_up);
        self.network.extend(held_up);
        self.settle();
    }

    fn carry_out(&mut self, id: u64) -> bool {
        let now = self.now;
        let others = self.ids();
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(core) = &mut node.core else {
            return false;
        };
        let mut has_done = false;
        while let Some(effect) = core.poll_effect() {
            has_done = true;
            match effect {
                Effect::Persist { ticket, records } => node.unsynced.push_back((ticket, records)),
                Effect::Send { to, message } => self.network.push_back((id, to.0, message)),
                Effect::Broadcast { message } => {
                    let others = others.iter().filter(|other| **other != id);
                    let sent = others.map(|other| (id, *other, message.clone()));
                    self.network.extend(sent);
                }
                Effect::Read {
                    peer,
                    from,
                    through,
                } => {
                    let entries =
                        (from.0..=through.0).map_while(|at| node.durable.at(Position(at)));
                    core.handle_read(peer, Run::collect(entries));
                }
                told => node.told.push(told),
            }
        }
        if !node.is_stalled
            && let Some((ticket, records)) = node.unsynced.pop_front()
        {
            has_done = true;
            records.into_iter().for_each(|r| node.durable.apply(r));
            core.handle_persisted(now, ticket, &mut self.rng);
        }
        has_done
    }

    /// Lets time pass for everybody, a little at a time.
    pub(super) fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(5);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.now = self.now + step;
            for id in self.ids() {
                if self.nodes[&id].core.is_some() {
                    self.call(id, Replica::handle_timeout);
                }
            }
        }
    }

    /// Lets time pass until `is_reached`, at most a minute.
    pub(super) fn pass_until(&mut self, what: &str, is_reached: impl Fn(&Self) -> bool) {
        for _ in 0..12_000 {
            if is_reached(self) {
                return;
            }
            self.pass(Duration::from_millis(5));
        }
        panic!("not within a minute: {what}");
    }

    pub(super) fn leader(&self) -> Option<(u64, Ballot)> {
        let leading = self.nodes.iter().filter_map(|(id, node)| {
            let ballot = node.core.as_ref()?.leading()?;
            Some((*id, ballot))
        });
        leading.max_by_key(|(_, ballot)| *ballot)
    }

    /// Lets replica `id` stand for election now, and win.
    pub(super) fn elect(&mut self, id: u64) -> Ballot {
        self.call(id, |core, now, rng| {
            core.campaign(now, rng);
            core.settle(now, rng);
        });
        self.core(id).leading().expect("nothing is in its way")
    }

    /// Appends through the leader.
    pub(super) fn append(&mut self, id: u64, number: u8) -> Result<Position, ProposeError> {
        let ballot = self.core(id).leading();
        let ballot = ballot.ok_or(ProposeError::NotCoordinator)?;
        let values = vec![value(number)];
        self.call(id, |core, now, rng| core.propose(now, ballot, values, rng))
    }

    pub(super) fn change(&mut self, id: u64, change: Change) -> Result<(), ChangeError> {
        let ballot = self.core(id).leading().ok_or(ChangeError::NotLeader)?;
        self.call(id, |core, now, rng| core.change(now, ballot, change, rng))
    }

    /// What a replica has been given, by position; no-ops and the log's own left out.
    pub(super) fn given(&self, id: u64) -> Vec<(u64, u8)> {
        let told = self.nodes[&id].told.iter();
        let runs = told.filter_map(|effect| match effect {
            Effect::Learned(run) => Some(run),
            _ => None,
        });
        let entries = runs.flat_map(Run::entries);
        let appended = entries.filter_map(|entry| match entry.value {
            Value::Append(bytes) => Some((entry.position.0, bytes[0])),
            Value::Configure(_) | Value::Nop | Value::Truncate { .. } => None,
        });
        appended.collect()
    }

    pub(super) fn configuration(&self, id: u64) -> &Configuration {
        self.core(id).configuration()
    }

    /// Cuts a replica off from all others, both ways.
    pub(super) fn isolate(&mut self, id: u64) {
        for other in self.ids() {
            self.cut.extend([(id, other), (other, id)]);
        }
        self.network
            .retain(|(from, to, _)| *from != id && *to != id);
    }
}
