//! Who is connected, and who is to be.

use super::dial;
use super::link::{self, Established};
use super::memory::{self, Memory};
use super::queue::Queue;
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::net::Throttle;
use crate::net::frames::Hangup;
use crate::net::keys::SecretKey;
use crate::net::listener::Incoming;
use crate::paxos::{Message, ReplicaId};
use crate::replog::wire::{Hello, MEMBERS_MAX, Pulse, Refusal};
use crate::rt::{self, Fiber};
use async_channel::{Receiver, Sender};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most short messages and news that wait for the core.
const EVENTS_MAX: usize = 1024;
/// Most messages with entries that wait for the core.
const ENTRIES_MAX: usize = 32;
/// How often a refusal of the same kind is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// What the network is told at its start.
#[derive(Debug)]
pub struct NetworkOptions {
    /// What all replicas share.
    pub key: SecretKey,
    /// Where that key is, for messages.
    pub key_file: PathBuf,
    /// What is said of this replica.
    pub hello: Hello,
    /// For jitter.
    pub rng: Rng,
}

/// News of the peers.
#[derive(Debug)]
pub enum PeerEvent {
    /// The connection to a replica is over.
    Gone(ReplicaId),
    /// A replica is connected, or says something new of itself.
    Hello(Arc<Hello>),
    /// A message without entries.
    Message(Message),
    /// A peer does not talk with this replica.
    Refused {
        /// Where that peer listens.
        address: Arc<str>,
        /// Why.
        refusal: Refusal,
    },
    /// There is room again for what is read from the disk.
    Room,
}

/// What is known of another replica.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it has said last.
    pub hello: Arc<Hello>,
    /// How it was last.
    pub pulse: Pulse,
    /// When it was last heard.
    pub heard: Instant,
    /// Whether it is connected.
    pub is_connected: bool,
}

/// The connections of one replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network(pub(super) Arc<Inner>);

/// What all fibers of a network share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) key: SecretKey,
    pub(super) key_file: PathBuf,
    started: Instant,
    pub(super) events: Sender<PeerEvent>,
    pub(super) entries: Sender<Message>,
    pub(super) wrong_key: Throttle,
    refused: Throttle,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    me: Hello,
    /// Rises when something else than the pulse in `me` changes.
    version: u64,
    links: BTreeMap<ReplicaId, Link>,
    known: BTreeMap<ReplicaId, Known>,
    memory: Memory,
    dialers: BTreeMap<Arc<str>, Fiber<()>>,
    acceptor: Option<Fiber<()>>,
    /// Numbers the connections.
    next: u64,
    rng: Rng,
    is_closed: bool,
}

#[derive(Debug)]
struct Link {
    number: u64,
    hello: Arc<Hello>,
    since: Instant,
    is_dialed_here: bool,
    queue: Arc<Queue>,
    hangup: Hangup,
    closed: Receiver<()>,
}

impl Network {
    /// A network without a connection; gives the news and the messages with entries to come.
    pub fn new(options: NetworkOptions) -> (Self, Receiver<PeerEvent>, Receiver<Message>) {
        let (events, heard) = async_channel::bounded(EVENTS_MAX);
        let (entries, entries_heard) = async_channel::bounded(ENTRIES_MAX);
        let inner = Arc::new(Inner {
            key: options.key,
            key_file: options.key_file,
            started: clock::now(),
            events,
            entries,
            wrong_key: Throttle::new(LOG_INTERVAL),
            refused: Throttle::new(LOG_INTERVAL),
            state: Mutex::new(State {
                me: options.hello,
                version: 0,
                links: BTreeMap::new(),
                known: BTreeMap::new(),
                memory: Memory::default(),
                dialers: BTreeMap::new(),
                acceptor: None,
                next: 0,
                rng: options.rng,
                is_closed: false,
            }),
        });
        (Self(inner), heard, entries_heard)
    }

    /// Takes connections from peers from now on.
    pub fn listen(&self, incoming: Receiver<Incoming>) {
        let acceptor = dial::accept_all(Arc::clone(&self.0), incoming);
        let acceptor = rt::spawn("replica acceptor", acceptor);
        self.0.lock().acceptor = Some(acceptor);
    }

    /// Keeps a connection to the replica at each of these addresses, and dials no other one.
    pub fn dial(&self, addresses: &BTreeSet<Arc<str>>) {
        let mut state = self.0.lock();
        let me = Arc::clone(&state.me.address);
        state
            .dialers
            .retain(|address, _| addresses.contains(address));
        for address in addresses {
            if *address == me || state.dialers.contains_key(address) || state.is_closed {
                continue;
            }
            let rng = Rng::from_seed(state.rng.next_u64());
            let fiber = dial::keep_connected(Arc::clone(&self.0), Arc::clone(address), rng);
            let fiber = rt::spawn("replica dialer", fiber);
            state.dialers.insert(Arc::clone(address), fiber);
        }
    }

    /// Puts a message into the queue to a peer; without a connection it is lost.
    pub fn send(&self, to: ReplicaId, message: Message) {
        let state = self.0.lock();
        if let Some(link) = state.links.get(&to) {
            let queue = Arc::clone(&link.queue);
            drop(state);
            queue.push(message);
        }
    }

    /// Whether what is read from the disk may be sent to a peer. If not, `Room` comes when it may.
    pub fn has_room(&self, to: ReplicaId) -> bool {
        let queue = self.0.lock().links.get(&to).map(|l| Arc::clone(&l.queue));
        queue.is_none_or(|queue| queue.has_room())
    }

    /// Says how this replica is from now on.
    pub fn set_pulse(&self, pulse: Pulse) {
        self.0.lock().me.pulse = pulse;
    }

    /// Says something new of this replica to everybody, if it is something new.
    pub fn set_hello(&self, hello: Hello) {
        let mut state = self.0.lock();
        if state.me == hello {
            return;
        }
        state.me = hello;
        state.version += 1;
        let queues: Vec<_> = state.links.values().map(|l| Arc::clone(&l.queue)).collect();
        drop(state);
        queues.iter().for_each(|queue| queue.wake());
    }

    /// Who is connected, and what it has said.
    pub fn connected(&self) -> Vec<Arc<Hello>> {
        let state = self.0.lock();
        state.links.values().map(|l| Arc::clone(&l.hello)).collect()
    }

    /// Everybody who has been connected since the start.
    pub fn known(&self) -> BTreeMap<ReplicaId, Known> {
        let state = self.0.lock();
        let mut known = state.known.clone();
        for (id, known) in &mut known {
            known.is_connected = state.links.contains_key(id);
        }
        known
    }

    /// Ends all connections, and makes no more.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        let ended = (
            std::mem::take(&mut state.dialers),
            state.acceptor.take(),
            std::mem::take(&mut state.links),
        );
        drop(state);
        for link in ended.2.values() {
            link.hangup.hang_up();
        }
        self.0.events.close();
        self.0.entries.close();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is said of this replica at this time.
    pub(super) fn hello(&self) -> Hello {
        let mut hello = self.lock().me.clone();
        let uptime = clock::now().since(self.started).as_millis();
        hello.uptime_ms = u64::try_from(uptime).unwrap_or(u64::MAX);
        hello
    }

    /// The pulse, and the version of the rest of what is said.
    pub(super) fn pulse(&self) -> (Pulse, u64) {
        let state = self.lock();
        (state.me.pulse, state.version)
    }

    /// Ends when no replica that listens at `address` is connected.
    pub(super) async fn until_missing(&self, address: &str) {
        loop {
            let closed = {
                let state = self.lock();
                let mut links = state.links.values();
                let link = links.find(|link| *link.hello.address == *address);
                match link {
                    Some(link) => link.closed.clone(),
                    None => return,
                }
            };
            // Nothing is ever sent: the fiber of the connection drops the other end.
            if closed.recv().await.is_ok() {
                log::debug!("a connection has sent a value as it closed");
            }
        }
    }

    /// Takes a connection whose other side has greeted as `hello`.
    ///
    /// # Errors
    ///
    /// What to tell the other side.
    pub(super) fn admit(
        &self,
        hello: Hello,
        is_dialed_here: bool,
        hangup: Hangup,
    ) -> Result<Established, Refusal> {
        let me = self.hello();
        let now = clock::now();
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refusal::Duplicate);
        }
        state.memory.judge(&me, &hello)?;
        if let Some(link) = state.links.get(&hello.member.id) {
            let ran_ms = u64::try_from(now.since(link.since).as_millis()).unwrap_or(u64::MAX);
            if link.hello.boot != hello.boot {
                // The one that has run for longer stays.
                if hello.uptime_ms <= link.hello.uptime_ms.saturating_add(ran_ms) {
                    return Err(Refusal::Twice(memory::twice(&hello, &link.hello.address)));
                }
            } else if link.is_dialed_here != is_dialed_here {
                let dialer = if is_dialed_here { &me } else { &hello };
                let other = if is_dialed_here { &hello } else { &me };
                if dialer.member.id > other.member.id {
                    return Err(Refusal::Duplicate);
                }
            }
            link.hangup.hang_up();
        }
        let hello = Arc::new(hello);
        let (ended, closed) = async_channel::bounded(1);
        let queue = Arc::new(Queue::new());
        let number = state.next;
        state.next += 1;
        let link = Link {
            number,
            hello: Arc::clone(&hello),
            since: now,
            is_dialed_here,
            queue: Arc::clone(&queue),
            hangup,
            closed,
        };
        state.links.insert(hello.member.id, link);
        let version = state.version;
        state.remember(&hello, hello.pulse, now);
        drop(state);
        Ok(Established {
            number,
            hello,
            queue,
            version,
            _ended: ended,
        })
    }

    /// Takes in what a connected replica says anew. False if that cannot be.
    pub(super) fn renew(&self, established: &Established, hello: &Arc<Hello>) -> bool {
        let me = self.hello();
        let mut state = self.lock();
        let id = established.hello.member.id;
        if hello.member.id != id
            || hello.boot != established.hello.boot
            || state.memory.judge(&me, hello).is_err()
        {
            return false;
        }
        if let Some(link) = state.links.get_mut(&id)
            && link.number == established.number
        {
            link.hello = Arc::clone(hello);
        }
        state.remember(hello, hello.pulse, clock::now());
        true
    }

    /// Takes in a pulse.
    pub(super) fn note(&self, established: &Established, pulse: Pulse) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(link) = state.links.get(&established.hello.member.id)
            && link.number == established.number
        {
            let hello = Arc::clone(&link.hello);
            state.remember(&hello, pulse, clock::now());
        }
    }

    /// Forgets a connection that is over. False if another one has taken its place already.
    pub(super) fn forget(&self, established: &Established) -> bool {
        let mut state = self.lock();
        let id = established.hello.member.id;
        let is_last = state
            .links
            .get(&id)
            .is_some_and(|link| link.number == established.number);
        if is_last {
            state.links.remove(&id);
        }
        is_last
    }

    /// Logs that somebody was refused, but not all the time.
    pub(super) fn say_refused(&self, refusal: &Refusal) {
        let text = match refusal {
            Refusal::Duplicate | Refusal::Yourself => return,
            Refusal::Foreign(text) | Refusal::RolledBack(text) | Refusal::Twice(text) => text,
        };
        if let Some(muted) = self.refused.admit(clock::now()) {
            log::error!("refused: {text} ({muted} such before)");
        }
    }

    /// Runs a connection to its end.
    pub(super) async fn serve(
        self: &Arc<Self>,
        connection: crate::net::frames::Connection,
        established: Established,
    ) {
        let hello = Arc::clone(&established.hello);
        let id = hello.member.id;
        log::info!("replica {id} at {} is connected", hello.address);
        if self
            .events
            .send(PeerEvent::Hello(Arc::clone(&hello)))
            .await
            .is_err()
        {
            return;
        }
        let why = link::run(self, connection, &established).await;
        if self.forget(&established) {
            log::info!(
                "replica {id} at {} is not connected any more: {why}",
                hello.address
            );
            if self.events.send(PeerEvent::Gone(id)).await.is_err() {
                log::debug!("the log is closed");
            }
        }
    }
}

impl State {
    fn remember(&mut self, hello: &Arc<Hello>, pulse: Pulse, now: Instant) {
        self.memory.note(hello, &pulse);
        let known = Known {
            hello: Arc::clone(hello),
            pulse,
            heard: now,
            is_connected: true,
        };
        let id = hello.member.id;
        if self.known.len() >= 2 * MEMBERS_MAX && !self.known.contains_key(&id) {
            let silent = self.known.iter().min_by_key(|(_, known)| known.heard);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.known.remove(&id);
            }
        }
        self.known.insert(id, known);
    }
}
