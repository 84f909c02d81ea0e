//! Model check: every behaviour of a tiny ensemble, not a sample of them.
//!
//! Three replicas, of which two stand for election, each appending one value once it leads; two
//! positions behind the entry that formed the ensemble, and one crash at any moment. The real core is
//! driven, in every order that its messages can arrive in. What was said stays said: it may arrive at
//! any time later, more than once, or never.
//!
//! What makes it end: the protocol's decisions do not depend on time, so time stands still, and a
//! message that arrives for nothing leads nowhere new. Heartbeats, progress and hints to the owner
//! decide nothing and are lost always. A sync ends before its replica is called again, or the replica
//! has crashed before it. States are told apart by a hash of 128 bits of everything in them; one that
//! was seen is not gone on from.

use cores::base::clock::Instant;
use cores::base::rng::Rng;
use cores::paxos::{
    Ballot, Body, Configuration, Effect, Incarnation, Member, Message, Options, Position, Record,
    Recovered, Replica, ReplicaId, Run, Seat, Status, Ticket, Value,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::time::Duration;

/// How large the search is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How often the replicas stand for election, the first and the second proposer.
    pub candidacies: [u32; 2],
    /// How many crashes there are.
    pub crashes: u32,
    /// Which of the replicas may crash.
    pub crashing: [bool; REPLICAS as usize],
    /// Whether refusals are delivered; where not, they are lost.
    pub has_refusals: bool,
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
    hash: u128,
}

/// What was said once, and stays: it may arrive at any time, again, or never.
#[derive(Debug)]
struct Letter {
    /// Nobody, where it only notes what has happened.
    to: Option<usize>,
    message: Message,
    hash: u128,
}

/// Everything at one moment. What has not changed is shared with the state before.
#[derive(Clone)]
struct State {
    nodes: [Rc<Node>; REPLICAS as usize],
    letters: Rc<BTreeMap<u128, Rc<Letter>>>,
    /// The sum of their hashes.
    letters_hash: u128,
    crashes: u32,
}

/// What one call does to one replica: the same from whatever state.
struct Step {
    node: Rc<Node>,
    letters: Vec<Rc<Letter>>,
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
        let nodes = std::array::from_fn(|at| {
            let durable = Durable {
                promised,
                first: FORMED,
                learned: FORMED,
                runs: vec![formed.clone()],
            };
            let candidacies = bounds.candidacies.get(at).copied().unwrap_or(0);
            Rc::new(Node::start(at, durable, candidacies, false))
        });
        Self {
            nodes,
            letters: Rc::default(),
            letters_hash: 0,
            crashes: bounds.crashes,
        }
    }

    fn hash(&self) -> u128 {
        let [one, two, three] = [0, 1, 2].map(|at: usize| self.nodes[at].hash);
        let mut hash = self.letters_hash ^ u128::from(self.crashes);
        for part in [one, two, three] {
            hash = (hash ^ (hash >> 59)).wrapping_mul(MIX);
            hash = hash.wrapping_add(part);
        }
        hash ^ (hash >> 67)
    }

    /// The state behind a step, or none if that is this one.
    fn after(&self, at: usize, step: &Step, has_crashed: bool) -> Option<Self> {
        let is_new = |letter: &&Rc<Letter>| !self.letters.contains_key(&letter.hash);
        let new: Vec<_> = step.letters.iter().filter(is_new).collect();
        if new.is_empty() && step.node.hash == self.nodes[at].hash {
            return None;
        }
        let mut next = self.clone();
        next.nodes[at] = Rc::clone(&step.node);
        next.crashes -= u32::from(has_crashed);
        for letter in new {
            next.letters_hash = next.letters_hash.wrapping_add(letter.hash);
            Rc::make_mut(&mut next.letters).insert(letter.hash, Rc::clone(letter));
            next.check(&letter.message);
        }
        Some(next)
    }

    /// Something has been accepted or learned: no other value may be chosen there.
    fn check(&self, new: &Message) {
        match &new.body {
            Body::Accepted { first, last, .. } => {
                for position in (first.0..=last.0).map(Position).filter(|at| *at > FORMED) {
                    if let Some(value) = self.chosen_under(position, new.ballot) {
                        self.check_chosen(position, new.ballot, value);
                    }
                }
            }
            Body::Learn { runs, .. } => {
                for entry in runs.iter().flat_map(Run::entries) {
                    self.check_chosen(entry.position, entry.ballot, &entry.value);
                }
            }
            _ => {}
        }
    }

    fn messages(&self) -> impl Iterator<Item = &Message> {
        self.letters.values().map(|letter| &letter.message)
    }

    /// The value that a quorum has accepted under a ballot.
    fn chosen_under(&self, position: Position, ballot: Ballot) -> Option<&Value> {
        let mut by = [false; REPLICAS as usize];
        for message in self.messages().filter(|message| message.ballot == ballot) {
            if let Body::Accepted { first, last, .. } = message.body
                && (first..=last).contains(&position)
            {
                by[index(message.from.id)] = true;
            }
        }
        if by.into_iter().filter(|has| *has).count() < 2 {
            return None;
        }
        self.messages().find_map(|message| match &message.body {
            Body::Write { run, .. } if run.ballot == ballot => run.at(position),
            _ => None,
        })
    }

    /// # Panics
    ///
    /// If another value than `value` is chosen under some ballot, or has been learned.
    fn check_chosen(&self, position: Position, ballot: Ballot, value: &Value) {
        for message in self.messages() {
            let other = match &message.body {
                Body::Accepted { .. } if message.ballot != ballot => {
                    self.chosen_under(position, message.ballot)
                }
                Body::Learn { runs, .. } => runs.iter().find_map(|run| run.at(position)),
                _ => None,
            };
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
                if let Some(next) = self.after(at, step, crashes) {
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
            if let Some(to) = letter.to
                && (bounds.has_refusals || !is_refusal)
            {
                go(to, What::Hear(letter));
            }
        }
        for at in 0..REPLICAS as usize {
            if self.crashes > 0 && bounds.crashing[at] {
                let step = steps.take(at, &self.nodes[at], What::Nothing, true);
                if let Some(next) = self.after(at, step, true) {
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
            }
        }
        node.drain(at, &mut letters);
        if crashes {
            node = Node::start(at, node.durable, node.candidacies, node.has_appended);
        } else {
            while !node.unsynced.is_empty() {
                let mut last = Ticket(0);
                for (ticket, records) in std::mem::take(&mut node.unsynced) {
                    node.note_own(at, &records, &mut letters);
                    node.durable.apply(records);
                    last = ticket;
                }
                node.core.handle_persisted(NOW, last, rng);
                node.drain(at, &mut letters);
            }
            node.hash = node.hashed();
        }
        Self {
            node: Rc::new(node),
            letters,
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
            hash: 0,
        };
        node.hash = node.hashed();
        node
    }

    fn hashed(&self) -> u128 {
        let own = (self.given, self.candidacies, self.has_appended);
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

    /// Notes what it has durably accepted under its own ballot: it tells nobody but itself.
    fn note_own(&self, at: usize, records: &[Record], letters: &mut Vec<Rc<Letter>>) {
        for record in records {
            if let Record::Run(run) = record
                && run.ballot.replica == id(at)
            {
                let body = Body::Accepted {
                    first: run.first,
                    last: run.last(),
                    learned: Position::ZERO,
                };
                letters.push(Letter::new(None, member(at), run.ballot, body));
            }
        }
    }

    fn drain(&mut self, at: usize, letters: &mut Vec<Rc<Letter>>) {
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
                        letters.push(Letter::new(Some(index(to)), from, ballot, body));
                    }
                }
                Effect::Learned(run) => {
                    assert_eq!(run.first, self.given.next(), "a gap is given");
                    self.given = run.last();
                    let body = Body::Learn {
                        first_kept: Position::ZERO,
                        configured: None,
                        runs: vec![run],
                    };
                    letters.push(Letter::new(None, member(at), Ballot::ZERO, body));
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

impl Letter {
    fn new(to: Option<usize>, from: Member, ballot: Ballot, body: Body) -> Rc<Self> {
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

/// The bounds of the default run: the voter that does not stand crashes.
pub const SMALL: Bounds = Bounds {
    candidacies: [1, 1],
    crashes: 1,
    crashing: [false, false, true],
    has_refusals: false,
    states_max: 6_000_000,
};

/// The bounds of the long mode: anybody crashes.
pub const LARGE: Bounds = Bounds {
    crashing: [true; 3],
    states_max: 12_000_000,
    ..SMALL
};

#[test]
fn every_behaviour_of_a_tiny_ensemble_is_safe() {
    let is_long = std::env::var("AURORA_LONG").is_ok_and(|long| long == "1");
    let started = cores::base::clock::now();
    let searched = search(if is_long { LARGE } else { SMALL });
    let took: Duration = cores::base::clock::now().since(started);
    println!("model check: {searched:?} in {:.1} s", took.as_secs_f64());
    assert!(searched.is_complete, "it has not ended");
    assert!(searched.learned > 1000, "little has happened");
}
