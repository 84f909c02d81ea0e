//! The accept loop.

use super::connection::Connection;
use super::date::DateCache;
use super::encode::{self, Delimit, Frame};
use super::limits::Limits;
use super::message::{Handler, Version};
use super::socket::Socket;
use super::wire::Wire;
use crate::base::clock;
use crate::rt::{self, Shutdown};
use futures_lite::{AsyncRead, AsyncWrite, FutureExt};
use smol::Async;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections over the cap that are told so at the same time; more are dropped without a word.
const REFUSALS_MAX: usize = 64;
/// After a failed accept (out of file descriptors, mostly), wait this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of one server share.
pub(super) struct Shared<H> {
    pub(super) handler: Arc<H>,
    pub(super) limits: Limits,
    pub(super) date: DateCache,
    body_bytes: AtomicUsize,
}

impl<H> Shared<H> {
    pub(super) fn new(handler: Arc<H>, limits: Limits) -> Self {
        Self {
            handler,
            limits,
            date: DateCache::default(),
            body_bytes: AtomicUsize::new(0),
        }
    }

    /// Takes `count` bytes of the memory for bodies; false if there are not as many.
    pub(super) fn take_body_bytes(&self, count: usize) -> bool {
        let before = self.body_bytes.fetch_add(count, Ordering::Relaxed);
        let granted = before.saturating_add(count) <= self.limits.bodies_bytes_max;
        if !granted {
            self.give_body_bytes(count);
        }
        granted
    }

    pub(super) fn give_body_bytes(&self, count: usize) {
        self.body_bytes.fetch_sub(count, Ordering::Relaxed);
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because their requests did not finish within the drain limit.
    pub cut: usize,
}

/// Counts a connection for as long as it lives.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(count));
        (before < max).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves `listener` until `shutdown` is fired, then drains: no new connections, idle ones are closed,
/// requests in flight get their answers within `limits.drain_timeout`, and what is left is cut.
///
/// # Errors
///
/// If the listener cannot be watched. Failing accepts are logged and tried again.
///
/// # Cancellation
///
/// Dropping the future stops the accepting and cuts every connection.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<Drained> {
    let listener = Async::<TcpListener>::new(listener)?;
    let drain_timeout = limits.drain_timeout;
    let shared = Arc::new(Shared::new(handler, limits));
    let (cutter, cut) = Shutdown::new();
    let (alive, ended) = async_channel::bounded::<()>(1);
    let open = Arc::new(AtomicUsize::new(0));
    let refusals = Arc::new(AtomicUsize::new(0));
    let stop = shutdown.clone();
    let accepting = async {
        loop {
            let accepted = listener.accept().await;
            let (stream, peer) = match accepted.and_then(prepare) {
                Ok(prepared) => prepared,
                // A peer that left before we looked is its own affair; all else is ours.
                Err(error) if is_about_the_peer(&error) => {
                    log::debug!("an HTTP connection ended before it began: {error}");
                    continue;
                }
                Err(error) => {
                    log::warn!("accepting an HTTP connection failed: {error}");
                    rt::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (shared, cut, alive) = (Arc::clone(&shared), cut.clone(), alive.clone());
            if let Some(slot) = Slot::take(&open, shared.limits.connections_max) {
                let shutdown = shutdown.clone();
                rt::spawn("http connection", async move {
                    attend(stream, peer, &shared, &shutdown)
                        .or(cut.wait())
                        .await;
                    drop((slot, alive));
                })
                .detach();
            } else if let Some(slot) = Slot::take(&refusals, REFUSALS_MAX) {
                rt::spawn("http refusal", async move {
                    refuse(stream, peer, &shared).or(cut.wait()).await;
                    drop((slot, alive));
                })
                .detach();
            }
        }
    };
    accepting.or(stop.wait()).await;
    drop((listener, alive));
    let left = match rt::timeout(drain_timeout, ended.recv()).await {
        Ok(_) => 0,
        Err(_) => open.load(Ordering::Relaxed),
    };
    cutter.fire();
    Ok(Drained { cut: left })
}

fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

fn prepare(accepted: (Async<TcpStream>, SocketAddr)) -> io::Result<(Socket, SocketAddr)> {
    Ok((Socket::new(accepted.0)?, accepted.1))
}

async fn attend<S, H>(stream: S, peer: SocketAddr, shared: &Shared<H>, shutdown: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    if let Err(error) = Connection::new(stream, peer, shared, shutdown).run().await {
        log::debug!("{peer}: connection ended: {error}");
    }
}

/// Tells a connection over the cap that it is one too many.
async fn refuse<H: Handler>(stream: Socket, peer: SocketAddr, shared: &Shared<H>) {
    let frame = Frame {
        version: Version::Http11,
        keep_alive: false,
        delimit: Delimit::Length(0),
        now: clock::wall(),
        date: &shared.date,
    };
    let mut out = Vec::new();
    encode::response_head(503, &[], &frame, &mut out)
        .expect("an answer without headers has no bad header");
    let mut wire = Wire::new(stream);
    let told = async {
        wire.write_all(&out, shared.limits.linger).await?;
        wire.linger(shared.limits.linger).await
    };
    match told.await {
        Ok(()) => shared.handler.answered(503, Duration::ZERO),
        Err(error) => log::debug!("{peer}: refusal not delivered: {error}"),
    }
}
