//! Model check: every behaviour of a tiny ensemble, not a sample of them.
//!
//! Three replicas: the third has led, and has written an entry that has reached nobody yet; the other two
//! stand for election, so that its entry or theirs is chosen there and behind it; and one crash of anybody at
//! any moment. The real core is driven, in every order that its messages can arrive in. What was said stays
//! said: it may arrive at any time later, more than once, or never.
//!
//! What makes it end: the protocol's decisions do not depend on time, so time stands still. Heartbeats,
//! progress, refusals and hints to the owner are lost always; what else was said is forgotten once it can do
//! nothing any more where it arrives. A sync ends before its replica is called again, or the replica has
//! crashed before it. States are told apart by a hash of 128 bits of everything in them; one that was seen
//! is not gone on from.

use cores::base::clock::Instant;
use cores::base::rng::Rng;
use cores::paxos::{
    Ballot, Body, Configuration, Effect, Incarnation, Member, Message, Options, Position, Record,
    Recovered, Replica, ReplicaId, Run, Seat, Status, Ticket, Value,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::time::Duration;

/// How large the search is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How often the replicas stand for election, the first and the second proposer.
    pub candidacies: [u32; 2],
    /// Which of the proposers append a value once they lead; the other settles what it finds.
    pub appends: [bool; 2],
    /// How many crashes there are.
    pub crashes: u32,
    /// Which of the replicas may crash.
    pub crashing: [bool; REPLICAS as usize],
    /// Whether refusals are delivered; where not, they are lost.
    pub has_refusals: bool,
    /// Whether learned entries are passed on; where not, replicas learn from the leader's watermark alone,
    /// and a candidate that has to be told of learned entries gets no further.
    pub has_learning: bool,
    /// More states than this are not looked at: the search has not ended then.
    pub states_max: usize,
}

/// What a search has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Searched {
    pub states: usize,
    /// Different steps of single replicas among them.
    pub steps: usize,
    /// Whether there was nothing left to look at.
    pub is_complete: bool,
    /// In how many states somebody has learned the last position.
    pub learned: usize,
}

/// Odd, so that nothing is lost by multiplying with it.
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
const REPLICAS: u64 = 3;
const NOW: Instant = Instant::from_nanos(1_000_000_000);
/// The entry that formed the ensemble, known to everybody.
const FORMED: Position = Position(1);

fn id(index: usize) -> ReplicaId {
    ReplicaId(index as u64 + 1)
}

fn index(id: ReplicaId) -> usize {
    usize::try_from(id.0).unwrap() - 1
}

fn member(index: usize) -> Member {
    Member {
        id: id(index),
        incarnation: Incarnation(0),
    }
}

fn configuration() -> Configuration {
    let seats = (0..REPLICAS as usize).map(|at| (id(at), Seat::default()));
    Configuration::majority(7, seats)
}

/// What a disk holds.
#[derive(Clone, Debug)]
struct Durable {
    promised: Ballot,
    first: Position,
    learned: Position,
    runs: Vec<Run>,
}

impl Durable {
    fn apply(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Promise(ballot) => self.promised = self.promised.max(ballot),
                Record::First(first) => self.first = self.first.max(first),
                Record::Learned(learned) => self.learned = self.learned.max(learned),
                Record::Run(run) => {
                    self.runs.push(run);
                    self.runs.sort_by_key(|run| (run.first, run.ballot));
                }
                Record::Configuration(_) | Record::Status(_) => {}
                Record::Forming(_) | Record::Member(_) | Record::NeedsIncarnation => {
                    panic!("nobody forms anything, and nobody loses its disk: {record:?}")
                }
            }
        }
    }

    fn recovered(&self, at: usize) -> Recovered {
        Recovered {
            me: member(at),
            status: Status::Voting,
            needs_incarnation: false,
            promised: self.promised,
            first: self.first,
            learned: self.learned,
            configuration: configuration(),
            configured: FORMED,
            accepted: self.runs.clone(),
        }
    }

    /// Chosen entries, as the store reads them back.
    fn read(&self, from: Position, through: Position) -> Vec<Run> {
        let at = |position: Position| {
            let entries = self.runs.iter().flat_map(Run::entries);
            let entries = entries.filter(|entry| entry.position == position);
            entries.max_by_key(|entry| entry.ballot)
        };
        Run::collect((from.0..=through.0).map_while(|position| at(Position(position))))
    }
}

/// A replica, its disk and its client.
#[derive(Clone, Debug)]
struct Node {
    core: Replica,
    durable: Durable,
    unsynced: Vec<(Ticket, Vec<Record>)>,
    /// The last position that was given to the owner.
    given: Position,
    /// How often it may still stand.
    candidacies: u32,
    /// Whether its client has appended its value.
    has_appended: bool,
    /// The ballot it stands or leads under, in this life of its process.
    term: Option<Ballot>,
    hash: u128,
}

/// What was said once, and stays: it may arrive at any time, again, or never.
#[derive(Debug)]
struct Letter {
    to: usize,
    message: Message,
    hash: u128,
}

/// What has happened for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// A replica holds a value durably under a ballot.
    Accepted {
        position: Position,
        ballot: Ballot,
        by: usize,
        value: Vec<u8>,
    },
    /// Somebody was given a value as chosen.
    Learned { position: Position, value: Vec<u8> },
}

/// A value, comparable.
fn plain(value: &Value) -> Vec<u8> {
    match value {
        Value::Append(bytes) => bytes.to_vec(),
        Value::Configure(_) => b"configure".to_vec(),
        Value::Nop => Vec::new(),
        Value::Truncate { .. } => panic!("nobody truncates"),
    }
}

/// Everything at one moment. What has not changed is shared with the state before.
#[derive(Clone)]
struct State {
    nodes: [Rc<Node>; REPLICAS as usize],
    /// Those that may still do something where they arrive.
    letters: Rc<BTreeMap<u128, Rc<Letter>>>,
    facts: Rc<BTreeSet<Rc<Fact>>>,
    crashes: u32,
}

/// What one call does to one replica: the same from whatever state.
struct Step {
    node: Rc<Node>,
    letters: Vec<Rc<Letter>>,
    facts: Vec<Rc<Fact>>,
}

/// FNV with 128 bits over what is printed of a value, but for the numbers of its tickets: they count
/// how often a replica has synced, and between two calls all of them are done.
struct Hasher {
    sum: u128,
    skips: bool,
}

impl Hasher {
    fn of(value: &impl fmt::Debug) -> u128 {
        let mut hasher = Self {
            sum: 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d,
            skips: false,
        };
        write!(hasher, "{value:?}").unwrap();
        hasher.sum
    }
}

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.skips || text == "Ticket" {
            self.skips = text != ")";
            return Ok(());
        }
        // Eight bytes at a time, folded, so that no byte is without effect on the upper half.
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.sum ^= u128::from(u64::from_le_bytes(word)) | (chunk.len() as u128) << 64;
            self.sum = self
                .sum
                .wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            self.sum ^= self.sum >> 61;
        }
        Ok(())
    }
}

impl State {
    fn first(bounds: &Bounds) -> Self {
        // The third replica has led until now, and is gone as a leader.
        let promised = Ballot {
            round: 1,
            replica: id(2),
        };
        let formed = Run {
            ballot: promised,
            first: FORMED,
            values: [Value::Configure(configuration().into())].into(),
        };
        let left = Run {
            ballot: promised,
            first: FORMED.next(),
            values: [Value::Append(b"left".as_slice().into())].into(),
        };
        let last = REPLICAS as usize - 1;
        let nodes = std::array::from_fn(|at| {
            let mut runs = vec![formed.clone()];
            runs.extend((at == last).then(|| left.clone()));
            let durable = Durable {
                promised,
                first: FORMED,
                learned: FORMED,
                runs,
            };
            let candidacies = bounds.candidacies.get(at).copied().unwrap_or(0);
            let appends = bounds.appends.get(at).copied().unwrap_or(false);
            Rc::new(Node::start(at, durable, candidacies, !appends))
        });
        // It had written one entry, which has reached nobody yet.
        let write = |to| {
            let run = left.clone();
            let body = Body::Write {
                run,
                learned: FORMED,
            };
            Letter::new(to, member(last), promised, body)
        };
        let letters = (0..last).map(|to| {
            let letter = write(to);
            (letter.hash, letter)
        });
        let mut facts = Vec::new();
        note(last, &[Record::Run(left.clone())], &mut facts);
        Self {
            nodes,
            letters: Rc::new(letters.collect()),
            facts: Rc::new(facts.into_iter().collect()),
            crashes: bounds.crashes,
        }
    }

    fn hash(&self) -> u128 {
        let mut hash = u128::from(self.crashes);
        let letters = self.letters.keys().copied();
        let letters = letters.fold(0_u128, u128::wrapping_add);
        let [one, two, three] = [0, 1, 2].map(|at: usize| self.nodes[at].hash);
        for part in [one, two, three, letters, Hasher::of(&self.facts)] {
            hash = (hash ^ (hash >> 59)).wrapping_mul(MIX);
            hash = hash.wrapping_add(part);
        }
        hash ^ (hash >> 67)
    }

    /// The state behind a step, or none if that is this one.
    fn after(&self, at: usize, step: &Step, has_crashed: bool, bounds: &Bounds) -> Option<Self> {
        let is_live = |letter: &Letter, node: &Node| !letter.is_dead(node, bounds);
        let node_of = |to: usize| {
            if to == at {
                &step.node
            } else {
                &self.nodes[to]
            }
        };
        let is_new = |letter: &&Rc<Letter>| {
            !self.letters.contains_key(&letter.hash) && is_live(letter, node_of(letter.to))
        };
        let new: Vec<_> = step.letters.iter().filter(is_new).collect();
        let is_unknown = |fact: &&Rc<Fact>| !self.facts.contains(*fact);
        let facts: Vec<_> = step.facts.iter().filter(is_unknown).collect();
        let is_same = step.node.hash == self.nodes[at].hash;
        if new.is_empty() && facts.is_empty() && is_same {
            return None;
        }
        let mut next = self.clone();
        next.nodes[at] = Rc::clone(&step.node);
        next.crashes -= u32::from(has_crashed);
        let is_moot = |letter: &Letter| letter.to == at && letter.is_dead(&step.node, bounds);
        if !is_same && next.letters.values().any(|letter| is_moot(letter)) {
            Rc::make_mut(&mut next.letters).retain(|_, letter| !is_moot(letter));
        }
        for letter in new {
            Rc::make_mut(&mut next.letters).insert(letter.hash, Rc::clone(letter));
        }
        if !facts.is_empty() {
            Rc::make_mut(&mut next.facts).extend(facts.into_iter().cloned());
            next.check();
        }
        Some(next)
    }

    /// # Panics
    ///
    /// If two values are chosen at one position: accepted by a quorum under one ballot, or learned.
    fn check(&self) {
        let mut held: BTreeMap<(Position, Ballot), usize> = BTreeMap::new();
        let mut chosen: BTreeMap<Position, &Vec<u8>> = BTreeMap::new();
        for fact in self.facts.iter() {
            let (position, value) = match fact.as_ref() {
                Fact::Accepted {
                    position,
                    ballot,
                    value,
                    ..
                } => {
                    let count = held.entry((*position, *ballot)).or_default();
                    *count += 1;
                    if *count < 2 {
                        continue;
                    }
                    (position, value)
                }
                Fact::Learned { position, value } => (position, value),
            };
            let other = chosen.insert(*position, value);
            assert!(
                other.is_none_or(|other| other == value),
                "at {position}, {value:?} is chosen, and {other:?}"
            );
        }
    }

    /// Every state that may come next.
    fn successors(&self, bounds: &Bounds, steps: &mut Steps, visit: &mut dyn FnMut(Self)) {
        let mut go = |at: usize, what: What<'_>| {
            for crashes in [false, true] {
                if crashes && (self.crashes == 0 || !bounds.crashing[at]) {
                    continue;
                }
                let step = steps.take(at, &self.nodes[at], what, crashes);
                if let Some(next) = self.after(at, step, crashes, bounds) {
                    visit(next);
                }
            }
        };
        for proposer in 0..2 {
            let node = &self.nodes[proposer];
            if node.candidacies > 0 && node.core.promised().replica != id(proposer) {
                go(proposer, What::Stand);
            }
        }
        for letter in self.letters.values() {
            let is_refusal = matches!(letter.message.body, Body::Reject { .. });
            if bounds.has_refusals || !is_refusal {
                go(letter.to, What::Hear(letter));
            }
        }
        for at in 0..REPLICAS as usize {
            if self.crashes > 0 && bounds.crashing[at] {
                let step = steps.take(at, &self.nodes[at], What::Nothing, true);
                if let Some(next) = self.after(at, step, true, bounds) {
                    visit(next);
                }
            }
        }
    }
}

/// What happens to a replica.
#[derive(Clone, Copy)]
enum What<'a> {
    Hear(&'a Letter),
    /// Nothing, but for a crash.
    Nothing,
    Stand,
}

/// Every step that was ever taken. A replica's next step depends on it alone, so few are taken.
#[derive(Default)]
struct Steps(HashMap<u128, Step, Kept>);

/// Keys are hashes already.
#[derive(Clone, Copy, Default)]
struct Kept(u64);

impl std::hash::BuildHasher for Kept {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl std::hash::Hasher for Kept {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = (number >> 64) as u64 ^ number as u64;
    }
}

impl Steps {
    fn take(&mut self, at: usize, node: &Rc<Node>, what: What<'_>, crashes: bool) -> &Step {
        let what_hash = match what {
            What::Hear(letter) => letter.hash,
            What::Nothing => 0,
            What::Stand => 1,
        };
        // The hash of a node tells which one it is: its core knows its own name.
        let key = node
            .hash
            .rotate_left(1 + u32::from(crashes))
            .wrapping_mul(MIX)
            ^ what_hash;
        self.0
            .entry(key)
            .or_insert_with(|| Step::take(at, node, what, crashes))
    }
}

impl Step {
    /// Calls into a replica, and carries out what it asks for. With `crashes`, the power fails before
    /// the sync ends.
    fn take(at: usize, node: &Node, what: What<'_>, crashes: bool) -> Self {
        let mut node = node.clone();
        let mut letters = Vec::new();
        let mut facts = Vec::new();
        let rng = &mut Rng::from_seed(0);
        match what {
            What::Hear(letter) => node.core.handle_message(NOW, letter.message.clone(), rng),
            What::Nothing => {}
            What::Stand => {
                // Its leader tells it to: nobody has to be asked, and no timer is needed.
                node.candidacies -= 1;
                let promised = node.core.promised();
                let message = Message {
                    from: member(index(promised.replica)),
                    ballot: promised,
                    body: Body::TimeoutNow,
                };
                node.core.handle_message(NOW, message, rng);
                node.term = Some(node.core.promised());
            }
        }
        node.drain(at, &mut letters, &mut facts);
        if crashes {
            node = Node::start(at, node.durable, node.candidacies, node.has_appended);
        } else {
            while !node.unsynced.is_empty() {
                let mut last = Ticket(0);
                for (ticket, records) in std::mem::take(&mut node.unsynced) {
                    note(at, &records, &mut facts);
                    node.durable.apply(records);
                    last = ticket;
                }
                node.core.handle_persisted(NOW, last, rng);
                node.drain(at, &mut letters, &mut facts);
            }
            node.term = node.term.filter(|term| *term == node.core.promised());
            node.hash = node.hashed();
        }
        Self {
            node: Rc::new(node),
            letters,
            facts,
        }
    }
}

impl Node {
    fn start(at: usize, durable: Durable, candidacies: u32, has_appended: bool) -> Self {
        let options = Options {
            has_peers: true,
            ..Options::default()
        };
        let mut core = Replica::new(durable.recovered(at), options);
        core.start(NOW, &mut Rng::from_seed(0));
        while core.poll_effect().is_some() {}
        let mut node = Self {
            core,
            given: durable.learned,
            durable,
            unsynced: Vec::new(),
            candidacies,
            has_appended,
            term: None,
            hash: 0,
        };
        node.hash = node.hashed();
        node
    }

    fn hashed(&self) -> u128 {
        let own = (self.given, self.candidacies, self.has_appended, self.term);
        // The entry that formed the ensemble is always there.
        let runs = self.durable.runs.get(1..);
        Hasher::of(&(
            &self.core,
            runs,
            self.durable.promised,
            self.durable.learned,
            own,
        ))
    }

    fn drain(&mut self, at: usize, letters: &mut Vec<Rc<Letter>>, facts: &mut Vec<Rc<Fact>>) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Persist { ticket, records } => self.unsynced.push((ticket, records)),
                Effect::Send { to, message } => {
                    let Message { from, ballot, body } = message;
                    // The others decide nothing.
                    let decides = matches!(
                        body,
                        Body::Accepted { .. }
                            | Body::CatchUp { .. }
                            | Body::Learn { .. }
                            | Body::Prepare
                            | Body::Promise { .. }
                            | Body::Reject { .. }
                            | Body::Write { .. }
                    );
                    if decides {
                        letters.push(Letter::new(index(to), from, ballot, body));
                    }
                }
                Effect::Learned(run) => {
                    assert_eq!(run.first, self.given.next(), "a gap is given");
                    self.given = run.last();
                    for entry in run.entries() {
                        let (position, value) = (entry.position, plain(&entry.value));
                        facts.push(Rc::new(Fact::Learned { position, value }));
                    }
                }
                Effect::Leading { ballot } if !self.has_appended => {
                    self.has_appended = true;
                    let value = Value::Append([at as u8].into());
                    let rng = &mut Rng::from_seed(0);
                    let proposed = self.core.propose(NOW, ballot, vec![value], rng);
                    proposed.expect("who has just begun to lead takes a value");
                }
                Effect::Read {
                    peer,
                    from,
                    through,
                } => {
                    let runs = self.durable.read(from, through);
                    self.core.handle_read(peer, runs);
                }
                Effect::Skipped { .. } => panic!("nothing is truncated"),
                Effect::Broadcast { .. }
                | Effect::ChangeFailed { .. }
                | Effect::Configured(_)
                | Effect::Discarded { .. }
                | Effect::Leader(_)
                | Effect::Leading { .. }
                | Effect::ReadFailed { .. }
                | Effect::ReadReady { .. }
                | Effect::Settled { .. }
                | Effect::Status(_) => {}
            }
        }
    }
}

/// Notes what has become durable.
fn note(at: usize, records: &[Record], facts: &mut Vec<Rc<Fact>>) {
    for record in records {
        let Record::Run(run) = record else { continue };
        for entry in run.entries() {
            facts.push(Rc::new(Fact::Accepted {
                position: entry.position,
                ballot: entry.ballot,
                by: at,
                value: plain(&entry.value),
            }));
        }
    }
}

impl Letter {
    /// Whether it can do nothing any more where it arrives, whatever happens.
    fn is_dead(&self, node: &Node, bounds: &Bounds) -> bool {
        let ballot = self.message.ballot;
        match &self.message.body {
            Body::Prepare | Body::Write { .. } => {
                !bounds.has_refusals && ballot < node.durable.promised
            }
            Body::Accepted { .. } | Body::Promise { .. } => node.term != Some(ballot),
            Body::Reject { .. } => !bounds.has_refusals,
            Body::Learn { runs, .. } => {
                let last = runs.last().map_or(Position::ZERO, Run::last);
                !bounds.has_learning || last <= node.durable.learned
            }
            Body::CatchUp { .. } => false,
            _ => true,
        }
    }

    fn new(to: usize, from: Member, ballot: Ballot, body: Body) -> Rc<Self> {
        let message = Message { from, ballot, body };
        let hash = Hasher::of(&(to, &message));
        Rc::new(Self { to, message, hash })
    }
}

/// Looks at every state within the bounds.
///
/// # Panics
///
/// If two values are chosen at one position, or the core finds an invariant of its own broken.
pub fn search(bounds: Bounds) -> Searched {
    let first = State::first(&bounds);
    let mut seen: HashSet<u128, Kept> = HashSet::default();
    seen.insert(first.hash());
    let mut open = vec![first];
    let mut steps = Steps::default();
    let mut searched = Searched::default();
    while let Some(state) = open.pop() {
        if seen.len() > bounds.states_max {
            break;
        }
        let has_learned = |node: &Rc<Node>| node.given >= Position(3);
        searched.learned += usize::from(state.nodes.iter().any(has_learned));
        state.successors(&bounds, &mut steps, &mut |next| {
            if seen.insert(next.hash()) {
                open.push(next);
            }
        });
        searched.is_complete = open.is_empty();
    }
    searched.states = seen.len();
    searched.steps = steps.0.len();
    searched
}

/// The bounds of the default run.
pub const SMALL: Bounds = Bounds {
    candidacies: [1, 1],
    appends: [false, false],
    crashes: 1,
    crashing: [true; 3],
    has_refusals: false,
    has_learning: true,
    states_max: 1_000_000,
};

/// The bounds of the long mode: two crashes, and a proposer that stands a second time.
///
/// An entry that the first proposer appends of its own has more than six million behaviours, without any crash.
const LONG: [Bounds; 2] = [
    Bounds {
        crashes: 2,
        ..SMALL
    },
    Bounds {
        candidacies: [2, 1],
        crashes: 0,
        has_learning: false,
        ..SMALL
    },
];

#[test]
fn every_behaviour_of_a_tiny_ensemble_is_safe() {
    let is_long = std::env::var("AURORA_LONG").is_ok_and(|long| long == "1");
    let mut all = vec![SMALL];
    all.extend(LONG.into_iter().filter(|_| is_long));
    for bounds in all {
        let started = cores::base::clock::now();
        let searched = search(bounds);
        let took: Duration = cores::base::clock::now().since(started);
        println!("model check: {searched:?} in {:.1} s", took.as_secs_f64());
        assert!(searched.is_complete, "it has not ended");
        assert!(searched.learned > 1000, "little has happened");
    }
}

/// What is found by looking at everything needs no luck.
#[cfg(feature = "mistakes")]
#[test]
fn mistakes_of_the_protocol_are_found_by_looking_at_everything() {
    use cores::base::mistake;
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for name in MISTAKES {
        mistake::set(Some(name));
        let started = cores::base::clock::now();
        // Where refusals are heard, what a broken rule would take is not forgotten as moot.
        let bounds = Bounds {
            has_refusals: name.ends_with("lower-ballot"),
            ..SMALL
        };
        let result = std::panic::catch_unwind(|| search(bounds));
        let took = cores::base::clock::now().since(started);
        mistake::set(None);
        println!(
            "{name}: {:?} in {} ms",
            result.as_ref().ok(),
            took.as_millis()
        );
        if result.is_ok() {
            missed.push(*name);
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[cfg(feature = "mistakes")]
const MISTAKES: &[&str] = &[
    "accept-lower-ballot",
    "accept-without-promise",
    "answer-before-sync",
    "learn-any-ballot",
    "lead-without-quorum",
    "one-vote-less",
    "promise-lower-ballot",
    "promise-without-entries",
    "promise-without-storing",
    "raise-promise-unstored",
    "settle-nothing",
];
