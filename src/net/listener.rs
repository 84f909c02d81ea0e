//! The one listener for everything that is not HTTP: dispatches connections by their preamble.
//!
//! Strangers get little: until the handshake is done a connection sits in one of a bounded number of
//! pending slots, with a deadline from its first moment. When the slots are full the oldest stranger is
//! dropped for the newest, so that a flood of silent connections cannot lock out those with a key, who
//! need only milliseconds. Established connections have their own bound.

use super::frames::{self, Connection, ConnectionError};
use super::keys::SecretKey;
use super::preamble::{PREAMBLE_BYTES, Protocol};
use super::throttle::Throttle;
use crate::base::clock::{self, Instant};
use crate::rt::{self, Shutdown};
use async_channel::{Receiver, Sender, TrySendError};
use futures_lite::{AsyncReadExt, FutureExt};
use smol::net::{TcpListener, TcpStream};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much the listener bears.
#[derive(Clone, Copy, Debug)]
pub struct ListenLimits {
    /// Connections before the end of their handshake.
    pub pending: usize,
    /// The same, from one address.
    pub pending_per_address: usize,
    /// Connections after their handshake.
    pub established: usize,
    /// From the first moment of a connection to the end of its handshake.
    pub patience: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            pending: 256,
            pending_per_address: 64,
            established: 10_000,
            patience: Duration::from_secs(5),
        }
    }
}

/// Pause after the operating system refused to accept, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and hands them to whoever speaks their protocol.
#[derive(Debug)]
pub struct PeerListener {
    listener: TcpListener,
    routes: BTreeMap<Protocol, Sender<Incoming>>,
    slots: Arc<Slots>,
}

impl PeerListener {
    /// Listens on `address`.
    ///
    /// # Errors
    ///
    /// What the operating system says, such as a port in use.
    pub async fn bind(address: SocketAddr, limits: ListenLimits) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            routes: BTreeMap::new(),
            slots: Arc::new(Slots {
                limits,
                state: Mutex::default(),
            }),
        })
    }

    /// Where it listens, with the port that was really taken.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connections that name `protocol`. Replaces an earlier route of the same protocol.
    pub fn route(&mut self, protocol: Protocol) -> Receiver<Incoming> {
        let (sender, receiver) = async_channel::bounded(self.slots.limits.pending.max(1));
        self.routes.insert(protocol, sender);
        receiver
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let serve = async {
            self.serve().await;
        };
        serve.or(shutdown.wait()).await;
    }

    async fn serve(&self) {
        let throttle = Throttle::new(Duration::from_secs(10));
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(muted) = throttle.admit(clock::now()) {
                        log::warn!("accept a peer: {error} ({muted} such before)");
                    }
                    rt::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let pending = self.slots.admit(peer.ip());
            let routes = self.routes.clone();
            rt::spawn("preamble", dispatch(stream, peer, pending, routes)).detach();
        }
    }
}

async fn dispatch(
    mut stream: TcpStream,
    peer: SocketAddr,
    pending: PendingSlot,
    routes: BTreeMap<Protocol, Sender<Incoming>>,
) {
    let mut preamble = [0; PREAMBLE_BYTES];
    let read = async { Ok(stream.read_exact(&mut preamble).await?) };
    if let Err(error) = pending.guard(read).await {
        log::debug!("{peer}: no preamble: {error}");
        return;
    }
    let route = Protocol::from_preamble(&preamble).and_then(|p| Some((p, routes.get(&p)?)));
    let Some((protocol, route)) = route else {
        log::debug!("{peer}: speaks no protocol that is served here");
        return;
    };
    let incoming = Incoming {
        stream,
        peer,
        protocol,
        pending,
    };
    match route.try_send(incoming) {
        Ok(()) => {}
        Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
            log::debug!("{peer}: nobody takes {protocol:?} connections now");
        }
    }
}

/// A connection that has named its protocol and shown nothing else yet.
#[derive(Debug)]
pub struct Incoming {
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    pending: PendingSlot,
}

impl Incoming {
    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Runs the handshake. Frames over `limit` bytes will be refused.
    ///
    /// The slot must live as long as the connection.
    ///
    /// # Errors
    ///
    /// A dialer without the key or too slow, a failing connection, too many connections.
    pub async fn handshake(
        self,
        key: &SecretKey,
        limit: usize,
    ) -> Result<(Connection, Slot), ConnectionError> {
        let patience = self.pending.slots.limits.patience;
        let handshake = frames::accept(self.stream, self.protocol, key, limit, patience);
        let connection = self.pending.guard(handshake).await?;
        let slot = self.pending.establish().ok_or(ConnectionError::Crowded)?;
        Ok((connection, slot))
    }
}

#[derive(Debug)]
struct Slots {
    limits: ListenLimits,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    next: u64,
    /// By age. Closing the sender evicts.
    pending: BTreeMap<u64, (IpAddr, Sender<()>)>,
    established: usize,
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a pending slot, at the cost of the oldest one if there are too many.
    fn admit(self: &Arc<Self>, address: IpAddr) -> PendingSlot {
        let mut state = self.lock();
        let alike = |s: &&(IpAddr, Sender<()>)| s.0 == address;
        let crowded = state.pending.values().filter(alike).count();
        let oldest = if crowded >= self.limits.pending_per_address {
            let mut entries = state.pending.iter();
            entries.find(|(_, s)| s.0 == address).map(|(id, _)| *id)
        } else if state.pending.len() >= self.limits.pending {
            state.pending.keys().next().copied()
        } else {
            None
        };
        if let Some((_, evict)) = oldest.and_then(|id| state.pending.remove(&id)) {
            evict.close();
        }
        let id = state.next;
        state.next += 1;
        let (evict, evicted) = async_channel::bounded(1);
        state.pending.insert(id, (address, evict));
        PendingSlot {
            id,
            evicted,
            deadline: clock::now() + self.limits.patience,
            slots: Arc::clone(self),
        }
    }
}

/// One connection before the end of its handshake.
#[derive(Debug)]
struct PendingSlot {
    id: u64,
    evicted: Receiver<()>,
    deadline: Instant,
    slots: Arc<Slots>,
}

impl PendingSlot {
    /// Runs `step` unless the slot is taken away or its time ends.
    async fn guard<T>(
        &self,
        step: impl Future<Output = Result<T, ConnectionError>>,
    ) -> Result<T, ConnectionError> {
        let evicted = async {
            match self.evicted.recv().await {
                Ok(()) | Err(_) => Err(ConnectionError::Crowded),
            }
        };
        let late = async {
            rt::sleep_until(self.deadline).await;
            Err(ConnectionError::Slow {
                what: "the handshake",
                limit: self.slots.limits.patience,
            })
        };
        step.or(evicted).or(late).await
    }

    fn establish(self) -> Option<Slot> {
        let mut state = self.slots.lock();
        if state.established >= self.slots.limits.established {
            return None;
        }
        state.established += 1;
        drop(state);
        Some(Slot {
            slots: Arc::clone(&self.slots),
        })
    }
}

impl Drop for PendingSlot {
    fn drop(&mut self) {
        self.slots.lock().pending.remove(&self.id);
    }
}

/// One established connection: counts as long as it lives.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().established -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::keys::KeyKind;
    use crate::rt::ShutdownTrigger;
    use futures_lite::AsyncWriteExt;

    const LIMIT: usize = 1024;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(KeyKind::Agent, [byte; 32])
    }

    struct Served {
        address: SocketAddr,
        incoming: Receiver<Incoming>,
        slots: Arc<Slots>,
        _trigger: ShutdownTrigger,
    }

    async fn serve(limits: ListenLimits) -> Served {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = PeerListener::bind(any, limits).await.unwrap();
        let (_trigger, shutdown) = Shutdown::new();
        let incoming = listener.route(Protocol::Agent);
        let address = listener.local_addr().unwrap();
        let slots = Arc::clone(&listener.slots);
        rt::spawn("listener", listener.run(shutdown)).detach();
        Served {
            address,
            incoming,
            slots,
            _trigger,
        }
    }

    async fn dial(address: SocketAddr, key: &SecretKey) -> Result<Connection, ConnectionError> {
        let stream = TcpStream::connect(address).await?;
        let patience = Duration::from_secs(5);
        frames::dial(stream, Protocol::Agent, key, LIMIT, patience).await
    }

    #[test]
    fn a_dialer_with_the_key_talks_and_its_slot_counts() {
        rt::block_on(async {
            let served = serve(ListenLimits::default()).await;
            let dialer = rt::spawn("dialer", async move {
                let mut connection = dial(served.address, &key(1)).await.unwrap();
                connection.writer.send(b"hello").await.unwrap();
                connection.reader.receive().await.unwrap()
            });
            let incoming = served.incoming.recv().await.unwrap();
            let (mut connection, slot) = incoming.handshake(&key(1), LIMIT).await.unwrap();
            assert_eq!(served.slots.lock().established, 1);
            assert!(served.slots.lock().pending.is_empty());
            assert_eq!(connection.reader.receive().await.unwrap(), b"hello");
            connection.writer.send(b"welcome").await.unwrap();
            assert_eq!(dialer.join().await, b"welcome");
            drop(slot);
            assert_eq!(served.slots.lock().established, 0);
        });
    }

    #[test]
    fn a_flood_of_silent_strangers_does_not_lock_out_a_dialer_with_the_key() {
        rt::block_on(async {
            let limits = ListenLimits {
                pending: 8,
                pending_per_address: 8,
                ..ListenLimits::default()
            };
            let served = serve(limits).await;
            let mut strangers = Vec::new();
            for n in 0..40 {
                let mut stranger = TcpStream::connect(served.address).await.unwrap();
                if n % 2 == 0 {
                    stranger.write_all(b"AURORA1 ag").await.unwrap();
                }
                strangers.push(stranger);
            }
            let dialer = rt::spawn("dialer", async move { dial(served.address, &key(1)).await });
            let incoming = served.incoming.recv().await.unwrap();
            assert!(incoming.handshake(&key(1), LIMIT).await.is_ok());
            assert!(dialer.join().await.is_ok());
            assert!(served.slots.lock().pending.len() <= 8);
            // The oldest stranger was sent away.
            let mut byte = [0];
            assert!(!matches!(strangers[0].read(&mut byte).await, Ok(1)));
        });
    }

    #[test]
    fn the_slow_and_the_foreign_are_sent_away() {
        rt::block_on(async {
            let limits = ListenLimits {
                patience: Duration::from_millis(400),
                ..ListenLimits::default()
            };
            let served = serve(limits).await;
            for greeting in [
                &b"GET / HTTP/1.1\r\n\r\n"[..],
                b"",
                b"AURORA1 replica\n",
                b"AUR",
            ] {
                let mut stranger = TcpStream::connect(served.address).await.unwrap();
                stranger.write_all(greeting).await.unwrap();
                let mut byte = [0];
                let read = stranger.read(&mut byte).await;
                assert!(!matches!(read, Ok(1)), "{greeting:?}");
            }
            // One that names its protocol and stops there.
            let mut stranger = TcpStream::connect(served.address).await.unwrap();
            stranger
                .write_all(Protocol::Agent.preamble())
                .await
                .unwrap();
            let incoming = served.incoming.recv().await.unwrap();
            let error = incoming.handshake(&key(1), LIMIT).await.unwrap_err();
            assert!(matches!(error, ConnectionError::Slow { .. }), "{error}");
        });
    }

    #[test]
    fn there_is_a_bound_on_established_connections() {
        rt::block_on(async {
            let limits = ListenLimits {
                established: 1,
                ..ListenLimits::default()
            };
            let served = serve(limits).await;
            let address = served.address;
            let mut kept = Vec::new();
            for n in 0..2 {
                let dialer = rt::spawn("dialer", async move { dial(address, &key(1)).await });
                let incoming = served.incoming.recv().await.unwrap();
                let accepted = incoming.handshake(&key(1), LIMIT).await;
                assert_eq!(accepted.is_ok(), n == 0);
                kept.extend(accepted.ok());
                drop(dialer.join().await);
            }
        });
    }
}
